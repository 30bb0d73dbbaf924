package agreement

import (
	"fmt"

	"karaula/internal/signedtext"
)

// firstLine opens every agreement text; the 1 is the format's version.
const firstLine = "karaula agreement v1"

// rule says where and how often a keyword stands, and how its line is read.
type rule struct {
	word     string
	args     int  // parts after the keyword
	more     int  // parts that may follow these
	repeats  bool // may stand more than once
	optional bool
	form     string // literal form, for hints
	read     func(p *parser, line int, args []field) error
}

// rules lists the keywords in the order of the text.
var rules = []rule{
	{"id", 1, 0, false, false, "id b01-al-me", (*parser).id},
	{"version", 1, 0, false, false, "version 1", (*parser).version},
	{"supersedes", 1, 0, false, true, "supersedes sha256:<64 hex digits>", (*parser).supersedes},
	{"first", 1, 0, false, true, "first sha256:<64 hex digits>", (*parser).first},
	{"title", 1, 0, false, false, `title "…"`, (*parser).title},
	{"basis", 1, 0, true, false, `basis "…"`, (*parser).basis},
	{"valid-from", 1, 0, false, false, "valid-from 2026-01-01T00:00:00Z", (*parser).validFrom},
	{"valid-until", 1, 0, false, false, "valid-until 2027-01-01T00:00:00Z", (*parser).validUntil},
	{"winding-down", 1, 0, false, false, "winding-down 30d", (*parser).windingDown},
	{"party", 4, 0, true, false, `party al "name" root=<verifier key> next=sha256:<64 hex digits>`, (*parser).party},
	{"auditor", 3, 0, true, true, `auditor dpa "name" root=<verifier key>`, (*parser).auditor},
	{"min-algs", 2, 0, false, false, "min-algs sign=ed25519 seal=age-hybrid", (*parser).minAlgs},
	{"max-size", 1, 0, false, false, "max-size 256KiB", (*parser).maxSize},
	{"quota", 1, 0, false, false, "quota 1GiB", (*parser).quota},
	{"withdraw", 1, 0, false, false, "withdraw notice=90d", (*parser).withdraw},
	{"continues-without", 1, 0, false, false, "continues-without 0", (*parser).continuesWithout},
	{"exercise", 1, 0, false, false, "exercise no", (*parser).exercise},
	{"channel", 3, 0, true, false, "channel b01-al-me mode=actual types=open", (*parser).channel},
	{
		"say", 5, 1, true, true,
		`say al,me vehicle,hit personal=yes handling<=H2 retain<=5y article="Art. 5"`, (*parser).say,
	},
}

// rank finds a keyword's place in the order; say shares the place of channel.
func rank(word string) (int, *rule) {
	for i := range rules {
		if rules[i].word != word {
			continue
		}
		if word == "say" {
			return i - 1, &rules[i]
		}
		return i, &rules[i]
	}
	return -1, nil
}

// parser reads the machine lines of one text.
type parser struct {
	report
	a     *Agreement
	seen  map[string]int // keyword → line where it first stood
	place int            // highest rank so far
	after string         // keyword that has it
	says  int            // say lines so far
}

// parse reads all machine lines and goes on after errors. It returns false if
// the first line is not an agreement's.
func (p *parser) parse(text []byte) bool {
	lines, _ := signedtext.Lines(text)
	if len(lines) == 0 || lines[0].Text != firstLine {
		p.fail(1, "first-line", "the text does not begin with the line %q", firstLine)
		return false
	}
	for _, l := range lines[1:] {
		p.line(l)
	}
	for _, r := range rules {
		if !r.optional && p.seen[r.word] == 0 {
			p.fail(0, "missing", "the line %s is missing", r.word).hint("%s", r.form)
		}
	}
	return true
}

// line reads one machine line.
func (p *parser) line(l signedtext.Line) {
	if l.Text == "" {
		p.fail(l.No, "syntax", "empty line between machine lines").hint("free text follows after a line %s", signedtext.Fence)
		return
	}
	at, r := rank(l.Key)
	if r == nil {
		p.fail(l.No, "unknown-line", "no line begins with %q", clip(l.Key)).
			hint("free text follows after a line %s", signedtext.Fence)
		return
	}
	p.order(l.No, at, r)
	if r.word == "say" {
		p.says++ // even a broken line counts, so that the numbers below it stay
	}
	if err := p.read(l, r); err != nil {
		p.fail(l.No, "syntax", "%s", err).hint("%s", r.form)
	}
}

// read takes a line apart and hands it to its reader.
func (p *parser) read(l signedtext.Line, r *rule) error {
	parts, fault := l.Fields()
	if fault != nil {
		return fmt.Errorf("%s", fault.Text)
	}
	if len(parts) < r.args || len(parts) > r.args+r.more {
		return fmt.Errorf("the line has %d parts after %s, not %d", len(parts), r.word, r.args)
	}
	args := make([]field, len(parts))
	for i, f := range parts {
		args[i] = field(f)
	}
	return r.read(p, l.No, args)
}

// order checks that a keyword stands where and as often as it may.
func (p *parser) order(n, at int, r *rule) {
	first := p.seen[r.word]
	switch {
	case first != 0 && !r.repeats:
		p.fail(n, "duplicate", "%s stands already in line %d", r.word, first)
	case at < p.place:
		p.fail(n, "order", "%s stands before %s, not after it", r.word, p.after)
	}
	if first == 0 {
		p.seen[r.word] = n
	}
	if at > p.place {
		p.place, p.after = at, r.word
	}
}

// ParseDigest reads "sha256:" and 64 lower-case hex digits.
func ParseDigest(s string) ([32]byte, error) {
	d, ok := signedtext.ParseDigest(s)
	if !ok {
		return d, fmt.Errorf("%q is not sha256: and 64 lower-case hex digits", clip(s))
	}
	return d, nil
}

// FormatDigest writes a digest as texts have it: "sha256:" and 64 hex digits.
func FormatDigest(d [32]byte) string { return signedtext.FormatDigest(d) }
