package signedtext

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// Rule says how often a line with this key may stand in a form and reads it.
type Rule struct {
	Key      string
	Min, Max int                 // how many lines
	Read     func(l Line) string // gives what is wrong, or ""
}

// ReadForm reads a text of one fixed shape: the head line, then lines in
// exactly the order of the rules and nothing else, no blank line, no fence. It
// says everything that is wrong, in the order of the lines and then of the
// rules.
func ReadForm(text []byte, head string, rules []Rule) []Finding {
	lines, _ := Lines(text)
	var out []Finding
	fault := func(line int, code, format string, args ...any) {
		out = append(out, Finding{Line: line, Code: code, Text: fmt.Sprintf(format, args...)})
	}
	if len(lines) == 0 || lines[0].Text != head {
		fault(1, "head", "the first line is not %q", head)
		return out
	}
	if hasFence(text) {
		fault(len(lines)+1, "fence", "nothing may stand below the lines of the form")
	}
	rank := make(map[string]int, len(rules))
	for i, r := range rules {
		rank[r.Key] = i
	}
	count, reached := make([]int, len(rules)), 0
	for _, l := range lines[1:] {
		i, known := rank[l.Key]
		if !known {
			fault(l.No, "unknown-line", "unknown line %q", clip(l.Key))
			continue
		}
		if i < reached {
			fault(l.No, "order", "%q must stand above %q", l.Key, rules[reached].Key)
		}
		reached = max(reached, i)
		if count[i]++; count[i] > rules[i].Max {
			fault(l.No, "too-many", "more than %d %q lines", rules[i].Max, l.Key)
			continue
		}
		if what := rules[i].Read(l); what != "" {
			fault(l.No, "value", "%s: %s", l.Key, what)
		}
	}
	for i, r := range rules {
		if count[i] < r.Min {
			fault(0, "missing", "%q is missing", r.Key)
		}
	}
	if len(out) > maxFindings {
		out = out[:maxFindings]
	}
	return out
}

// hasFence reports whether the text has a fence line.
func hasFence(text []byte) bool {
	return bytes.HasPrefix(text, []byte(Fence+"\n")) || bytes.Contains(text, []byte("\n"+Fence+"\n"))
}

// clip shortens what came from outside for a message.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// Uint reads a decimal number without sign and leading zeros.
func Uint(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}

// timeForm is the one spelling of a moment: RFC 3339, UTC, whole seconds.
const timeForm = "2006-01-02T15:04:05Z"

// Time reads a moment, "2026-05-01T00:00:00Z": UTC, whole seconds, a year from
// 2000 to 9999.
func Time(s string) (time.Time, bool) {
	t, err := time.Parse(timeForm, s)
	return t, err == nil && t.Format(timeForm) == s && t.Year() >= 2000
}

// FormatTime writes a moment as [Time] reads it, cutting off parts of a second.
func FormatTime(t time.Time) string { return t.UTC().Format(timeForm) }

// Quote reads a whole rest that is one quoted value of 0 to limit bytes.
func Quote(s string, limit int) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' || len(s)-2 > limit {
		return "", false
	}
	inner := s[1 : len(s)-1]
	for i := range len(inner) {
		if inner[i] == '"' {
			return "", false
		}
	}
	return inner, true
}
