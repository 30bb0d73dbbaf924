package signedtext

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxFindings bounds what is said about one text; a binary file would
// otherwise make as many findings as it has lines.
const maxFindings = 100

// Where says which part of a machine line may hold human text, that is
// characters outside ASCII.
type Where int

// The places of human text in a machine line.
const (
	Quoted Where = iota + 1 // between double quotes
	Rest                    // everything after the line's key
)

// Human names the machine lines that hold human text, by the line's key (its
// first word): {"name": Quoted, "title": Rest}. Anything else above the fence
// is ASCII.
type Human map[string]Where

// CheckText says everything that keeps a text from being signed, in the order
// of its lines; nothing if it is fit. It looks at characters and lines only,
// never at meaning: UTF-8 in NFC, printable characters and plain spaces, no
// carriage return, byte order mark, bidirectional control or invisible
// character, no trailing white space, exactly one newline at the end, lines of
// at most [MaxLine] bytes, machine lines in ASCII but for what human allows.
func CheckText(text []byte, human Human) []Finding {
	c := &checker{human: human}
	switch {
	case len(text) == 0:
		return []Finding{{Code: "empty", Text: "the text is empty"}}
	case len(text) > MaxText:
		return []Finding{{Code: "too-large", Text: fmt.Sprintf("the text has %d bytes, the limit is %d", len(text), MaxText)}}
	}
	if text[len(text)-1] != '\n' {
		c.add(1+bytes.Count(text, []byte{'\n'}), "no-newline", "the last line does not end with a newline", "")
	} else {
		text = text[:len(text)-1]
	}
	machine, last := true, 0
	for n, line := range bytes.Split(text, []byte{'\n'}) {
		c.line(n+1, line, machine)
		if string(line) == Fence {
			machine = false
		}
		last = n + 1
		if len(line) == 0 && n == 0 {
			c.add(1, "blank-start", "the text begins with a blank line", "")
		}
	}
	if bytes.HasSuffix(text, []byte{'\n'}) {
		c.add(last, "blank-end", "the text ends with a blank line", "end the text with exactly one newline")
	}
	return c.findings
}

// checker collects findings.
type checker struct {
	human    Human
	findings []Finding
}

func (c *checker) add(line int, code, text, hint string) {
	if len(c.findings) < maxFindings {
		c.findings = append(c.findings, Finding{Line: line, Code: code, Text: text, Hint: hint})
	}
}

// line checks one line, reporting each kind of fault once.
func (c *checker) line(n int, line []byte, machine bool) {
	if len(line) > MaxLine {
		c.add(n, "long-line", fmt.Sprintf("the line has %d bytes, the limit is %d", len(line), MaxLine), "break the line")
	}
	if !utf8.Valid(line) {
		c.add(n, "not-utf8", "the line is not valid UTF-8", "save the file as UTF-8")
		return
	}
	if strings.HasPrefix(string(line), sigPrefix) {
		c.add(n, "signature-like", "a line of the text begins like a signature, with an em dash and a space",
			"use a hyphen or an en dash for lists")
	}
	if len(line) > 0 && line[len(line)-1] == ' ' {
		c.add(n, "trailing-space", "the line ends with white space", "")
	}
	if !norm.NFC.IsNormal(line) {
		c.add(n, "not-nfc", "the line is not in Unicode normal form NFC", "save the file in NFC (uconv -x nfc)")
	}
	c.runes(n, string(line), machine)
}

// runes checks the characters of one line.
func (c *checker) runes(n int, line string, machine bool) {
	seen := map[string]bool{}
	once := func(code, text, hint string) {
		if !seen[code] {
			seen[code] = true
			c.add(n, code, text, hint)
		}
	}
	free := c.human.in(line)
	for i, r := range line {
		free.pass(i, r)
		if r < utf8.RuneSelf && r >= 0x20 && r != 0x7f {
			continue
		}
		if code, what := refused(r); code != "" {
			once(code, fmt.Sprintf("%s U+%04X at byte %d", what, r, i+1), "remove it")
			continue
		}
		if machine && !free.now {
			once("not-ascii", fmt.Sprintf("character U+%04X at byte %d is not ASCII", r, i+1),
				"machine lines are ASCII; other letters go into names, titles and the articles below "+Fence)
		}
	}
}

// refused classes a character outside printable ASCII; the empty code means
// that it is a visible character.
func refused(r rune) (code, what string) {
	switch {
	case r == '\r':
		return "carriage-return", "carriage return"
	case r == 0xFEFF:
		return "bom", "byte order mark"
	case r < 0x20, r == 0x7f, unicode.Is(unicode.Cc, r):
		return "control", "control character"
	case unicode.Is(unicode.Bidi_Control, r):
		return "bidi", "bidirectional control character"
	case unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector), r == 0x2800:
		return "invisible", "invisible character"
	case unicode.In(r, unicode.Z):
		return "odd-space", "white space other than a plain space"
	case r == utf8.RuneError:
		return "damaged", "replacement character"
	case !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S):
		return "unassigned", "private or unassigned character"
	}
	return "", ""
}

// humanPart follows a line from left to right and knows whether human text may
// stand where it is.
type humanPart struct {
	where Where
	after int // byte offset of the space behind the key
	now   bool
}

// in begins at the left of a machine line.
func (h Human) in(line string) humanPart {
	key, _, found := strings.Cut(line, " ")
	if !found {
		return humanPart{}
	}
	return humanPart{where: h[key], after: len(key)}
}

// pass goes on to the character r at byte i.
func (p *humanPart) pass(i int, r rune) {
	switch {
	case i <= p.after:
	case p.where == Rest:
		p.now = true
	case p.where == Quoted && r == '"':
		p.now = !p.now
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
