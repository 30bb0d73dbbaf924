package imports

import (
	"os"
	"slices"
	"strings"
	"testing"

	"karaula/internal/problem"
)

// A state that has lost what was in it sends nothing, however it was lost.
func TestStateThatWasLost(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(Counts{Rows: 2, New: 2}, nil, "1,a", "2,b")
	older, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	rows := []string{"1,a", "2,b", "3,c"}
	p.must(Counts{Rows: 3, New: 1, Unchanged: 2}, nil, rows...)
	newest, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) func() error {
		return func() error { return os.WriteFile(p.path, b, 0o600) }
	}
	for name, lose := range map[string]func() error{
		"removed":                 func() error { return os.Remove(p.path) },
		"emptied":                 write(nil),
		"cut behind its head":     write(newest[:recordSize]),
		"cut at a record":         write(newest[:2*recordSize]),
		"from an older copy":      write(older),
		"zeros instead of an end": write(append(slices.Clone(older), make([]byte, len(newest)-len(older))...)),
	} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the first try must not make the second one pass
			_, err := p.run(nil, rows...)
			if !problem.Is(err, problem.Verification) || !strings.HasSuffix(err.Error(), "nothing was sent") ||
				!strings.Contains(problem.HintOf(err), "--replace-unknown") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if p.node.made() != 3 {
			t.Fatalf("%s: %d alerts", name, p.node.made())
		}
	}
	if err := write(newest)(); err != nil {
		t.Fatal(err)
	}
	p.must(Counts{Rows: 3, Unchanged: 3}, nil, rows...)
}

// Cut anywhere, a state never makes a second alert that stands.
func TestStateThatWasCutAnywhere(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(Counts{Rows: 2, New: 2}, nil, "1,a", "2,b")
	p.must(Counts{Rows: 2, Updated: 1, Unchanged: 1}, nil, "1,a", "2,c")
	p.must(Counts{Rows: 1, Unchanged: 1, Withdrawn: 1}, withdraw, "1,a")
	p.must(Counts{Rows: 2, New: 1, Unchanged: 1}, nil, "1,a", "2,c")
	file, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	cuts := []int{0}
	for cut := recordSize; cut <= len(file); cut += recordSize / 2 {
		cuts = append(cuts, cut)
	}
	for _, cut := range cuts {
		if err := os.WriteFile(p.path, file[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p.run(nil, "1,a", "2,c"); err != nil {
			refused++
		}
		if got := p.node.standing(t); got["a"] != 1 || got["c"] != 1 || len(got) != 2 {
			t.Fatalf("cut at %d: %v stand", cut, got)
		}
	}
	if refused == 0 || refused == len(cuts) {
		t.Errorf("%d of %d cuts were refused", refused, len(cuts))
	}
}

// Where no copy is left, each row ends with one alert, also if it is killed on the
// way; while a row cannot be read, the alert that may be its only one stays.
func TestReplaceUnknown(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(Counts{Rows: 3, New: 3}, nil, "1,a", "2,b", "3,c")
	if err := os.Remove(p.path); err != nil {
		t.Fatal(err)
	}
	anew := func(o *Options) { o.ReplaceUnknown = true }
	if _, err := p.run(anew, "1,a", "2,refused", "3,c"); !problem.Is(err, problem.Conflict) {
		t.Errorf("with a bad row: %v", err)
	}
	if got := p.node.standing(t); got["b"] != 1 || p.node.made() != 5 {
		t.Errorf("with a bad row: %v stand", got)
	}
	p.node.dies(func() bool { return true })
	if _, err := p.run(anew, "1,a", "2,b", "3,c"); err == nil {
		t.Error("it was not killed")
	}
	p.node.dies(func() bool { return false })
	p.must(Counts{Rows: 3, New: 1, Unchanged: 2, Replaced: 3}, anew, "1,a", "2,b", "3,c")
	p.must(Counts{Rows: 3, Unchanged: 3}, nil, "1,a", "2,b", "3,c")
	if got := p.node.standing(t); got["a"] != 1 || got["b"] != 1 || got["c"] != 1 {
		t.Errorf("%v stand", got)
	}
}

// A register that has shrunk together with the loss is more likely a file that was cut
// short: alerts that are taken back by it must be allowed.
func TestReplaceUnknownByAFileThatIsCutShort(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(Counts{Rows: 4, New: 4}, nil, "1,a", "2,b", "3,c", "4,d")
	if err := os.Remove(p.path); err != nil {
		t.Fatal(err)
	}
	anew := func(o *Options) { o.ReplaceUnknown = true }
	for _, rows := range [][]string{nil, {"1,a"}} {
		if _, err := p.run(anew, rows...); !problem.Is(err, problem.Conflict) || !strings.Contains(problem.HintOf(err), "--withdraw-at-most") {
			t.Errorf("%d rows: %v", len(rows), err)
		}
		if got := p.node.standing(t); got["b"] != 1 || got["d"] != 1 {
			t.Errorf("%d rows: %v stand", len(rows), got)
		}
	}
	allowed := func(o *Options) { o.ReplaceUnknown, o.AtMost = true, 3 }
	p.must(Counts{Rows: 1, Unchanged: 1, Replaced: 4}, allowed, "1,a")
	if got := p.node.standing(t); len(got) != 1 || got["a"] != 1 {
		t.Errorf("%v stand", got)
	}
}

// What the state takes for said and the node has no more is counted.
func TestAlertsThatEnded(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must(Counts{Rows: 2, New: 2}, nil, "1,a", "2,b")
	before, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	p.must(Counts{Rows: 1, Unchanged: 1, Withdrawn: 1}, withdraw, "1,a")
	if err := os.WriteFile(p.path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	p.must(Counts{Rows: 2, Unchanged: 2, Ended: 1}, nil, "1,a", "2,b")
}
