package broker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/internal/notice"
	"karaula/internal/subject"
	"karaula/internal/testworld"
)

// auditorsOf says who may read what, of the channels named like their agreement.
func auditorsOf(p Plan) string {
	var out []string
	for _, a := range p.Auditors {
		main := slices.DeleteFunc(slices.Clone(a.Channels), func(id string) bool { return strings.HasSuffix(id, "-s") || strings.HasSuffix(id, "-x") })
		out = append(out, a.Code+": "+strings.Join(main, " "))
	}
	return strings.Join(out, "; ")
}

func TestPlanLetsAuditorsInWhomATextNames(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "al", "me", "xk", "audit1", "audit2", "audit3")
	a := w.Agree(w.Text("b01-al-me", []string{"al", "me", "audit1"}))
	w.Agree(w.Text("t01-al-me-xk", []string{"al", "me", "xk", "audit1", "audit2"}))
	w.Agree(w.Text("b09-me-xk", []string{"me", "xk", "audit3"}))
	want := func(code, want string) Plan {
		t.Helper()
		p, _ := planOf(t, w, code)
		if got := auditorsOf(p); got != want {
			t.Errorf("at %s: %q, want %q", code, got, want)
		}
		return p
	}
	p := want("al", "audit1: b01-al-me t01-al-me-xk; audit2: t01-al-me-xk")
	if got := peersOf(p); !slices.Equal(got, []string{"me", "xk"}) {
		t.Errorf("peers %v", got)
	}
	want("xk", "audit1: t01-al-me-xk; audit2: t01-al-me-xk; audit3: b09-me-xk")
	w.Give(w.Notice("al", a, notice.Suspend), "al", "me")
	want("al", "audit1: b01-al-me t01-al-me-xk; audit2: t01-al-me-xk")
	w.Now = a.ClosesAt()
	want("al", "")
}

// An auditor reads the streams of its channels by its own login, and by no request,
// body or reply subject anything else.
func TestAnAuditorReadsItsChannelsOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dpa := newPerson(t, "dpa auditor")
	s.plan.Auditors = []Auditor{{Peer: dpa.peer("dpa"), Channels: []string{"t01-al-me-xk"}}}
	s.start(t)
	gateway := s.own(t, subject.RoleGateway, s.gateway)
	for subj, body := range map[string]string{
		subject.Say(subject.Actual("b01-al-me"), "al", "vehicle"): "other", subject.Say(subject.Actual("t01-al-me-xk"), "al", "route"): "own",
		subject.In(subject.Actual("b01-al-me"), "me"): "other", subject.In(subject.Actual("t01-al-me-xk"), "me"): "own",
		subject.Stub("b01-al-me", "al", 1, 1): "other", subject.Stub("t01-al-me-xk", "al", 1, 1): "own",
		subject.Verdict("t01-al-me-xk", "me"): "other", subject.Desk("look"): "other", subject.Quarantine("t01-al-me-xk", "me"): "other",
	} {
		say(t, gateway, subj, []byte(body))
	}
	nc := s.mustDial(t, dpa, "dpa", quiet)
	stubs := "$JS.API.DIRECT.GET." + subject.StubStream + "."
	for _, ask := range []string{
		"$JS.API.DIRECT.GET.OUT_t01-al-me-xk", "$JS.API.DIRECT.GET.IN_t01-al-me-xk_me", stubs + subject.Stub("t01-al-me-xk", "al", 1, 1),
	} {
		body := `{"seq":1}`
		if strings.HasPrefix(ask, stubs) {
			body = ""
		}
		if m, err := nc.Request(ask, []byte(body), wait); err != nil || string(m.Data) != "own" {
			t.Errorf("%s: %v %v", ask, m, err)
		}
	}
	for _, body := range []string{
		`{"seq":1}`, `{"last_by_subj":"stub.>"}`, `{"next_by_subj":"stub.b01-al-me.>"}`, `{"seq":1,"batch":9}`,
		`{"multi_last":["stub.>"]}`, `{"start_time":"2020-01-01T00:00:00Z"}`, `{"up_to_seq":9}`,
	} {
		for _, ask := range []string{subject.Stub("t01-al-me-xk", "al", 1, 1), "stub.t01-al-me-xk.>"} {
			m, err := nc.Request(stubs+ask, []byte(body), wait)
			if err != nil || m.Header.Get("Status") == "" {
				t.Errorf("%s with %s: %v %v", ask, body, m, err)
			}
		}
	}
	for _, ask := range forbidden() {
		if m, err := nc.Request(ask, []byte(`{"seq":1,"last_by_subj":">"}`), 200*time.Millisecond); err == nil {
			t.Errorf("%s was answered: %s", ask, m.Data)
		}
	}
	for _, subj := range []string{">", "k1.>", "in.>", "_INBOX_me.>", "$JS.>"} {
		sub, err := nc.SubscribeSync(subj)
		if err == nil {
			err = nc.Flush()
		}
		if _, next := sub.NextMsg(50 * time.Millisecond); err == nil && next == nil {
			t.Errorf("it hears %s", subj)
		}
	}
	// it is cut when the text names it no more
	closed := make(chan struct{})
	nc.SetDisconnectErrHandler(func(*nats.Conn, error) { close(closed) })
	s.plan.Auditors = nil
	s.apply(t)
	select {
	case <-closed:
	case <-time.After(wait):
		t.Error("it stays connected")
	}
	if _, err := s.dial(t, dpa, "dpa", quiet); err == nil {
		t.Error("it logs in again")
	}
}

// forbidden are requests with which an auditor could write, delete or read others'.
func forbidden() []string {
	list := []string{
		"$JS.API.DIRECT.GET.STUB", "$JS.API.DIRECT.GET.STUB." + subject.Stub("b01-al-me", "al", 1, 1), "$JS.API.DIRECT.GET.STUB.>",
		"$JS.API.DIRECT.GET.STUB.stub.>", "$JS.API.DIRECT.GET.OUT_b01-al-me", "$JS.API.DIRECT.GET.IN_b01-al-me_me",
		"$JS.API.DIRECT.GET.VERDICT", "$JS.API.DIRECT.GET.DESK", "$JS.API.DIRECT.GET.QUARANTINE", "$JS.al.API.DIRECT.GET.DESK",
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", subject.Link("dpa"), subject.Link("me"), "$SYS.REQ.USER.INFO",
		"$JS.API.CONSUMER.MSG.NEXT.OUT_t01-al-me-xk.me", subject.Say(subject.Actual("t01-al-me-xk"), "al", "route"),
		subject.In(subject.Actual("t01-al-me-xk"), "me"),
		subject.Desk("look"), subject.Stub("t01-al-me-xk", "al", 1, 2),
	}
	for _, verb := range []string{
		"STREAM.INFO", "STREAM.MSG.GET", "STREAM.MSG.DELETE", "STREAM.PURGE", "STREAM.DELETE", "STREAM.UPDATE", "STREAM.SNAPSHOT",
		"CONSUMER.CREATE", "CONSUMER.LIST",
	} {
		list = append(list, "$JS.API."+verb+".OUT_t01-al-me-xk")
	}
	return list
}
