package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/problem"
	"karaula/internal/subject"
)

// agency runs a site by an agent; change edits the plan that the agent sees.
type agency struct {
	*site
	agent *Agent
	mu    sync.Mutex
	next  time.Time
	fail  error
}

func (s *site) agency(t *testing.T, edit func(*AgentOptions)) *agency {
	t.Helper()
	a := &agency{site: s}
	o := AgentOptions{
		Plan: func() (Plan, time.Time, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			return clonePlan(s.plan), a.next, a.fail
		},
		Config: s.conf, Keeper: s.keeper.user, Cert: &s.server.cert, Log: s.log,
		Poll: 5 * time.Millisecond, Retry: 20 * time.Millisecond,
	}
	if edit != nil {
		edit(&o)
	}
	var err error
	if a.agent, err = Start(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	s.broker = a.agent.Broker()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.agent.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a
}

// clonePlan copies what tests edit in place.
func clonePlan(p Plan) Plan {
	p.Peers = slices.Clone(p.Peers)
	p.Channels = slices.Clone(p.Channels)
	for i := range p.Channels {
		p.Channels[i].Partners = slices.Clone(p.Channels[i].Partners)
	}
	return p
}

// change edits the plan and waits until it is in force.
func (a *agency) change(t *testing.T, edit func(*Plan)) {
	t.Helper()
	before := a.agent.Status().Applied
	a.mu.Lock()
	edit(&a.plan)
	a.mu.Unlock()
	eventually(t, "the plan is not in force", func() bool { return a.agent.Status().Applied.After(before) })
}

// eventually waits for something that must happen.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * wait); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// nothing checks that no message comes; statuses may.
func nothing(t testing.TB, sub *nats.Subscription) {
	t.Helper()
	for deadline := time.Now().Add(200 * time.Millisecond); time.Now().Before(deadline); {
		if m, err := sub.NextMsg(time.Until(deadline)); err == nil && m.Header.Get("Status") == "" {
			t.Fatalf("a message came: %q", m.Data)
		}
	}
}

// watched counts how often a connection is cut.
func watched(n *atomic.Int64) nats.Option {
	return nats.DisconnectErrHandler(func(*nats.Conn, error) { n.Add(1) })
}

func fetches(p *Plan, channel, partner string, may bool) {
	for i := range p.Channels {
		for j := range p.Channels[i].Partners {
			if p.Channels[i].ID == channel && p.Channels[i].Partners[j].Code == partner {
				p.Channels[i].Partners[j].Fetch = may
			}
		}
	}
}

func TestSuspensionTakesEffectAndKeepsThePlace(t *testing.T) {
	t.Parallel()
	a := newSite(t).agency(t, nil)
	gw := a.own(t, subject.RoleGateway, a.gateway)
	var meCut, xkCut, gwCut atomic.Int64
	gw.SetDisconnectErrHandler(func(*nats.Conn, error) { gwCut.Add(1) })
	me, xk := a.mustDial(t, a.me, "me", watched(&meCut), quiet), a.mustDial(t, a.xk, "xk", watched(&xkCut))

	say(t, gw, "k1.b01-al-me.al.vehicle", []byte("1"))
	old := pull(t, me, "b01-al-me", "me", longPull) // goes on waiting after the first message
	if err := take(t, old).AckSync(); err != nil {
		t.Fatal(err)
	}
	other := pull(t, xk, "t01-al-me-xk", "xk", longPull)

	a.change(t, func(p *Plan) { fetches(p, "b01-al-me", "me", false) })
	say(t, gw, "k1.b01-al-me.al.vehicle", []byte("2"))
	say(t, gw, "k1.t01-al-me-xk.al.route", []byte("r"))
	if got := take(t, other); string(got.Data) != "r" {
		t.Errorf("the untouched link brings %q", got.Data)
	}
	nothing(t, old)
	eventually(t, "me was not cut", func() bool { return meCut.Load() > 0 && me.IsConnected() })
	again := pull(t, me, "b01-al-me", "me", longPull)
	nothing(t, again)
	if !errors.Is(me.LastError(), nats.ErrPermissionViolation) {
		t.Errorf("me may still ask for the next: %v", me.LastError())
	}
	if _, err := me.Request(subject.Link("me"), nil, wait); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("the link service is not reachable while suspended: %v", err)
	}

	a.change(t, func(p *Plan) { fetches(p, "b01-al-me", "me", true) })
	if got := take(t, pull(t, me, "b01-al-me", "me", longPull)); string(got.Data) != "2" {
		t.Errorf("after the suspension the first message is %q, want the one that was next", got.Data)
	}
	if meCut.Load() != 1 || xkCut.Load() != 0 || gwCut.Load() != 0 {
		t.Errorf("cuts: me %d, want 1; xk %d, gateway %d, want 0", meCut.Load(), xkCut.Load(), gwCut.Load())
	}
}

// Each wall alone: without the configuration the paused consumer gives nothing,
// and without the pause the configuration does not let a pull through.
func TestEachWallAloneStopsAPartner(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(t)
	gw := s.own(t, subject.RoleGateway, s.gateway)
	var cut atomic.Int64
	me := s.mustDial(t, s.me, "me", quiet, watched(&cut))
	old := pull(t, me, "b01-al-me", "me", longPull)
	keeper := NewKeeper(s.own(t, subject.RoleKeeper, s.keeper), s.log)

	open := clonePlan(s.plan)
	fetches(&s.plan, "b01-al-me", "me", false)
	if err := keeper.Stop(t.Context(), s.plan); err != nil {
		t.Fatal(err)
	}
	say(t, gw, "k1.b01-al-me.al.vehicle", []byte("1"))
	nothing(t, old)
	nothing(t, pull(t, me, "b01-al-me", "me", longPull))

	if _, err := Prepare(s.plan, s.conf); err != nil {
		t.Fatal(err)
	}
	if err := s.broker.Reload(); err != nil {
		t.Fatal(err)
	}
	s.broker.kick(subject.PeerAccount("me"))
	if kept, err := keeper.Apply(t.Context(), s.plan); err != nil || !kept.Empty() {
		t.Errorf("the keeper did %+v (%v) where all was done", kept, err)
	}
	js, _ := jetstream.New(s.own(t, subject.RoleGateway, s.gateway))
	if err := resume(t, js); err != nil { // somebody takes the second wall away
		t.Fatal(err)
	}
	eventually(t, "me was not cut, or does not come back", func() bool { return cut.Load() > 0 && me.IsConnected() })
	nothing(t, pull(t, me, "b01-al-me", "me", longPull))
	nothing(t, old)

	s.plan = open
	s.apply(t)
	if got := take(t, pull(t, me, "b01-al-me", "me", longPull)); string(got.Data) != "1" {
		t.Errorf("the first message is %q", got.Data)
	}
}

func resume(t *testing.T, js jetstream.JetStream) error {
	t.Helper()
	_, err := js.ResumeConsumer(t.Context(), "OUT_b01-al-me", "me")
	return err
}

func TestExpiryTakesEffectByItself(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	end := time.Now().Add(300 * time.Millisecond)
	open, closed := clonePlan(s.plan), clonePlan(s.plan)
	fetches(&closed, "b01-al-me", "me", false)
	a := s.agency(t, func(o *AgentOptions) {
		o.Poll = time.Hour // only the announced moment can wake it
		o.Plan = func() (Plan, time.Time, error) {
			if now := time.Now(); now.Before(end) {
				return open, end, nil
			}
			return closed, time.Time{}, nil
		}
	})
	eventually(t, "the end was missed", func() bool { return a.agent.Status().Reloads == 1 })
	t.Logf("the end took effect %v late", time.Since(end))
	if !refused(t, s, s.me, "me", subject.Next(subject.Actual("b01-al-me"), "me"), []byte(longPull)) {
		t.Error("me may still fetch")
	}
}

func TestTheBrokerOutlivesTheContextOfItsStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	agent, err := Start(ctx, AgentOptions{
		Plan:   func() (Plan, time.Time, error) { return s.plan, time.Time{}, nil },
		Config: s.conf, Keeper: s.keeper.user, Cert: &s.server.cert,
	})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	s.broker = agent.Broker()
	say(t, s.own(t, subject.RoleGateway, s.gateway), "k1.b01-al-me.al.vehicle", nil)
	if err := agent.Run(ctx); err != nil || agent.Broker().srv().Running() {
		t.Errorf("after Run the broker goes on (%v)", err)
	}
}

// A plan that cannot be written down must not keep a partner's right alive.
func TestFailedReloadStillStopsTheConsumer(t *testing.T) {
	t.Parallel()
	a := newSite(t).agency(t, nil)
	gw, me := a.own(t, subject.RoleGateway, a.gateway), a.mustDial(t, a.me, "me")
	old := pull(t, me, "b01-al-me", "me", longPull)
	a.mu.Lock()
	fetches(&a.plan, "b01-al-me", "me", false)
	a.plan.Channels[0].Say = []Say{{Token: "no such word"}}
	a.mu.Unlock()
	eventually(t, "the failure is not told", func() bool {
		return strings.Contains(a.agent.Status().Problem, "no such word")
	})
	say(t, gw, "k1.b01-al-me.al.vehicle", []byte("1"))
	nothing(t, old)

	a.change(t, func(p *Plan) { p.Channels[0].Say = says("vehicle") })
	if s := a.agent.Status(); s.Problem != "" || s.Failed == 0 {
		t.Errorf("after the mend: %+v", s)
	}
	if !refused(t, a.site, a.me, "me", subject.Next(subject.Actual("b01-al-me"), "me"), []byte(longPull)) {
		t.Error("me may still fetch")
	}
}

func TestAgentKeepsWhatARunningServerCannotChange(t *testing.T) {
	t.Parallel()
	a := newSite(t).agency(t, nil)
	a.change(t, func(p *Plan) {
		p.MaxStore, p.Listen, p.StoreDir = 1<<30, "127.0.0.1:1", "/nowhere"
		fetches(p, "b01-al-me", "me", false)
	})
	if !refused(t, a.site, a.me, "me", subject.Next(subject.Actual("b01-al-me"), "me"), nil) {
		t.Error("a change of the store stood in the way of a change of rights")
	}
}

func TestAgentSurvivesAPlanThatCannotBeHad(t *testing.T) {
	t.Parallel()
	a := newSite(t).agency(t, nil)
	a.mu.Lock()
	a.fail = problem.New(problem.Failed, "the register cannot be read")
	a.mu.Unlock()
	eventually(t, "the failure is not told", func() bool { return a.agent.Status().Problem != "" })
	a.mustDial(t, a.me, "me")
	a.mu.Lock()
	a.fail = nil
	a.mu.Unlock()
	a.change(t, func(p *Plan) { p.Channels[0].Say = says("route") })
	say(t, a.own(t, subject.RoleGateway, a.gateway), "k1.b01-al-me.al.route", nil)
}

func TestChangesReachLiveConnections(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	full := clonePlan(s.plan)
	s.plan.Channels = s.plan.Channels[1:] // b01-al-me comes later
	a := s.agency(t, nil)
	var cuts atomic.Int64
	me := a.mustDial(t, a.me, "me", watched(&cuts))
	xk := a.mustDial(t, a.xk, "xk", watched(&cuts))
	gw := a.own(t, subject.RoleGateway, a.gateway)
	gw.SetDisconnectErrHandler(func(*nats.Conn, error) { cuts.Add(1) })
	waiting := pull(t, xk, "t01-al-me-xk", "xk", longPull)

	stranger := newPerson(t, "ba")
	a.change(t, func(p *Plan) {
		p.Channels = full.Channels
		p.Peers = append(p.Peers, stranger.peer("ba"))         // new pins, a new bundle
		p.Peers[1].Pins = append(p.Peers[1].Pins, [32]byte{1}) // the next key of xk
	})
	say(t, gw, "k1.b01-al-me.al.patrol", []byte("new"))
	if got := take(t, pull(t, me, "b01-al-me", "me", longPull)); string(got.Data) != "new" {
		t.Errorf("on the new channel came %q", got.Data)
	}
	say(t, gw, "k1.t01-al-me-xk.al.route", []byte("r"))
	if got := take(t, waiting); string(got.Data) != "r" {
		t.Errorf("on the old channel came %q", got.Data)
	}
	answered(t, gw, a.mustDial(t, stranger, "ba"), "ba")
	if cuts.Load() != 0 {
		t.Errorf("%d connections were cut by what only adds", cuts.Load())
	}

	a.change(t, func(p *Plan) { p.Peers = p.Peers[:2] })
	if _, err := a.dial(t, stranger, "ba"); err == nil {
		t.Error("somebody whose right ended gets in")
	}
	if cuts.Load() != 0 {
		t.Errorf("%d connections were cut by somebody else's end", cuts.Load())
	}
}

// answered asks the link service as a partner.
func answered(t *testing.T, gw, partner *nats.Conn, code string) {
	t.Helper()
	if _, err := gw.Subscribe(subject.Link(code), func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	if err := gw.Flush(); err != nil {
		t.Fatal(err)
	}
	if reply, err := partner.Request(subject.Link(code), []byte("ping"), wait); err != nil || string(reply.Data) != "ping" {
		t.Errorf("the link service gives %s no answer: %v", code, err)
	}
}

func TestFlooderIsThrownOutAndComesBack(t *testing.T) {
	t.Parallel()
	a := newSite(t).agency(t, func(o *AgentOptions) {
		o.Flood = FloodOptions{
			Messages: 2000, Window: 50 * time.Millisecond, Bar: 300 * time.Millisecond, MaxBar: time.Minute,
		}
	})
	var xkCut atomic.Int64
	xk := a.mustDial(t, a.xk, "xk", watched(&xkCut))
	evil := a.mustDial(t, a.me, "me", nats.NoReconnect(), quiet)
	eventually(t, "a flooder goes on", func() bool {
		for range 1000 { // refused ones count as well
			_ = evil.PublishRequest(subject.Next(subject.Actual("b01-al-me"), "me"), evil.NewInbox(), []byte(longPull))
			_ = evil.Publish("k1.link.xk", nil)
		}
		return evil.IsClosed()
	})
	status := a.agent.Status()
	if status.Floods["me"] != 1 || status.Barred["me"].IsZero() || len(status.Floods) != 1 {
		t.Errorf("status: %+v", status)
	}
	if nc, err := a.dial(t, a.me, "me"); err == nil {
		nc.Close()
		t.Error("a barred partner gets in")
	}
	eventually(t, "the bar does not end", func() bool {
		nc, err := a.dial(t, a.me, "me")
		return err == nil && nc.Flush() == nil
	})
	if xkCut.Load() != 0 || !xk.IsConnected() {
		t.Error("another partner felt it")
	}
}

func TestFloodWatchBarsLongerEveryTime(t *testing.T) {
	t.Parallel()
	w := newFloodWatch(FloodOptions{})
	w.watch(Plan{Peers: []Peer{{Code: "me"}}, Auditors: []Auditor{{Peer: Peer{Code: "xk"}}}})
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var msgs, bytes int64
	look := func(after time.Duration, moreMsgs, moreBytes int64) []string {
		now = now.Add(after)
		msgs, bytes = msgs+moreMsgs, bytes+moreBytes
		return w.look(now, func(account string) (int64, int64) {
			if account == "PEER_ME" {
				return msgs, bytes
			}
			return 10, 10
		})
	}
	look(time.Second, 1<<40, 1<<40) // the first look knows no rate
	for _, step := range []struct {
		after time.Duration
		msgs  int64
		bytes int64
		bar   time.Duration
	}{
		{after: time.Second, msgs: 5000},
		{after: 10 * time.Second, msgs: 49_000},
		{after: 100 * time.Millisecond, msgs: 1}, // within the window
		{after: time.Second, msgs: 6000, bar: 30 * time.Second},
		{after: time.Second, msgs: 6000}, // is out already
		{after: 30 * time.Second, bytes: 2 << 30, bar: time.Minute},
		{after: 2 * time.Minute, msgs: 1 << 30, bar: 2 * time.Minute},
		{after: time.Hour, msgs: 10}, // forgotten
		{after: time.Second, msgs: 5001, bar: 30 * time.Second},
	} {
		got := look(step.after, step.msgs, step.bytes)
		if (len(got) == 1) != (step.bar > 0) {
			t.Fatalf("%+v: barred %v", step, got)
		}
		if until := w.barred(now)["me"]; step.bar > 0 && until.Sub(now) != step.bar {
			t.Errorf("%+v: barred for %v", step, until.Sub(now))
		}
	}
	if got := w.counts(); len(got) != 1 || got["me"] != 4 {
		t.Errorf("counts: %v", got)
	}
}

// The key of the certificate that is to be shown comes late: it is shown then, though
// the text of the configuration has not changed since.
func TestACertificateIsShownWhenItsKeyComes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	next := newPerson(t, "al")
	var here atomic.Bool
	a := s.agency(t, func(o *AgentOptions) {
		o.Held = func() []tls.Certificate {
			if here.Load() {
				return []tls.Certificate{s.server.cert, next.cert}
			}
			return []tls.Certificate{s.server.cert}
		}
	})
	a.mu.Lock()
	a.plan.Own.Server = sha256.Sum256(next.cert.Leaf.RawSubjectPublicKeyInfo)
	a.plan.Own.Pins = append(slices.Clone(a.plan.Own.Pins), a.plan.Own.Server)
	a.plan.Own.CertDER = append(slices.Clone(a.plan.Own.CertDER), next.cert.Certificate[0])
	a.mu.Unlock()
	eventually(t, "the failure is not told", func() bool { return strings.Contains(a.agent.Status().Problem, "is not here") })
	here.Store(true)
	eventually(t, "the certificate is not shown", func() bool {
		c, err := tls.Dial("tcp", strings.TrimPrefix(s.broker.ClientURL(), "tls://"), &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{s.me.cert}, InsecureSkipVerify: true,
		})
		if err != nil {
			return false
		}
		defer c.Close() //nolint:errcheck // only looked at
		return bytes.Equal(c.ConnectionState().PeerCertificates[0].Raw, next.cert.Certificate[0])
	})
}

// The listener's key is in memory: the files that the text names for a stock
// server need not be there, neither at the start nor when it changes.
func TestTheListenerKeyLiesInNoFile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, file := range []string{s.plan.TLS.Cert, s.plan.TLS.Key} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	s.start(t)
	s.mustDial(t, s.me, "me")
	stranger := newPerson(t, "ba")
	s.plan.Peers = append(s.plan.Peers, stranger.peer("ba"))
	s.apply(t)
	s.mustDial(t, stranger, "ba")
	for _, file := range []string{s.plan.TLS.Cert, s.plan.TLS.Key} {
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s was written", file)
		}
	}
	if _, err := Run(t.Context(), s.conf, nil, s.log); !problem.Is(err, problem.Invalid) {
		t.Errorf("without key and files a broker starts: %v", err)
	}
}
