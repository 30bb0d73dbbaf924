package ledger_test

import (
	"math/bits"
	"testing"

	"karaula/internal/ledger"
)

// FuzzFromFrontier wants a right edge that somebody gives to be taken only if it
// gives the root, and then to give itself back and to go on.
func FuzzFromFrontier(f *testing.F) {
	var tree ledger.Tree
	for n := range 12 {
		edge, root := join(tree.Frontier()), tree.Root()
		f.Add(uint64(n), edge, root[:])   //nolint:gosec // not negative
		f.Add(uint64(n+1), edge, root[:]) //nolint:gosec // not negative
		tree.Append(leaf(byte(n)))
	}
	f.Add(uint64(1)<<62+1, make([]byte, 64), make([]byte, 32))
	f.Add(^uint64(0), make([]byte, 64*32), make([]byte, 32))
	f.Fuzz(func(t *testing.T, size uint64, hashes, root []byte) {
		var edge [][32]byte
		for ; len(hashes) >= 32; hashes = hashes[32:] {
			edge = append(edge, [32]byte(hashes[:32]))
		}
		var want [32]byte
		copy(want[:], root)
		got, err := ledger.FromFrontier(size, edge, want)
		if err != nil {
			return
		}
		if got.Size() != size || got.Root() != want || len(edge) != bits.OnesCount64(size) || join(got.Frontier()) == nil && size > 0 ||
			string(join(got.Frontier())) != string(join(edge)) {
			t.Fatalf("a tree of %d is taken for one of %d", got.Size(), size)
		}
		if size < ledger.MaxSize {
			got.Append(leaf(1))
			if got.Size() != size+1 {
				t.Fatal("it does not go on")
			}
		}
	})
}

func join(edge [][32]byte) []byte {
	var all []byte
	for _, h := range edge {
		all = append(all, h[:]...)
	}
	return all
}
