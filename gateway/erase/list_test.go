package erase_test

import (
	"testing"
	"time"

	"karaula/gateway/erase"
	"karaula/internal/border"
)

var now = time.Unix(2_000_000_000, 0)

func at(seq uint64) border.Position { return border.Position{Epoch: 1, Seq: seq} }

func leaf(n byte) [32]byte { return [32]byte{n} }

// item is number n, in message n, due after some seconds.
func item(n byte, after int64) erase.Item {
	return erase.Item{
		Position: at(uint64(n)), Leaf: leaf(n), StreamSeq: uint64(n), Due: now.Add(time.Duration(after) * time.Second).UnixMicro(),
	}
}

// due checks which messages are due, and has them done.
func due(t *testing.T, l *erase.List, when time.Time, want ...uint64) {
	t.Helper()
	got := l.Due(when, 100)
	if len(got) != len(want) {
		t.Errorf("due: %v, want messages %v", got, want)
		return
	}
	for i, it := range got {
		if it.StreamSeq != want[i] {
			t.Errorf("due: %v, want messages %v", got, want)
		}
		l.Done(it, when.UnixMicro())
	}
}

func TestWhatIsDue(t *testing.T) {
	t.Parallel()
	l := erase.NewList()
	for n := byte(1); n <= 5; n++ {
		l.Hold(item(n, int64(n)*10))
	}
	due(t, l, now)
	due(t, l, now.Add(20*time.Second), 1, 2)
	due(t, l, now.Add(20*time.Second))
	l.Order(at(4), leaf(9)) // another statement than is there
	l.Order(at(7), leaf(7)) // that is entered later
	due(t, l, now)
	l.Order(at(4), leaf(4))
	l.Order(at(4), leaf(4))
	l.Hold(item(7, 1000))
	if !l.Urgent() {
		t.Error("an order is not urgent")
	}
	if first := l.Due(now, 1); len(first) != 1 || first[0].StreamSeq != 4 {
		t.Errorf("the first one: %v", first)
	}
	due(t, l, now, 4, 7)
	if l.Due(now, 100) != nil || l.Urgent() {
		t.Error("something is left")
	}
	if l.Holding() != 2 {
		t.Errorf("%d contents are there", l.Holding())
	}
	due(t, l, now.Add(time.Hour), 3, 5)
}

// A copy of what is there waits with it; one of what is erased, does not wait. One
// of another statement is none.
func TestCopies(t *testing.T) {
	t.Parallel()
	l := erase.NewList()
	l.Hold(item(1, 10))
	l.Gone(at(2), leaf(2), now.UnixMicro())
	l.Copy(at(1), leaf(1), 11)
	l.Copy(at(1), leaf(8), 12)
	l.Copy(at(9), leaf(9), 13)
	due(t, l, now)
	l.Copy(at(2), leaf(2), 14)
	due(t, l, now, 14)
	due(t, l, now.Add(time.Minute), 1, 11)
	l.Hold(item(2, -5)) // erased stays erased
	if got, ok := l.Erased(at(2)); !ok || got != leaf(2) || l.Holding() != 0 {
		t.Error("what was erased is there again")
	}
	l.Hold(item(3, -5))
	for _, it := range l.Due(now, 100) {
		l.Drop(it)
	}
	if l.Due(now, 100) != nil {
		t.Error("what was dropped is due")
	}
}
