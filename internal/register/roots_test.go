package register

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

// change issues the notice by which one of me's roots takes over from another
// one. What stands is what me's own register would name.
func change(t testing.TB, serial uint64, from, to *keyring.Root, stands []notice.Stand, signers ...*keyring.Root) []byte {
	t.Helper()
	n := notice.Notice{
		Party: "me", Serial: serial, Agreement: notice.AllAgreements, Act: notice.RootChange, Effective: start,
		Root: from.VKey, Next: to.VKey, After: [32]byte{7}, Stands: notice.SortStands(stands), Reason: "test",
	}
	keys := make([]note.Signer, 0, 2)
	for _, s := range signers {
		keys = append(keys, s.Signer)
	}
	file, err := notice.Issue(n, keys...)
	must(t, err)
	return file
}

// standing names signed files.
func standing(t testing.TB, files ...[]byte) []notice.Stand {
	t.Helper()
	out := make([]notice.Stand, 0, len(files))
	for _, file := range files {
		kind := notice.StandsAgreement
		if strings.HasPrefix(string(file), card.Head) {
			kind = notice.StandsCard
		}
		text, _, err := signedtext.Split(file)
		must(t, err)
		out = append(out, notice.Stand{Kind: kind, Digest: signedtext.Digest(text)})
	}
	return out
}

// accept issues al's notice that it believes a change of me's root.
func accept(t testing.TB, r *Register, change []byte) []byte {
	t.Helper()
	c, err := notice.Open(change)
	must(t, err)
	file, err := notice.Issue(notice.Notice{
		Party: "al", Serial: r.View().NextNoticeSerial("al"), Agreement: notice.AllAgreements, Act: notice.AcceptRoot,
		Digest: c.TextID, Effective: start, Next: c.Next, Reason: "compared by telephone",
	}, who(t, "al").root.Signer)
	must(t, err)
	return file
}

// bound gives self's register with an agreement of al and me, and what me's root
// has signed by then: its card and the agreement.
func bound(t testing.TB, self, other string) (r *Register, text []byte, stands []notice.Stand) {
	t.Helper()
	r = node(t, self, other)
	text = draft(t, "b01", "al,me", someTypes)
	add(t, r, signAll(t, text))
	first, ok := r.View().Card("me")
	if !ok {
		t.Fatal("no card")
	}
	return r, text, standing(t, first.Signed, signAll(t, text))
}

func wantPinned(t testing.TB, r *Register, root *keyring.Root) {
	t.Helper()
	again, err := Open(r.dir, r.self)
	must(t, err)
	for _, v := range []*View{r.View(), again.View()} {
		if keys, _ := v.PinnedRoots("me"); !cmp.Equal(keys, []string{root.VKey}) {
			t.Errorf("pinned: %v, want %s", keys, root.VKey)
		}
		if len(v.Damaged()) != 0 {
			t.Errorf("damaged: %v", v.Damaged())
		}
	}
}

func wantCard(t testing.TB, r *Register, serial uint64, all int) {
	t.Helper()
	v := r.View()
	if c, ok := v.Card("me"); !ok || c.Serial != serial || len(v.Cards("me")) != all {
		t.Errorf("current: %v, cards: %d; want card %d of %d", c, len(v.Cards("me")), serial, all)
	}
}

func TestRootChange(t *testing.T) {
	t.Parallel()
	me := who(t, "me")
	r, text, stands := bound(t, "al", "me")
	must(t, r.AddNotice(change(t, 1, me.root, me.rogue, stands, me.root, me.rogue)))
	// Who stole the root can announce another next root in a card, but that is too late.
	_, err := r.AddCard(me.cardFile(t, 2, func(c *card.Card) {
		c.NextRoot = signedtext.KeyDigest(me.rogue.VKey)
	}), AddCardOptions{})
	must(t, err)
	must(t, r.AddNotice(change(t, 1, me.root, me.rogue, stands[:1], me.root, me.rogue)))
	wantPinned(t, r, me.root)
	if got := r.View().WaitingRoots("me"); len(got) != 2 || r.View().Announced(got[0]) {
		t.Errorf("waiting: %v", got)
	}
	must(t, r.AddNotice(change(t, 2, me.root, me.next, stands, me.root, me.next)))
	wantPinned(t, r, me.next)
	if _, err := r.AddCard(me.cardFile(t, 3, nil), AddCardOptions{}); !problem.Is(err, problem.Verification) {
		t.Errorf("a new card by the old root: %v", err)
	}
	// The card that the change does not name is evidence now; the one it names goes on.
	wantCard(t, r, 1, 1)
	if got := r.View().Conflicts(); len(got) != 1 || !strings.Contains(got[0], "disowned-me-2.card") {
		t.Errorf("evidence: %v", got)
	}
	_, err = r.AddCard(me.cardFile(t, 2, byRoot(me.next)), AddCardOptions{})
	must(t, err)
	wantCard(t, r, 2, 2)
	if err := r.AddNotice(me.noticeFile(t, 4, notice.Withdraw, text, start)); !problem.Is(err, problem.Verification) {
		t.Errorf("the old root withdraws: %v", err)
	}
	wantPinned(t, r, me.next)
	if d := r.View().Decide("me", "b01", vehicle, start); !d.Allowed {
		t.Errorf("the agreement does not outlive the root: %+v", d)
	}
}

// A thief of the root has signed everything before the change arrives, with
// numbers that leave no room. What the change does not name is gone with it.
func TestTheThiefOfARootIsThrownOut(t *testing.T) {
	t.Parallel()
	const last = 1 << 63
	me := who(t, "me")
	r, text, stands := bound(t, "al", "me")
	withdrawal := me.noticeFile(t, last, notice.Withdraw, text, start)
	must(t, r.AddNotice(withdrawal))
	_, err := r.AddCard(me.cardFile(t, last, nil), AddCardOptions{})
	must(t, err)
	add(t, r, signAll(t, draft(t, "b02", "al,me", someTypes))) // the thief signs as me
	if d := r.View().Decide("me", "b01", vehicle, start.Add(day)); d.Allowed {
		t.Fatal("the thief's withdrawal has no effect")
	}

	must(t, r.AddNotice(change(t, 1, me.root, me.next, stands, me.root, me.next)))
	wantPinned(t, r, me.next)
	wantCard(t, r, 1, 1)
	v := r.View()
	if d := v.Decide("me", "b01", vehicle, start.Add(day)); !d.Allowed {
		t.Errorf("the thief's withdrawal counts: %+v", d)
	}
	for _, e := range v.Agreements() {
		if want := e.Agreement.ID == "b01"; e.Complete != want || !want && !slices.Contains(e.Missing, "me") {
			t.Errorf("%s: complete %v, missing %v", e.Agreement.ID, e.Complete, e.Missing)
		}
	}
	if got := v.At(start).Fallen(); len(got) != 1 || got[0].Agreement.ID != "b02" || !slices.Equal(got[0].By, []string{"me"}) {
		t.Errorf("fallen: %v", got)
	}
	if got := v.At(start.AddDate(50, 0, 0)).Fallen(); len(got) != 0 {
		t.Errorf("fallen and over: %v", got)
	}
	if got := v.Conflicts(); len(got) != 2 {
		t.Errorf("evidence: %v", got)
	}
	if got := v.NextNoticeSerial("me"); got != 2 {
		t.Errorf("the thief's serial still counts: %d", got)
	}
	// And comes in by no other way, backdated or not.
	for _, file := range [][]byte{withdrawal, me.noticeFile(t, 3, notice.Withdraw, text, start.Add(-day))} {
		if err := r.AddNotice(file); !problem.Is(err, problem.Verification) {
			t.Errorf("taken in: %v", err)
		}
	}
	for _, serial := range []uint64{last, 2} {
		if _, err := r.AddCard(me.cardFile(t, serial, nil), AddCardOptions{History: true}); !problem.Is(err, problem.Verification) {
			t.Errorf("card %d: %v", serial, err)
		}
	}
}

// Where the replaced root is lost, or the next one too, only a person can tell.
func TestAChangeThatNobodyAnnouncedWaitsForAPerson(t *testing.T) {
	t.Parallel()
	me := who(t, "me")
	for name, c := range map[string]struct {
		to      *keyring.Root
		signers []*keyring.Root
	}{
		"lost":      {me.next, []*keyring.Root{me.next}},
		"both lost": {me.rogue, []*keyring.Root{me.rogue}},
		"next lost": {me.rogue, []*keyring.Root{me.root, me.rogue}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, stands := bound(t, "al", "me")
			lost := change(t, 1, me.root, c.to, stands, c.signers...)
			must(t, r.AddNotice(lost))
			must(t, r.AddNotice(lost))
			wantPinned(t, r, me.root)
			if got := r.View().WaitingRoots("me"); len(got) != 1 {
				t.Fatalf("waiting: %v", got)
			}
			must(t, r.AddNotice(accept(t, r, lost)))
			wantPinned(t, r, c.to)
			if got := r.View().WaitingRoots("me"); len(got) != 0 {
				t.Errorf("still waiting: %v", got)
			}
			if d := r.View().Decide("me", "b01", vehicle, start); !d.Allowed {
				t.Errorf("the agreement does not outlive the root: %+v", d)
			}

			// Who reads al's files believes what it was told, not what al has accepted.
			files := r.View().Files()
			for given, want := range map[string]string{"": me.root.VKey, c.to.VKey: c.to.VKey} {
				v, err := FromFiles("al", files, start, me.root.VKey, who(t, "al").root.VKey, given)
				must(t, err)
				if keys, _ := v.PinnedRoots("me"); !cmp.Equal(keys, []string{want}) {
					t.Errorf("given %q: %v", given, keys)
				}
			}
		})
	}
}

// Whoever has stolen both roots changes one into the other. A person ends that.
func TestAnAcceptedChangeGoesBeforeAnAnnouncedOne(t *testing.T) {
	t.Parallel()
	const last = 1 << 63
	me := who(t, "me")
	r, _, stands := bound(t, "al", "me")
	must(t, r.AddNotice(change(t, last, me.root, me.next, stands, me.root, me.next)))
	_, err := r.AddCard(me.cardFile(t, last, byRoot(me.next)), AddCardOptions{})
	must(t, err)
	wantPinned(t, r, me.next)
	rescue := change(t, 1, me.root, me.rogue, stands, me.rogue)
	must(t, r.AddNotice(rescue))
	wantPinned(t, r, me.next)
	must(t, r.AddNotice(accept(t, r, rescue)))
	wantPinned(t, r, me.rogue)
	wantCard(t, r, 1, 1)
	if got := r.View().NextNoticeSerial("me"); got != 2 {
		t.Errorf("the thief's serial still counts: %d", got)
	}
	_, err = r.AddCard(me.cardFile(t, 2, byRoot(me.rogue)), AddCardOptions{})
	must(t, err)
	wantCard(t, r, 2, 2)
}

// The own root is changed without the old one only by a person at the machine.
func TestTheOwnLostRoot(t *testing.T) {
	t.Parallel()
	me := who(t, "me")
	r, text, stands := bound(t, "me", "al")
	if got := r.View().Standing("me"); !cmp.Equal(got, notice.SortStands(stands)) {
		t.Errorf("standing: %v, want %v", got, stands)
	}
	lost := change(t, 1, me.root, me.next, stands, me.next)
	must(t, r.AddNotice(lost)) // as another machine of the node, or the own broker, may hand it over
	wantPinned(t, r, me.root)
	must(t, r.TakeOwnRoot(lost))
	wantPinned(t, r, me.next)
	wantCard(t, r, 1, 1)
	if err := r.TakeOwnRoot(me.noticeFile(t, 4, notice.Withdraw, text, start)); err == nil {
		t.Error("a withdrawal is no change of the root")
	}
	v, err := FromFiles("me", r.View().Files(), start)
	must(t, err)
	if keys, _ := v.PinnedRoots("me"); !cmp.Equal(keys, []string{me.next.VKey}) {
		t.Errorf("the own audit does not know the new root: %v", keys)
	}
}
