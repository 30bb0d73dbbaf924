package border_test

import (
	"testing"

	"karaula/internal/border"
	"karaula/internal/ledger"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// opening gives me's voice in a new epoch under a new card, and the statement
// that opens it from a head.
func (s *scene) opening(head *karaulav1.Head) (*testworld.Voice, testworld.Draft) {
	v := s.me.Clone()
	v.Card = s.Rotate("me", nil)
	s.Give(v.Card.Signed, "al")
	v.Epoch, v.Tree = 2, &ledger.Tree{}
	return v, testworld.Draft{
		Kind: karaulav1.Kind_KIND_EPOCH, Body: &karaulav1.EpochBody{Continues: head, Reason: "stream-lost"},
	}
}

func TestNewEpochMakesNumbersVoid(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.al.must(s.me.Say(heartbeat()))
	head := s.me.Head()
	lost, stray := s.me.Say(vehicle()), s.me.Say(vehicle())
	s.al.must(lost)
	v, d := s.opening(head)
	p, verdict := s.al.receive(v.Say(d))
	if p.Kind != border.Next || !p.OpensEpoch() || said(verdict) != "accepted accepted" {
		t.Fatalf("placed as %s, judged %s: %s", p.Kind, said(verdict), verdict.Detail)
	}
	s.al.must(v.Say(vehicle()))
	if next := s.al.led.Next(); next != (border.Position{Epoch: 2, Seq: 3}) {
		t.Errorf("next is %v", next)
	}
	if p := s.al.place(lost); p.Kind != border.Known {
		t.Errorf("a void number that is known: %s", p.Kind)
	}
	if p := s.al.place(stray); p.Kind != border.Quarantine || p.Code != karaulav1.Code_CODE_WRONG_EPOCH {
		t.Errorf("a void number that comes late: %s %v", p.Kind, p.Code)
	}
}

func TestNewEpochEndsAContradiction(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	other := s.me.Clone()
	s.al.must(s.me.Say(heartbeat()))
	p := s.al.place(other.Say(vehicle()))
	s.al.led.Contest(&p)
	v, d := s.opening(s.me.Head())
	s.al.must(v.Say(d), v.Say(vehicle()))
}

// A ledger whose clock was wrong once can begin anew.
func TestNewEpochBeginsItsOwnTime(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.Now = s.Now.AddDate(0, 2, 0)
	s.al.must(s.me.Say(heartbeat()))
	s.Now = s.Now.AddDate(0, -1, 0)
	v, d := s.opening(s.me.Head())
	s.al.must(v.Say(d), v.Say(vehicle()))
}

func TestNewEpochIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*scene, *testworld.Voice, *testworld.Draft)
		kind   border.Kind
		code   karaulav1.Code
	}{
		{"without the root key", func(s *scene, v *testworld.Voice, _ *testworld.Draft) {
			v.Card = s.me.Card
		}, border.Quarantine, karaulav1.Code_CODE_WRONG_EPOCH},
		{"with a serial that its card does not have", func(s *scene, v *testworld.Voice, d *testworld.Draft) {
			v.Card = s.me.Card
			d.Set = func(st *karaulav1.Statement) { st.CardSerial = 9 }
		}, border.Quarantine, karaulav1.Code_CODE_WRONG_EPOCH},
		{"from an epoch that is not ours", func(s *scene, _ *testworld.Voice, d *testworld.Draft) {
			head := s.me.Head()
			head.Epoch = 7
			d.Body = &karaulav1.EpochBody{Continues: head, Reason: "stream-lost"}
		}, border.Quarantine, karaulav1.Code_CODE_WRONG_EPOCH},
		{"not the next epoch", func(_ *scene, v *testworld.Voice, _ *testworld.Draft) {
			v.Epoch = 3
		}, border.Ahead, karaulav1.Code_CODE_OUT_OF_ORDER},
		{"of another ledger", func(s *scene, _ *testworld.Voice, d *testworld.Draft) {
			head := s.me.Head()
			head.Ledger = make([]byte, 32)
			d.Body = &karaulav1.EpochBody{Continues: head, Reason: "stream-lost"}
		}, border.Quarantine, karaulav1.Code_CODE_WRONG_EPOCH},
		{"from nowhere", func(_ *scene, _ *testworld.Voice, d *testworld.Draft) {
			d.Body = &karaulav1.EpochBody{Reason: "stream-lost"}
		}, border.Quarantine, karaulav1.Code_CODE_WRONG_EPOCH},
		{"from a head that is further than ours", func(s *scene, _ *testworld.Voice, d *testworld.Draft) {
			s.me.Say(heartbeat())
			d.Body = &karaulav1.EpochBody{Continues: s.me.Head(), Reason: "stream-lost"}
		}, border.Ahead, karaulav1.Code_CODE_OUT_OF_ORDER},
		{"from another history", func(s *scene, _ *testworld.Voice, d *testworld.Draft) {
			head := s.me.Head()
			head.Size, head.Root = 1, make([]byte, 32)
			d.Body = &karaulav1.EpochBody{Continues: head, Reason: "stream-lost"}
		}, border.Fork, karaulav1.Code_CODE_WRONG_ROOT},
		{"with a history of its own", func(_ *scene, _ *testworld.Voice, d *testworld.Draft) {
			d.Set = func(st *karaulav1.Statement) { st.PrevRoot = make([]byte, 32) }
		}, border.Quarantine, karaulav1.Code_CODE_WRONG_EPOCH},
		{"malformed", func(_ *scene, _ *testworld.Voice, d *testworld.Draft) {
			d.Set = func(st *karaulav1.Statement) { st.Format = 2 }
		}, border.Quarantine, karaulav1.Code_CODE_WRONG_EPOCH},
		{"not signed", func(_ *scene, _ *testworld.Voice, d *testworld.Draft) {
			d.Envelope = func(e *karaulav1.Envelope) { e.Signatures[0].Sig[0] ^= 1 }
		}, border.Quarantine, karaulav1.Code_CODE_BAD_SIGNATURE},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, open)
			s.al.must(s.me.Say(heartbeat()), s.me.Say(heartbeat()))
			v, d := s.opening(s.me.Head())
			c.change(s, v, &d)
			if p := s.al.place(v.Say(d)); p.Kind != c.kind || p.Code != c.code {
				t.Errorf("placed as %s %v (%s), want %s %v", p.Kind, p.Code, p.Detail, c.kind, c.code)
			}
		})
	}
}
