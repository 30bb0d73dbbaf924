package border

import (
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Ledger is the state of one received ledger after the statements that have
// their place. It follows from those statements alone, never from verdicts, so
// that a replay arrives at the same state.
type Ledger struct {
	ID      ledger.ID
	Channel string
	Origin  string
	Mode    karaulav1.Mode
	// Epoch is the epoch of the last statement; 1 in an empty ledger.
	Epoch uint64
	// Tree holds this epoch's leaves.
	Tree *ledger.Tree
	// SaidAt is the latest time said in this epoch, microseconds since 1970 UTC.
	SaidAt int64
	// Card and CardSerial are the card in force for the next number, and
	// Agreement the text in force for it; zero until the first statement.
	Card       [32]byte
	CardSerial uint64
	Agreement  [32]byte
	// Exercise is what its origin practises.
	Exercise Exercise
	// Joined is the digest of the text with which this party came in; zero if it
	// was there from the first. Until that text has come, or a later one, the
	// ledger has a place only for what was said while this party was in.
	Joined [32]byte
	// Entered is set once it has.
	Entered bool
	// Edge is the right edge behind which the ledger may begin, if somebody has
	// given one. It needs no trust.
	Edge [][32]byte
	// Settled numbers of this epoch had their place before the replay that is
	// going on: a key that was revoked later does not unsettle them. Zero for
	// what arrives.
	Settled uint64
	// Contested is set once the origin has contradicted itself; until a new
	// epoch, everything after that is held.
	Contested *karaulav1.Contest
}

// NewLedger gives the state before the first statement.
func NewLedger(id ledger.ID, channel, origin string, mode karaulav1.Mode) *Ledger {
	return &Ledger{ID: id, Channel: channel, Origin: origin, Mode: mode, Epoch: 1, Tree: &ledger.Tree{}}
}

// Clone copies the state.
func (l *Ledger) Clone() *Ledger {
	c := *l
	c.Tree = l.Tree.Clone()
	return &c
}

// Next gives the place of the next statement in this epoch.
func (l *Ledger) Next() Position { return Position{l.Epoch, l.Tree.Size() + 1} }

// Advance takes in a statement whose placement is Next. Anything else changes
// nothing.
//
// What a CARD or AGREEMENT statement brings rules from the next number on even
// if the statement itself is refused: it is signed by its own signers.
func (l *Ledger) Advance(p *Placement) {
	if p.Kind != Next {
		return
	}
	if p.opens || p.behind != nil && p.Position.Epoch != l.Epoch {
		l.Epoch, l.Tree, l.SaidAt, l.Settled, l.Contested = p.Position.Epoch, &ledger.Tree{}, 0, 0, nil
	}
	if p.behind != nil { // what was in force before is not known here
		l.Tree, l.Edge, l.SaidAt, l.Agreement = p.behind.Clone(), nil, 0, [32]byte{}
	}
	l.Entered = l.Entered || p.enters
	l.Tree.Append(p.Leaf)
	l.Card, l.CardSerial = p.Card.Digest, p.Card.Serial
	if p.Parsed == nil {
		return
	}
	st := p.Parsed.Statement
	l.Exercise = l.Exercise.After(st)
	l.SaidAt = max(l.SaidAt, st.GetSaidAt())
	if l.Agreement == ([32]byte{}) {
		copy(l.Agreement[:], st.GetAgreement())
	}
	if p.nextCard != nil {
		l.Card, l.CardSerial = p.nextCard.Digest, p.nextCard.Serial
	}
	if p.nextAgreement != nil {
		l.Agreement = p.nextAgreement.Agreement.Digest
	}
}

// Contest marks the ledger as contested by a placement of kind Fork. The first
// contradiction stays. One in an epoch that is over is evidence, but it is over:
// whoever has the other side of it could stop every later epoch otherwise.
func (l *Ledger) Contest(p *Placement) {
	if p.Kind == Fork && l.Contested == nil && p.Position.Epoch >= l.Epoch {
		l.Contested = p.Contest
	}
}
