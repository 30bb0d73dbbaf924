package life_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"karaula/internal/life"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// said is a statement of a party; two with the same number are the same one.
func said(party string, n int) life.Statement {
	return life.Statement{
		Party: party, Channel: "t01-plav", Epoch: 1, Seq: uint64(n), //nolint:gosec // small
		SaidAt: now.Add(time.Duration(n-1000) * time.Second).UnixMicro(), Leaf: [32]byte{byte(n), party[0]},
	}
}

func version(n uint32, at int, l karaulav1.Lifecycle) life.Version {
	v := life.Version{
		Statement: said("al", at), Version: n, Lifecycle: l, Commitment: [32]byte{byte(n)},
		EraseAfter: now.Add(time.Hour).UnixMicro(),
	}
	if n > 1 {
		v.Supersedes = [32]byte{byte(n - 1)}
	}
	return v
}

func act(party string, at int, d karaulav1.Deed) life.Act {
	return life.Act{Statement: said(party, at), Version: 1, Deed: d}
}

const (
	create   = karaulav1.Lifecycle_LIFECYCLE_CREATE
	update   = karaulav1.Lifecycle_LIFECYCLE_UPDATE
	withdraw = karaulav1.Lifecycle_LIFECYCLE_WITHDRAW
)

func TestVersions(t *testing.T) {
	t.Parallel()
	fork := version(2, 3, update)
	fork.Supersedes = [32]byte{99}
	stranger := version(7, 9, update)
	stranger.Party = "me"
	for name, c := range map[string]struct {
		versions []life.Version
		version  uint32
		status   life.Status
		broken   []uint32
	}{
		"first":             {[]life.Version{version(1, 1, create)}, 1, life.Current, nil},
		"the highest":       {[]life.Version{version(1, 1, create), version(2, 2, update)}, 2, life.Current, nil},
		"come late":         {[]life.Version{version(2, 2, update), version(1, 1, create)}, 2, life.Current, nil},
		"one is missing":    {[]life.Version{version(1, 1, create), version(3, 3, update)}, 3, life.Current, nil},
		"another chain":     {[]life.Version{version(1, 1, create), fork}, 2, life.Current, []uint32{2}},
		"withdrawn":         {[]life.Version{version(1, 1, create), version(2, 2, withdraw)}, 2, life.Withdrawn, nil},
		"nothing after it":  {[]life.Version{version(3, 3, update), version(2, 2, withdraw)}, 2, life.Withdrawn, nil},
		"only the owner's":  {[]life.Version{version(1, 1, create), stranger}, 1, life.Current, nil},
		"nothing is known":  {nil, 0, life.Expired, nil},
		"the same, 3 times": {slices.Repeat([]life.Version{version(1, 1, create)}, 3), 1, life.Current, nil},
	} {
		s := life.Fold(life.Alert{Origin: "al", Versions: c.versions}, now)
		if s.Version.Version != c.version || s.Status != c.status || !slices.Equal(s.Broken, c.broken) {
			t.Errorf("%s: version %d, %s, broken %v", name, s.Version.Version, s.Status, s.Broken)
		}
	}
	if s := life.Fold(life.Alert{Origin: "al", Versions: []life.Version{version(1, 1, create)}}, now.Add(time.Hour)); s.Status != life.Expired {
		t.Errorf("after its time: %s", s.Status)
	}
}

func TestActs(t *testing.T) {
	t.Parallel()
	link, unlink := act("me", 5, karaulav1.Deed_DEED_LINK), act("me", 6, karaulav1.Deed_DEED_UNLINK)
	link.Other, unlink.Other = [16]byte{1}, [16]byte{2}
	s := life.Fold(life.Alert{Origin: "al", Acts: []life.Act{
		act("xk", 4, karaulav1.Deed_DEED_FLAG), act("me", 9, karaulav1.Deed_DEED_UNFLAG), act("me", 1, karaulav1.Deed_DEED_FLAG),
		link, unlink, act("me", 7, karaulav1.Deed_DEED_ACTED), act("me", 8, karaulav1.Deed_DEED_SEEN),
		act("xk", 3, karaulav1.Deed_DEED_SEEN), act("me", 2, karaulav1.Deed_DEED_ERROR),
	}, Hits: []life.Hit{{said("me", 10), [16]byte{8}}, {said("xk", 10), [16]byte{9}}}}, now)
	if len(s.Flags) != 1 || s.Flags[0].Party != "xk" {
		t.Errorf("flags: %v", s.Flags)
	}
	if len(s.Links) != 1 || s.Links[0].Other != link.Other {
		t.Errorf("links: %v", s.Links)
	}
	if len(s.Deeds) != 2 || s.Deeds[0].Deed != karaulav1.Deed_DEED_ACTED || s.Deeds[1].Party != "xk" {
		t.Errorf("deeds: %v; what was done outlives a later reading", s.Deeds)
	}
	if len(s.Errors) != 1 || len(s.Hits) != 2 {
		t.Errorf("%d errors, %d hits; hits of two parties both stand", len(s.Errors), len(s.Hits))
	}
}

// Only the originator agrees, and only to what was asked.
func TestConsent(t *testing.T) {
	t.Parallel()
	ask := act("me", 1, karaulav1.Deed_DEED_CONSENT_REQUEST)
	ask.Onward = "b02-me-rs"
	answer := func(party string, at int, deed karaulav1.Deed, onward string, leaf [32]byte) life.Act {
		x := act(party, at, deed)
		x.Onward, x.For, x.Answers = onward, "me", [][32]byte{leaf}
		return x
	}
	const yes, no = karaulav1.Deed_DEED_CONSENT, karaulav1.Deed_DEED_NO_CONSENT
	for name, c := range map[string]struct {
		answers []life.Act
		want    karaulav1.Deed
	}{
		"none":            {nil, 0},
		"yes":             {[]life.Act{answer("al", 2, yes, "b02-me-rs", ask.Leaf)}, yes},
		"no, then yes":    {[]life.Act{answer("al", 3, yes, "b02-me-rs", ask.Leaf), answer("al", 2, no, "b02-me-rs", ask.Leaf)}, yes},
		"yes, then no":    {[]life.Act{answer("al", 2, yes, "b02-me-rs", ask.Leaf), answer("al", 3, no, "b02-me-rs", ask.Leaf)}, no},
		"a third party's": {[]life.Act{answer("xk", 2, yes, "b02-me-rs", ask.Leaf)}, 0},
		"its own":         {[]life.Act{answer("me", 2, yes, "b02-me-rs", ask.Leaf)}, 0},
		"another channel": {[]life.Act{answer("al", 2, yes, "b03-me-xk", ask.Leaf)}, 0},
		"another request": {[]life.Act{answer("al", 2, yes, "b02-me-rs", [32]byte{77})}, 0},
	} {
		s := life.Fold(life.Alert{Origin: "al", Acts: append(c.answers, ask)}, now)
		if len(s.Consents) != 1 || s.Consents[0].Answer.Deed != c.want {
			t.Errorf("%s: %v", name, s.Consents)
		}
	}
}

// TestAnyOrder: any order of arrival gives the same state, and what arrives twice
// changes nothing.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	parties := rapid.SampledFrom([]string{"al", "me", "xk"})
	n := rapid.IntRange(1, 30)
	rapid.Check(t, func(t *rapid.T) {
		a := life.Alert{Origin: "al"}
		for range rapid.IntRange(0, 6).Draw(t, "versions") {
			v := version(uint32(rapid.IntRange(1, 4).Draw(t, "version")), n.Draw(t, "at"), //nolint:gosec // small
				karaulav1.Lifecycle(rapid.IntRange(1, 4).Draw(t, "lifecycle")))
			v.Party = parties.Draw(t, "party")
			a.Versions = append(a.Versions, v)
		}
		for range rapid.IntRange(0, 12).Draw(t, "acts") {
			x := act(parties.Draw(t, "party"), n.Draw(t, "at"), karaulav1.Deed(rapid.IntRange(1, 11).Draw(t, "deed")))
			x.Other[0] = byte(rapid.IntRange(0, 1).Draw(t, "other"))
			x.Answers = [][32]byte{said(parties.Draw(t, "asked"), n.Draw(t, "ask")).Leaf}
			a.Acts = append(a.Acts, x)
		}
		for range rapid.IntRange(0, 3).Draw(t, "hits") {
			a.Hits = append(a.Hits, life.Hit{said(parties.Draw(t, "party"), n.Draw(t, "at")), [16]byte{1}})
		}
		a = oneEach(a)
		b := life.Alert{
			Origin:   "al",
			Versions: rapid.Permutation(slices.Concat(a.Versions, a.Versions)).Draw(t, "versions"),
			Acts:     rapid.Permutation(slices.Concat(a.Acts, a.Acts)).Draw(t, "acts"),
			Hits:     rapid.Permutation(slices.Concat(a.Hits, a.Hits)).Draw(t, "hits"),
		}
		if diff := cmp.Diff(life.Fold(a, now), life.Fold(b, now)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// oneEach leaves one of several things said in the same place: a ledger has one
// statement at each number.
func oneEach(a life.Alert) life.Alert {
	seen := map[life.Statement]bool{}
	fresh := func(s life.Statement) bool {
		old := seen[s]
		seen[s] = true
		return old
	}
	a.Versions = slices.DeleteFunc(a.Versions, func(v life.Version) bool { return fresh(v.Statement) })
	a.Acts = slices.DeleteFunc(a.Acts, func(x life.Act) bool { return fresh(x.Statement) })
	a.Hits = slices.DeleteFunc(a.Hits, func(h life.Hit) bool { return fresh(h.Statement) })
	return a
}
