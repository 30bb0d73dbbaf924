package border

import (
	"karaula/internal/agreement"
	"karaula/internal/ledger"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// A party that came into a channel by a later version of its agreement reads
// from there on and not before: it could not open it, and who said what when is
// not its business. Where that is in a ledger is said by the ledger itself, like
// every change of text: with the AGREEMENT statement that brings the version.
// The tree before it is known by its right edge, which must give the root that
// this statement carries (docs/spec/ledger.md).

// waits reports whether this party is not in yet.
func (w *placing) waits() bool { return w.led.Joined != [32]byte{} && !w.led.Entered }

// begins reports whether the ledger begins with this statement, behind others
// that are not here: it brings the text with which this party came in; or it
// opens an epoch under that text, whose epoch before this party never had.
func (w *placing) begins() bool {
	if !w.waits() || w.said.code != 0 || !w.led.Next().before(w.p.Position) {
		return false
	}
	opens := w.said.st.GetKind() == karaulav1.Kind_KIND_EPOCH && w.p.Position.Seq == 1
	return w.brings() || opens && w.led.Tree.Size() == 0 && w.later(w.said.st.GetAgreement())
}

// begin places the statement with which the ledger begins.
func (w *placing) begin() Placement {
	cd, stop := w.named()
	if stop != nil {
		return *stop
	}
	if stop := w.verified(cd); stop != nil {
		return *stop
	}
	st := w.said.st
	tree, err := ledger.FromFrontier(w.p.Position.Seq-1, w.edge(), [32]byte(st.GetPrevRoot()))
	if err != nil {
		w.p.Kind, w.p.Code, w.p.root = NeedEdge, karaulav1.Code_CODE_HISTORY_INCOMPLETE, [32]byte(st.GetPrevRoot())
		w.p.Detail = "the right edge of what was said before is not here"
		return w.p
	}
	fresh := w.led.Clone()
	fresh.Agreement, fresh.SaidAt = [32]byte{}, 0
	w.led = fresh
	w.p.Kind, w.p.Card, w.p.behind = Next, cd, tree
	w.p.opens = st.GetKind() == karaulav1.Kind_KIND_EPOCH
	w.inside()
	return w.p
}

// edge is what was given as the right edge; an epoch begins behind nothing.
func (w *placing) edge() [][32]byte {
	if w.p.Position.Seq == 1 {
		return nil
	}
	return w.led.Edge
}

// before reports whether a statement was said while this party was not in. What
// names a text that is not known here may well be; if it is not, it is asked for
// again once the text has come.
func (w *placing) before() bool {
	if !w.waits() || w.brings() || w.said.code != 0 && w.p.Position == w.led.Next() {
		return false
	}
	a := w.text(w.said.st.GetAgreement())
	if a == nil {
		return true
	}
	_, in := a.Party(w.view.Self())
	return !in
}

// brings reports whether a statement brings the text with which this party came
// in, in the place of the one that it names.
func (w *placing) brings() bool {
	if !w.waits() || w.said.code != 0 || w.said.st.GetKind() != karaulav1.Kind_KIND_AGREEMENT {
		return false
	}
	var b karaulav1.AgreementBody
	if wire.Unmarshal(w.said.st.GetBody(), &b, agreement.MaxFile+1024) != nil {
		return false
	}
	signed, err := agreement.Open(b.GetAgreement())
	return err == nil && signed.Complete() && signed.Agreement.Digest == w.led.Joined &&
		string(signed.Agreement.Supersedes[:]) == string(w.said.st.GetAgreement())
}

// later reports whether this party waits and a text is the one with which it
// came in, or a later version.
func (w *placing) later(digest []byte) bool {
	if !w.waits() {
		return false
	}
	a, joined := w.text(digest), w.text(w.led.Joined[:])
	return a != nil && joined != nil && a.ID == joined.ID && a.Version >= joined.Version
}

// text finds a text that is known with all signatures.
func (w *placing) text(digest []byte) *agreement.Agreement {
	if len(digest) != 32 {
		return nil
	}
	entry, ok := w.view.AgreementByDigest([32]byte(digest))
	if !ok || !entry.Complete {
		return nil
	}
	return entry.Agreement
}
