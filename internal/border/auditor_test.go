package border_test

import (
	"testing"

	"karaula/internal/agreement"
	"karaula/internal/border"
	"karaula/internal/ledger"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// An auditor whom a later version names reads from there on. What was said before
// verifies without it, and what is said then and not sealed to it does not: for a
// recipient, and for somebody who verifies with no key at all.
func TestAnAuditorNamedLaterReadsFromThereOn(t *testing.T) {
	t.Parallel()
	const channel = "b01-al-me"
	w := testworld.New(t, "al", "me", "auditor")
	first := w.Agree(w.Text(channel, []string{"al", "me"}))
	digest := agreement.FormatDigest(first.Digest)
	text := w.Text(channel, []string{"al", "me", "auditor"}, "version 1\n", "version 2\nsupersedes "+digest+"\nfirst "+digest+"\n")
	later := w.Agree(text)

	me := w.Voice("me", first, channel)
	all := [][]byte{me.Say(vehicle()), me.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_AGREEMENT, Body: &karaulav1.AgreementBody{Agreement: w.Sign(text, "al", "me")},
	})}
	me.Text = later
	me.Channel, _ = later.Channel(channel)
	all = append(all, me.Say(vehicle()))
	without := vehicle()
	without.Recipients = func(list []*karaulav1.Recipient) []*karaulav1.Recipient {
		var out []*karaulav1.Recipient
		for _, r := range list {
			if r.GetParty() != "auditor" {
				out = append(out, r)
			}
		}
		return out
	}
	all = append(all, me.Say(without))

	al := newGate(w, "al", me)
	nobody := newGate(w, "al", me)
	nobody.check = &border.Checker{Skew: skew}
	for i, want := range []string{"accepted", "accepted", "accepted", "refused wrong-recipients"} {
		if _, v := al.receive(all[i]); sayOf(v) != want {
			t.Errorf("number %d is %s (%s), want %s", i+1, sayOf(v), v.Detail, want)
		}
		k := nobody.take(all[i])
		if v := nobody.check.Witness(&k.p, nobody.view(), k.before, nobody, w.Now); sayOf(v) != want {
			t.Errorf("to a witness number %d is %s (%s), want %s", i+1, sayOf(v), v.Detail, want)
		}
	}
	if al.led.Tree.Size() != 4 || al.led.ID != ledger.NewID(channel, "me", karaulav1.Mode_MODE_ACTUAL, first.First) {
		t.Errorf("the ledger: %d statements", al.led.Tree.Size())
	}
}

func sayOf(v border.Verdict) string {
	if v.Class == karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED {
		return "accepted"
	}
	return said(v)
}
