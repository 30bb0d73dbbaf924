package index

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Bounds of one answer.
const (
	// MaxMatches is how many matches an answer holds.
	MaxMatches = 20
	// maxPostings is how many alerts of one term are looked at, the newest
	// first: no partner can make a question dear by saying the same plate often.
	maxPostings = 200
)

// Match is one alert that fits.
type Match struct {
	ID         [16]byte
	Version    uint32
	Type       karaulav1.AlertType
	Origin     string
	Channels   []string // where it was said, ascending
	Urgency    karaulav1.Urgency
	EraseAfter int64
	Kinds      []searchkey.Kind // what it shares with the question, the surest first
}

// Rank gives how sure the match is.
func (m Match) Rank() searchkey.Rank { return m.Kinds[0].Rank() }

// matchKey is what one match is about: an alert that was said on two channels is one.
type matchKey struct {
	origin string
	id     [16]byte
}

// Find gives the current alerts that have one of the terms, the surest first,
// then the newest, at most [MaxMatches]; more is true if there are others.
func (x *Index) Find(terms []HashedTerm, now time.Time) (matches []Match, more bool) {
	found := map[matchKey]*Match{}
	at := now.UnixMicro()
	x.mu.RLock()
	for _, t := range terms {
		seen := 0
		for next := x.heads[t.Hash]; next != 0; next = x.posts[next-1].next {
			if seen++; seen > maxPostings {
				more = true
				break
			}
			p := x.posts[next-1]
			if s := &x.alerts[p.slot]; p.kind == t.Kind && !s.gone && s.eraseAfter > at {
				x.gather(found, s, p.kind)
			}
		}
	}
	x.mu.RUnlock()
	if len(found) == 0 {
		return nil, more
	}
	return best(found, more)
}

// gather adds what one posting says.
func (x *Index) gather(found map[matchKey]*Match, s *slot, kind searchkey.Kind) {
	place := x.places[s.place]
	key := matchKey{place.Origin, s.id}
	m := found[key]
	if m == nil {
		m = &Match{ID: s.id, Origin: place.Origin}
		found[key] = m
	}
	if s.version >= m.Version {
		m.Version, m.Type, m.Urgency, m.EraseAfter = s.version, s.typ, s.urgency, s.eraseAfter
	}
	if !slices.Contains(m.Channels, place.Channel) {
		m.Channels = append(m.Channels, place.Channel)
	}
	if !slices.Contains(m.Kinds, kind) {
		m.Kinds = append(m.Kinds, kind)
	}
}

// best orders matches and cuts them.
func best(found map[matchKey]*Match, more bool) ([]Match, bool) {
	out := make([]Match, 0, len(found))
	for _, m := range found {
		slices.Sort(m.Channels)
		slices.SortFunc(m.Kinds, func(a, b searchkey.Kind) int {
			return cmp.Or(cmp.Compare(b.Rank(), a.Rank()), cmp.Compare(a, b))
		})
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Rank(), a.Rank()), bytes.Compare(b.ID[:], a.ID[:]), // ids begin with their time
			cmp.Compare(a.Origin, b.Origin))
	})
	if len(out) > MaxMatches {
		return out[:MaxMatches], true
	}
	return out, more
}
