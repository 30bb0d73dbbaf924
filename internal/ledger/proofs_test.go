package ledger_test

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"karaula/internal/ledger"
	"karaula/internal/problem"
)

func leafOf(n uint64) [32]byte { return tlog.RecordHash(fmt.Appendf(nil, "statement %d", n)) }

// fill makes a history of the numbers from first to size.
func fill(first, size uint64) *ledger.History {
	before, h := &ledger.Tree{}, &ledger.History{}
	for n := uint64(1); n < first; n++ {
		before.Append(leafOf(n))
	}
	h.GoOnBehind(before)
	for n := first; n <= size; n++ {
		h.Append(leafOf(n))
	}
	return h
}

// sizes to which proofs go: all small ones, and those around where inner hashes are kept.
func sizes(most uint64) (out []uint64) {
	for n := uint64(1); n <= most; n++ {
		if n <= 40 || n%256 < 3 || n%256 > 253 || n == most {
			out = append(out, n)
		}
	}
	return out
}

// Every proof to every size leads to the root of the tree that keeps its right edge
// only, and proves nothing else.
func TestAHistoryProvesEverything(t *testing.T) {
	t.Parallel()
	const most = 1100
	h, tree := fill(1, most), &ledger.Tree{}
	roots := [][32]byte{tree.Root()}
	for n := uint64(1); n <= most; n++ {
		tree.Append(leafOf(n))
		roots = append(roots, tree.Root())
	}
	for _, size := range sizes(most) {
		root := roots[size]
		for _, seq := range sizes(size) {
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
	if _, err := h.Inclusion(1, most+1); !problem.Is(err, problem.NotFound) {
		t.Errorf("beyond the end: %v", err)
	}
	if _, err := h.Inclusion(most+1, most); !problem.Is(err, problem.Invalid) {
		t.Errorf("not among them: %v", err)
	}
	if ledger.CheckInclusion(nil, 0, 0, leafOf(1), roots[0]) || ledger.CheckConsistency(nil, 0, 1, roots[0], roots[1]) {
		t.Error("nothing is proved by nothing")
	}
}

// A history that begins later proves all that it holds, and says what it lacks for the rest.
func TestAHistoryThatBeginsLaterProvesWhatItHolds(t *testing.T) {
	t.Parallel()
	const most = 1100
	tree := &ledger.Tree{}
	for n := uint64(1); n <= most; n++ {
		tree.Append(leafOf(n))
	}
	for _, first := range []uint64{2, 3, 100, 255, 256, 257, 258, 500, 513, 768, 1025, most} {
		h := fill(first, most)
		for _, seq := range sizes(most) {
			proof, err := h.Inclusion(seq, most)
			switch {
			case seq >= first:
				if err != nil || !ledger.CheckInclusion(proof, seq, most, leafOf(seq), tree.Root()) {
					t.Fatalf("from %d on, %d is not proved: %v", first, seq, err)
				}
			case err == nil: // as when it is the whole left of the edge
				if !ledger.CheckInclusion(proof, seq, most, leafOf(seq), tree.Root()) {
					t.Fatalf("from %d on, %d is proved wrongly", first, seq)
				}
			case !problem.Is(err, problem.NotFound):
				t.Fatalf("from %d on, %d: %v", first, seq, err)
			}
		}
	}
}

// BenchmarkProof makes and checks a proof in a history of a million, of the
// worst size there is below it.
func BenchmarkProof(b *testing.B) {
	const size = 1<<20 - 1
	h := fill(1, size)
	t, _ := h.Tree(size)
	root, bytes := t.Root(), 0
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
