package book

import (
	"bytes"
	"slices"
	"time"

	"karaula/internal/ledger"
	"karaula/internal/life"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Copies gives the own alerts with which this node has passed another party's alert
// on, in all their versions.
func (b *Book) Copies(originator string, id [16]byte) []Entry {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []Entry
	for _, list := range b.own {
		for _, e := range list {
			if e.Descent.GetOriginator() == originator && bytes.Equal(e.Descent.GetAlertId(), id[:]) && !e.Refused() {
				out = append(out, *e)
			}
		}
	}
	return out
}

// Outdated gives the version of the original that counts by now, if the entry passes
// an earlier one on; else 0.
func (b *Book) Outdated(e Entry) uint32 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if _, last := b.newer(&e); last != nil {
		return last.Version
	}
	return 0
}

// newer gives the first and the last version that an originator has said of its alert
// after the one that an entry passes on, nil if there is none or it is not known here.
// Called with b.mu held.
func (b *Book) newer(e *Entry) (first, last *Entry) {
	if e.Descent == nil {
		return nil, nil
	}
	original := b.byLeaf[[32]byte(e.Descent.GetDigest())]
	if original == nil {
		return nil, nil
	}
	for _, x := range b.byID[original.ID] {
		if x.Ledger != original.Ledger || x.Version <= original.Version || x.Refused() || x.Repudiated {
			continue
		}
		if first == nil || x.Version < first.Version {
			first = x
		}
		if last == nil || x.Version > last.Version {
			last = x
		}
	}
	return first, last
}

// Forfeited gives the versions on an own ledger that pass another party's alert on
// and must not stand any longer: their originator has withdrawn the alert, ordered it
// to be erased or taken its consent back, or a key that signed them was stolen. What
// is erased or ordered to be is left out.
func (b *Book) Forfeited(led ledger.ID, now time.Time) []Entry {
	if !b.Complete() {
		return nil // an answer that comes later could be missed
	}
	b.mu.RLock()
	var passed []Entry
	for _, e := range b.own[led] {
		if e.Descent != nil && !b.ordered[e.at()] && b.erased[e.at()] == 0 &&
			e.Lifecycle != karaulav1.Lifecycle_LIFECYCLE_WITHDRAW {
			passed = append(passed, *e)
		}
	}
	b.mu.RUnlock()
	return slices.DeleteFunc(passed, func(e Entry) bool { return b.holds(e, now) })
}

// holds reports whether what an entry passes on still stands, and the consent to it.
func (b *Book) holds(e Entry, now time.Time) bool {
	original, consent := [32]byte(e.Descent.GetDigest()), [32]byte(e.Descent.GetConsent())
	id := [16]byte(e.Descent.GetAlertId())
	if b.repudiated(id, original, consent) {
		return false
	}
	a := b.Life(id, e.Descent.GetOriginator())
	for _, v := range a.Versions {
		if v.Leaf == original && v.Ordered {
			return false
		}
	}
	state := life.Fold(a, now)
	if len(a.Versions) > 0 && (state.Status == life.Withdrawn || state.Status == life.Erased) {
		return false
	}
	at := slices.IndexFunc(a.Acts, func(x life.Act) bool { return x.Leaf == consent })
	for _, c := range state.Consents {
		if at >= 0 && slices.Contains(a.Acts[at].Answers, c.Request.Leaf) && c.Answer.Deed != karaulav1.Deed_DEED_CONSENT {
			return false
		}
	}
	return true
}

// repudiated reports whether one of the statements about an alert was signed with a
// key that its origin has revoked from an earlier number on.
func (b *Book) repudiated(id [16]byte, leaves ...[32]byte) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.ContainsFunc(slices.Concat(b.byID[id], b.acts[id]), func(e *Entry) bool {
		return e.Repudiated && slices.Contains(leaves, e.Leaf)
	})
}
