package broker

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/testbroker"
	"karaula/internal/testworld"
)

// twoMachines are the registers of two machines of al: the first one has
// everything, the second one the own card only.
type twoMachines struct {
	w             *testworld.World
	js            jetstream.JetStream
	first, second *courier
}

func newTwoMachines(t *testing.T) *twoMachines {
	t.Helper()
	b, w := testbroker.Start(t), testworld.New(t, "al", "me")
	w.Agree(w.Text("b01-al-me", []string{"al", "me"}))
	_, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: subject.RegisterStream, Subjects: []string{subject.Text("*", "*")}, AllowDirect: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := register.Open(t.TempDir(), "al")
	if err != nil {
		t.Fatal(err)
	}
	own := w.Parties["al"].Card
	if _, err := empty.AddCard(own.Signed, register.AddCardOptions{Fingerprint: own.Fingerprint()}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	return &twoMachines{
		w: w, js: b.JS,
		first: newCourier(b.Conn, w.Parties["al"].Register(), log), second: newCourier(b.Conn, empty, log),
	}
}

// step lets both look once.
func (m *twoMachines) step(t *testing.T) {
	t.Helper()
	for _, c := range []*courier{m.first, m.second} {
		if err := c.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// An agreement and the cards that it pins get to the other machine; a second
// look puts nothing there twice.
func TestTextsGetToTheOtherMachine(t *testing.T) {
	t.Parallel()
	m := newTwoMachines(t)
	m.step(t)
	view := m.second.reg.View()
	if _, ok := view.Card("me"); !ok || len(view.Agreements()) != 1 {
		t.Fatalf("the second machine has a card of me: %v, %d agreements", ok, len(view.Agreements()))
	}
	m.step(t)
	m.step(t)
	s, err := m.js.Stream(t.Context(), subject.RegisterStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 3 { // two cards and the agreement
		t.Errorf("the stream holds %d texts, want 3", n)
	}
	rotated := m.w.Rotate("me", nil)
	m.w.Give(rotated.Signed, "al")
	m.step(t)
	if c, _ := m.second.reg.View().Card("me"); c.Serial != rotated.Serial {
		t.Errorf("the second machine has card %d of me, want %d", c.Serial, rotated.Serial)
	}
}

// Whoever can write into the stream can bring neither a stranger's card, nor a
// changed text, nor one under another's name.
func TestTheStreamIsNotBelieved(t *testing.T) {
	t.Parallel()
	m := newTwoMachines(t)
	stranger := testworld.New(t, "rs", "me") // with another root of me
	changed := append([]byte(nil), m.w.Parties["me"].Card.Signed...)
	changed[len(changed)/2] ^= 1
	for _, s := range []signed{
		{textCard, stranger.Parties["rs"].Card.Signed},
		{textCard, stranger.Parties["me"].Card.Signed},
		{textCard, changed},
		{textAgreement, []byte("karaula agreement v1\n")},
		{textNotice, make([]byte, 300_000)},
		{"root", stranger.Parties["rs"].Card.Signed},
	} {
		if _, err := m.js.Publish(t.Context(), s.subject(), s.file); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.js.Publish(t.Context(), subject.Text(textCard, "00"), m.w.Parties["me"].Card.Signed); err != nil {
		t.Fatal(err)
	}
	m.step(t)
	m.step(t)
	view := m.second.reg.View()
	if _, ok := view.Card("rs"); ok {
		t.Error("a stranger's card was taken in")
	}
	if c, ok := view.Card("me"); !ok || c.Root != m.w.Parties["me"].Card.Root {
		t.Error("the card of me is not the one that the agreement names")
	}
}

// A stream that was set back is filled again.
func TestTextsComeBack(t *testing.T) {
	t.Parallel()
	m := newTwoMachines(t)
	m.step(t)
	s, err := m.js.Stream(t.Context(), subject.RegisterStream)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	if err := m.js.DeleteStream(t.Context(), subject.RegisterStream); err != nil {
		t.Fatal(err)
	}
	if _, err := m.js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	m.step(t)
	if s, err = m.js.Stream(t.Context(), subject.RegisterStream); err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 3 {
		t.Errorf("the stream holds %d texts again, want 3", n)
	}
}
