package index_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/index"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// record makes the record of an invented vehicle.
func record(x *index.Index, n byte) *karaulav1.IndexRecord {
	return x.Record([32]byte{1}, [32]byte{n, 1}, 1<<60, &karaulav1.Inner{
		AlertId: bytes.Repeat([]byte{n}, 16), Version: 1, Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE,
		Content: &karaulav1.Inner_Alert{Alert: &karaulav1.Alert{
			Lifecycle: karaulav1.Lifecycle_LIFECYCLE_CREATE, Urgency: karaulav1.Urgency_URGENCY_URGENT, ReplyDue: 7,
			Details: &karaulav1.Alert_Vehicle{Vehicle: &karaulav1.Vehicle{
				Plates: []*karaulav1.Plate{{Number: "ZZ 000 TEST", Country: "AL"}},
			}},
		}},
	})
}

// TestReviewBeforeTheClauseEndsIt: who is to review must be told while there is
// something to review.
func TestReviewBeforeTheClauseEndsIt(t *testing.T) {
	t.Parallel()
	x := index.New(index.NewHasher(make([]byte, 32)))
	said := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	end := said.AddDate(1, 0, 0) // the type would live for five years
	r := x.Record([32]byte{1}, [32]byte{2}, end.UnixMicro(), &karaulav1.Inner{
		AlertId: bytes.Repeat([]byte{1}, 16), Version: 1, SaidAt: said.UnixMicro(),
		Content: &karaulav1.Inner_Alert{Alert: &karaulav1.Alert{
			Details: &karaulav1.Alert_Vehicle{Vehicle: &karaulav1.Vehicle{}},
		}},
	})
	if got, want := r.GetReviewDue(), end.AddDate(0, -4, 0).UnixMicro(); got != want {
		t.Errorf("review is due %v, want %v", time.UnixMicro(got).UTC(), time.UnixMicro(want).UTC())
	}
}

func open(t testing.TB, path string, key []byte) *index.File {
	t.Helper()
	f, err := index.OpenFile(path, key)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// kept counts the first records that a file still has, and fails at a gap.
func kept(t *testing.T, f *index.File, x *index.Index, n byte) (whole int) {
	t.Helper()
	defer f.Recall()()
	gone := false
	for i := range n {
		r, ok := f.Known([32]byte{i, 1})
		switch {
		case !ok:
			gone = true
		case gone:
			t.Errorf("record %d is there, one before it is not", i)
		case !proto.Equal(r, record(x, i)):
			t.Errorf("record %d is another: %v", i, r)
		default:
			whole++
		}
	}
	return whole
}

func TestFileComesBack(t *testing.T) {
	t.Parallel()
	path, x := filepath.Join(t.TempDir(), "index"), newIndex()
	for i := range byte(3) { // three lives of a node
		f := open(t, path, key)
		f.Add(record(x, i))
		if got := kept(t, f, x, i+1); got != int(i)+1 {
			t.Errorf("%d records in life %d", got, i)
		}
		f.Add(record(x, i)) // what is read back again
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if raw, err := os.ReadFile(path); err != nil || bytes.Contains(raw, []byte("TEST")) {
		t.Errorf("%v, or a value stands in the file", err)
	}
	if _, ok := open(t, path, key).Known([32]byte{0, 1}); ok {
		t.Error("known without a read-back")
	}
}

// TestFileDamage cuts the file at every byte and flips every byte: what is whole
// before the damage is there, nothing is wrong, and the file goes on.
func TestFileDamage(t *testing.T) {
	t.Parallel()
	dir, x := t.TempDir(), newIndex()
	whole := filepath.Join(dir, "whole")
	for i := range byte(3) {
		f := open(t, whole, key)
		f.Add(record(x, i))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	try := func(name string, damaged []byte) {
		path := filepath.Join(dir, "damaged")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		f := open(t, path, key)
		before := kept(t, f, x, 3)
		for i := range byte(3) {
			f.Add(record(x, i))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = open(t, path, key)
		defer f.Close() //nolint:errcheck // a test
		if after := kept(t, f, x, 3); before > 3 || after < 3 {
			t.Errorf("%s: %d records, %d after mending", name, before, after)
		}
	}
	for i := range raw {
		flipped := bytes.Clone(raw)
		flipped[i] ^= 1
		try("flipped", flipped)
		try("cut", raw[:i])
	}
	try("grown", append(bytes.Clone(raw), raw[60:]...))
}

func TestFileOfAnotherKey(t *testing.T) {
	t.Parallel()
	path, x := filepath.Join(t.TempDir(), "index"), newIndex()
	f := open(t, path, key)
	f.Add(record(x, 0))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	other := bytes.Repeat([]byte{7}, index.KeySize)
	if got := kept(t, open(t, path, other), x, 1); got != 0 {
		t.Error("opened with another key")
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	path, x := filepath.Join(t.TempDir(), "index"), newIndex()
	f := open(t, path, key)
	for i := range byte(5) {
		f.Add(record(x, i))
	}
	if err := f.Forget(map[[32]byte]bool{{3, 1}: true, {4, 1}: true, {9, 9}: true}); err != nil {
		t.Fatal(err)
	}
	forgotten := func(f *index.File, what string) {
		t.Helper()
		done := f.Recall()
		defer done()
		for i := range byte(5) {
			r, ok := f.Known([32]byte{i, 1})
			if want := record(x, i); i >= 3 {
				want = index.Bare(want)
				if !ok || !proto.Equal(r, want) || len(r.GetHashes()) > 0 || !index.IsBare(r) {
					t.Errorf("%s: record %d is not bare: %v", what, i, r)
				}
			} else if !ok || !proto.Equal(r, want) || index.IsBare(r) {
				t.Errorf("%s: record %d: %v", what, i, r)
			}
		}
	}
	forgotten(f, "at once")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	forgotten(open(t, path, key), "after a start")
}

// TestNoFile: without a file nothing is known, and nothing fails.
func TestNoFile(t *testing.T) {
	t.Parallel()
	var f *index.File
	f.Add(record(newIndex(), 0))
	defer f.Recall()()
	if _, ok := f.Known([32]byte{}); ok || f.Flush() != nil || f.Close() != nil || f.Forget(map[[32]byte]bool{{}: true}) != nil {
		t.Error("a file that is not there answers")
	}
}

// FuzzFile: whatever lies in the file, opening it neither fails nor takes long,
// and nothing comes out that was not put in.
func FuzzFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	whole := open(f, path, key)
	whole.Add(record(newIndex(), 1))
	if err := whole.Close(); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:60])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "index")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		file := open(t, path, key)
		defer file.Close() //nolint:errcheck // a test
		defer file.Recall()()
		if r, ok := file.Known([32]byte{1, 1}); ok && !proto.Equal(r, record(newIndex(), 1)) {
			t.Error("a record came out that was not put in")
		}
	})
}
