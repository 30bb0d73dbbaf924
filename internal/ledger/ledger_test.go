package ledger_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"karaula/internal/ledger"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// naive is the recursive definition of RFC 6962, section 2.1.
func naive(leaves [][32]byte) [32]byte {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	left, right := naive(leaves[:k]), naive(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func leaf(b ...byte) [32]byte { return tlog.RecordHash(b) }

// TestCertificateTransparency: leaves and roots of the reference tree that the
// implementations of RFC 6962 share (certificate-transparency's tests).
func TestCertificateTransparency(t *testing.T) {
	t.Parallel()
	leaves := []string{
		"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
	}
	roots := []string{
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var tree ledger.Tree
	for i, l := range leaves {
		b, err := hex.DecodeString(l)
		if err != nil {
			t.Fatal(err)
		}
		tree.Append(leaf(b...))
		if root := tree.Root(); hex.EncodeToString(root[:]) != roots[i] {
			t.Errorf("root of size %d is %x, want %s", i+1, root, roots[i])
		}
	}
}

// TestTree: size by size the root is the recursive one, the edge is as long as
// the size has set bits, and the tree comes back from it.
func TestTree(t *testing.T) {
	t.Parallel()
	var tree ledger.Tree
	var leaves [][32]byte
	for n := range 200 {
		root := tree.Root()
		if root != naive(leaves) || tree.Size() != uint64(n) {
			t.Fatalf("size %d: root %x, want %x", tree.Size(), root, naive(leaves))
		}
		back, err := ledger.FromFrontier(tree.Size(), tree.Frontier(), root)
		if err != nil {
			t.Fatalf("size %d does not come back: %v", n, err)
		}
		l := leaf(byte(n), byte(n>>8))
		tree.Append(l)
		back.Append(l)
		if diff := cmp.Diff(tree.Frontier(), back.Frontier()); diff != "" {
			t.Fatalf("size %d goes on differently from its frontier:\n%s", n, diff)
		}
		leaves = append(leaves, l)
	}
	if tree.Root() == ledger.EmptyRoot() {
		t.Fatal("the full tree has the empty root")
	}
}

// TestCloneIsIndependent: what is added to one does not show in the other, in
// whatever order they grow.
func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		trees := []*ledger.Tree{{}}
		leaves := [][][32]byte{nil}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, len(trees)-1).Draw(t, "tree")
			if len(trees) < 5 && rapid.Bool().Draw(t, "clone") {
				trees = append(trees, trees[i].Clone())
				leaves = append(leaves, append([][32]byte(nil), leaves[i]...))
				continue
			}
			l := leaf(rapid.Byte().Draw(t, "leaf"))
			trees[i].Append(l)
			leaves[i] = append(leaves[i], l)
		}
		for i := range trees {
			if trees[i].Root() != naive(leaves[i]) {
				t.Fatalf("tree %d of size %d has the wrong root", i, trees[i].Size())
			}
		}
	})
}

func TestFromFrontierRefuses(t *testing.T) {
	t.Parallel()
	var tree ledger.Tree
	for i := range byte(6) {
		tree.Append(leaf(i))
	}
	good, root := tree.Frontier(), tree.Root()
	swapped := [][32]byte{good[1], good[0]}
	for _, tc := range []struct {
		name string
		size uint64
		edge [][32]byte
		root [32]byte
	}{
		{"too few hashes", 6, good[:1], root},
		{"too many hashes", 6, append(good[:2:2], good[0]), root},
		{"another order", 6, swapped, root},
		{"another root", 6, good, leaf(1)},
		{"the empty tree with another root", 0, nil, root},
		{"beyond the limit", 1 << 63, good[:1], root},
	} {
		if _, err := ledger.FromFrontier(tc.size, tc.edge, tc.root); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: got %v, want it refused", tc.name, err)
		}
	}
}

// TestRootDoesNotNameTheSize: two sizes with equally many bits have edges of
// the same form, so a root proves an edge only together with the size, which
// the same signed statement carries.
func TestRootDoesNotNameTheSize(t *testing.T) {
	t.Parallel()
	var tree ledger.Tree
	for i := range byte(6) {
		tree.Append(leaf(i))
	}
	five, err := ledger.FromFrontier(5, tree.Frontier(), tree.Root())
	if err != nil {
		t.Fatal(err)
	}
	for i := range byte(2) {
		five.Append(leaf(6 + i))
		tree.Append(leaf(6 + i))
	}
	if five.Root() == tree.Root() {
		t.Error("trees of different sizes went on to one root")
	}
}

// TestNewID: every ingredient counts, and none runs into the next.
func TestNewID(t *testing.T) {
	t.Parallel()
	const actual, exercise = karaulav1.Mode_MODE_ACTUAL, karaulav1.Mode_MODE_EXERCISE
	first := [32]byte{1}
	ids := map[ledger.ID]string{}
	for name, id := range map[string]ledger.ID{
		"plain":    ledger.NewID("b01-al-me", "al", actual, first),
		"channel":  ledger.NewID("b01-al-m", "al", actual, first),
		"origin":   ledger.NewID("b01-al-me", "me", actual, first),
		"mode":     ledger.NewID("b01-al-me", "al", exercise, first),
		"text":     ledger.NewID("b01-al-me", "al", actual, [32]byte{2}),
		"boundary": ledger.NewID("b01-al-mea", "l", actual, first),
	} {
		if other, ok := ids[id]; ok {
			t.Errorf("%s and %s have one id", name, other)
		}
		ids[id] = name
	}
	want := sha256.Sum256(append([]byte("karaula/ledger/v1\x00b01-al-me\x00al\x00actual\x00"), first[:]...))
	if got := ledger.NewID("b01-al-me", "al", actual, first); got != want || got.String() != hex.EncodeToString(want[:]) {
		t.Errorf("the id is %s, want %x", got, want)
	}
}

func BenchmarkAppendAndRoot(b *testing.B) {
	var tree ledger.Tree
	for b.Loop() {
		tree.Append(leaf(1))
		_ = tree.Root()
	}
}
