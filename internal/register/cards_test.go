package register

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/card"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var someTypes = []karaulav1.AlertType{vehicle, route}

func TestAddCard(t *testing.T) {
	t.Parallel()
	al, me := who(t, "al"), who(t, "me")
	r := node(t, "al")
	first := me.cardFile(t, 2, nil)

	told := al.cardFile(t, 1, nil)
	c, err := card.Open(told)
	must(t, err)
	if _, err := r.AddCard(first, AddCardOptions{Fingerprint: c.Fingerprint()}); !problem.Is(err, problem.Verification) {
		t.Fatalf("a card with another fingerprint: %v", err)
	}
	if _, ok := r.View().Card("me"); ok {
		t.Fatal("it was stored")
	}
	res, err := r.AddCard(first, AddCardOptions{})
	must(t, err)
	if !res.First || res.Known || res.Pinned || res.Fingerprint == "" || res.Card.Party != "me" {
		t.Errorf("the first card: %+v", res)
	}
	written := strings.ReplaceAll(strings.ToLower(res.Fingerprint), " ", "-")
	if res, err = r.AddCard(first, AddCardOptions{Fingerprint: written}); err != nil || !res.Known {
		t.Errorf("the same card again: %+v, %v", res, err)
	}
	before := r.View()
	twin := me.cardFile(t, 2, func(c *card.Card) { c.Contact = "somebody" })
	for name, c := range map[string]struct {
		file []byte
		kind problem.Kind
	}{
		"a lower serial":                      {me.cardFile(t, 1, nil), problem.Conflict},
		"the serial again, another card":      {twin, problem.Conflict},
		"another root than the one seen":      {me.cardFile(t, 3, byRoot(me.rogue)), problem.Verification},
		"another root of another form, lower": {me.cardFile(t, 1, byRoot(me.rogue)), problem.Verification},
		"no card":                             {[]byte("karaula card v1\n"), problem.Invalid},
	} {
		if _, err := r.AddCard(c.file, AddCardOptions{}); !problem.Is(err, c.kind) {
			t.Errorf("%s: %v, want kind %v", name, err, c.kind)
		}
	}
	if got, _ := r.View().Card("me"); got.Serial != 2 {
		t.Errorf("the current card is number %d", got.Serial)
	}
	if got := r.View().Conflicts(); len(got) != 1 {
		t.Errorf("evidence: %v", got)
	}
	if len(before.Conflicts()) != 0 {
		t.Error("a view changed")
	}
	_, err = r.AddCard(me.cardFile(t, 7, nil), AddCardOptions{})
	must(t, err)
	_, err = r.AddCard(me.cardFile(t, 1, nil), AddCardOptions{History: true})
	must(t, err)
	var serials []uint64
	for _, c := range r.View().Cards("me") {
		serials = append(serials, c.Serial)
		if again, ok := r.View().CardByDigest(c.Digest); !ok || again.Serial != c.Serial {
			t.Errorf("card %d is not found by its digest", c.Serial)
		}
	}
	current, _ := r.View().Card("me")
	if d := cmp.Diff([]uint64{1, 2, 7}, serials); d != "" || current.Serial != 7 {
		t.Errorf("cards (-want +got), current %d:\n%s", current.Serial, d)
	}
}

func TestPinnedRoot(t *testing.T) {
	t.Parallel()
	me := who(t, "me")
	r := node(t, "al")
	text := draft(t, "b01", "al,me", someTypes)

	// What only the partner has signed pins nothing; a stranger's card is seen first.
	res := add(t, r, sign(t, text, "me"))
	if res.Complete || !cmp.Equal(res.Missing, []string{"al"}) || len(res.Warnings) == 0 {
		t.Errorf("a proposal: %+v", res)
	}
	stranger, err := r.AddCard(me.cardFile(t, 9, byRoot(me.rogue)), AddCardOptions{})
	must(t, err)
	if stranger.Pinned {
		t.Error("a proposal pins a root")
	}

	// Signing pins: the stranger's card no longer counts.
	res = add(t, r, sign(t, text, "al", "me"))
	if !res.Complete || len(res.Warnings) == 0 {
		t.Errorf("a complete agreement beside a stranger's card: %+v", res)
	}
	if c, ok := r.View().Card("me"); ok {
		t.Errorf("card %d of a stranger is current", c.Serial)
	}
	_, err = r.AddCard(me.cardFile(t, 10, byRoot(me.rogue)), AddCardOptions{})
	if !problem.Is(err, problem.Verification) {
		t.Errorf("a card by another root than the pinned one: %v", err)
	} else if problem.HintOf(err) == "" {
		t.Error("no hint")
	}
	got, err := r.AddCard(me.cardFile(t, 10, nil), AddCardOptions{})
	must(t, err)
	if !got.Pinned || !cmp.Equal(got.PinnedBy, []string{"b01"}) {
		t.Errorf("a card by the pinned root: %+v", got)
	}
	if c, ok := r.View().Card("me"); !ok || c.Root != me.root.VKey {
		t.Error("the pinned root's card is not current")
	}
	infos := r.View().Parties()
	if len(infos) != 2 || infos[0].Code != "al" || !infos[0].Self || infos[1].Serial != 10 || !infos[1].Pinned {
		t.Errorf("Parties: %+v", infos)
	}
	if err := r.RemoveParty("me"); !problem.Is(err, problem.Conflict) {
		t.Errorf("a pinned party removed: %v", err)
	}
}

func TestRemoveParty(t *testing.T) {
	t.Parallel()
	me := who(t, "me")
	r := node(t, "al", "me")
	for party, kind := range map[string]problem.Kind{"al": problem.Conflict, "xk": problem.NotFound} {
		if err := r.RemoveParty(party); !problem.Is(err, kind) {
			t.Errorf("remove %s: %v", party, err)
		}
	}
	must(t, r.RemoveParty("me"))
	if _, ok := r.View().Card("me"); ok {
		t.Error("the card is still there")
	}
	if _, err := r.AddCard(me.cardFile(t, 1, byRoot(me.rogue)), AddCardOptions{}); err != nil {
		t.Errorf("a first card after that: %v", err)
	}
}
