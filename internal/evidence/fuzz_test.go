package evidence_test

import (
	"archive/tar"
	"bytes"
	"testing"

	"karaula/internal/evidence"
	"karaula/internal/problem"
)

// FuzzOpenBundle: whatever a bundle of evidence holds, opening it ends in a bundle
// or in an error that says what is wrong with it.
func FuzzOpenBundle(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, body := range map[string]string{
		"README": "x", "cards/al-1.card": "karaula card v1\n", "ledgers/x": "", "../up": "x", "/etc/x": "x",
	} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:700])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := evidence.OpenBundle(bytes.NewReader(data), int64(len(data)))
		if (got == nil) == (err == nil) {
			t.Fatalf("%v, %v", got, err)
		}
		if err != nil && problem.Is(err, problem.Failed) {
			t.Errorf("blamed on ourselves: %v", err)
		}
	})
}
