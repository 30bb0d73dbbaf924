package erase_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"karaula/gateway/erase"
	"karaula/internal/border"
)

// walk is the list as plainly as it can be said: every question walks everything.
type walk map[border.Position]*walked

type walked struct {
	erase.Item
	copies  []uint64
	holds   bool
	ordered [][32]byte
	at      int64
}

func (w walk) entry(at border.Position) *walked {
	if w[at] == nil {
		w[at] = &walked{Item: erase.Item{Position: at}}
	}
	return w[at]
}

func (e *walked) due() (int64, bool) {
	switch {
	case len(e.copies) > 0 && e.at > 0, e.holds && slices.Contains(e.ordered, e.Leaf):
		return 0, true
	default:
		return e.Due, e.holds || len(e.copies) > 0
	}
}

func (w walk) hold(it erase.Item) {
	if e := w.entry(it.Position); e.at == 0 {
		e.Item, e.holds = it, true
	}
}

func (w walk) gone(place border.Position, leaf [32]byte, at int64) {
	e := w.entry(place)
	e.Leaf, e.holds, e.at = leaf, false, max(at, 1)
}

func (w walk) copied(place border.Position, leaf [32]byte, streamSeq uint64) {
	if e := w[place]; e != nil && e.Leaf == leaf && !slices.Contains(e.copies, streamSeq) {
		e.copies = append(e.copies, streamSeq)
	}
}

func (w walk) order(place border.Position, leaf [32]byte) {
	e := w.entry(place)
	e.ordered = append(e.ordered, leaf)
}

func (w walk) drop(it erase.Item) *walked {
	e := w.entry(it.Position)
	e.holds = e.holds && e.StreamSeq != it.StreamSeq
	e.copies = slices.DeleteFunc(e.copies, func(seq uint64) bool { return seq == it.StreamSeq })
	return e
}

func (w walk) done(it erase.Item, at int64) (first bool) {
	e := w.drop(it)
	if e.at != 0 {
		return false
	}
	e.at = max(at, 1)
	return true
}

func (w walk) dueBy(now time.Time) []erase.Item {
	var out []erase.Item
	for _, e := range w {
		if due, is := e.due(); !is || due > now.UnixMicro() {
			continue
		}
		if e.holds {
			out = append(out, e.Item)
		}
		for _, seq := range e.copies {
			it := e.Item
			it.StreamSeq = seq
			out = append(out, it)
		}
	}
	inOrder(out)
	return out
}

func (w walk) holding() (n int) {
	for _, e := range w {
		if e.holds {
			n++
		}
	}
	return n
}

func inOrder(list []erase.Item) {
	slices.SortFunc(list, func(a, b erase.Item) int {
		return cmp.Or(cmp.Compare(a.StreamSeq, b.StreamSeq), cmp.Compare(a.Position.Seq, b.Position.Seq))
	})
}

// Whatever is entered in whatever order, with a clock that goes back, too, the list
// answers as the plain walk does.
func TestListAnswersAsAWalk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 40))
		l, w := erase.NewList(), walk{}
		for step := range 400 {
			place, lf := at(1+rng.Uint64N(12)), leaf(byte(rng.IntN(2)))
			seq := 1 + rng.Uint64N(30)
			it := erase.Item{Position: place, Leaf: lf, StreamSeq: seq, Due: now.Add(time.Duration(rng.IntN(100)) * time.Second).UnixMicro()}
			switch rng.IntN(9) {
			case 0, 1, 2:
				l.Hold(it)
				w.hold(it)
			case 3:
				l.Copy(place, lf, seq)
				w.copied(place, lf, seq)
			case 4:
				l.Order(place, lf)
				w.order(place, lf)
			case 5:
				l.Drop(it)
				w.drop(it)
			case 6:
				if rng.IntN(4) == 0 {
					l.Gone(place, lf, int64(step))
					w.gone(place, lf, int64(step))
				}
			default:
				when := now.Add(time.Duration(rng.IntN(110)-5) * time.Second)
				want := w.dueBy(when)
				all := l.Due(when, 1000)
				if !slices.IsSortedFunc(all, func(a, b erase.Item) int { return cmp.Compare(a.StreamSeq, b.StreamSeq) }) {
					t.Fatalf("seed %d, step %d: not in the order of the stream: %v", seed, step, all)
				}
				inOrder(all)
				if !slices.Equal(all, want) {
					t.Fatalf("seed %d, step %d: due %v, want %v", seed, step, all, want)
				}
				if l.Urgent() != (len(want) > 0) {
					t.Fatalf("seed %d, step %d: urgent %v, %d are due", seed, step, l.Urgent(), len(want))
				}
				for _, it := range l.Due(when, rng.IntN(4)) {
					if first := l.Done(it, int64(step)); first != w.done(it, int64(step)) {
						t.Fatalf("seed %d, step %d: first %v", seed, step, first)
					}
				}
			}
			if l.Holding() != w.holding() {
				t.Fatalf("seed %d, step %d: %d are there, want %d", seed, step, l.Holding(), w.holding())
			}
		}
	}
}

// fill makes a list and a walk of n statements that all come to their end at once.
func fill(n int) (*erase.List, walk) {
	l, w := erase.NewList(), walk{}
	for i := range n {
		it := erase.Item{Position: at(uint64(i + 1)), Leaf: leaf(1), StreamSeq: uint64(i + 1), Due: now.UnixMicro()} //nolint:gosec // counts
		l.Hold(it)
		w.hold(it)
	}
	return l, w
}

// BenchmarkErasingAll takes everything out that comes due at once, in batches of
// 1,000 as the gateway does. It reports, from one run, how many times longer ten
// times as much takes (10: in proportion, 100: by its square), for the list and
// for the plain walk.
func BenchmarkErasingAll(b *testing.B) {
	const few, many = 10_000, 100_000
	var list, plain [2]time.Duration
	for b.Loop() {
		for i, n := range []int{few, many} {
			l, w := fill(n)
			begin := time.Now()
			for items := l.Due(now, 1000); len(items) > 0; items = l.Due(now, 1000) {
				for _, it := range items {
					l.Done(it, 1)
				}
			}
			list[i] += time.Since(begin)
			begin = time.Now()
			for items := w.dueBy(now); len(items) > 0; items = w.dueBy(now) {
				for _, it := range items[:min(len(items), 1000)] {
					w.done(it, 1)
				}
			}
			plain[i] += time.Since(begin)
			if l.Holding() != 0 || w.holding() != 0 {
				b.Fatal("something is left")
			}
		}
	}
	b.ReportMetric(float64(list[1])/float64(list[0]), "list-x10")
	b.ReportMetric(float64(plain[1])/float64(plain[0]), "walk-x10")
	b.ReportMetric(float64(plain[1])/float64(list[1]), "walk/list")
	b.ReportMetric(float64(list[1].Milliseconds())/float64(b.N), "ms/100000")
}
