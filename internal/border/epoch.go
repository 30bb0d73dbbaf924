package border

import (
	"bytes"

	"karaula/internal/ledger"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// opener places number 1 of the epoch after the one that is known.
//
// A new epoch makes numbers void, so whoever holds only the online key must not
// be able to open one: the statement is signed under a card that is newer than
// the one in force, which the root key alone can make.
func (w *placing) opener() Placement {
	st := w.said.st
	if w.said.code != 0 || st.GetKind() != karaulav1.Kind_KIND_EPOCH {
		return w.quarantine(karaulav1.Code_CODE_WRONG_EPOCH, "an epoch begins with a well-formed EPOCH statement")
	}
	fresh, known := w.view.CardByDigest(w.said.card)
	if st.GetCardSerial() <= w.led.CardSerial && (!known || !w.newRoot(fresh)) {
		return w.quarantine(karaulav1.Code_CODE_WRONG_EPOCH, "an epoch begins under a newer card than the one in force")
	}
	cd, stop := w.named()
	if stop != nil {
		return *stop
	}
	if stop := w.verified(cd); stop != nil {
		return *stop
	}
	if root := ledger.EmptyRoot(); cd.Serial != st.GetCardSerial() || !bytes.Equal(st.GetPrevRoot(), root[:]) {
		return w.quarantine(karaulav1.Code_CODE_WRONG_EPOCH, "the first statement of an epoch has nothing before it")
	}
	if stop := w.continues(); stop != nil {
		return *stop
	}
	w.p.Kind, w.p.Card, w.p.opens = Next, cd, true
	w.inside()
	return w.p
}

// continues checks the head that a new epoch names against the one known here.
func (w *placing) continues() *Placement {
	var body karaulav1.EpochBody
	if err := wire.Unmarshal(w.said.st.GetBody(), &body, maxEpochBody); err != nil {
		return w.stop(karaulav1.Code_CODE_WRONG_EPOCH, "it does not name the head that it continues")
	}
	head := body.GetContinues()
	if !bytes.Equal(head.GetLedger(), w.led.ID[:]) || head.GetEpoch() != w.led.Epoch || len(head.GetRoot()) != 32 {
		return w.stop(karaulav1.Code_CODE_WRONG_EPOCH, "it does not continue the epoch before it")
	}
	size := w.led.Tree.Size()
	root, ok := w.led.Tree.Root(), true
	switch {
	case head.GetSize() > size:
		p := w.ahead()
		return &p
	case head.GetSize() == 0:
		root = ledger.EmptyRoot()
	case head.GetSize() < size:
		root, ok = w.hist.RootAt(w.led.Epoch, head.GetSize())
	}
	if ok && !bytes.Equal(head.GetRoot(), root[:]) {
		p := w.fork(karaulav1.Code_CODE_WRONG_ROOT, head.GetSize(), root, [32]byte(head.GetRoot()),
			"the head that the new epoch continues is not the one known here")
		return &p
	}
	return nil
}

// maxEpochBody is far above what an EpochBody needs, in bytes.
const maxEpochBody = 1 << 10
