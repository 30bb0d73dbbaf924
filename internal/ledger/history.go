package ledger

import (
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// markEvery is how many leaves lie between two trees that a History keeps.
const markEvery = 256

// History remembers the leaves of one epoch of a ledger as far as somebody has
// them, so that the right edge at any size costs at most markEvery hashes, and a proof
// not many more. It takes about 35 bytes a statement. It
// may begin behind any size, and go on behind a gap: whoever joins a channel
// later, or leaves it and comes back, has what was said while it was there.
//
// The zero value has nothing and goes on with the first leaf. It is not safe for
// concurrent use.
type History struct {
	runs []run // ascending, none touches another
	held int
}

// run is an unbroken range of leaves.
type run struct {
	first  int     // ordinal of its first leaf among all that are held
	start  uint64  // size of the tree before its first leaf
	marks  []*Tree // before its first leaf, and after every markEvery leaves
	last   *Tree   // after its last leaf
	leaves [][32]byte
	inner  [][]tlog.Hash // complete inner hashes over its leaves, by level above innerLevel, in order
}

// GoOnBehind begins a new run: the next leaf is the one behind a tree. It does
// nothing where the history goes on there anyway.
func (h *History) GoOnBehind(t *Tree) {
	if n := len(h.runs); n > 0 && h.runs[n-1].last.Size() == t.Size() || n == 0 && t.Size() == 0 {
		return
	}
	h.runs = append(h.runs, newRun(h.held, t))
}

func newRun(first int, t *Tree) run {
	return run{first: first, start: t.Size(), marks: []*Tree{t.Clone()}, last: t.Clone()}
}

// Append adds the leaf behind the last one.
func (h *History) Append(leaf [32]byte) {
	if len(h.runs) == 0 {
		h.runs = []run{newRun(0, &Tree{})}
	}
	r := &h.runs[len(h.runs)-1]
	r.leaves = append(r.leaves, leaf)
	r.keepInner(r.last.add(leaf))
	if len(r.leaves)%markEvery == 0 {
		r.marks = append(r.marks, r.last.Clone())
	}
	h.held++
}

// Size is the number of the last leaf; 0 if there is none.
func (h *History) Size() uint64 {
	if len(h.runs) == 0 {
		return 0
	}
	return h.runs[len(h.runs)-1].last.Size()
}

// Held is how many leaves are held.
func (h *History) Held() int { return h.held }

// Ordinal gives the place of a number among the leaves that are held, from 0;
// false if that leaf is not.
func (h *History) Ordinal(seq uint64) (int, bool) {
	r := h.holder(seq)
	if r == nil {
		return 0, false
	}
	return r.first + int(seq-r.start) - 1, true //nolint:gosec // at most the number of leaves held
}

// Leaf gives the leaf of a number; false if it is not held.
func (h *History) Leaf(seq uint64) ([32]byte, bool) {
	r := h.holder(seq)
	if r == nil {
		return [32]byte{}, false
	}
	return r.leaves[seq-r.start-1], true
}

// holder gives the run that has the leaf of a number; nil if none has.
func (h *History) holder(seq uint64) *run {
	for i := range slices.Backward(h.runs) {
		if r := &h.runs[i]; seq > r.start && seq-r.start <= uint64(len(r.leaves)) {
			return r
		}
	}
	return nil
}

// Tree gives the tree over the first size leaves; false if what is held does not
// reach that size, or begins behind it.
func (h *History) Tree(size uint64) (*Tree, bool) {
	if size == 0 {
		return &Tree{}, true
	}
	for _, r := range slices.Backward(h.runs) {
		if size < r.start || size-r.start > uint64(len(r.leaves)) {
			continue
		}
		n := size - r.start
		t := r.marks[n/markEvery].Clone()
		for _, leaf := range r.leaves[n-n%markEvery : n] {
			t.Append(leaf)
		}
		return t, true
	}
	return nil, false
}
