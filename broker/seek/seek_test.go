package seek

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, b, 0o600))
}

// in gives the needles that a search finds in a folder.
func in(t *testing.T, dir string, needles ...[]byte) []int {
	t.Helper()
	s, err := New(needles)
	must(t, err)
	found := map[int]bool{}
	must(t, s.Folder(t.Context(), dir, found))
	return slices.Sorted(maps.Keys(found))
}

// Whatever the place of a needle, also across the borders of what is looked at at once.
func TestFoundAtEveryPlace(t *testing.T) {
	t.Parallel()
	needle, other := random(64), random(64)
	s, err := New([][]byte{other, needle})
	must(t, err)
	file := random(2*window + 1000)
	places := []int{0, 1, len(file) - 64}
	for d := -66; d <= 18; d++ {
		places = append(places, window+d, 2*window-(Piece-1)+d)
	}
	for _, at := range places {
		b := slices.Clone(file)
		copy(b[at:], needle)
		for name, r := range map[string]io.Reader{"whole": bytes.NewReader(b), "in halves": iotest.HalfReader(bytes.NewReader(b))} {
			found := map[int]bool{}
			must(t, s.read(t.Context(), r, s.hunt(found)))
			if !found[1] || found[0] {
				t.Fatalf("at %d, %s: found %v", at, name, found)
			}
		}
	}
	found := map[int]bool{}
	must(t, s.read(t.Context(), bytes.NewReader(file), s.hunt(found)))
	if len(found) > 0 {
		t.Errorf("found %v where nothing is", found)
	}
}

// A single piece is enough, at any place and at the very border.
func TestOnePieceIsEnough(t *testing.T) {
	t.Parallel()
	needle := random(64)
	for i := 0; i < 64; i += Piece {
		for d := -2 * Piece; d <= 2*Piece; d++ {
			file := random(window + 100)
			copy(file[window+d:], needle[i:i+Piece])
			s, err := New([][]byte{needle})
			must(t, err)
			found := map[int]bool{}
			must(t, s.read(t.Context(), bytes.NewReader(file), s.hunt(found)))
			if !found[0] {
				t.Fatalf("piece %d at %d is not found", i/Piece, window+d)
			}
		}
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a", "1.blk"), needle[:Piece-1])
	if got := in(t, dir, needle); len(got) > 0 {
		t.Error("less than a piece is found")
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir, needles := t.TempDir(), [][]byte{random(64), random(64), random(64), random(16)}
	put(t, filepath.Join(dir, "msgs", "1.blk"), slices.Concat(random(100), needles[0], needles[3]))
	put(t, filepath.Join(dir, "msgs", "2.blk.tmp"), needles[2])
	put(t, filepath.Join(dir, "empty"), nil)
	if got := in(t, dir, needles...); !slices.Equal(got, []int{0, 2, 3}) {
		t.Errorf("found %v", got)
	}
	if got := in(t, dir, needles[2], needles[2]); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("of one needle twice: %v", got)
	}
}

// What cannot be read is no place where nothing is.
func TestWhatCannotBeReadIsNotAbsent(t *testing.T) {
	t.Parallel()
	s, err := New([][]byte{random(64)})
	must(t, err)
	fails := func(what, dir string) {
		t.Helper()
		if err := s.Folder(t.Context(), dir, map[int]bool{}); err == nil {
			t.Errorf("%s: nothing is wrong", what)
		}
	}
	fails("no folder", filepath.Join(t.TempDir(), "none"))
	linked := t.TempDir()
	put(t, filepath.Join(linked, "1.blk"), random(10))
	must(t, os.Symlink(filepath.Join(linked, "1.blk"), filepath.Join(linked, "2.blk")))
	fails("a link", linked)
	if os.Geteuid() != 0 {
		locked := t.TempDir()
		put(t, filepath.Join(locked, "1.blk"), random(10))
		must(t, os.Chmod(filepath.Join(locked, "1.blk"), 0))
		fails("a file without rights", locked)
	}
	disk := io.MultiReader(bytes.NewReader(random(100)), iotest.ErrReader(io.ErrClosedPipe))
	if err := s.read(t.Context(), disk, s.hunt(map[int]bool{})); err == nil {
		t.Error("a disk that fails: nothing is wrong")
	}
	if _, err := New([][]byte{random(Piece - 1)}); err == nil {
		t.Error("a needle too short to be sought is taken")
	}
}

// Whoever may choose what is sought and what lies there cannot have one place looked at
// more than once: what is found is not sought any more, by any of the needles that have it.
func TestWhatIsFoundIsNotSoughtAnyMore(t *testing.T) {
	t.Parallel()
	zero := make([]byte, 64)
	needles := [][]byte{zero, zero, slices.Concat(zero[:Piece], random(48)), random(64)}
	s, err := New(needles)
	must(t, err)
	if of := s.pieces[[Piece]byte(zero)]; !slices.Equal(of, []int{0, 1, 2}) {
		t.Errorf("a piece that is in three needles, four times in two of them, is listed for %v", of)
	}
	found := map[int]bool{}
	h := s.hunt(found)
	must(t, s.read(t.Context(), bytes.NewReader(make([]byte, 3*window)), h))
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("found %v", got)
	}
	if _, sought := h.left[[Piece]byte(zero)]; sought || h.old || h.vain >= refill {
		t.Error("it is sought on")
	}
	if len(h.left) != 7 || len(s.pieces) != 8 {
		t.Errorf("%d pieces are left of %d", len(h.left), len(s.pieces))
	}
	must(t, s.read(t.Context(), bytes.NewReader(needles[3]), h))
	if !found[3] {
		t.Error("another one is not found behind it")
	}
	same := 0
	for range 10 {
		if s.hunt(found).hash(zero) == h.hash(zero) {
			same++
		}
	}
	if same == 10 {
		t.Error("searches have one hash: what passes the filter can be foreseen")
	}
}

// What was not searched to its end because the time was over is not known.
func TestAnEndOfTimeIsNotAbsence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "1.blk"), random(100))
	s, err := New([][]byte{random(64)})
	must(t, err)
	over := errors.New("the time is over (invented)")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(over)
	if err := s.Folder(ctx, dir, map[int]bool{}); !errors.Is(err, over) {
		t.Error(err)
	}
	if err := s.read(ctx, bytes.NewReader(random(100)), s.hunt(map[int]bool{})); !errors.Is(err, over) {
		t.Error(err)
	}
}

// FuzzRead compares with a search for each piece by itself.
func FuzzRead(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789ABCDEF"), []byte("xx0123456789abcdefyy"), uint16(3))
	f.Add(random(64), random(300), uint16(100))
	f.Fuzz(func(t *testing.T, needle, file []byte, size uint16) {
		s, err := New([][]byte{needle})
		if (err != nil) != (len(needle) < Piece) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		s.buf = make([]byte, max(int(size), Piece))
		want := false
		for n := needle; len(n) >= Piece; n = n[Piece:] {
			want = want || bytes.Contains(file, n[:Piece])
		}
		found := map[int]bool{}
		must(t, s.read(t.Context(), bytes.NewReader(file), s.hunt(found)))
		if found[0] != want {
			t.Fatalf("found %v, want %v", found[0], want)
		}
	})
}

// BenchmarkRead searches random bytes, and what somebody could choose: bytes that hold a
// piece of all needles, such that begin like one and go on otherwise, and all pieces there are.
func BenchmarkRead(b *testing.B) {
	for _, what := range []string{"random", "one piece of all", "beginnings", "all pieces"} {
		b.Run(what, func(b *testing.B) {
			needles, shared := make([][]byte, 2000), random(Piece)
			for i := range needles {
				needles[i] = random(64)
				if what == "one piece of all" {
					copy(needles[i], shared)
				}
			}
			file := random(8 << 20)
			switch what {
			case "one piece of all":
				file = bytes.Repeat(shared, len(file)/Piece)
			case "beginnings":
				file = bytes.Repeat(needles[0][:8], len(file)/8)
			case "all pieces":
				copy(file, bytes.Join(needles, nil))
			}
			s, err := New(needles)
			must(b, err)
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				must(b, s.read(b.Context(), bytes.NewReader(file), s.hunt(map[int]bool{})))
			}
		})
	}
}
