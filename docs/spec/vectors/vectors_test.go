package vectors_test

import (
	"bytes"
	"os"
	"testing"

	"karaula/docs/spec/vectors"
)

// TestFilesAreCanonical: every file is exactly what Encode makes of it, says
// what to expect, and why.
func TestFilesAreCanonical(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"envelope", "ledger", "pae", "seal"} {
		all, err := vectors.Read(folder)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			t.Errorf("%s is empty", folder)
		}
		for _, v := range all {
			text, err := os.ReadFile(v.Name + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(text, v.Encode()) {
				t.Errorf("%s is not as Encode writes it", v.Name)
			}
			if v.Get("expect") == "" || v.Get("comment") == "" {
				t.Errorf("%s has no expectation or no comment", v.Name)
			}
		}
	}
}
