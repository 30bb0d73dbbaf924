package ledger_test

import (
	"fmt"
	"testing"

	"karaula/internal/ledger"
)

// A history gives every leaf and every tree that it reaches, over several marks,
// from the first leaf on, from later, and behind a gap; and nothing else.
func TestHistory(t *testing.T) {
	t.Parallel()
	const all = 700
	trees := []*ledger.Tree{{}}
	leaves := make([][32]byte, all+1)
	for n := 1; n <= all; n++ {
		leaves[n] = leaf(fmt.Appendf(nil, "statement %d", n)...)
		next := trees[n-1].Clone()
		next.Append(leaves[n])
		trees = append(trees, next)
	}
	type span struct{ from, to int } // numbers
	for _, spans := range [][]span{
		{},
		{{1, all}},
		{{300, all}},
		{{all, all}},
		{{1, 3}, {4, 9}, {300, 557}, {600, all}},
	} {
		h, held := ledger.History{}, map[int]bool{}
		reached := map[int]bool{0: true}
		ordinals := map[int]int{}
		for _, s := range spans {
			h.GoOnBehind(trees[s.from-1])
			reached[s.from-1] = true
			for n := s.from; n <= s.to; n++ {
				h.Append(leaves[n])
				ordinals[n] = len(held)
				held[n], reached[n] = true, true
			}
		}
		if n := len(spans); n > 0 && h.Size() != uint64(spans[n-1].to) || n == 0 && h.Size() != 0 {
			t.Errorf("%v: ends at %d", spans, h.Size())
		}
		if h.Held() != len(held) {
			t.Errorf("%v: holds %d leaves, want %d", spans, h.Held(), len(held))
		}
		for n := 0; n <= all+1; n++ {
			got, ok := h.Leaf(uint64(n))
			if ok != held[n] || ok && got != leaves[n] {
				t.Fatalf("%v: leaf %d: %v", spans, n, ok)
			}
			if at, ok := h.Ordinal(uint64(n)); ok != held[n] || ok && at != ordinals[n] {
				t.Fatalf("%v: ordinal of %d is %d (%v)", spans, n, at, ok)
			}
			tree, ok := h.Tree(uint64(n))
			if ok != reached[n] || ok && (tree.Size() != uint64(n) || tree.Root() != trees[n].Root()) {
				t.Fatalf("%v: tree of %d: %v", spans, n, ok)
			}
		}
	}
}

// What a history gives out is a copy.
func TestHistoryGivesCopies(t *testing.T) {
	t.Parallel()
	var h ledger.History
	h.Append(leaf(1))
	one, _ := h.Tree(1)
	root := one.Root()
	one.Append(leaf(2))
	h.Append(leaf(3))
	if again, _ := h.Tree(1); again.Root() != root {
		t.Error("the history has changed with the tree that it gave")
	}
}
