package journal

import (
	"os"
	"path/filepath"
	"testing"

	"karaula/internal/problem"
)

// A file that was moved is itself, a copy of it is not, and signs nothing before
// it was rebuilt.
func TestACopyIsNotTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, moved, copied := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	j, err := Open(path, place())
	if err != nil {
		t.Fatal(err)
	}
	if fileID(j.lock) == nil {
		t.Skip("this file system tells no time of birth")
	}
	if err := j.Append(batch(t, j, 2)); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(copied, raw, 0o600)
	}
	if err == nil {
		err = os.Rename(path, moved)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{moved: false, copied: true} {
		j, err := Open(name, place())
		if err != nil {
			t.Fatal(err)
		}
		err = j.Append(batch(t, j, 1))
		if j.Copied() != want || want != problem.Is(err, problem.Verification) {
			t.Errorf("%s: copied %v, append: %v", name, j.Copied(), err)
		}
		st := j.State()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Rebuild(name, st, nil, name+".kept"); err != nil {
			t.Fatal(err)
		}
		again, err := Open(name, place())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Append(batch(t, again, 1)); again.Copied() || err != nil {
			t.Errorf("%s, rebuilt: copied %v, append: %v", name, again.Copied(), err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A journal in which nothing was signed is as good as none, wherever it comes from.
func TestACopyOfNothingIsNoCopy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	j, err := Open(path, place())
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path+"2", raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	j, err = Open(path+"2", place())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close() //nolint:errcheck // nothing is in it
	if j.Copied() {
		t.Error("it is a copy")
	}
}
