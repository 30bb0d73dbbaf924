package node

import (
	"os"
	"path/filepath"
	"testing"

	"karaula/internal/problem"
)

// FuzzLoadRestored: a damaged file is never taken for a folder that was not
// restored: then what had been said could be said again.
func FuzzLoadRestored(f *testing.F) {
	f.Add([]byte(`{"backup_made_at":"2026-05-01T12:00:00Z","restored_at":"2026-05-02T12:00:00Z",` +
		`"ledgers":[{"channel":"b01-al-me","ledger":"00","epoch":1,"size":7}]}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"ledgers":[[[[`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		l := Layout{Dir: t.TempDir()}
		if err := os.MkdirAll(filepath.Dir(l.Restored()), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(l.Restored(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := l.LoadRestored()
		if r == nil && err == nil {
			t.Error("the folder counts as never restored")
		}
		if err != nil && !problem.Is(err, problem.Verification) {
			t.Errorf("an error of another kind: %v", err)
		}
	})
}
