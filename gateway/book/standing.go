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
		if until != 0 && e.SaidAt >= until || seen[key] || !b.stands(&e, now) {
			continue
		}
		seen[key] = true
		out = append(out, e)
	}
	return out
}

// stands reports whether a version counts, and its alert stands.
func (b *Book) stands(e *Entry, now time.Time) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
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
