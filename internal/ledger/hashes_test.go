package ledger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"karaula/internal/ledger"
)

func leafOf(n uint64) [32]byte { return tlog.RecordHash(fmt.Appendf(nil, "statement %d", n)) }

// fill opens a file of hashes and appends up to size.
func fill(t testing.TB, path string, size uint64) *ledger.Hashes {
	t.Helper()
	h, err := ledger.OpenHashes(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := h.Size() + 1; n <= size; n++ {
		if err := h.Append(leafOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// Every root, edge and proof of every size agrees with the tree that keeps its
// right edge only, and proves nothing else.
func TestHashesProveEverything(t *testing.T) {
	t.Parallel()
	const most = 40
	h := fill(t, filepath.Join(t.TempDir(), "hashes"), most)
	defer h.Close() //nolint:errcheck // a file of the test
	tree := &ledger.Tree{}
	roots := [][32]byte{tree.Root()}
	for size := uint64(1); size <= most; size++ {
		tree.Append(leafOf(size))
		roots = append(roots, tree.Root())
		root, err := h.Root(size)
		if err != nil || root != tree.Root() {
			t.Fatalf("root of %d differs: %v", size, err)
		}
		edge, err := h.Edge(size)
		if diff := cmp.Diff(tree.Frontier(), edge); err != nil || diff != "" {
			t.Fatalf("edge of %d: %v %s", size, err, diff)
		}
		for seq := uint64(1); seq <= size; seq++ {
			proof, err := h.Inclusion(seq, size)
			if err != nil || !ledger.CheckInclusion(proof, seq, size, leafOf(seq), root) {
				t.Fatalf("%d in %d is not proved: %v", seq, size, err)
			}
			if ledger.CheckInclusion(proof, seq, size, leafOf(seq+1), root) || ledger.CheckInclusion(proof, seq, size, leafOf(seq), roots[seq-1]) {
				t.Fatalf("%d in %d proves too much", seq, size)
			}
			proof, err = h.Consistency(seq, size)
			if err != nil || !ledger.CheckConsistency(proof, seq, size, roots[seq], root) {
				t.Fatalf("%d before %d is not proved: %v", seq, size, err)
			}
			if ledger.CheckConsistency(proof, seq, size, roots[seq-1], root) {
				t.Fatalf("%d before %d proves too much", seq, size)
			}
		}
	}
	if _, err := h.Root(most + 1); err == nil {
		t.Error("there is a root beyond the end")
	}
	if ledger.CheckInclusion(nil, 0, 0, leafOf(1), roots[0]) || ledger.CheckConsistency(nil, 0, 1, roots[0], roots[1]) {
		t.Error("nothing is proved by nothing")
	}
}

// A file that was cut anywhere is opened at a size of which all is there, and
// goes on to the same roots.
func TestHashesGoOnAfterACut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hashes")
	if err := fill(t, path, 21).Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut <= len(whole); cut += 7 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := fill(t, path, 21).Close(); err != nil {
			t.Fatal(err)
		}
		again, err := os.ReadFile(path)
		if err != nil || string(again) != string(whole) {
			t.Fatalf("cut at %d: %d bytes instead of %d, %v", cut, len(again), len(whole), err)
		}
	}
}

// BenchmarkProof makes and checks a proof in a history of a million, of the
// worst size there is below it.
func BenchmarkProof(b *testing.B) {
	const size = 1<<20 - 1
	h := fill(b, filepath.Join(b.TempDir(), "hashes"), size)
	defer h.Close() //nolint:errcheck // a file of the test
	root, err := h.Root(size)
	if err != nil {
		b.Fatal(err)
	}
	bytes := 0
	for i := uint64(0); b.Loop(); i++ {
		seq := 1 + i*7919%size
		proof, err := h.Inclusion(seq, size)
		if err != nil || !ledger.CheckInclusion(proof, seq, size, leafOf(seq), root) {
			b.Fatal(err)
		}
		bytes = max(bytes, 32*len(proof))
		if proof, err = h.Consistency(seq, size); err != nil {
			b.Fatal(err)
		}
		bytes = max(bytes, 32*len(proof))
	}
	b.ReportMetric(float64(bytes), "bytes/proof")
}
