// Package signedtext holds the rules that agreements, cards and notices share:
// what their text may consist of, how signature lines hang below it, what its
// digest is and how a line of it is taken apart.
//
// A file is a text and, below a blank line, one signature line per signer, in
// the format of golang.org/x/mod/sumdb/note. What people read is what is
// signed: the text is never re-written, normalised or re-wrapped, it is only
// accepted or refused. The rules are written down in docs/spec/card.md.
//
// The package must never know what a text means, hold a trust decision (which
// keys count is the caller's), or change a byte of a signed text.
package signedtext

import (
	"bytes"
	"crypto/sha256"
	"strings"

	"karaula/internal/problem"
)

// Limits of a signed text file; part of the format.
const (
	MaxText       = 256 << 10 // bytes of a text
	MaxLine       = 4096      // bytes of a line, without its newline
	MaxSignatures = 100       // signature lines of a file
	maxSigLine    = 512       // bytes of a signature line
	maxFile       = MaxText + 1 + MaxSignatures*(maxSigLine+1)
)

// Fence is the line below which free text for people begins.
const Fence = "---"

// sigPrefix opens a signature line: an em dash and a space. No line of a text
// may begin with it, so that text and signatures cannot be confused.
const sigPrefix = "— "

// Split takes a file apart into its text (with its last newline) and its
// signature block (whole lines, without the blank line between; empty for an
// unsigned file). It does not look at the text's content ([CheckText] does)
// and proves nothing. The results alias file.
func Split(file []byte) (text, block []byte, err error) {
	if len(file) > maxFile {
		return nil, nil, problem.New(problem.Invalid, "text of %d bytes is above the limit of %d", len(file), maxFile)
	}
	if len(file) == 0 || file[len(file)-1] != '\n' {
		return nil, nil, problem.New(problem.Invalid, "text does not end with a newline")
	}
	at := firstSignature(file)
	if at < 0 {
		return file, nil, nil
	}
	if at < 2 || file[at-2] != '\n' {
		return nil, nil, problem.New(problem.Invalid, "line %d: signature lines must follow a blank line",
			lineAt(file, at)).WithHint("no line of the text itself may begin with an em dash and a space")
	}
	text, block = file[:at-1], file[at:]
	if _, err := parseBlock(block, lineAt(file, at)); err != nil {
		return nil, nil, err
	}
	return text, block, nil
}

// firstSignature gives the offset of the first line that opens like a
// signature, -1 if there is none.
func firstSignature(file []byte) int {
	if bytes.HasPrefix(file, []byte(sigPrefix)) {
		return 0
	}
	if i := bytes.Index(file, []byte("\n"+sigPrefix)); i >= 0 {
		return i + 1
	}
	return -1
}

// lineAt gives the 1-based number of the line that holds the offset.
func lineAt(file []byte, offset int) int { return 1 + bytes.Count(file[:offset], []byte{'\n'}) }

// Digest is SHA-256 of the text with its last newline and without signatures:
// the digest by which statements and notices name an agreement or a card.
func Digest(text []byte) [32]byte { return sha256.Sum256(text) }

// Finding is one thing that is wrong with a text.
type Finding struct {
	Line int    // 1-based; 0 where the whole text is meant
	Code string // stable word, for example "not-nfc"
	Text string // what is wrong, for people; lower case, no full stop
	Hint string // what to do about it; may be empty
}

// Problem makes one error of all findings, nil if there are none. The text
// names what ("card"), every finding stands with its line number, and the hint
// is the first finding's.
func Problem(kind problem.Kind, what string, findings []Finding) error {
	if len(findings) == 0 {
		return nil
	}
	var b strings.Builder
	for i, f := range findings {
		if i > 0 {
			b.WriteString("; ")
		}
		if f.Line > 0 {
			b.WriteString("line ")
			b.WriteString(itoa(f.Line))
			b.WriteString(": ")
		}
		b.WriteString(f.Text)
	}
	p := problem.New(kind, "%s: %s", what, b.String())
	for _, f := range findings {
		if f.Hint != "" {
			return p.WithHint("%s", f.Hint)
		}
	}
	return p
}
