package register

import (
	"crypto/sha256"
	"slices"

	"karaula/internal/agreement"
	"karaula/internal/card"
)

// index holds what every decision asks for, made once per state.
type index struct {
	channels map[string]string // channel id → id of the agreement whose complete texts have it
	texts    map[[32]byte]string
	pins     map[string]pin
	cards    map[string][]*card.Card // those that count, ascending
	current  map[string]*card.Card
	digests  map[[32]byte]*card.Card
}

// pin is what agreements say about a party's root.
type pin struct{ keys, by []string }

// makeIndex fills the index of a state that is otherwise done.
func (s *state) makeIndex() {
	x := index{
		channels: map[string]string{}, texts: map[[32]byte]string{}, pins: map[string]pin{},
		cards: map[string][]*card.Card{}, current: map[string]*card.Card{}, digests: map[[32]byte]*card.Card{},
	}
	for id, list := range s.texts {
		for _, t := range list {
			x.texts[t.Agreement.Digest] = id
			for _, c := range t.Agreement.Channels {
				if t.complete {
					x.channels[c.ID] = id
				}
			}
			for _, p := range t.Agreement.Parties {
				x.pins[p.Code] = pin{}
			}
			for _, d := range t.Agreement.Auditors {
				x.pins[d.Code] = pin{}
			}
		}
	}
	for party := range x.pins {
		keys, by := s.pinned(party)
		x.pins[party] = pin{keys, by}
	}
	for party := range s.cards {
		x.cards[party] = s.counting(party)
		for _, c := range x.cards[party] {
			x.digests[c.Digest] = c
		}
		if c := s.current(party, x.cards[party]); c != nil {
			x.current[party] = c
		}
	}
	s.index = x
}

// current gives the newest card by a root that counts, or, after a root change
// and before the new root's first card, the newest one that stands.
func (s *state) current(party string, counting []*card.Card) *card.Card {
	keys, _ := s.pinned(party)
	var fresh, old *card.Card
	for _, c := range counting {
		root := s.changed(party, c.Root)
		switch {
		case len(keys) > 0 && !slices.Contains(keys, root):
		case root == c.Root:
			fresh = c
		default:
			old = c
		}
	}
	if fresh == nil {
		return old
	}
	return fresh
}

// parse opens a file with a function of nothing but its bytes, or takes what
// that gave the last time.
func parse[T any](s *state, file []byte, open func([]byte) (T, error)) (T, error) {
	sum := sha256.Sum256(file)
	if v, ok := s.known[sum].(T); ok {
		s.parsed[sum] = v
		return v, nil
	}
	v, err := open(file)
	if err == nil && s.parsed != nil {
		s.parsed[sum] = v
	}
	return v, err
}

// openSigned opens an agreement file by itself.
func openSigned(file []byte) (*agreement.Signed, error) { return agreement.Open(file) }
