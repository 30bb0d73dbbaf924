package broker

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxComment = 160 // bytes of a comment, so that a line stays readable

// text builds an indented configuration. Whatever comes from outside goes
// through [quote] or a comment, and cannot leave either.
type text struct {
	out   bytes.Buffer
	depth int
}

func (t *text) line(s string) { t.out.WriteString(strings.Repeat("  ", t.depth) + s + "\n") }

// note writes a line and why it is there.
func (t *text) note(s, why string) {
	if why = tame(why, maxComment); why != "" {
		s += " # " + why
	}
	t.line(s)
}

func (t *text) comment(s string) { t.line("# " + tame(s, maxComment)) }

func (t *text) blank() { t.out.WriteByte('\n') }

func (t *text) open(s string) {
	t.line(s)
	t.depth++
}

func (t *text) close(s string) {
	t.depth--
	t.line(s)
}

// tame makes any string fit for a comment or a log line.
func tame(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	for len(s) > most {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// quote writes a value that [quotable] or a stricter rule has passed.
func quote(s string) string { return `"` + s + `"` }

// quotable reports whether s can stand between quotation marks as it is: not
// empty, at most 1,024 bytes, printable, without quotation mark, backslash or
// dollar sign.
func quotable(s string) bool {
	if s == "" || len(s) > 1024 || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || strings.ContainsRune("\"\\$", r) {
			return false
		}
	}
	return true
}

// plainName reports whether s is 1 to 64 ASCII letters, digits, dots or hyphens.
func plainName(s string) bool {
	for _, r := range s {
		if r != '.' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
