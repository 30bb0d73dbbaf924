package register

import (
	"strings"
	"testing"

	"karaula/internal/agreement"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// One partner writes a text for three in which its own key stands for the third.
// Whoever signs it without comparing keys would seal what is meant for the third
// to the second from then on, also on other channels.
func TestAnotherRootForSomebodyWhoIsPinned(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me", "xk")
	add(t, r, signAll(t, draft(t, "b01-al-me", "al,me", []karaulav1.AlertType{vehicle})))
	me := who(t, "me")
	text := string(draft(t, "m09-three", "al,me,xk", []karaulav1.AlertType{vehicle}))
	text = strings.Replace(text, me.root.VKey, me.rogue.VKey, 1)
	proposal := sign(t, []byte(text), "xk")
	res := add(t, r, proposal)
	if !strings.Contains(strings.Join(res.Warnings, "\n"), "another root") {
		t.Errorf("no warning: %q", res.Warnings)
	}
	_, err := r.AddAgreement(sign(t, proposal, "al"))
	if !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), "b01-al-me") {
		t.Fatalf("taken in: %v", err)
	}
	_, err = r.AddCard(me.cardFile(t, 999, byRoot(me.rogue)), AddCardOptions{})
	if !problem.Is(err, problem.Verification) {
		t.Errorf("the card of the other root is taken in: %v", err)
	}
	if c, ok := r.View().Card("me"); !ok || c.Root != me.root.VKey {
		t.Error("the card of the pinned root does not count any more")
	}
}

// The root that the pinned one has announced is no other one.
func TestTheAnnouncedRootIsNoOther(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me", "xk")
	add(t, r, signAll(t, draft(t, "b01-al-me", "al,me", []karaulav1.AlertType{vehicle})))
	me := who(t, "me")
	text := string(draft(t, "m09-three", "al,me,xk", []karaulav1.AlertType{vehicle}))
	text = strings.Replace(text, me.root.VKey, me.next.VKey, 1)
	text = strings.Replace(text, agreement.FormatDigest(signedtext.KeyDigest(me.next.VKey)),
		agreement.FormatDigest(signedtext.KeyDigest(me.rogue.VKey)), 1)
	add(t, r, sign(t, []byte(text), "al", "xk"))
}
