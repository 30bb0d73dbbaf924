package faults

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"

	"go.yaml.in/yaml/v4"
)

// Traces looks for words in files: as they are, in either case, in UTF-16, in
// hexadecimal, in base64 at each of its three alignments, and in all of that
// within what zlib or gzip have packed, wherever in a file that begins.
type Traces struct {
	words []string
	forms []form // of every word
}

// form is one way to write a word down.
type form struct {
	name, word string
	bytes      []byte
	lower      bool // looked for among lower-case bytes
}

// leastWord is the length of the shortest word that is looked for: a shorter one
// comes up in ciphertext by chance.
const leastWord = 7

// NewTraces prepares the search for words.
func NewTraces(words []string) *Traces {
	t := &Traces{words: words}
	for _, w := range words {
		low := strings.ToLower(w)
		t.add("as it is", w, []byte(low), true)
		t.add("as it is", w, lowerASCII([]byte(strings.ToUpper(w))), true)
		t.add("without spaces", w, []byte(strings.ReplaceAll(low, " ", "")), true)
		for name, order := range map[string]int{"UTF-16 LE": 0, "UTF-16 BE": 1} {
			var wide []byte
			for _, u := range utf16.Encode([]rune(low)) {
				pair := []byte{byte(u), byte(u >> 8)}
				wide = append(wide, pair[order], pair[1-order])
			}
			t.add(name, w, wide, true)
		}
		t.add("hexadecimal", w, []byte(hex.EncodeToString([]byte(w))), true)
		for at := range 3 {
			t.add("base64", w, aligned(base64.RawStdEncoding, w, at), false)
			t.add("base64 for addresses", w, aligned(base64.RawURLEncoding, w, at), false)
		}
	}
	return t
}

func (t *Traces) add(name, word string, b []byte, lower bool) {
	if len(b) < leastWord {
		return
	}
	t.forms = append(t.forms, form{name, word, b, lower})
}

// aligned gives the characters that a word has in base64 wherever it stands
// behind at bytes of a group of three, without those that its neighbours change.
func aligned(enc *base64.Encoding, word string, at int) []byte {
	text := enc.EncodeToString(append(make([]byte, at), word...))
	first := (at*8 + 5) / 6
	last := (at + len(word)) * 8 / 6
	return []byte(text[first:last])
}

// Trace is a word that was found.
type Trace struct{ File, Form, Word string }

// String says where.
func (t Trace) String() string { return fmt.Sprintf("%s holds %q %s", t.File, t.Word, t.Form) }

// In looks through every file below folders, and gives what was found, and how
// many files and bytes were read.
func (t *Traces) In(folders ...string) (found []Trace, files int, size int64, err error) {
	for _, dir := range folders {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			size += int64(len(raw))
			for _, f := range append(t.plain(raw), t.packed(raw)...) {
				found = append(found, Trace{path, f.name, f.word})
			}
			return nil
		})
		if err != nil {
			return nil, files, size, err
		}
	}
	return found, files, size, nil
}

// plain gives the forms that stand in some bytes.
func (t *Traces) plain(raw []byte) []form {
	var out []form
	low := lowerASCII(raw)
	for _, f := range t.forms {
		in := raw
		if f.lower {
			in = low
		}
		if bytes.Contains(in, f.bytes) {
			out = append(out, f)
		}
	}
	return out
}

// lowerASCII keeps every byte in its place, which bytes.ToLower does not.
func lowerASCII(raw []byte) []byte {
	low := bytes.Clone(raw)
	for i, b := range low {
		if 'A' <= b && b <= 'Z' {
			low[i] = b + 'a' - 'A'
		}
	}
	return low
}

// most bounds how much is unpacked of one stream, in bytes.
const most = 1 << 20

// packed gives the forms that stand in what was packed within some bytes.
func (t *Traces) packed(raw []byte) []form {
	var out []form
	for i := 0; i+1 < len(raw); i++ {
		var r io.Reader
		var err error
		switch {
		case raw[i] == 0x78 && (int(raw[i])<<8|int(raw[i+1]))%31 == 0:
			r, err = zlib.NewReader(bytes.NewReader(raw[i:]))
		case raw[i] == 0x1f && raw[i+1] == 0x8b:
			r, err = gzip.NewReader(bytes.NewReader(raw[i:]))
		default:
			continue
		}
		if err != nil {
			continue
		}
		var plain bytes.Buffer
		_, _ = io.CopyN(&plain, r, most) // what is no stream ends with an error
		for _, f := range t.plain(plain.Bytes()) {
			f.name = "packed, " + f.name
			out = append(out, f)
		}
	}
	return out
}

// dates are no words of an alert alone.
var dates = regexp.MustCompile(`^[0-9-]{7,10}(T[0-9:]+Z)?$`)

// vocabulary are words of the format and tags of languages, which stand in the
// program's own files.
var vocabulary = regexp.MustCompile(`^([a-z0-9-]+|[a-z]{2,3}-[A-Z][a-z]{3})$`)

// WordsOf gives the texts that an alert file holds and that are looked for.
func WordsOf(file []byte) ([]string, error) {
	var doc any
	if err := yaml.Unmarshal(file, &doc); err != nil {
		return nil, err
	}
	words := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		case string:
			for line := range strings.SplitSeq(v, "\n") {
				if len(strings.ReplaceAll(line, " ", "")) >= leastWord && !dates.MatchString(line) && !vocabulary.MatchString(line) {
					words[line] = true
				}
			}
		}
	}
	walk(doc)
	return slices.Sorted(maps.Keys(words)), nil
}
