package signedtext

import (
	"fmt"
	"strings"
)

// Line is one machine line: `key rest`.
type Line struct {
	No   int    // 1-based number in the text
	Text string // the whole line, without its newline
	Key  string // first word; empty for a blank line
	Rest string // what follows the first space; empty if nothing does
}

// Lines gives the machine lines of a text: all lines above the fence, or all
// lines if there is none. Articles are what stands below it (empty if nothing
// does).
func Lines(text []byte) (lines []Line, articles string) {
	s := strings.TrimSuffix(string(text), "\n")
	for n := 1; ; n++ {
		line, rest, more := strings.Cut(s, "\n")
		if line == Fence {
			return lines, rest
		}
		key, tail, _ := strings.Cut(line, " ")
		lines = append(lines, Line{No: n, Text: line, Key: key, Rest: tail})
		if !more {
			return lines, ""
		}
		s = rest
	}
}

// Field is one part of a line's rest: a word, a "quoted value", key=value or
// key="quoted value" or key<=value. A key is a lower-case word of letters and
// hyphens; anything else with an equals sign in it is a bare word, so that
// base64 may stand as one.
type Field struct {
	Key    string // empty for a bare word or a bare quoted value
	Op     string // "=" or "<="; empty where Key is
	Value  string // without the quotes
	Quoted bool
	Col    int // 1-based byte position in the line
}

// Fields takes the rest of the line apart. Fields are separated by exactly one
// space; a quoted value holds anything but a double quote and there is no
// escape character.
func (l Line) Fields() ([]Field, *Finding) {
	var out []Field
	rest, col := l.Rest, len(l.Key)+2
	for rest != "" {
		f, n, fault := field(rest)
		if fault == "" && n < len(rest) && (rest[n] != ' ' || n+1 == len(rest)) {
			fault = "fields must be separated by exactly one space"
		}
		if fault != "" {
			return nil, &Finding{Line: l.No, Code: "syntax", Text: fmt.Sprintf("%s (at byte %d)", fault, col)}
		}
		f.Col = col
		out = append(out, f)
		if n == len(rest) {
			break
		}
		rest, col = rest[n+1:], col+n+1
	}
	return out, nil
}

// field reads the first field of s and gives its length in bytes.
func field(s string) (f Field, n int, fault string) {
	word := strings.IndexAny(s, ` "`)
	if word < 0 {
		word = len(s)
	}
	head := s[:word]
	value := head
	if key, tail, ok := strings.Cut(head, "="); ok {
		op := "="
		if k, le := strings.CutSuffix(key, "<"); le {
			key, op = k, "<="
		}
		if fieldKey(key) {
			f.Key, f.Op, value = key, op, tail
		}
	}
	if word < len(s) && s[word] == '"' {
		if value != "" {
			return f, 0, "a quote must open the value"
		}
		end := strings.IndexByte(s[word+1:], '"')
		if end < 0 {
			return f, 0, "a quote is not closed"
		}
		f.Value, f.Quoted = s[word+1:word+1+end], true
		return f, word + end + 2, ""
	}
	if value == "" {
		return f, 0, "a field is empty"
	}
	f.Value = value
	return f, word, ""
}

// fieldKey reports whether s may name a field: 1 to 32 of a-z and hyphen.
func fieldKey(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-") == ""
}
