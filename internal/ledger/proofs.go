package ledger

import (
	"golang.org/x/mod/sumdb/tlog"

	"karaula/internal/problem"
)

// innerLevel is the lowest level of the inner hashes that a [History] keeps: each of them
// stands for 2^innerLevel leaves. What is below is hashed anew for a proof.
const innerLevel = 8

// keepInner keeps the inner hashes that the last leaf has completed, if any: completed are
// all that it has, from the leaf up.
func (r *run) keepInner(completed []tlog.Hash) {
	for level := innerLevel; level < len(completed) && len(r.leaves) >= 1<<level; level++ {
		if level-innerLevel == len(r.inner) {
			r.inner = append(r.inner, nil)
		}
		r.inner[level-innerLevel] = append(r.inner[level-innerLevel], completed[level])
	}
}

// node gives a hash of the tree: that over the leaves k·2^level to (k+1)·2^level-1,
// counted from 0.
func (r *run) node(level int, k uint64) (tlog.Hash, error) {
	first, end := k<<level, (k+1)<<level
	switch {
	case end > r.start+uint64(len(r.leaves)):
		return tlog.Hash{}, problem.New(problem.NotFound, "the ledger has %d statements, not %d", r.start+uint64(len(r.leaves)), end)
	case end <= r.start: // only what is on the edge before the first leaf
		known, err := r.marks[0].reader().ReadHashes([]int64{tlog.StoredHashIndex(level, int64(k))}) //nolint:gosec // from an index
		if err != nil {
			return tlog.Hash{}, problem.New(problem.NotFound, "the ledger is here from number %d on only", r.start+1)
		}
		return known[0], nil
	case level == 0:
		return r.leaves[first-r.start], nil
	case level >= innerLevel && first >= r.start:
		return r.inner[level-innerLevel][k-(r.start+1<<level-1)>>level], nil
	}
	left, err := r.node(level-1, 2*k)
	if err != nil {
		return tlog.Hash{}, err
	}
	right, err := r.node(level-1, 2*k+1)
	if err != nil {
		return tlog.Hash{}, err
	}
	return tlog.NodeHash(left, right), nil
}

// ReadHashes implements [tlog.HashReader].
func (r *run) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, k := tlog.SplitStoredHashIndex(index)
		var err error
		if out[i], err = r.node(level, uint64(k)); err != nil { //nolint:gosec // not negative
			return nil, err
		}
	}
	return out, nil
}

// reaching gives the run that reaches a size.
func (h *History) reaching(size uint64) (*run, error) {
	if r := h.holder(size); r != nil {
		return r, nil
	}
	return nil, problem.New(problem.NotFound, "the first %d statements of the ledger are not here", size)
}

// Inclusion proves statement seq under the root over the first size statements
// (RFC 6962, 2.1.1). It costs at most 2^innerLevel hashes. Errors are of kind Invalid, or NotFound where the history lacks what is
// needed.
func (h *History) Inclusion(seq, size uint64) ([][32]byte, error) {
	if seq == 0 || seq > size || size > MaxSize {
		return nil, problem.New(problem.Invalid, "number %d is not among the first %d", seq, size)
	}
	r, err := h.reaching(size)
	if err != nil {
		return nil, err
	}
	return plain(tlog.ProveRecord(int64(size), int64(seq)-1, r)) //nolint:gosec // compared above
}

// Consistency proves that the first old statements of size are the first old
// (RFC 6962, 2.1.2). Cost and errors are those of [History.Inclusion].
func (h *History) Consistency(old, size uint64) ([][32]byte, error) {
	if old == 0 || old > size || size > MaxSize {
		return nil, problem.New(problem.Invalid, "a tree of %d is not the beginning of one of %d", old, size)
	}
	r, err := h.reaching(size)
	if err != nil {
		return nil, err
	}
	return plain(tlog.ProveTree(int64(size), int64(old), r)) //nolint:gosec // compared above
}

// CheckInclusion reports whether a proof shows that a leaf is that of statement
// seq under a root over size statements.
func CheckInclusion(proof [][32]byte, seq, size uint64, leaf, root [32]byte) bool {
	if seq == 0 || seq > size || size > MaxSize {
		return false
	}
	return tlog.CheckRecord(hashes(proof), int64(size), root, int64(seq)-1, leaf) == nil //nolint:gosec // compared above
}

// CheckConsistency reports whether a proof shows that the tree with one root is
// the beginning of the tree with another.
func CheckConsistency(proof [][32]byte, old, size uint64, oldRoot, root [32]byte) bool {
	if old == 0 || old > size || size > MaxSize {
		return false
	}
	return tlog.CheckTree(hashes(proof), int64(size), root, int64(old), oldRoot) == nil //nolint:gosec // compared above
}

func hashes(list [][32]byte) []tlog.Hash {
	out := make([]tlog.Hash, len(list))
	for i, h := range list {
		out[i] = h
	}
	return out
}

func plain(list []tlog.Hash, err error) ([][32]byte, error) {
	if err != nil {
		return nil, err
	}
	out := make([][32]byte, len(list))
	for i, h := range list {
		out[i] = h
	}
	return out, nil
}
