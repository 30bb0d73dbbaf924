package pair

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// On a busy machine the other gateway answers a question only when it has been asked
// again. It is in step nevertheless.
func TestALateAnswerCounts(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.lease = 30 * time.Second
	a := s.start("a", t.TempDir())
	a.speak()
	a.say()
	b := s.start("b", t.TempDir())
	b.end() // nothing of it runs but what is made here
	<-b.done
	life := newLife()
	asked := map[string]*nats.Msg{}
	_, err := b.c.Conn.Subscribe(subject.PairTo("b", "record"), func(m *nats.Msg) {
		first := asked[string(m.Data)]
		if asked[string(m.Data)] = m; first == nil {
			return
		}
		var r karaulav1.PairRecord
		if !unpack(b.c.Key, recordMark, m.Data, &r) {
			return
		}
		root := s.voice.Tree.Root()
		raw, err := pack(b.c.Key, answerMark, &karaulav1.PairAnswer{
			Life: life, Term: r.GetTerm(), Channel: r.GetBase().GetChannel(), Epoch: r.GetBase().GetEpoch(),
			Size: s.voice.Tree.Size(), Root: root[:],
		})
		if err == nil {
			_ = first.Respond(raw)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s.until("b in step", func() bool { s.hello(b, life, time.Second); return a.speaks.InStep() })
}

// hello has a gateway ask the one that speaks to follow, and reports whether it was
// answered.
func (s *scene) hello(g *gateway, life []byte, wait time.Duration) bool {
	s.t.Helper()
	st, _, err := g.c.read(s.t.Context())
	if err != nil {
		return false
	}
	raw, err := pack(g.c.Key, helloMark, &karaulav1.PairHello{Name: g.c.Self, Life: life, Term: st.GetTerm()})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), wait)
	defer cancel()
	msg, err := g.c.Conn.RequestWithContext(ctx, subject.PairTo(g.c.Other, "hello"), raw)
	var a karaulav1.PairAnswer
	return err == nil && unpack(g.c.Key, answerMark, msg.Data, &a) && bytes.Equal(a.GetLife(), st.GetLife())
}

// While the broker takes its time with a sign of life, whoever wants to follow is
// answered nevertheless.
func TestAGreetingWaitsForNoSignOfLife(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.lease = time.Second
	a := s.start("a", t.TempDir())
	a.speak()
	b := s.start("b", t.TempDir())
	b.end()
	<-b.done
	a.speaks.turn.Lock() // the broker does not answer
	defer a.speaks.turn.Unlock()
	time.Sleep(2 * a.c.beatEvery())
	s.until("an answer", func() bool { return s.hello(b, newLife(), 10*time.Second) })
	if a.speaks.InStep() {
		t.Error("b is in step without the broker's word")
	}
}

// given has the broker take a state of the one that speaks without its learning of it,
// as where it gave up before the answer came.
func (g *gateway) given(edit func(*karaulav1.PairState)) {
	g.s.t.Helper()
	g.speaks.turn.Lock()
	defer g.speaks.turn.Unlock()
	st, at, err := g.c.read(g.s.t.Context())
	if err != nil {
		g.s.t.Fatal(err)
	}
	next, _ := proto.Clone(st).(*karaulav1.PairState)
	next.Beat++
	edit(next)
	if _, err := g.c.put(g.s.t.Context(), next, at); err != nil {
		g.s.t.Fatal(err)
	}
}

// What the one that speaks has put there itself, and given up before it knew, is no
// word of the other one: it goes on, and can hand over.
func TestAChangeThatWasGivenUpIsNotTheOthersWord(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.both()
	a.given(func(st *karaulav1.PairState) { st.InStep = []string{"a"} })
	if err := a.speaks.change(t.Context(), func(*karaulav1.PairState) {}); err != nil {
		t.Fatalf("a has taken its own word for that of b: %v", err)
	}
	s.until("b in step again", a.speaks.InStep)
	a.say()
	s.holds(b)
	a.given(func(*karaulav1.PairState) {})
	if err := a.speaks.HandOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.kill()
	b.speak()
	b.say()
	back := s.start("a", filepath.Dir(a.c.TermFile))
	s.until("a in step", b.speaks.InStep)
	s.holds(back)
}

// Whoever asks why the other gateway is not in step is told.
func TestItIsSaidWhyTheOtherOneIsBehind(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.lease = 4 * time.Second
	a := s.start("a", t.TempDir())
	a.speak()
	says := func(want string) {
		t.Helper()
		if why := a.speaks.Behind(); why != want {
			t.Errorf("b is behind because %q, want %q", why, want)
		}
	}
	says("it has not asked to follow")
	b := s.start("b", t.TempDir())
	s.until("b in step", a.speaks.InStep)
	says("")
	b.kill()
	a.say()
	says("it does not answer: context deadline exceeded")
	s.start("b", filepath.Dir(b.c.TermFile))
	s.until("b in step again", a.speaks.InStep)
	says("")
}
