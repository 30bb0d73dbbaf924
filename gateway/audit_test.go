package gateway

import (
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/desk"
	"karaula/gateway/diary"
	"karaula/gateway/stream"
	"karaula/internal/envelope"
	"karaula/internal/evidence"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// replayed replays one ledger from what the desk gives.
func (h *house) replayed(origin string) *evidence.Report {
	h.t.Helper()
	in, err := desk.Inspect(h.ctx, h.desk, &karaulav1.AuditRequest{Deed: "replay", Reason: "invented case", Channel: channelID}, h.now())
	must(h.t, err)
	i := slices.IndexFunc(in.Inputs, func(l evidence.Input) bool { return l.Origin == origin })
	ledger := in.Inputs[i]
	ledger.Aside = nil
	r, err := evidence.Replay(h.ctx, evidence.Options{View: in.View, Skew: time.Minute, Now: h.now()}, []evidence.Input{ledger})
	must(h.t, err)
	return r
}

// An audit reads the whole ledger, stubs in the place of what was erased
// included, and is recorded before it reads.
func TestAuditReadsWhatTheStreamsHold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	for range 4 {
		_, err := h.send(h.ctx, route())
		must(t, err)
	}
	if r := h.replayed("al"); r.Broken || r.Ledgers[0].Size != 4 {
		t.Fatalf("%+v %v", r.Ledgers[0], r.Findings)
	}
	for _, seq := range []uint64{1, 3, 4} {
		m, ok, err := stream.Open(h.broker.JS, subject.Out(subject.Actual(channelID))).Get(t.Context(), seq)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		stub, err := envelope.Stub(m.Data)
		must(t, err)
		_, err = stream.Open(h.broker.JS, subject.StubStream).Add(t.Context(), stream.Msg{
			Subject: subject.Stub(channelID, "al", 1, seq), Data: stub,
		})
		must(t, err)
		s, err := h.broker.JS.Stream(t.Context(), subject.Out(subject.Actual(channelID)))
		must(t, err)
		must(t, s.SecureDeleteMsg(t.Context(), seq))
	}
	if r := h.replayed("al"); r.Broken || r.Ledgers[0].Size != 4 {
		t.Errorf("after an erasure: %+v %v", r.Ledgers[0], r.Findings)
	}
	s, err := h.broker.JS.Stream(t.Context(), subject.Out(subject.Actual(channelID)))
	must(t, err)
	must(t, s.DeleteMsg(t.Context(), 2))
	if r := h.replayed("al"); !r.Broken || r.Findings[0].Class != evidence.Missing || r.Findings[0].Seq != 2 {
		t.Errorf("after a loss: %v", r.Findings)
	}
	h.wantDeeds("send send send send replay replay replay")
}

// What the node proves from memory is what follows from the streams, also after a
// start; what is not there it does not prove, and nobody else is given a proof.
func TestTheNodeProvesFromMemory(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	for range 5 {
		_, err := h.send(h.ctx, route())
		must(t, err)
	}
	compare := func(asks ...evidence.Ask) {
		t.Helper()
		in, err := desk.Inspect(h.ctx, h.desk, &karaulav1.AuditRequest{Deed: "prove", Reason: "invented case", Channel: channelID}, h.now())
		must(t, err)
		i := slices.IndexFunc(in.Inputs, func(l evidence.Input) bool { return l.Origin == "al" })
		for _, ask := range asks {
			p, err := in.Prove(h.ctx, channelID, "al", ask)
			must(t, err)
			want, err := evidence.Prove(in.View, in.Inputs[i], ask)
			must(t, err)
			if string(p.Marshal()) != string(want.Marshal()) {
				t.Errorf("%+v: it proves %s", ask, p.Marshal())
			}
		}
	}
	all := []evidence.Ask{
		{Fact: evidence.Inclusion, From: 2},
		{Fact: evidence.Inclusion, From: 1, To: 3},
		{Fact: evidence.Inclusion, From: 4, Epoch: 1},
		{Fact: evidence.Consistency, From: 2},
		{Fact: evidence.Consistency, From: 1, To: 4},
		{Fact: evidence.Range, From: 1},
		{Fact: evidence.Range, From: 3, To: 4},
	}
	compare(all...)
	h.stop()
	h.start()
	compare(all...)

	in, err := desk.Inspect(h.ctx, h.desk, &karaulav1.AuditRequest{Deed: "prove", Reason: "invented case"}, h.now())
	must(t, err)
	for ask, want := range map[evidence.Ask]problem.Kind{
		{Fact: evidence.Inclusion, From: 1, To: 5}:           problem.NotFound, // nobody has signed that root yet
		{Fact: evidence.Inclusion, From: 1, Epoch: 2}:        problem.NotFound,
		{Fact: evidence.Inclusion, From: 3, To: 2}:           problem.Invalid,
		{Fact: evidence.Range}:                               problem.Invalid,
		{Fact: evidence.Fork, From: 1}:                       problem.Invalid,
		{Fact: evidence.Fact("all"), From: 1}:                problem.Invalid,
		{Fact: evidence.Inclusion, From: 1 << 62}:            problem.NotFound,
		{Fact: evidence.Range, From: 1, To: 1<<64 - 1}:       problem.Invalid,
		{Fact: evidence.Consistency, From: 1<<64 - 1, To: 1}: problem.Invalid,
	} {
		if _, err := in.Prove(h.ctx, channelID, "al", ask); !problem.Is(err, want) {
			t.Errorf("%+v: %v", ask, err)
		}
	}
	for _, origin := range []string{"rs", ""} {
		if _, err := in.Prove(h.ctx, channelID, origin, all[0]); !problem.Is(err, problem.NotFound) {
			t.Errorf("of %q: %v", origin, err)
		}
	}
	if _, err := in.Prove(h.ctx, "b99-al-xk", "al", all[0]); !problem.Is(err, problem.NotFound) {
		t.Errorf("on a channel that there is not: %v", err)
	}
	_, err = h.desk.Prove(h.ctx, connect.NewRequest(&karaulav1.ProveRequest{
		Audit: make([]byte, 16), Channel: channelID, Origin: "al", Fact: "inclusion", From: 1,
	}))
	if !problem.Is(desk.FromConnect(err), problem.Locked) {
		t.Errorf("without an audit: %v", err)
	}
}

// wantDeeds compares what the desk stream holds.
func (h *house) wantDeeds(want string) {
	h.t.Helper()
	got := ""
	records := diary.NewRecords(h.gateway.o.Keys.Keys, deskKey(h.gateway.o.Keys.Keys()))
	err := stream.Open(h.broker.JS, subject.DeskStream).Read(h.t.Context(), 1, "", func(m stream.Stored) error {
		e, err := records.Open(m.Data)
		if e.GetDeed() != "send" && e.GetReason() == "" {
			h.t.Errorf("no reason in %v", e)
		}
		got += " " + e.GetDeed()
		return err
	})
	must(h.t, err)
	if got != " "+want {
		h.t.Errorf("recorded:%s, want %s", got, want)
	}
}

// Without a reason, without its beginning, or by somebody whom it is not for, an
// audit gives nothing; one alert is disclosed by who may show it, and recorded.
func TestAuditIsForAuditors(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	a := route()
	_, err := h.send(h.ctx, a)
	must(t, err)
	ask := func(m *karaulav1.AuditRequest) (*karaulav1.AuditResponse, error) {
		resp, err := h.desk.Audit(h.ctx, connect.NewRequest(m))
		if err != nil {
			return nil, desk.FromConnect(err)
		}
		return resp.Msg, nil
	}
	for want, m := range map[problem.Kind]*karaulav1.AuditRequest{
		problem.Invalid:  {Deed: "replay"},
		problem.NotFound: {Deed: "replay", Reason: "invented", Channel: "b99-al-xk"},
	} {
		if _, err := ask(m); !problem.Is(err, want) {
			t.Errorf("%v: %v", m, err)
		}
	}
	if _, err := ask(&karaulav1.AuditRequest{Deed: "export", Reason: "invented", Disclose: true}); !problem.Is(err, problem.Invalid) {
		t.Errorf("a whole channel is disclosed: %v", err)
	}
	got, err := h.desk.ReadLedger(h.ctx, connect.NewRequest(&karaulav1.ReadLedgerRequest{
		Audit: make([]byte, 16), Channel: channelID, Origin: "al",
	}))
	must(t, err)
	if got.Receive() || !problem.Is(desk.FromConnect(got.Err()), problem.Locked) {
		t.Errorf("read without an audit: %v", got.Err())
	}
	resp, err := ask(&karaulav1.AuditRequest{Deed: "export", Reason: "invented order", AlertId: a.GetId(), Disclose: true})
	must(t, err)
	if len(resp.GetPlaces()) != 1 || resp.GetPlaces()[0].GetSeq() != 1 || len(resp.GetPlaces()[0].GetFrame()) == 0 {
		t.Errorf("disclosed: %v", resp.GetPlaces())
	}
	h.wantDeeds("send export disclose")
	auditor := desk.AsOfficer(t.Context(), desk.Officer{ID: "a", Role: "auditor"})
	_, err = h.gateway.Desk().Audit(auditor, connect.NewRequest(&karaulav1.AuditRequest{
		Deed: "export", Reason: "invented", AlertId: a.GetId(), Disclose: true,
	}))
	if !problem.Is(desk.FromConnect(err), problem.Locked) {
		t.Errorf("an auditor is shown content: %v", err)
	}
	officer := desk.AsOfficer(t.Context(), desk.Officer{ID: "o", Role: "officer"})
	_, err = h.gateway.Desk().Audit(officer, connect.NewRequest(&karaulav1.AuditRequest{Deed: "replay", Reason: "invented"}))
	if !problem.Is(desk.FromConnect(err), problem.Locked) {
		t.Errorf("an officer audits: %v", err)
	}
}
