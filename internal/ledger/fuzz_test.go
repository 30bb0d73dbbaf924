package ledger_test

import (
	"os"
	"path/filepath"
	"testing"

	"karaula/internal/ledger"
)

// FuzzOpenHashes: whatever lies in the file of stored hashes, opening it, adding
// to it and asking for its root neither panics nor reads beyond what is there.
func FuzzOpenHashes(f *testing.F) {
	for _, n := range []int{0, 1, 32, 33, 64, 96, 97, 32 * 7, 32*8 + 5} {
		f.Add(make([]byte, n))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "hashes")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := ledger.OpenHashes(path)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close() //nolint:errcheck // a test
		size := h.Size()
		if size*32 > uint64(len(data)) {
			t.Fatalf("%d statements in %d bytes", size, len(data))
		}
		if err := h.Append([32]byte{1}); err != nil {
			t.Fatal(err)
		}
		for _, n := range []uint64{0, size, size + 1} {
			if _, err := h.Root(n); err != nil {
				t.Errorf("no root of the first %d of %d: %v", n, size+1, err)
			}
			if _, err := h.Edge(n); err != nil {
				t.Errorf("no edge of the first %d of %d: %v", n, size+1, err)
			}
		}
		if _, err := h.Root(size + 2); err == nil {
			t.Error("a root of more than there is")
		}
	})
}
