package evidence

import (
	"os"

	"karaula/internal/ledger"
	"karaula/internal/problem"
)

// trail remembers, for one epoch of a ledger, the leaf of every number and the
// root before it: 64 bytes each. Beyond a megabyte they go to a file that has no
// name, so that memory does not grow with the history.
type trail struct {
	base    uint64 // statements before the first one that is remembered
	count   uint64
	tree    *ledger.Tree // of everything
	tail    []byte       // records behind those in the file
	f       *os.File
	flushed int64 // bytes in the file
}

const (
	recordSize = 64
	tailSize   = 1 << 20
)

// add remembers the next number.
func (t *trail) add(leaf, before [32]byte) error {
	t.tail = append(append(t.tail, leaf[:]...), before[:]...)
	t.count++
	if len(t.tail) < tailSize {
		return nil
	}
	if t.f == nil {
		f, err := os.CreateTemp("", "karaula-replay-")
		if err != nil {
			return problem.Wrap(problem.Failed, err, "there is no room for the roots of a long history").
				WithHint("TMPDIR needs 64 bytes for every statement")
		}
		_ = os.Remove(f.Name()) // it lives until it is closed
		t.f = f
	}
	n, err := t.f.WriteAt(t.tail, t.flushed)
	if err != nil {
		return problem.Wrap(problem.Failed, err, "there is no room for the roots of a long history").
			WithHint("TMPDIR needs 64 bytes for every statement")
	}
	t.flushed += int64(n)
	t.tail = t.tail[:0]
	return nil
}

// record reads what is remembered of the number at an index.
func (t *trail) record(index uint64) (rec [recordSize]byte, ok bool) {
	if index >= t.count {
		return rec, false
	}
	at := int64(index) * recordSize //nolint:gosec // at most MaxSize / 64 would fit on a disk
	if at < t.flushed {
		_, err := t.f.ReadAt(rec[:], at)
		return rec, err == nil
	}
	copy(rec[:], t.tail[at-t.flushed:])
	return rec, true
}

// leaf gives the leaf of a number.
func (t *trail) leaf(seq uint64) ([32]byte, bool) {
	if seq <= t.base {
		return [32]byte{}, false
	}
	rec, ok := t.record(seq - t.base - 1)
	return [32]byte(rec[:32]), ok
}

// root gives the root over the first size statements.
func (t *trail) root(size uint64) ([32]byte, bool) {
	switch {
	case size < t.base:
		return [32]byte{}, false
	case size == t.base+t.count && t.tree != nil:
		return t.tree.Root(), true
	}
	rec, ok := t.record(size - t.base)
	return [32]byte(rec[32:]), ok
}

func (t *trail) close() {
	if t.f != nil {
		_ = t.f.Close() // nobody needs it any more
	}
}
