package pair

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// shown gives the state that the broker shows.
func (s *scene) shown() *jetstream.RawStreamMsg {
	s.t.Helper()
	stream, err := s.broker.JS.Stream(s.t.Context(), subject.PairStream)
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(s.t.Context(), subject.PairState)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// show has the broker show a state at its place, and nothing behind it.
func (s *scene) show(m *jetstream.RawStreamMsg) {
	s.t.Helper()
	if err := s.broker.JS.DeleteStream(s.t.Context(), subject.PairStream); err != nil {
		s.t.Fatal(err)
	}
	_, err := s.broker.JS.CreateStream(s.t.Context(), jetstream.StreamConfig{
		Name: subject.PairStream, Subjects: []string{subject.PairState}, MaxMsgsPerSubject: 1, FirstSeq: m.Sequence,
		Storage: jetstream.MemoryStorage, // the files of the one before may still be on their way out
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.broker.JS.Publish(s.t.Context(), subject.PairState, m.Data); err != nil {
		s.t.Fatal(err)
	}
}

// A server that was cut off and comes back shows for a moment what it has: an older
// state at an earlier place. The one that speaks does not take it for the word of the
// other one, and the one that stands by does not take it for a store that was set back.
func TestAServerThatWasCutOffIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.cutOff = time.Hour
	a, b := s.both()
	old := s.shown()
	if err := a.speaks.HandOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.kill()
	b.speak()
	back := s.start("a", filepath.Dir(a.c.TermFile))
	s.until("a in step", b.speaks.InStep)
	if b.speaks.change(t.Context(), func(*karaulav1.PairState) {}) != nil {
		t.Fatal("b does not speak")
	}
	now := s.shown()

	s.show(old)
	beats := make(chan error)
	go func() { beats <- b.speaks.change(t.Context(), func(*karaulav1.PairState) {}) }()
	select {
	case err := <-beats:
		t.Fatalf("b has taken an older state for an answer: %v", err)
	case <-back.turn:
		t.Fatalf("a does not stand by any more: %v", back.err)
	case <-time.After(4 * back.c.lookEvery()):
	}
	s.show(now)
	if err := <-beats; err != nil || b.speaks.Err() != nil {
		t.Errorf("b does not speak any more: %v", err)
	}
	select {
	case <-back.turn:
		t.Errorf("a does not stand by any more: %v", back.err)
	default:
	}
	b.say()
	s.holds(back)
}

// One that stays is believed: another broker store is there.
func TestAnOlderStateThatStaysEndsTheTurn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, _ := s.both()
	old := s.shown()
	if err := a.speaks.change(t.Context(), func(*karaulav1.PairState) {}); err != nil {
		t.Fatal(err)
	}
	s.show(old)
	if err := a.speaks.change(t.Context(), func(*karaulav1.PairState) {}); err == nil {
		t.Error("a goes on at a broker that was set back")
	}
}
