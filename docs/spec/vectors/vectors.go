// Package vectors holds the test vectors of Karaula's formats, for this
// implementation and any other.
//
// A vector is a text file: header lines "name: value", an empty line, and the
// bytes in base64 of at most 76 characters a line (there may be none). The
// header "expect" says what a reader must answer, "comment" why. README.md
// beside this file names the other headers. Keys in them are made from words,
// and the content is invented.
//
// This package must never hold a key that was ever used for anything else.
package vectors

import (
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed envelope/*.txt ledger/*.txt pae/*.txt seal/*.txt
var files embed.FS

// Header is one line above the bytes.
type Header struct{ Name, Value string }

// Vector is one test vector.
type Vector struct {
	// Name is the file's path without its ending: "envelope/bad-signature".
	Name string
	// Headers stand in the order of the file; names may repeat.
	Headers []Header
	// Body is the bytes.
	Body []byte
}

// Get gives the value of the first header of this name, or nothing.
func (v *Vector) Get(name string) string {
	for _, h := range v.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// All gives the values of every header of this name.
func (v *Vector) All(name string) []string {
	var out []string
	for _, h := range v.Headers {
		if h.Name == name {
			out = append(out, h.Value)
		}
	}
	return out
}

// Hex gives the bytes that a header holds in hex.
func (v *Vector) Hex(name string) ([]byte, error) {
	b, err := hex.DecodeString(v.Get(name))
	if err != nil {
		return nil, fmt.Errorf("%s: header %s: %w", v.Name, name, err)
	}
	return b, nil
}

// Read gives every vector of a folder ("envelope", "ledger", "pae", "seal"), by name.
func Read(folder string) ([]*Vector, error) {
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		return nil, err
	}
	out := make([]*Vector, 0, len(entries))
	for _, e := range entries {
		v, err := Open(folder + "/" + strings.TrimSuffix(e.Name(), ".txt"))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// Open gives the vector of this name.
func Open(name string) (*Vector, error) {
	text, err := files.ReadFile(name + ".txt")
	if err != nil {
		return nil, err
	}
	v := &Vector{Name: name}
	head, body, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		return nil, fmt.Errorf("%s: no empty line after the headers", name)
	}
	for line := range strings.Lines(head) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok {
			return nil, fmt.Errorf("%s: header line without a value: %q", name, line)
		}
		v.Headers = append(v.Headers, Header{key, value})
	}
	v.Body, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", ""))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// Encode gives the text of a vector's file.
func (v *Vector) Encode() []byte {
	var b strings.Builder
	for _, h := range v.Headers {
		b.WriteString(h.Name + ": " + h.Value + "\n")
	}
	b.WriteString("\n")
	text := base64.StdEncoding.EncodeToString(v.Body)
	for len(text) > 0 {
		n := min(76, len(text))
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	return []byte(b.String())
}
