// Package ledger names ledgers and computes their roots: the append-only
// Merkle tree (RFC 6962) over what one origin says on one channel.
//
// A [Tree] keeps only its right edge, at most 64 hashes, which is enough to
// add the next leaf and to compute the root. All arithmetic is that of
// golang.org/x/mod/sumdb/tlog. Leaf n-1 is the RFC 6962 hash of statement n's
// exact bytes, so statement n carries the root of the tree of size n-1.
//
// It follows docs/spec/ledger.md. It must never store statements, decide
// whether one is acceptable, or touch a disk.
package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// ID names a ledger: what one origin says on one channel in one mode.
type ID [32]byte

// String gives the id in lower-case hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// NewID computes the id of a ledger: SHA-256 over "karaula/ledger/v1",
// channel, origin and the mode's word ("actual"), each followed by a zero
// byte, and the digest of the channel's first agreement text. It stays the
// same when the agreement is amended.
func NewID(channel, origin string, mode karaulav1.Mode, firstAgreement [32]byte) ID {
	h := sha256.New()
	for _, s := range []string{"karaula/ledger/v1", channel, origin, terms.ModeWord(mode)} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	h.Write(firstAgreement[:])
	return ID(h.Sum(nil))
}

// MaxSize is the largest size of a tree.
const MaxSize = 1 << 62

// Tree is the right edge of a ledger's tree. The zero value is the empty tree.
// It is not safe for concurrent use.
type Tree struct {
	size uint64
	edge []tlog.Hash // complete subtrees, largest first: one per set bit of size
}

// Size is the number of leaves: the number of the last statement.
func (t *Tree) Size() uint64 { return t.size }

// Append adds a leaf, the RFC 6962 hash of a statement's bytes.
func (t *Tree) Append(leaf [32]byte) { t.add(leaf) }

// add does so and gives all hashes that are complete with it, from the leaf up.
func (t *Tree) add(leaf [32]byte) []tlog.Hash {
	if t.size >= MaxSize {
		panic("ledger: tree is full")
	}
	hashes, err := tlog.StoredHashesForRecordHash(int64(t.size), leaf, t.reader())
	if err != nil {
		panic("ledger: " + err.Error()) // the edge always holds what the new leaf completes
	}
	done := len(hashes) - 1
	t.edge = append(t.edge[:len(t.edge)-done], hashes[done])
	t.size++
	return hashes
}

// Root is the RFC 6962 tree hash; of the empty tree, SHA-256 of nothing.
func (t *Tree) Root() [32]byte {
	root, err := tlog.TreeHash(int64(t.size), t.reader()) //nolint:gosec // at most MaxSize
	if err != nil {
		panic("ledger: " + err.Error()) // the edge is exactly what the root is made of
	}
	return root
}

// Frontier gives the hashes of the right edge, largest subtree first: one for
// each set bit of the size.
func (t *Tree) Frontier() [][32]byte {
	out := make([][32]byte, len(t.edge))
	for i, h := range t.edge {
		out[i] = h
	}
	return out
}

// Clone gives an independent copy.
func (t *Tree) Clone() *Tree { return &Tree{size: t.size, edge: slices.Clone(t.edge)} }

// FromFrontier rebuilds a tree from its right edge, as [Tree.Frontier] gives
// it. The edge needs no trust: it must hash to wantRoot. Size and root must
// both come from one signed statement (seq-1 and prev_root), because a root
// alone does not name its size. Anything else is a problem of kind
// Verification.
func FromFrontier(size uint64, hashes [][32]byte, wantRoot [32]byte) (*Tree, error) {
	t, err := FromEdge(size, hashes)
	if err != nil {
		return nil, err
	}
	if t.Root() != wantRoot {
		return nil, problem.New(problem.Verification,
			"the right edge of %d statements does not give the expected root", size)
	}
	return t, nil
}

// FromEdge is [FromFrontier] for an edge from the node's own journal, which
// is compared with a signed root only later. It checks the number of hashes.
func FromEdge(size uint64, hashes [][32]byte) (*Tree, error) {
	if size > MaxSize {
		return nil, problem.New(problem.Verification, "a ledger of %d statements is beyond the limit of the format", size)
	}
	if want := bits.OnesCount64(size); len(hashes) != want {
		return nil, problem.New(problem.Verification,
			"a ledger of %d statements has a right edge of %d hashes, %d were given", size, want, len(hashes))
	}
	t := &Tree{size: size, edge: make([]tlog.Hash, len(hashes))}
	for i, h := range hashes {
		t.edge[i] = h
	}
	return t, nil
}

// EmptyRoot is the root of a ledger in which nothing was said.
func EmptyRoot() [32]byte { return sha256.Sum256(nil) }

// reader gives tlog the stored hashes that the edge holds: at level l, if that
// bit of the size is set, the subtree numbered (size>>l)-1.
func (t *Tree) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, 0, len(indexes))
		for _, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			if t.size>>level&1 == 0 || uint64(n) != t.size>>level-1 { //nolint:gosec // tlog's indexes are not negative
				return nil, problem.New(problem.Failed, "hash %d of level %d is not on the right edge", n, level)
			}
			out = append(out, t.edge[bits.OnesCount64(t.size>>level)-1])
		}
		return out, nil
	})
}
