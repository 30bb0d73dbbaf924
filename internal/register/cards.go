package register

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"karaula/internal/card"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

// AddCardOptions says how a card is taken in.
type AddCardOptions struct {
	// Fingerprint is what a person was told by telephone; if it is not empty
	// and not the card's, nothing is taken in. Spaces and case don't count.
	Fingerprint string
	// History takes in a card with a lower serial than the newest one, so that
	// older statements can be verified. It never becomes the current card.
	History bool
}

// CardResult says what became of a card.
type CardResult struct {
	// Card is the card.
	Card *card.Card
	// Fingerprint of its root, for two people to compare.
	Fingerprint string
	// Known: the same card was there already, nothing changed.
	Known bool
	// First: it is the party's first card here.
	First bool
	// Pinned: an agreement that self signed names this root. If false, only
	// comparing fingerprints can tell whether the card is the party's.
	Pinned bool
	// PinnedBy lists the ids of the agreements that pin the party's root.
	PinnedBy []string
	// Warnings for people.
	Warnings []string
}

// maxCards bounds how many cards of one partner are kept: one a month for twenty
// years. A partner can make as many as it likes, and each is read at every
// change of the register.
const maxCards = 256

// AddCard takes in a card. Refused are: a bad signature, another fingerprint
// than the one told, another root than the one that an agreement pins or that
// was seen first (all Verification), a lower serial, and another card with a
// serial that is taken (both Conflict; the latter is kept as evidence).
func (r *Register) AddCard(file []byte, o AddCardOptions) (CardResult, error) {
	c, err := card.Open(file)
	if err != nil {
		return CardResult{}, err
	}
	res := CardResult{Card: c, Fingerprint: c.Fingerprint()}
	if o.Fingerprint != "" && !signedtext.SameFingerprint(o.Fingerprint, res.Fingerprint) {
		return res, problem.New(problem.Verification,
			"the card of %s has the fingerprint %s, not the one given; it was not taken in", c.Party, res.Fingerprint).
			WithHint("call the authority of %s and compare again; a stranger may have made this card", c.Party)
	}
	err = r.change(func(e *editor) error { return e.addCard(c, o, &res) })
	return res, err
}

func (e *editor) addCard(c *card.Card, o AddCardOptions, res *CardResult) error {
	s := e.state
	have := s.counting(c.Party)
	if err := s.checkRoot(c, res); err != nil {
		return err
	}
	res.First = len(s.cards[c.Party]) == 0
	for _, other := range s.cards[c.Party] {
		if other.Serial != c.Serial {
			continue
		}
		if other.Digest == c.Digest {
			res.Known = true
			return nil
		}
		if !slices.Contains(have, other) { // by a root that never became the party's: in the way, no more
			if err := e.keepEvidence(cardEvidence(other), other.Signed); err != nil {
				return err
			}
			continue
		}
		if err := e.keepEvidence(cardEvidence(c), c.Signed); err != nil {
			return err
		}
		return problem.New(problem.Conflict,
			"the root of %s signed two different cards with serial %d; this one was kept as evidence, not taken in",
			c.Party, c.Serial).WithHint("ask the authority of %s which one is right, and for a card with a new serial", c.Party)
	}
	old := o.History || s.changes[rootOf{c.Party, c.Root}] != nil
	if n := len(have); n > 0 && c.Serial < have[n-1].Serial && !old {
		return problem.New(problem.Conflict, "the card of %s has serial %d, a newer one with serial %d is here already; "+
			"it was not taken in", c.Party, c.Serial, have[n-1].Serial)
	}
	if len(have) >= maxCards && c.Party != s.self {
		return problem.New(problem.Conflict, "%d cards of %s are here already; no more are taken in", maxCards, c.Party).
			WithHint("call the authority of %s: nobody needs a new card every few days", c.Party)
	}
	for _, other := range have {
		if other.Serial == c.Serial-1 && other.Digest != c.Previous {
			res.Warnings = append(res.Warnings, fmt.Sprintf("card %d does not name card %d as the one before it",
				c.Serial, other.Serial))
		}
	}
	return e.write(cardPath(c), c.Signed)
}

// cardEvidence names a card among the evidence.
func cardEvidence(c *card.Card) string {
	return fmt.Sprintf("%s-%d-%s.card", c.Party, c.Serial, short(c.Digest))
}

// checkRoot refuses a card by another root than the one that counts.
func (s *state) checkRoot(c *card.Card, res *CardResult) error {
	keys, by := s.pinned(c.Party)
	res.PinnedBy = by
	if len(keys) > 0 {
		if res.Pinned = slices.Contains(keys, c.Root); res.Pinned {
			return nil
		}
		if s.isHistory(c) {
			res.Pinned = true
			return nil
		}
		return problem.New(problem.Verification,
			"the card of %s is by another root than the one that agreement %s pins; it was not taken in",
			c.Party, strings.Join(by, ", ")).
			WithHint("pinned: %s; this card: %s", fingerprints(keys), res.Fingerprint)
	}
	have := s.cards[c.Party]
	if s.disowned(c.Party, c.Root, notice.StandsCard, c.Digest) {
		return problem.Wrap(problem.Verification, errDisowned, "card %d of %s was not taken in", c.Serial, c.Party)
	}
	seen := func(o *card.Card) bool { return slices.Contains(s.lineage(c.Party, o.Root), c.Root) }
	if len(have) > 0 && !slices.ContainsFunc(have, seen) {
		return problem.New(problem.Verification,
			"the card of %s is by another root than the one seen first; it was not taken in", c.Party).
			WithHint("seen first: %s; this card: %s; compare by telephone, and remove the party if the first one was wrong",
				have[0].Fingerprint(), res.Fingerprint)
	}
	return nil
}

// isHistory reports whether a card was signed by a root that does not count any
// more, and counts nevertheless: it may be kept to verify what was said under it.
// Where a root change replaced the root, the change says which cards these are;
// where a new text names another root, those up to the newest one here are.
func (s *state) isHistory(c *card.Card) bool {
	if n := s.changes[rootOf{c.Party, c.Root}]; n != nil {
		return n.HasStand(notice.StandsCard, c.Digest)
	}
	have := s.cards[c.Party]
	if len(have) == 0 || c.Serial > have[len(have)-1].Serial {
		return false
	}
	for _, list := range s.texts {
		for _, t := range list {
			if p, ok := t.Agreement.Party(c.Party); ok && t.whole && slices.Contains(s.lineage(c.Party, p.Root), c.Root) {
				return true
			}
		}
	}
	return false
}

func fingerprints(keys []string) string {
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		if f, err := signedtext.Fingerprint(k); err == nil {
			out = append(out, f)
		}
	}
	return strings.Join(out, " or ")
}

// RemoveParty forgets all cards of a party, so that another root may be seen
// first. Self and a party that an agreement pins can't be forgotten.
func (r *Register) RemoveParty(party string) error {
	return r.change(func(e *editor) error {
		_, by := e.state.pinned(party)
		switch {
		case party == e.state.self:
			return problem.New(problem.Conflict, "the node's own cards can't be removed")
		case len(e.state.cards[party]) == 0:
			return problem.New(problem.NotFound, "there is no card of %q", party)
		case len(by) > 0:
			return problem.New(problem.Conflict, "agreement %s pins the root of %s; nothing was removed",
				strings.Join(by, ", "), party)
		}
		return e.remove(filepath.Join(partiesDir, party))
	})
}
