package book_test

import (
	"testing"
	"time"

	"karaula/gateway/book"
	"karaula/internal/border"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// TestForfeited: what was passed on stands as long as the original and the consent do.
func TestForfeited(t *testing.T) {
	t.Parallel()
	const accepted = karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	theirs, ours, asked := ledger.ID{1}, ledger.ID{2}, ledger.ID{3}
	said := func(led ledger.ID, origin, channel string, seq uint64) book.Entry {
		return book.Entry{
			Ledger: led, Channel: channel, Origin: origin, Epoch: 1, Seq: seq, Leaf: [32]byte{led[0], byte(seq)},
			SaidAt: now.UnixMicro() + int64(seq), EraseAfter: now.Add(time.Hour).UnixMicro(), Opened: true, ID: [16]byte{9}, Version: 1,
			Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE, Lifecycle: karaulav1.Lifecycle_LIFECYCLE_CREATE, Class: accepted,
		}
	}
	act := func(e book.Entry, deed karaulav1.Deed, answers [32]byte) book.Entry {
		e.Act = &karaulav1.Act{Deed: deed, Onward: "b02-me-rs", Party: "me"}
		e.Answers = [][32]byte{answers}
		return e
	}
	original := said(theirs, "al", "b01-al-me", 1)
	request := act(said(asked, "me", "b01-al-me", 2), karaulav1.Deed_DEED_CONSENT_REQUEST, original.Leaf)
	request.Act.Party = ""
	consent := act(said(theirs, "al", "b01-al-me", 3), karaulav1.Deed_DEED_CONSENT, request.Leaf)
	passed := said(ours, "me", "b02-me-rs", 1)
	passed.ID, passed.Readers, passed.Class = [16]byte{8}, []string{"rs"}, 0
	passed.Descent = &karaulav1.Descent{
		Originator: "al", AlertId: original.ID[:], Version: 1, Digest: original.Leaf[:], Consent: consent.Leaf[:],
	}
	for name, c := range map[string]struct {
		then func(*book.Book)
		want int
	}{
		"nothing else":  {func(*book.Book) {}, 0},
		"a new version": {func(b *book.Book) { e := said(theirs, "al", "b01-al-me", 4); e.Version = 2; b.Add(e) }, 0},
		"withdrawn": {func(b *book.Book) {
			e := said(theirs, "al", "b01-al-me", 4)
			e.Version, e.Lifecycle = 2, karaulav1.Lifecycle_LIFECYCLE_WITHDRAW
			b.Add(e)
		}, 1},
		"ordered to be erased": {func(b *book.Book) { b.Order(theirs, border.Position{Epoch: 1, Seq: 1}, original.Leaf) }, 1},
		"taken back": {func(b *book.Book) {
			b.AddAct(act(said(theirs, "al", "b01-al-me", 4), karaulav1.Deed_DEED_NO_CONSENT, request.Leaf))
		}, 1},
		"another's refusal": {func(b *book.Book) {
			b.AddAct(act(said(ledger.ID{4}, "xk", "b01-al-me", 4), karaulav1.Deed_DEED_NO_CONSENT, request.Leaf))
		}, 0},
		"the consent's key revoked": {func(b *book.Book) {
			b.Repudiate("al", func(e book.Entry) bool { return e.Leaf == consent.Leaf })
		}, 1},
		"history is still read": {func(b *book.Book) {
			b.Fill()
			b.AddAct(act(said(theirs, "al", "b01-al-me", 4), karaulav1.Deed_DEED_NO_CONSENT, request.Leaf))
		}, 0},
		"erased before": {func(b *book.Book) {
			b.AddAct(act(said(theirs, "al", "b01-al-me", 4), karaulav1.Deed_DEED_NO_CONSENT, request.Leaf))
			b.Erase(ours, 1, border.Position{Epoch: 1, Seq: 1})
		}, 0},
	} {
		b := book.New()
		b.Add(original)
		b.AddAct(request)
		b.AddAct(consent)
		b.Add(passed)
		c.then(b)
		if got := b.Forfeited(ours, now); len(got) != c.want {
			t.Errorf("%s: %d must go, want %d", name, len(got), c.want)
		}
		if copies := b.Copies("al", original.ID); len(copies) != 1 || copies[0].ID != passed.ID {
			t.Errorf("%s: copies %v", name, copies)
		}
	}
}

// TestOutdated: whoever passed an alert on owes its renewal from the first version that
// the originator has said since, until it is renewed, withdrawn or ordered to be erased.
func TestOutdated(t *testing.T) {
	t.Parallel()
	original := said("al", 1, vehicle, 0, nil)
	copied := func(leaf byte, version uint32, hours int, of book.Entry) book.Entry {
		return said("me", leaf, vehicle, hours, func(e *book.Entry) {
			e.ID, e.Version, e.Channel, e.Ledger, e.Readers = [16]byte{9}, version, "b02-me-rs", ledger.ID{2}, []string{"rs"}
			e.Descent = &karaulav1.Descent{Originator: "al", AlertId: of.ID[:], Version: of.Version, Digest: of.Leaf[:]}
		})
	}
	version := func(n uint32, hours int) book.Entry {
		return said("al", 10+byte(n), vehicle, hours, func(e *book.Entry) { e.ID, e.Version = original.ID, n })
	}
	second, third := version(2, 3), version(3, 5)
	passed := copied(20, 1, 1, original)
	back := copied(22, 2, 4, original)
	back.Lifecycle = karaulav1.Lifecycle_LIFECYCLE_WITHDRAW
	elsewhere := version(2, 3)
	elsewhere.Ledger = ledger.ID{7}
	for name, c := range map[string]struct {
		then []book.Entry
		want uint32
	}{
		"nothing since":      {nil, 0},
		"two versions":       {[]book.Entry{third, second}, 3},
		"renewed":            {[]book.Entry{second, copied(21, 2, 4, second)}, 0},
		"on another channel": {[]book.Entry{elsewhere}, 0},
		"withdrawn here":     {[]book.Entry{second, back}, 0},
	} {
		b := book.New()
		for _, e := range append([]book.Entry{original, passed}, c.then...) {
			b.Add(e)
		}
		owed := b.Clocks("me", nil, start.AddDate(0, 0, 1))
		if c.want == 0 {
			if len(owed) != 0 {
				t.Errorf("%s: %+v is owed", name, owed)
			}
			continue
		}
		if len(owed) != 1 || owed[0].Kind != karaulav1.ClockKind_CLOCK_KIND_ONWARD || owed[0].Party != "me" ||
			owed[0].Alert.ID != passed.ID || !owed[0].Due.Equal(start.Add(27*time.Hour)) || b.Outdated(passed) != c.want {
			t.Errorf("%s: %+v is owed, outdated by %d", name, owed, b.Outdated(passed))
		}
		if others := b.Clocks("rs", nil, start.AddDate(0, 0, 1)); len(others) != 0 {
			t.Errorf("%s: its reader owes %+v", name, others)
		}
		b.Order(ledger.ID{2}, border.Position{Epoch: passed.Epoch, Seq: passed.Seq}, passed.Leaf)
		if left := b.Clocks("me", nil, start.AddDate(0, 0, 1)); len(left) != 0 {
			t.Errorf("%s: ordered to be erased, and owed: %+v", name, left)
		}
	}
}
