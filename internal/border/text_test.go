package border_test

import (
	"fmt"
	"strings"
	"testing"

	"karaula/internal/border"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// under makes a draft that names another text.
func under(d testworld.Draft, digest [32]byte) testworld.Draft {
	d.Set = func(st *karaulav1.Statement) { st.Agreement = digest[:] }
	return d
}

func TestTextsThatAreNotOfThisLedger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		other func(*scene) [32]byte
		want  string
	}{
		{"an agreement without this channel", func(s *scene) [32]byte {
			return s.Agree(s.Text("t02-other", codes)).Digest
		}, "refused wrong-channel"},
		{"a version with the channel in another mode, which no register takes in", func(s *scene) [32]byte {
			return s.Lint(s.Sign(s.Amend(s.text, open+" mode=actual", open+" mode=exercise"), codes...)).Digest
		}, "held unknown-agreement"},
		{"a version without the origin", func(s *scene) [32]byte {
			text := strings.ReplaceAll(string(s.Amend(s.text)), "al,me,xk", "al,xk")
			before, after, _ := strings.Cut(text, "party me ")
			_, after, _ = strings.Cut(after, "\n")
			file := s.SignFormer(s.Sign([]byte(before+after), "al", "xk"), s.text, "me")
			s.Give(file, "al")
			return s.Lint(file).Digest
		}, "refused wrong-origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, open)
			if _, v := s.al.receive(s.me.Say(under(heartbeat(), c.other(s)))); said(v) != c.want {
				t.Errorf("judged %s (%s), want %s", said(v), v.Detail, c.want)
			}
		})
	}
}

// A ledger is bound to the first version of its agreement: the same words in
// another agreement make another ledger.
func TestLedgerBelongsToItsAgreement(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	id := [32]byte{1}
	s.me.ID, s.al.led.ID = id, id
	if _, v := s.al.receive(s.me.Say(heartbeat())); said(v) != "refused wrong-ledger" {
		t.Errorf("judged %s (%s)", said(v), v.Detail)
	}
}

// An incomplete text, which anybody can hand in, pins nothing.
func TestIncompleteTextIsHeld(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, codes...)
	text := w.Lint(w.Text(open, codes))
	me := w.Voice("me", text, open)
	al := newGate(w, "al", me)
	w.Give(w.Sign(text.Text, "al", "xk"), "al")
	k := al.take(me.Say(vehicle()))
	if v := al.judge(k); said(v) != "held unknown-agreement" {
		t.Fatalf("judged %s (%s)", said(v), v.Detail)
	}
	w.Give(w.Sign(text.Text, "me"), "al")
	if v := al.judge(k); said(v) != "accepted accepted" {
		t.Errorf("with all signatures it is %s (%s)", said(v), v.Detail)
	}
}

// A text that names another root for the origin is nothing to us before
// everybody has signed it, the origin among them.
func TestIncompleteTextPinsNothing(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, codes...)
	honest := w.Lint(w.Text(open, codes))
	forged := replaceOnce(string(honest.Text), w.Parties["me"].Root.VKey, w.NewRoot("me").VKey)
	text := w.Lint([]byte(forged))
	w.Give(w.Sign(text.Text, "xk"), "al")
	me := w.Voice("me", text, open)
	al := newGate(w, "al", me)
	for range 2 {
		if k := al.take(me.Say(heartbeat())); k.p.Kind != border.Next {
			t.Errorf("placed as %s (%s)", k.p.Kind, k.p.Detail)
		}
	}
}

// What had its place before its text came is held against the root in it.
func TestTextThatComesLaterPinsTheRoot(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, codes...)
	p := w.Parties["me"]
	shown, signed := p.Root, w.NewRoot("me")
	text := w.Lint([]byte(replaceOnce(string(w.Text(open, codes)), shown.VKey, signed.VKey)))
	me := w.Voice("me", text, open)
	al := newGate(w, "al", me)
	k := al.take(me.Say(heartbeat()))
	if v := al.judge(k); said(v) != "held unknown-agreement" {
		t.Fatalf("judged %s (%s)", said(v), v.Detail)
	}
	p.Root = signed
	w.Give(w.Sign(text.Text, "al", "me", "xk"), "al")
	if v := al.judge(k); said(v) != "refused key-not-valid" {
		t.Errorf("judged %s (%s)", said(v), v.Detail)
	}
}

// The register does not take in a second root for a party. If one lies there all
// the same, each ledger knows the one of its own text.
func TestRootIsThatOfTheLedgersText(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	p := s.Parties["me"]
	first := s.me.Card
	p.Root, p.Next = s.NewRoot("me"), s.NewRoot("me")
	text := s.Lint(s.Text("t02-other", codes))
	al := s.Parties["al"]
	al.Lay(fmt.Sprintf("agreements/t02-other/1-%x.agreement", text.Digest[:8]), s.Sign(text.Text, codes...))
	other := s.Rotate("me", nil)
	al.Lay("parties/me/2.card", other.Signed)
	s.Rotate("al", nil) // a change, so that al looks into the folder
	if _, known := s.View("al").CardByDigest(other.Digest); !known || first.Root == other.Root {
		t.Fatal("the register does not have the card of the other root")
	}
	s.me.Card = other
	if p := s.al.place(s.me.Say(heartbeat())); p.Kind != border.Quarantine || p.Code != karaulav1.Code_CODE_KEY_NOT_VALID {
		t.Errorf("placed as %s %v (%s)", p.Kind, p.Code, p.Detail)
	}
}

// The root that an agreement names rules: a card of another root signs nothing,
// although the same party issued it.
func TestCardOfAnotherRoot(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, codes...)
	pinned := *w.Parties["me"].Root
	other := w.NewRoot("me")
	text := w.Lint([]byte(replaceOnce(string(w.Text(open, codes)), pinned.VKey, other.VKey)))
	me := w.Voice("me", text, open)
	al := newGate(w, "al", me)
	w.View("al") // takes the card on first sight, before the text pins another root
	w.Parties["me"].Root = other
	w.Give(w.Sign(text.Text, "al", "me", "xk"), "al")
	p := al.place(me.Say(heartbeat()))
	if p.Kind == border.Next {
		t.Errorf("placed as %s", p.Kind)
	}
}

// After a root change the ledger goes on: a CARD statement brings the first
// card of the next root, to which the card in force commits.
func TestRootChange(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.al.must(s.me.Say(heartbeat()))
	fresh, change := s.ChangeRoot("me")
	d := cardStatement(fresh)
	k := s.al.take(s.me.Say(d))
	if v := s.al.judge(k); said(v) != "accepted accepted" || s.al.led.Card != fresh.Digest {
		t.Fatalf("judged %s (%s)", said(v), v.Detail)
	}
	s.me.Card = fresh
	raw := s.me.Say(vehicle())
	if p := s.al.place(raw); p.Kind == border.Next {
		t.Errorf("before the register has the change it is %s", p.Kind)
	}
	s.Give(change, "al")
	s.Give(fresh.Signed, "al")
	s.al.must(raw)
}

func TestCardOfARootThatWasNotAnnounced(t *testing.T) {
	t.Parallel()
	s := newScene(t, open)
	s.al.must(s.me.Say(heartbeat()))
	p := s.Parties["me"]
	p.Next = s.NewRoot("me")
	stranger, _ := s.ChangeRoot("me")
	got, v := s.al.receive(s.me.Say(cardStatement(stranger)))
	if said(v) != "refused bad-body" || got.CardNext() != nil {
		t.Errorf("judged %s (%s)", said(v), v.Detail)
	}
}
