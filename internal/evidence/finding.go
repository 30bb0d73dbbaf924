package evidence

import (
	"fmt"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Class is what kind of thing a finding is.
type Class string

// The classes of findings. All but Clock, Disagreement, Refused and Repudiated mean that something does not
// verify; what is refused or repudiated is as much a part of the history as what
// is accepted.
const (
	// Missing: a number is not there, though later ones are, or though somebody
	// has signed that it was.
	Missing Class = "missing"
	// Stranger: bytes in the store that no valid signature of the origin makes a
	// statement of this ledger.
	Stranger Class = "stranger"
	// Repeated: a statement lies in the store once more.
	Repeated Class = "repeated"
	// Moved: a statement lies in the store before its predecessor.
	Moved Class = "moved"
	// Forked: the origin has signed two things of which only one can be true.
	Forked Class = "fork"
	// TwoHistories: a party has signed another root, or another statement, than
	// the one that is here.
	TwoHistories Class = "two-histories"
	// Damaged: sealed content, a card, a text or a disclosed frame is not what was signed.
	Damaged Class = "damaged"
	// Unknown: a card or text that is needed is not here.
	Unknown Class = "unknown"
	// Untrusted: no root key that is believed vouches for it.
	Untrusted Class = "untrusted"
	// Revoked: signed with a key that its party had revoked from an earlier number
	// on, and nothing that a good key signed stands over it.
	Revoked Class = "revoked"
	// Repudiated: signed with such a key, but its origin went on from there.
	Repudiated Class = "repudiated"
	// Refused: a statement with a place that every recipient must refuse.
	Refused Class = "refused"
	// Clock: two clocks contradict each other.
	Clock Class = "clock"
	// Disagreement: a recipient has accepted what must be refused.
	Disagreement Class = "disagreement"
)

// Broken reports whether the class means that something does not verify.
func (c Class) Broken() bool {
	switch c { //nolint:exhaustive // the others are broken
	case Clock, Disagreement, Refused, Repudiated:
		return false
	}
	return true
}

// Finding is something that does not verify or does not fit, and where. Texts
// hold no content.
type Finding struct {
	Class   Class
	Channel string // may be empty, like the next
	Origin  string
	Epoch   uint64         // 0 if it is about no statement
	Seq     uint64         // 0 likewise
	Where   string         // place in the store; may be empty
	Code    karaulav1.Code // reason of the border check; 0 if there is none
	Text    string
	// Fork holds the contradiction as a file of its own; nil in other classes,
	// and where the other side is not here.
	Fork *Proof
}

// Place names the statement: "b01-al-me, al, number 5 of epoch 1".
func (f *Finding) Place() string {
	switch {
	case f.Channel == "":
		return f.Where
	case f.Seq == 0:
		return fmt.Sprintf("%s, %s", f.Channel, f.Origin)
	default:
		return fmt.Sprintf("%s, %s, number %d of epoch %d", f.Channel, f.Origin, f.Seq, f.Epoch)
	}
}

// String says it in one line.
func (f *Finding) String() string {
	s := f.Place() + ": " + f.Text
	if f.Code != 0 {
		s += " (" + terms.CodeWord(f.Code) + ")"
	}
	if f.Where != "" && f.Channel != "" {
		s += ", at " + f.Where
	}
	return s
}
