package inbox

import (
	"slices"

	"karaula/gateway/erase"
	"karaula/internal/border"
	"karaula/internal/ledger"
)

// leaves are those of the epochs of a ledger, as far as they were read.
type leaves map[uint64]*ledger.History

// add enters a statement that the ledger has just taken in.
func (l leaves) add(p *border.Placement) {
	epoch := p.Position.Epoch
	h := l[epoch]
	if h == nil {
		h = &ledger.History{}
		l[epoch] = h
	}
	if t := p.Begins(); t != nil {
		h.GoOnBehind(t)
	}
	h.Append(p.Leaf)
}

// leaf gives the leaf of a statement.
func (l leaves) leaf(epoch, seq uint64) ([32]byte, bool) {
	if h := l[epoch]; h != nil {
		return h.Leaf(seq)
	}
	return [32]byte{}, false
}

// tree gives the tree of an epoch at a size.
func (l leaves) tree(epoch, size uint64) (*ledger.Tree, bool) {
	if h := l[epoch]; h != nil {
		return h.Tree(size)
	}
	return nil, false
}

// fill puts stubs where the stream has no statement any more, as many as follow each
// other, and reports whether there was any. take gives a stub its place.
func fill(led *border.Ledger, stubs erase.Stubs, take func(erase.Stub) border.Kind) (found bool) {
	for {
		next := stubs[led.Next()]
		if led.Joined != ([32]byte{}) && led.Tree.Size() == 0 {
			next = stubs.First() // where it begins is for the first statement to say
		}
		if !slices.ContainsFunc(next, func(s erase.Stub) bool { return take(s) == border.Next }) {
			return found
		}
		found = true
	}
}
