package journal

import (
	"bytes"
	"testing"

	"karaula/internal/problem"
)

// A number that is forgotten is in no file any more, what waits is, and the
// ledger goes on where it was.
func TestForget(t *testing.T) {
	t.Parallel()
	file := path(t)
	j := mustOpen(t, file)
	entries := batch(t, j, 5)
	mustAppend(t, j, entries)
	if err := j.Confirm(3, 0); err != nil {
		t.Fatal(err)
	}
	before := j.State()
	if err := j.Forget(4); !problem.Is(err, problem.Conflict) {
		t.Errorf("what waits was forgotten: %v", err)
	}
	for range 2 {
		if err := j.Forget(2); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(n int) bool { return bytes.Contains(mustRead(t, file), entries[n-1].Envelope) }
	if holds(1) || holds(2) || holds(3) || !holds(4) || !holds(5) {
		t.Error("the file holds other numbers than 4 and 5")
	}
	mustClose(t, j)
	j = mustOpen(t, file)
	if after := j.State(); after.Tree.Root() != before.Tree.Root() || len(j.Pending()) != 2 || j.Confirmed() != 3 {
		t.Errorf("after a start %d statements, %d wait", after.Tree.Size(), len(j.Pending()))
	}
	mustAppend(t, j, batch(t, j, 1))
}
