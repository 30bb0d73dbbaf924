package pair

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/testbroker"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const channelID = "b01-al-me"

// scene is a broker, and a voice whose statements two gateways sign in turn.
type scene struct {
	t      *testing.T
	broker *testbroker.Broker
	voice  *testworld.Voice
	lease  time.Duration
	auto   bool
	cutOff time.Duration
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, broker: testbroker.Start(t), lease: time.Minute, cutOff: time.Nanosecond}
	w := testworld.New(t, "al", "me")
	s.voice = w.Voice("al", w.Agree(w.Text(channelID, []string{"al", "me"})), channelID)
	_, err := s.broker.JS.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: subject.PairStream, Subjects: []string{subject.PairState}, MaxMsgsPerSubject: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// gateway is one life of a gateway.
type gateway struct {
	s      *scene
	c      *Config
	end    context.CancelFunc
	done   chan struct{} // closed when nothing of it runs any more
	turn   chan struct{} // closed when Await has returned
	speaks *Speaker
	err    error
	j      *journal.Journal
}

// start starts a gateway by name, in the folder of its name.
func (s *scene) start(name, dir string) *gateway {
	s.t.Helper()
	nc, err := s.broker.Dial()
	if err != nil {
		s.t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	other := map[string]string{"a": "b", "b": "a"}[name]
	g := &gateway{s: s, done: make(chan struct{}), turn: make(chan struct{}), c: &Config{
		Self: name, Other: other, First: name == "a", Automatic: s.auto, Lease: s.lease, CutOff: s.cutOff,
		Key: []byte(strings.Repeat("k", 32)), Conn: nc, JS: js,
		JournalPath: func(channel string) string { return filepath.Join(dir, channel+".journal") },
		TermFile:    filepath.Join(dir, "term"), WishFile: filepath.Join(dir, "wish"),
		Whole: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
	}}
	ctx, cancel := context.WithCancel(context.Background())
	g.end = cancel
	go func() {
		defer close(g.done)
		g.speaks, g.err = Await(ctx, g.c)
		close(g.turn)
		if g.speaks != nil {
			_ = g.speaks.Run(ctx)
		}
	}()
	s.t.Cleanup(g.kill)
	return g
}

// kill ends a gateway as a crash does, but for the process.
func (g *gateway) kill() {
	g.end()
	<-g.done
	g.c.Conn.Close()
	if g.j != nil {
		_ = g.j.Close() // twice does nothing
	}
}

// speak waits until a gateway speaks, and opens its journal as the outbox does.
func (g *gateway) speak() {
	g.s.t.Helper()
	<-g.turn
	if g.speaks == nil {
		g.s.t.Fatalf("gateway %s does not speak: %v", g.c.Self, g.err)
	}
	var err error
	if g.j, err = journal.Open(g.c.JournalPath(channelID), g.s.nothing()); err != nil {
		g.s.t.Fatal(err)
	}
	if err := g.speaks.Replicate(g.s.t.Context(), g.j); err != nil {
		g.s.t.Fatal(err)
	}
}

func (s *scene) nothing() journal.State {
	return journal.State{Ledger: s.voice.ID, Channel: channelID, Epoch: 1}
}

// sign signs and journals the next statement of a voice, said so much later.
func (g *gateway) sign(v *testworld.Voice, later time.Duration) {
	g.s.t.Helper()
	raw := v.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_HEARTBEAT, Set: func(st *karaulav1.Statement) { st.SaidAt += later.Microseconds() },
	})
	p, err := envelope.Parse(raw)
	if err != nil {
		g.s.t.Fatal(err)
	}
	e := journal.Entry{Seq: p.Statement.GetSeq(), Envelope: raw, Token: "heartbeat", Leaf: p.Leaf}
	if err := g.j.Append([]journal.Entry{e}); err != nil {
		g.s.t.Fatal(err)
	}
}

// say signs the next statement, and has it replicated; so it may be published.
func (g *gateway) say() {
	g.s.t.Helper()
	g.sign(g.s.voice, 0)
	if err := g.speaks.Replicate(g.s.t.Context(), g.j); err != nil {
		g.s.t.Fatal(err)
	}
	if err := g.j.Confirm(g.s.voice.Tree.Size(), 0); err != nil {
		g.s.t.Fatal(err)
	}
}

// until waits for a condition; only a broken program makes it fail.
func (s *scene) until(what string, cond func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return
		}
	}
	s.t.Fatalf("%s does not happen", what)
}

// holds fails the test unless the file of a journal has just what was said.
func (s *scene) holds(g *gateway) {
	s.t.Helper()
	raw, err := os.ReadFile(g.c.JournalPath(channelID))
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.t.TempDir(), "copy")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		s.t.Fatal(err)
	}
	j, err := journal.Open(path, s.nothing())
	if err != nil {
		s.t.Fatal(err)
	}
	defer j.Close() //nolint:errcheck // a copy
	if st := j.State(); st.Tree.Size() != s.voice.Tree.Size() || st.Tree.Root() != s.voice.Tree.Root() {
		s.t.Errorf("the journal of %s holds %d statements, %d were said", g.c.Self, st.Tree.Size(), s.voice.Tree.Size())
	}
}

// both starts two gateways, and waits until b is in step.
func (s *scene) both() (a, b *gateway) {
	s.t.Helper()
	a = s.start("a", s.t.TempDir())
	a.speak()
	a.say()
	b = s.start("b", s.t.TempDir())
	s.until("b in step", a.speaks.InStep)
	return a, b
}

// What may be published is on disk at the other one, before and after it came.
func TestTheOtherOneHasEverything(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.both()
	s.holds(b)
	for range 3 {
		a.say()
		s.holds(b)
	}
}

// A gateway that stands by and goes does not stop the other one, cannot take over
// until it has everything again, and comes back into step.
func TestTheOtherOneGoesAndComesBack(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.both()
	b.kill()
	a.say()
	if a.speaks.InStep() {
		t.Fatal("b is in step without having answered")
	}
	st, _, err := a.c.read(t.Context())
	if err != nil || inStep(st, "b") {
		t.Fatalf("the state says that b is in step (%v)", err)
	}
	again := s.start("b", filepath.Dir(b.c.TermFile))
	s.until("b in step again", a.speaks.InStep)
	s.holds(again)
	a.say()
	s.holds(again)
}

// A gateway that hands over is followed at once, in manual mode as well.
func TestHandOver(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.both()
	if err := a.speaks.HandOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.kill()
	b.speak()
	b.say()
	if err := a.speaks.Err(); !errors.Is(err, errLost) {
		t.Errorf("the one that has handed over may go on: %v", err)
	}
	back := s.start("a", filepath.Dir(a.c.TermFile))
	s.until("a in step", b.speaks.InStep)
	s.holds(back)
}

// Silence is enough in automatic mode. What the silent one signs then is published
// by nobody, and goes from its journal when it comes back.
func TestTakeOverAfterSilence(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.lease, s.auto = 4*time.Second, true
	a, b := s.both()
	a.say()
	a.end() // no sign of life any more, but its journal is open
	<-a.done
	b.speak()
	if a.speaks.Holds() {
		t.Error("the silent one still holds its lease")
	}
	fork := s.voice.Clone()
	a.sign(fork, time.Second)
	if err := a.speaks.Replicate(t.Context(), a.j); !errors.Is(err, errLost) {
		t.Fatalf("the silent one may publish: %v", err)
	}
	b.say()
	a.kill()
	back := s.start("a", filepath.Dir(a.c.TermFile))
	s.until("a in step", b.speaks.InStep)
	s.holds(back)
	if _, err := os.Stat(a.c.JournalPath(channelID) + ".before"); err != nil {
		t.Errorf("what a had signed alone was not put aside: %v", err)
	}
}

// In manual mode silence is not enough, and a person's word is; but not to one
// that is behind, unless the person says so.
func TestTakeOverByAPerson(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.both()
	a.kill()
	select {
	case <-b.turn:
		t.Fatal("b has taken over by itself")
	case <-time.After(2 * b.c.lookEvery()):
	}
	if err := Wish(b.c.WishFile, false); err != nil {
		t.Fatal(err)
	}
	b.speak()
	if _, err := os.Stat(b.c.WishFile); err == nil {
		t.Error("the wish is still there")
	}
	b.say()
	b.kill() // a has not followed: it is behind
	back := s.start("a", filepath.Dir(a.c.TermFile))
	if err := Wish(back.c.WishFile, false); err != nil {
		t.Fatal(err)
	}
	select {
	case <-back.turn:
		t.Fatal("one that is behind has taken over")
	case <-time.After(2 * back.c.lookEvery()):
	}
	if err := Wish(back.c.WishFile, true); err != nil {
		t.Fatal(err)
	}
	<-back.turn
	if back.speaks == nil {
		t.Errorf("a person's word was not enough: %v", back.err)
	}
}

// An older state, or one that neither of the two has written, makes nobody speak.
func TestTheBrokerIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.both()
	older, err := s.broker.JS.Stream(t.Context(), subject.PairStream)
	if err != nil {
		t.Fatal(err)
	}
	first, err := older.GetLastMsgForSubject(t.Context(), subject.PairState)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.speaks.HandOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.kill()
	b.speak()
	b.kill()
	dir := filepath.Dir(b.c.TermFile)
	forged := append([]byte(nil), first.Data...)
	forged[0] ^= 1
	for what, data := range map[string][]byte{"an older state": first.Data, "a forged state": forged} {
		if _, err := s.broker.JS.Publish(t.Context(), subject.PairState, data); err != nil {
			t.Fatal(err)
		}
		g := s.start("b", dir)
		<-g.turn
		if g.speaks != nil || !problem.Is(g.err, problem.Verification) {
			t.Errorf("%s: speaks %v, %v", what, g.speaks != nil, g.err)
		}
		g.kill()
	}
}

// Records and answers without the mark of the two are as if they were not there.
func TestStrangersAreNotHeard(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.both()
	r, _ := newRecord(journal.State{Ledger: s.voice.ID, Channel: channelID, Epoch: 7, Tree: s.voice.Tree}, nil)
	r.Term, r.To = 99, []byte("whoever")
	raw, err := pack([]byte(strings.Repeat("x", 32)), recordMark, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{nil, raw, []byte("junk")} {
		for _, what := range []string{"record", "hello"} {
			if err := s.broker.Conn.Publish(subject.PairTo("b", what), data); err != nil {
				t.Fatal(err)
			}
			if err := s.broker.Conn.Publish(subject.PairTo("a", what), data); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.say()
	s.holds(b)
	if !a.speaks.InStep() {
		t.Error("a stranger has put b out of step")
	}
}
