package broker

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/subject"
)

func (s *site) keeperOf(t *testing.T) *Keeper {
	t.Helper()
	return NewKeeper(s.own(t, subject.RoleKeeper, s.keeper), s.log)
}

func (s *site) js(t *testing.T, role string, p person) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(s.own(t, role, p))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func consumerOf(t *testing.T, js jetstream.JetStream, stream, name string) *jetstream.ConsumerInfo {
	t.Helper()
	c, err := js.Consumer(t.Context(), stream, name)
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo()
}

func TestKeeperMakesWhatThePlanAsksFor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	js := s.js(t, subject.RoleGateway, s.gateway)
	var names []string
	for name := range js.StreamNames(t.Context()).Name() {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{
		"DESK", "IN_b01-al-me_me", "IN_t01-al-me-xk_me", "IN_t01-al-me-xk_xk", "OUT_b01-al-me", "OUT_t01-al-me-xk",
		"QUARANTINE", "STUB", "VERDICT",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	for _, name := range names {
		st, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		c := st.CachedInfo().Config
		if !c.AllowDirect || !c.AllowAtomicPublish || c.MaxAge != 0 || c.DenyDelete || c.DenyPurge ||
			c.MaxBytes <= 0 || c.MaxMsgSize != subject.MaxStreamMsg || c.Storage != jetstream.FileStorage ||
			c.AllowMsgTTL || c.RePublish != nil ||
			(c.Discard == jetstream.DiscardNew) == (name == subject.QuarantineStream) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	c := consumerOf(t, js, "OUT_b01-al-me", "me").Config
	if c.AckPolicy != jetstream.AckAllPolicy || c.AckWait != 5*time.Second || c.MaxAckPending != 5000 ||
		c.MaxWaiting != 8 ||
		c.MaxRequestBatch != 5000 || c.MaxRequestExpires != 30*time.Second || c.DeliverPolicy != jetstream.DeliverAllPolicy {
		t.Errorf("consumer: %+v", c)
	}
	if kept, err := s.keeperOf(t).Apply(t.Context(), s.plan); err != nil || !kept.Empty() {
		t.Errorf("the second time it did %+v (%v)", kept, err)
	}
}

func TestKeeperChangesLimitsAndLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	for range 4 {
		say(t, gw, "k1.b01-al-me.al.vehicle", make([]byte, 100_000))
	}
	s.plan.Channels[0].Quota = 200_000 // less than there is
	kept, err := s.keeperOf(t).Apply(t.Context(), s.plan)
	if err != nil || !slices.Equal(kept.Changed, []string{"OUT_b01-al-me", "IN_b01-al-me_me"}) {
		t.Fatalf("%+v (%v)", kept, err)
	}
	js := s.js(t, subject.RoleGateway, s.gateway)
	st, err := js.Stream(t.Context(), "OUT_b01-al-me")
	if err != nil || st.CachedInfo().State.Msgs != 4 || st.CachedInfo().Config.MaxBytes != 200_000 {
		t.Errorf("%+v (%v)", st.CachedInfo(), err)
	}
	if _, err := js.Publish(t.Context(), "k1.b01-al-me.al.vehicle", []byte("x")); err == nil {
		t.Error("a full stream takes more")
	}
	say(t, gw, "k1.t01-al-me-xk.al.route", []byte("x")) // the others don't feel it
}

func TestKeeperLeavesARewoundConsumerAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw, me := s.own(t, subject.RoleGateway, s.gateway), s.mustDial(t, s.me, "me")
	for _, body := range []string{"1", "2", "3", "4"} {
		say(t, gw, "k1.b01-al-me.al.vehicle", []byte(body))
	}
	waiting := pull(t, me, "b01-al-me", "me", longPull)
	for range 4 {
		if err := take(t, waiting).AckSync(); err != nil {
			t.Fatal(err)
		}
	}
	js := s.js(t, subject.RoleGateway, s.gateway)

	// the gentle way: the consumer stays, and a pull that waits gets it all again
	if _, err := js.ResetConsumerToSequence(t.Context(), "OUT_b01-al-me", "me", 3); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3", "4"} {
		if got := take(t, waiting); string(got.Data) != want {
			t.Errorf("after the reset comes %q, want %q", got.Data, want)
		}
	}
	// the other way: made anew from a place
	if err := js.DeleteConsumer(t.Context(), "OUT_b01-al-me", "me"); err != nil {
		t.Fatal(err)
	}
	cfg := consumerConfig("me", false, 1)
	cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, 2
	if _, err := js.CreateConsumer(t.Context(), "OUT_b01-al-me", cfg); err != nil {
		t.Fatal(err)
	}
	if kept, err := s.keeperOf(t).Apply(t.Context(), s.plan); err != nil || !kept.Empty() {
		t.Errorf("the keeper did %+v (%v)", kept, err)
	}
	if got := take(t, pull(t, me, "b01-al-me", "me", longPull)); string(got.Data) != "2" {
		t.Errorf("after the keeper comes %q, want the second", got.Data)
	}
}

func TestKeeperDropsTheConsumerOfAClosedAgreementOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	say(t, s.own(t, subject.RoleGateway, s.gateway), "k1.b01-al-me.al.vehicle", []byte("x"))
	js := s.js(t, subject.RoleGateway, s.gateway)
	keeper := s.keeperOf(t)
	s.plan.Channels[0].Say, s.plan.Channels[0].Partners[0] = nil, PartnerOf{Code: "me"}
	for _, want := range []Kept{{Paused: []string{"OUT_b01-al-me/me"}}, {}} {
		if kept, err := keeper.Apply(t.Context(), s.plan); err != nil || !cmp.Equal(kept, want) {
			t.Errorf("suspended: the keeper did %+v (%v), want %+v", kept, err, want)
		}
	}
	if info := consumerOf(t, js, "OUT_b01-al-me", "me"); !info.Paused {
		t.Error("the consumer is not paused")
	}
	s.plan.Channels[0].Partners[0].Closed = true
	for _, want := range []Kept{{Dropped: []string{"OUT_b01-al-me/me"}}, {}} {
		if kept, err := keeper.Apply(t.Context(), s.plan); err != nil || !cmp.Equal(kept, want) {
			t.Errorf("closed: the keeper did %+v (%v), want %+v", kept, err, want)
		}
	}
	if _, err := js.Consumer(t.Context(), "OUT_b01-al-me", "me"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the consumer of a closed agreement: %v", err)
	}
	if st, err := js.Stream(t.Context(), "OUT_b01-al-me"); err != nil || st.CachedInfo().State.Msgs != 1 {
		t.Errorf("what was said is gone: %v", err)
	}
}

func TestKeeperLetsALateJoinerReadFromThenOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	say(t, gw, "k1.b01-al-me.al.vehicle", []byte("before"))
	s.plan.Channels[0].Partners = append(s.plan.Channels[0].Partners, PartnerOf{Code: "xk", Fetch: true, Joined: true})
	s.apply(t)
	say(t, gw, "k1.b01-al-me.al.vehicle", []byte("after"))
	if got := take(t, pull(t, s.mustDial(t, s.xk, "xk"), "b01-al-me", "xk", longPull)); string(got.Data) != "after" {
		t.Errorf("the late joiner reads %q first", got.Data)
	}
}

func TestKeeperGoesOnBesideAFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.plan.Channels[0].Quota = 1 << 40 // more than the store has
	if _, err := Prepare(s.plan, s.conf); err != nil {
		t.Fatal(err)
	}
	b, err := Run(t.Context(), s.conf, nil, s.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	s.broker = b
	kept, err := s.keeperOf(t).Apply(t.Context(), s.plan)
	if err == nil || !strings.Contains(err.Error(), "OUT_b01-al-me") {
		t.Errorf("a stream without room: %v", err)
	}
	if !slices.Contains(kept.Made, "OUT_t01-al-me-xk") || !slices.Contains(kept.Made, "OUT_t01-al-me-xk/xk") {
		t.Errorf("the others were not made: %+v", kept)
	}
}

// TestOwnRoles shows what the owner's users can and cannot do.
func TestOwnRoles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	for _, subj := range []string{
		"k1.b01-al-me.al.vehicle", "k1.b01-al-me.al.receipt", "in.b01-al-me.me", "verdict.b01-al-me.me",
		"stub.b01-al-me.al.1.1",
		"quarantine.b01-al-me.me", "desk.sent",
	} {
		say(t, gw, subj, []byte("x"))
	}
	people := map[string]person{"gateway": s.gateway, "keeper": s.keeper, "audit": s.audit, "ops": s.ops}
	for role, subjects := range map[string][]string{
		"gateway": {
			"k1.b01-al-me.al.trafficking", "k1.b01-al-me.me.vehicle", "k1.b99-al-rs.al.vehicle", "$JS.API.STREAM.CREATE.X",
			"$JS.API.STREAM.UPDATE.OUT_b01-al-me", "$JS.API.STREAM.DELETE.OUT_b01-al-me", "$JS.API.STREAM.PURGE.OUT_b01-al-me",
			"$JS.API.STREAM.MSG.DELETE.VERDICT", "$JS.API.STREAM.MSG.DELETE.STUB",
			"$JS.API.STREAM.SNAPSHOT.DESK", "$JS.API.STREAM.RESTORE.X", "$SYS.REQ.SERVER.PING", "$JS.API.ACCOUNT.PURGE.AL",
		},
		"keeper": {
			"k1.b01-al-me.al.vehicle", "in.b01-al-me.me", "$JS.API.STREAM.DELETE.OUT_b01-al-me",
			"$JS.API.STREAM.PURGE.OUT_b01-al-me",
			"$JS.API.STREAM.CREATE.X", "$JS.API.DIRECT.GET.OUT_b01-al-me", "$JS.API.STREAM.MSG.GET.OUT_b01-al-me",
			"$JS.API.STREAM.MSG.DELETE.OUT_b01-al-me", "$JS.API.CONSUMER.MSG.NEXT.OUT_b01-al-me.me", "$SYS.REQ.SERVER.PING",
			"$JS.API.CONSUMER.CREATE.DESK.x",
		},
		"audit": {
			"k1.b01-al-me.al.vehicle", "in.b01-al-me.me", "$JS.API.STREAM.MSG.DELETE.OUT_b01-al-me",
			"$JS.API.CONSUMER.CREATE.OUT_b01-al-me.x",
			"$JS.API.DIRECT.GET.QUARANTINE", "$JS.API.CONSUMER.MSG.NEXT.OUT_b01-al-me.me", "$JS.API.STREAM.UPDATE.DESK",
			"$SYS.REQ.SERVER.PING",
			"$JS.ACK.al.x.OUT_b01-al-me.me.1.1.1.1.0",
		},
		"ops": {
			"$SYS.REQ.SERVER." + s.broker.srv().ID() + ".KICK", "$SYS.REQ.SERVER." + s.broker.srv().ID() + ".LDM",
			"$SYS.REQ.SERVER." + s.broker.srv().ID() + ".RELOAD", "$SYS.REQ.CLAIMS.UPDATE", "$JS.API.INFO",
			"k1.b01-al-me.al.vehicle",
		},
	} {
		for _, subj := range subjects {
			if !refused(t, s, people[role], role, subj, []byte(`{}`)) {
				t.Errorf("%s may publish on %s", role, subj)
			}
		}
	}
	for role, subj := range map[string]string{
		"gateway": ">", "keeper": "k1.>", "audit": "_INBOX_gateway.>", "ops": "$SYS.>",
	} {
		no := make(chan error, 1)
		nc := s.mustDial(t, people[role], role, tell(no))
		if _, err := nc.SubscribeSync(subj); err != nil {
			t.Fatal(err)
		}
		select {
		case <-no: //nolint:errcheck // it is the refusal that is waited for
		case <-time.After(wait):
			t.Errorf("%s may subscribe to %s", role, subj)
		}
	}
	audited := s.own(t, subject.RoleAudit, s.audit)
	for _, stream := range []string{"OUT_b01-al-me", "IN_b01-al-me_me", "STUB", "VERDICT", "DESK"} {
		m, err := audited.Request("$JS.API.DIRECT.GET."+stream, []byte(`{"seq":1}`), wait)
		if err != nil || string(m.Data) != "x" {
			t.Errorf("audit cannot read %s: %v", stream, err)
		}
	}
	m, err := s.own(t, subject.RoleOps, s.ops).Request("$SYS.REQ.SERVER.PING.JSZ", nil, wait)
	if err != nil || !bytes.Contains(m.Data, []byte(`"streams":9`)) {
		t.Errorf("ops sees %.300s (%v)", m.Data, err)
	}
}

// Secure delete of one message is how content is erased; the next message must
// get the next number.
func TestGatewayErasesOneMessage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	say(t, gw, "k1.b01-al-me.al.vehicle", []byte("1"))
	last := say(t, gw, "k1.b01-al-me.al.vehicle", []byte("2"))
	st, err := s.js(t, subject.RoleGateway, s.gateway).Stream(t.Context(), "OUT_b01-al-me")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.SecureDeleteMsg(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if got := say(t, gw, "k1.b01-al-me.al.vehicle", []byte("3")); got != last+1 {
		t.Errorf("the next message has number %d", got)
	}
}
