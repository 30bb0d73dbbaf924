package border

import (
	"bytes"
	"fmt"

	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// placing is one call of [Checker.Place].
type placing struct {
	view *register.View
	led  *Ledger
	hist History
	said *said
	p    Placement
}

// Place says what bytes are that came as part of a ledger. It looks at the
// signature and at everything that decides about the place, and no further.
func (c *Checker) Place(raw []byte, view *register.View, led *Ledger, hist History) Placement {
	return c.PlacePiece(ReadPiece(raw), view, led, hist)
}

// PlacePiece is [Checker.Place] for bytes that were read before.
func (c *Checker) PlacePiece(piece *Piece, view *register.View, led *Ledger, hist History) Placement {
	s := piece.said
	if s == nil {
		return Placement{Kind: Quarantine, Code: piece.refusal.Code, Detail: piece.refusal.Detail}
	}
	w := &placing{view: view, led: led, hist: hist, said: s}
	w.p = Placement{Position: Position{s.st.GetEpoch(), s.st.GetSeq()}, Leaf: s.leaf}
	if code := led.owns(s.st); code != 0 {
		return w.quarantine(code, "it belongs to another ledger")
	}
	at, next := w.p.Position, led.Next()
	switch {
	case at.Epoch == 0 || at.Seq == 0:
		return w.quarantine(karaulav1.Code_CODE_OUT_OF_ORDER, "epochs and numbers begin at 1")
	case w.begins():
		return w.begin()
	case w.before():
		w.p.Kind, w.p.Detail = Before, "said before this party came in"
		return w.p
	case at.before(next):
		return w.past()
	case at == next:
		return w.next()
	case at == Position{led.Epoch + 1, 1}:
		return w.opener()
	default:
		return w.ahead()
	}
}

// before orders positions.
func (a Position) before(b Position) bool {
	return a.Epoch < b.Epoch || a.Epoch == b.Epoch && a.Seq < b.Seq
}

// owns gives the reason why a statement is not one of this ledger, or zero.
func (l *Ledger) owns(st *karaulav1.Statement) karaulav1.Code {
	switch {
	case st.GetOrigin() != l.Origin:
		return karaulav1.Code_CODE_WRONG_ORIGIN
	case st.GetChannel() != l.Channel:
		return karaulav1.Code_CODE_WRONG_CHANNEL
	case st.GetMode() != l.Mode:
		return karaulav1.Code_CODE_WRONG_MODE
	case !bytes.Equal(st.GetLedger(), l.ID[:]):
		return karaulav1.Code_CODE_WRONG_LEDGER
	default:
		return 0
	}
}

// past places a number that is taken.
func (w *placing) past() Placement {
	leaf, ok := w.hist.LeafAt(w.p.Position.Epoch, w.p.Position.Seq)
	switch {
	case ok && leaf == w.p.Leaf:
		w.p.Kind = Known
		return w.p
	case !ok && w.p.Position.Epoch == w.led.Epoch:
		// Said before this party joined: nothing here to compare it with.
		w.p.Kind = Known
		return w.p
	case !ok:
		return w.quarantine(karaulav1.Code_CODE_WRONG_EPOCH, "a number that a later epoch has made void")
	}
	if stop := w.signedByOrigin(); stop != nil {
		return *stop
	}
	return w.fork(karaulav1.Code_CODE_FORK, w.p.Position.Seq, leaf, w.p.Leaf, "another statement has this number")
}

// next places the number that follows.
func (w *placing) next() Placement {
	cd, stop := w.ruling()
	if stop != nil {
		return *stop
	}
	if stop := w.verified(cd); stop != nil {
		return *stop
	}
	if stop := w.rooted(); stop != nil {
		return *stop
	}
	w.p.Kind, w.p.Card = Next, cd
	w.inside()
	return w.p
}

// rooted checks that the statement continues the history that is known here.
// A malformed statement whose root is no root is a leaf all the same.
func (w *placing) rooted() *Placement {
	said := w.said.st.GetPrevRoot()
	root := w.led.Tree.Root()
	if bytes.Equal(said, root[:]) || len(said) != len(root) {
		return nil
	}
	p := w.fork(karaulav1.Code_CODE_WRONG_ROOT, w.led.Tree.Size(), root, [32]byte(said),
		"its root is not that of the statements before it")
	return &p
}

// inside looks at what a statement that has its place says about the next one,
// and gives the refusal that follows from the ledger alone.
func (w *placing) inside() {
	if w.said.code != 0 {
		w.p.Code, w.p.Detail = w.said.code, w.said.detail
		return
	}
	st := w.said.st
	w.p.Parsed = w.said.parsed
	w.p.enters = w.later(st.GetAgreement())
	w.p.backwards = st.GetSaidAt() < w.led.SaidAt && !w.p.opens
	switch st.GetKind() { //nolint:exhaustive // the others bring nothing
	case karaulav1.Kind_KIND_CARD:
		w.p.nextCard = nextCard(w.view, w.said.parsed, w.p.Card)
	case karaulav1.Kind_KIND_AGREEMENT:
		w.p.nextAgreement = nextAgreement(w.said.parsed, w.led)
		w.p.enters = w.p.enters || w.brings()
	case karaulav1.Kind_KIND_NOTICE:
		w.p.rootChange = rootChange(w.said.parsed)
	case karaulav1.Kind_KIND_EPOCH:
		if !w.p.opens {
			w.p.Code, w.p.Detail = karaulav1.Code_CODE_WRONG_EPOCH, "an epoch is opened by its first statement only"
			return
		}
	}
	if code, detail := keyUse(st, w.p.Card); code != 0 {
		w.p.Code, w.p.Detail = code, detail
	}
}

// ahead places a number beyond the next one, if the origin has signed it.
func (w *placing) ahead() Placement {
	if stop := w.signedByOrigin(); stop != nil {
		return *stop
	}
	w.p.Kind, w.p.Code = Ahead, karaulav1.Code_CODE_OUT_OF_ORDER
	next := w.led.Next()
	w.p.Detail = fmt.Sprintf("number %d of epoch %d is missing", next.Seq, next.Epoch)
	return w.p
}

func (w *placing) quarantine(code karaulav1.Code, detail string) Placement {
	w.p.Kind, w.p.Code, w.p.Detail = Quarantine, code, detail
	return w.p
}

func (w *placing) fork(code karaulav1.Code, size uint64, seen, said [32]byte, detail string) Placement {
	w.p.Kind, w.p.Code, w.p.Detail = Fork, code, detail
	w.p.Contest = &karaulav1.Contest{Size: size, Seen: seen[:], Said: said[:]}
	return w.p
}
