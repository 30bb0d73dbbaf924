// Package texttest helps the tests of signed text formats: keys that are the
// same on every run, and test vectors in files.
//
// A vector is a file under docs/spec/vectors: header lines "name: value", an
// empty line, and then the bytes of the signed text file as they are. It must
// never be used outside tests: everybody knows its keys.
package texttest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/signedtext"
)

var update = flag.Bool("update", false, "write the test vectors and golden files anew")

// Updating reports whether the test was started with -update.
func Updating() bool { return *update }

// Seed gives the 32-byte seed that a word stands for: its SHA-256.
func Seed(word string) []byte {
	sum := sha256.Sum256([]byte("karaula test key " + word))
	return sum[:]
}

// Signer gives the note signer and verifier key with this name, made from a
// word.
func Signer(t testing.TB, name, word string) (note.Signer, string) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(Seed(word))
	vkey, err := signedtext.VKey(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, strings.Split(vkey, "+")[1],
		base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...))))
	if err != nil {
		t.Fatal(err)
	}
	return signer, vkey
}

// Verifier gives the verifier of a key.
func Verifier(t testing.TB, vkey string) note.Verifier {
	t.Helper()
	v, err := signedtext.Verifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Header is one line above the bytes.
type Header struct{ Name, Value string }

// Vector is one test vector.
type Vector struct {
	Name    string // file name without its ending
	Headers []Header
	Body    []byte
}

// Get gives the values of the headers of this name.
func (v Vector) Get(name string) []string {
	var out []string
	for _, h := range v.Headers {
		if h.Name == name {
			out = append(out, h.Value)
		}
	}
	return out
}

func (v Vector) encode() []byte {
	var b bytes.Buffer
	for _, h := range v.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
	}
	b.WriteByte('\n')
	b.Write(v.Body)
	return b.Bytes()
}

// Golden compares a file with what it must hold, or writes it with -update.
func Golden(t testing.TB, path string, want []byte) {
	t.Helper()
	if Updating() {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what it should be; go test -update writes it anew", path)
	}
}

// Check compares the vectors of a folder, whose files end in ext, with those
// that the test makes: none may be missing, differ or be left over.
func Check(t *testing.T, dir, ext string, made []Vector) {
	t.Helper()
	names := map[string]bool{}
	for _, v := range made {
		if names[v.Name] {
			t.Errorf("two vectors are named %s", v.Name)
		}
		names[v.Name] = true
		Golden(t, filepath.Join(dir, v.Name+ext), v.encode())
	}
	for _, v := range Read(t, dir, ext) {
		if !names[v.Name] {
			t.Errorf("%s is not made by the test any more", v.Name)
		}
	}
}

// Read gives the vectors of a folder, by name.
func Read(t testing.TB, dir, ext string) []Vector {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+ext))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors in %s (%v)", dir, err)
	}
	out := make([]Vector, 0, len(paths))
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, body, ok := bytes.Cut(file, []byte("\n\n"))
		if !ok {
			t.Fatalf("%s has no empty line below its headers", path)
		}
		v := Vector{Name: strings.TrimSuffix(filepath.Base(path), ext), Body: body}
		for line := range strings.SplitSeq(string(head), "\n") {
			name, value, ok := strings.Cut(line, ": ")
			if !ok {
				t.Fatalf("%s: header %q has no value", path, line)
			}
			v.Headers = append(v.Headers, Header{name, value})
		}
		out = append(out, v)
	}
	return out
}
