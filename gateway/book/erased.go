package book

import (
	"slices"

	"karaula/internal/border"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// at is the place of a statement.
type at struct {
	ledger     ledger.ID
	epoch, seq uint64
}

func (e *Entry) at() at { return at{e.Ledger, e.Epoch, e.Seq} }

// Order enters that the origin of a ledger has ordered a statement to be erased.
func (b *Book) Order(led ledger.ID, place border.Position, leaf [32]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.orders[leaf] = true
	b.ordered[at{led, place.Epoch, place.Seq}] = true
}

// Erase enters that the content of statements is erased here, at a time in
// microseconds since 1970 UTC. It gives the alerts among them.
func (b *Book) Erase(led ledger.ID, when int64, places ...border.Position) []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh := make(map[at]bool, len(places))
	for _, p := range places {
		fresh[at{led, p.Epoch, p.Seq}] = true
		b.erased[at{led, p.Epoch, p.Seq}] = when
	}
	var out []Entry
	for _, e := range b.entries {
		if fresh[e.at()] {
			out = append(out, *e)
		}
	}
	return out
}

// ErasedBefore enters what a start has found erased.
func (b *Book) ErasedBefore(led ledger.ID, when int64, place border.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.erased[at{led, place.Epoch, place.Seq}] = when
}

// ErasedAt gives when the content of an entry was erased here; zero if it was not.
func (b *Book) ErasedAt(e Entry) int64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.erased[e.at()]
}

// Ordered reports whether the origin of an entry has ordered it to be erased.
func (b *Book) Ordered(e Entry) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.ordered[e.at()]
}

// TakenBack gives the versions on an own ledger whose alert is withdrawn, and that
// are neither erased nor ordered to be. The withdrawals themselves stay.
func (b *Book) TakenBack(led ledger.ID) []Entry {
	b.mu.RLock()
	defer b.mu.RUnlock()
	gone := map[[16]byte]bool{}
	for _, e := range b.own[led] {
		if e.Opened && e.Lifecycle == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW {
			gone[e.ID] = true
		}
	}
	var out []Entry
	for _, e := range b.own[led] {
		if e.Opened && gone[e.ID] && e.Lifecycle != karaulav1.Lifecycle_LIFECYCLE_WITHDRAW &&
			!b.ordered[e.at()] && b.erased[e.at()] == 0 {
			out = append(out, *e)
		}
	}
	return out
}

// Orphans gives the acts on an own ledger that answer what its origin has ordered to
// be erased, and that are neither erased nor ordered to be: a remark may repeat the
// content. Acts about what was withdrawn stay: they say what was done.
func (b *Book) Orphans(led ledger.ID) []Entry {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []Entry
	for id, acts := range b.acts {
		if slices.ContainsFunc(b.byID[id], func(e *Entry) bool {
			return e.Lifecycle == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW && !e.Refused()
		}) {
			continue
		}
		for _, e := range acts {
			if e.Ledger == led && !b.ordered[e.at()] && b.erased[e.at()] == 0 &&
				slices.ContainsFunc(e.Answers, func(leaf [32]byte) bool { return b.orders[leaf] }) {
				out = append(out, *e)
			}
		}
	}
	return out
}
