package ledger

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sort"

	"golang.org/x/mod/sumdb/tlog"

	"karaula/internal/problem"
)

// Hashes is a file with all hashes of a tree, in the order of
// [tlog.StoredHashIndex], 32 bytes each: about 64 bytes a statement. It is
// enough to prove anything about any earlier size. It is a cache that needs no
// trust and no backup: whatever is proved with it must hash to a root that the
// origin has signed, and it is rebuilt from the statements when it is lost.
// It is not safe for concurrent use.
type Hashes struct {
	f       *os.File
	size    uint64 // statements
	flushed int64  // bytes in the file
	tail    []byte // behind them
}

const (
	hashSize  = tlog.HashSize
	tailBytes = 1 << 20
)

// OpenHashes opens the file of a tree, or makes it. What a crash has left half
// written is cut off.
func OpenHashes(path string) (*Hashes, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the stored hashes cannot be opened")
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(problem.Wrap(problem.Failed, err, "the stored hashes cannot be read"), f.Close())
	}
	h := &Hashes{f: f}
	// The largest tree of which all hashes are there.
	n := sort.Search(int(end/hashSize)+1, func(n int) bool { return stored(uint64(n)+1)*hashSize > end }) //nolint:gosec // not negative
	h.size, h.flushed = uint64(n), stored(uint64(n))*hashSize                                             //nolint:gosec // not negative
	return h, nil
}

// stored is how many hashes a tree of a size has.
func stored(size uint64) int64 { return tlog.StoredHashCount(int64(size)) } //nolint:gosec // at most MaxSize

// Size is the number of statements.
func (h *Hashes) Size() uint64 { return h.size }

// Close writes what is not written yet and closes the file.
func (h *Hashes) Close() error { return errors.Join(h.flush(), h.f.Close()) }

// Reset forgets everything: the file is not that of this ledger.
func (h *Hashes) Reset() error {
	h.size, h.flushed, h.tail = 0, 0, nil
	return h.f.Truncate(0)
}

// Append adds a leaf.
func (h *Hashes) Append(leaf [32]byte) error {
	hashes, err := tlog.StoredHashesForRecordHash(int64(h.size), leaf, h) //nolint:gosec // at most MaxSize
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the stored hashes cannot be read")
	}
	for i := range hashes {
		h.tail = append(h.tail, hashes[i][:]...)
	}
	h.size++
	if len(h.tail) < tailBytes {
		return nil
	}
	return h.flush()
}

func (h *Hashes) flush() error {
	n, err := h.f.WriteAt(h.tail, h.flushed)
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the stored hashes cannot be written")
	}
	h.flushed += int64(n)
	h.tail = h.tail[:0]
	return nil
}

// ReadHashes implements [tlog.HashReader].
func (h *Hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		at := index * hashSize
		switch {
		case at+hashSize <= h.flushed:
			if _, err := h.f.ReadAt(out[i][:], at); err != nil {
				return nil, problem.Wrap(problem.Failed, err, "the stored hashes cannot be read")
			}
		case at >= h.flushed && at-h.flushed+hashSize <= int64(len(h.tail)):
			copy(out[i][:], h.tail[at-h.flushed:])
		default:
			return nil, problem.Wrap(problem.Failed, fs.ErrNotExist, "hash %d is not stored", index)
		}
	}
	return out, nil
}

// reach refuses what is beyond the tree.
func (h *Hashes) reach(size uint64) error {
	if size > h.size {
		return problem.New(problem.NotFound, "the ledger has %d statements, not %d", h.size, size)
	}
	return nil
}

// Root is the root over the first size statements.
func (h *Hashes) Root(size uint64) ([32]byte, error) {
	if err := h.reach(size); err != nil || size == 0 {
		return EmptyRoot(), err
	}
	return tlog.TreeHash(int64(size), h) //nolint:gosec // at most MaxSize
}

// Edge is the right edge of the tree over the first size statements, as
// [Tree.Frontier] gives it.
func (h *Hashes) Edge(size uint64) ([][32]byte, error) {
	if err := h.reach(size); err != nil {
		return nil, err
	}
	var indexes []int64
	done := int64(0)
	for level := 62; level >= 0; level-- {
		if size>>level&1 == 1 {
			indexes = append(indexes, tlog.StoredHashIndex(level, done>>level))
			done += 1 << level
		}
	}
	return plain(h.ReadHashes(indexes))
}

// Inclusion proves statement seq under the root over the first size statements
// (RFC 6962, 2.1.1).
func (h *Hashes) Inclusion(seq, size uint64) ([][32]byte, error) {
	if seq == 0 || seq > size {
		return nil, problem.New(problem.Invalid, "number %d is not among the first %d", seq, size)
	}
	if err := h.reach(size); err != nil {
		return nil, err
	}
	return plain(tlog.ProveRecord(int64(size), int64(seq)-1, h)) //nolint:gosec // at most MaxSize
}

// Consistency proves that the first old statements of size are the first old
// (RFC 6962, 2.1.2).
func (h *Hashes) Consistency(old, size uint64) ([][32]byte, error) {
	if old == 0 || old > size {
		return nil, problem.New(problem.Invalid, "a tree of %d is not the beginning of one of %d", old, size)
	}
	if err := h.reach(size); err != nil {
		return nil, err
	}
	return plain(tlog.ProveTree(int64(size), int64(old), h)) //nolint:gosec // at most MaxSize
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
