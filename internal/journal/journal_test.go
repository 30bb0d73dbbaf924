package journal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/ledger"
	"karaula/internal/problem"
)

// same reports whether two states are the same place.
func same(a, b State) bool {
	return a.Ledger == b.Ledger && a.Channel == b.Channel && a.Epoch == b.Epoch && a.SaidAt == b.SaidAt &&
		a.Offset == b.Offset && a.Tree.Size() == b.Tree.Size() && a.Tree.Root() == b.Tree.Root()
}

// TestWhatWasSignedIsThereAgain: after closing and opening, state and pending
// envelopes are what they were, byte for byte.
func TestWhatWasSignedIsThereAgain(t *testing.T) {
	t.Parallel()
	file := path(t)
	j := mustOpen(t, file)
	if s := j.State(); s.Tree.Size() != 0 || s.Tree.Root() != ledger.EmptyRoot() || len(j.Pending()) != 0 {
		t.Fatalf("a fresh journal is at %d", s.Tree.Size())
	}
	for _, n := range []int{1, 3, 2} {
		mustAppend(t, j, batch(t, j, n))
	}
	if err := j.Confirm(2, 5000); err != nil {
		t.Fatal(err)
	}
	state, pending := j.State(), j.Pending()
	mustClose(t, j)

	again := mustOpen(t, file)
	if !same(again.State(), state) || again.State().Tree.Size() != 6 || again.State().Offset != 5000 {
		t.Errorf("the state is %+v, was %+v", again.State(), state)
	}
	if diff := cmp.Diff(pending, again.Pending()); diff != "" || len(pending) != 4 || again.Confirmed() != 2 {
		t.Errorf("other envelopes are pending (%d):\n%s", len(pending), diff)
	}
	mustAppend(t, again, batch(t, again, 1))
	if again.State().Tree.Size() != 7 {
		t.Error("it does not go on")
	}
}

// TestConfirmIsLearntAgain: without Close the last confirmations may be
// forgotten, never invented; what is pending then is published again.
func TestConfirmIsLearntAgain(t *testing.T) {
	t.Parallel()
	file := path(t)
	j := mustOpen(t, file)
	mustAppend(t, j, batch(t, j, 3))
	if err := j.Confirm(2, 0); err != nil {
		t.Fatal(err)
	}
	copied := path(t)
	mustWrite(t, copied, mustRead(t, file)) // as a crash would leave it
	after := mustOpen(t, copied)
	if got := after.Confirmed(); got > 2 || after.State().Tree.Size() != 3 || len(after.Pending()) != 3-int(got) {
		t.Errorf("%d are confirmed and %d pending", got, len(after.Pending()))
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, path(t))
	mustAppend(t, j, batch(t, j, 2))
	before, size := j.State(), j.size
	good := batch(t, j, 2)
	elsewhere := func(change func(s *State)) []Entry {
		s := j.State()
		change(&s)
		return follow(t, s, 1, 1)
	}
	with := func(change func(e *Entry)) []Entry {
		e := good[0]
		change(&e)
		return []Entry{e}
	}
	other := &ledger.Tree{}
	other.Append([32]byte{9})
	other.Append([32]byte{9})
	for _, tc := range []struct {
		name    string
		entries []Entry
		want    problem.Kind
	}{
		{"a gap", good[1:], problem.Conflict},
		{"a number twice", append(good[:1:1], good[0]), problem.Conflict},
		{"a number that was used", follow(t, place(), 1, 1), problem.Conflict},
		{"another number than its statement's", with(func(e *Entry) { e.Seq++ }), problem.Conflict},
		{"another leaf", with(func(e *Entry) { e.Leaf[0] ^= 1 }), problem.Invalid},
		{"no envelope", with(func(e *Entry) { e.Envelope = []byte("x") }), problem.Invalid},
		{"no token", with(func(e *Entry) { e.Token = "" }), problem.Invalid},
		{"a token that is no token", with(func(e *Entry) { e.Token = "a.b" }), problem.Invalid},
		{"another ledger", elsewhere(func(s *State) { s.Ledger[0] ^= 1 }), problem.Conflict},
		{"another channel", elsewhere(func(s *State) { s.Channel = "b02-al-xk" }), problem.Conflict},
		{"another epoch", elsewhere(func(s *State) { s.Epoch++ }), problem.Conflict},
		{"another history", elsewhere(func(s *State) { s.Tree = other }), problem.Conflict},
		{"said before", elsewhere(func(s *State) { s.SaidAt -= 10 }), problem.Conflict},
	} {
		if err := j.Append(tc.entries); !problem.Is(err, tc.want) {
			t.Errorf("%s: got %v, want a problem of kind %s", tc.name, err, tc.want)
		}
	}
	if !same(j.State(), before) || j.size != size {
		t.Error("a refused batch has left something behind")
	}
	if err := j.Append(nil); err != nil || j.size != size {
		t.Errorf("nothing to append: %v", err)
	}
	mustAppend(t, j, good) // refusals do not stop it
}

func TestConfirmRefuses(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, path(t))
	mustAppend(t, j, batch(t, j, 3))
	if err := j.Confirm(4, 0); !problem.Is(err, problem.Conflict) || problem.HintOf(err) == "" {
		t.Errorf("a number that was never signed: got %v", err)
	}
	if err := j.Confirm(3, 0); err != nil {
		t.Fatal(err)
	}
	if err := j.Confirm(1, 7); err != nil || j.Confirmed() != 3 || j.State().Offset != 0 {
		t.Errorf("a late confirmation changed something: %d, %v", j.Confirmed(), err)
	}
}

// TestStateIsACopy: what a caller does to the state does not reach the journal.
func TestStateIsACopy(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, path(t))
	j.State().Tree.Append([32]byte{1})
	if j.State().Tree.Size() != 0 {
		t.Error("the journal's tree has grown")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	file := path(t)
	j := mustOpen(t, file)
	if _, err := Open(file, place()); !problem.Is(err, problem.Conflict) {
		t.Errorf("a second opener: got %v, want a conflict", err)
	}
	mustClose(t, j)
	for name, change := range map[string]func(s *State){
		"another ledger":  func(s *State) { s.Ledger[0] ^= 1 },
		"another channel": func(s *State) { s.Channel = "b02-al-xk" },
		"a later epoch":   func(s *State) { s.Epoch = 2 },
	} {
		want := place()
		change(&want)
		if _, err := Open(file, want); !problem.Is(err, problem.Conflict) {
			t.Errorf("%s: got %v, want a conflict", name, err)
		}
	}
	if _, err := Open(path(t), State{}); !problem.Is(err, problem.Failed) {
		t.Errorf("a journal of nothing: got %v", err)
	}
	mustOpen(t, file) // a refused opener leaves no lock
}

// TestOpenAtAFrontier: a journal can begin in the middle of a ledger, as after
// a repair.
func TestOpenAtAFrontier(t *testing.T) {
	t.Parallel()
	start := place()
	start.Epoch, start.SaidAt, start.Offset = 3, 1_750_000_000_000_000, -2
	for i := range byte(5) {
		start.Tree.Append([32]byte{i})
	}
	file := path(t)
	j, err := Open(file, start)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, batch(t, j, 2))
	want := j.State()
	mustClose(t, j)
	again := mustOpen(t, file) // epoch 1 was asked for, the file is further
	if !same(again.State(), want) || again.State().Tree.Size() != 7 ||
		again.Confirmed() != 5 || again.State().Offset != -2 {
		t.Errorf("the state is %+v, want %+v", again.State(), want)
	}
}

func TestOnlyTheOwnerReadsIt(t *testing.T) {
	t.Parallel()
	file := path(t)
	mustOpen(t, file)
	for name, want := range map[string]os.FileMode{file: 0o600, file + ".lock": 0o600, filepath.Dir(file): 0o700} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", name, info.Mode().Perm(), want, err)
		}
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, path(t))
	entries := batch(t, j, 1)
	mustClose(t, j)
	mustClose(t, j)
	if err := j.Append(entries); err == nil {
		t.Error("a closed journal takes a batch")
	}
	if err := j.Confirm(0, 1); err == nil {
		t.Error("a closed journal takes a confirmation")
	}
}

// TestBacklog: while the own broker confirms nothing, a journal does not grow
// beyond what could be read again.
func TestBacklog(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, path(t))
	j.size = backlogMax + 1
	if err := j.Append(batch(t, j, 1)); !problem.Is(err, problem.Unreachable) {
		t.Errorf("got %v, want it unreachable", err)
	}
}

func BenchmarkAppend100(b *testing.B) {
	j := mustOpen(b, path(b))
	for b.Loop() {
		b.StopTimer()
		entries := batch(b, j, 100)
		b.StartTimer()
		if err := j.Append(entries); err != nil {
			b.Fatal(err)
		}
		if err := j.Confirm(entries[99].Seq, 0); err != nil {
			b.Fatal(err)
		}
	}
}
