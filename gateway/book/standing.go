package book

import (
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Standing gives the versions that count of the alerts that stand: accepted or own,
// neither withdrawn, erased, ordered to be erased, expired nor repudiated. An alert
// that was said on several channels is there once, those said last first. Limit is
// not looked at; until is when the last one was said, zero for no end.
func (b *Book) Standing(f Filter, until int64, now time.Time) []Entry {
	f.Limit = 0
	type alert struct {
		origin string
		id     [16]byte
	}
	seen := map[alert]bool{}
	var out []Entry
	for _, e := range b.List(f) {
		key := alert{e.Origin, e.ID}
		if until != 0 && e.SaidAt >= until || seen[key] || !b.standsNow(&e, now) {
			continue
		}
		seen[key] = true
		out = append(out, e)
	}
	return out
}

// Marked gives the ids, each once, of the own alerts on a channel that stand and whose
// ids the function picks. It must not ask the book anything.
func (b *Book) Marked(channel string, pick func(id [16]byte) bool, now time.Time) [][16]byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	seen := map[[16]byte]bool{}
	var out [][16]byte
	for _, e := range b.entries {
		if own := len(e.Readers) > 0; own && e.Channel == channel && !seen[e.ID] && pick(e.ID) && b.stands(e, now) {
			seen[e.ID] = true
			out = append(out, e.ID)
		}
	}
	return out
}

func (b *Book) standsNow(e *Entry, now time.Time) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.stands(e, now)
}

// stands reports whether a version counts, and its alert stands. Called with b.mu held.
func (b *Book) stands(e *Entry, now time.Time) bool {
	own := len(e.Readers) > 0
	if !e.Opened || e.Refused() || e.Repudiated || !own && e.Class != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED ||
		e.EraseAfter <= now.UnixMicro() || b.ordered[e.at()] || b.erased[e.at()] != 0 {
		return false
	}
	for _, x := range b.byID[e.ID] {
		newer := x.Version > e.Version || x.Lifecycle == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW
		if x.Origin == e.Origin && newer && !x.Refused() && !x.Repudiated {
			return false
		}
	}
	return true
}
