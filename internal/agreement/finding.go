package agreement

import (
	"cmp"
	"fmt"
	"slices"

	"karaula/internal/problem"
)

// Severities of a [Finding].
const (
	// SeverityError: the text can't be signed or taken in.
	SeverityError = "error"
	// SeverityWarning: allowed, but probably not what was meant.
	SeverityWarning = "warning"
)

// Finding is one thing that is wrong, or looks wrong, with a text.
type Finding struct {
	// Line is the line in the text, from 1; 0 is the text as a whole.
	Line int `json:"line"`
	// Severity is "error" or "warning".
	Severity string `json:"severity"`
	// Code is the finding's stable word, listed in docs/spec/agreement.md.
	Code string `json:"code"`
	// Text says what is wrong; lower case, no full stop.
	Text string `json:"text"`
	// Hint says what to write instead; may be empty.
	Hint string `json:"hint,omitempty"`
}

// String writes the finding as one line: "line 4: error: … (code)".
func (f Finding) String() string {
	return fmt.Sprintf("line %d: %s: %s (%s)", f.Line, f.Severity, f.Text, f.Code)
}

// Errors counts the findings that are errors.
func Errors(findings []Finding) int {
	n := 0
	for _, f := range findings {
		if f.Severity == SeverityError {
			n++
		}
	}
	return n
}

// lintProblem turns findings into one error; nil if none of them is an error.
func lintProblem(findings []Finding) error {
	n := Errors(findings)
	if n == 0 {
		return nil
	}
	first := findings[slices.IndexFunc(findings, func(f Finding) bool { return f.Severity == SeverityError })]
	more := ""
	if n > 1 {
		more = fmt.Sprintf(", and %d more errors", n-1)
	}
	return problem.New(problem.Invalid, "the agreement text is not valid: line %d: %s%s", first.Line, first.Text, more).
		WithHint("karaula agreement lint FILE says everything that is wrong with it")
}

// report collects findings.
type report struct{ findings []Finding }

// fail adds an error and returns it, so that a hint may follow.
func (r *report) fail(line int, code, format string, args ...any) *Finding {
	return r.add(line, SeverityError, code, format, args...)
}

// warn adds a warning and returns it.
func (r *report) warn(line int, code, format string, args ...any) *Finding {
	return r.add(line, SeverityWarning, code, format, args...)
}

func (r *report) add(line int, severity, code, format string, args ...any) *Finding {
	f := Finding{Line: line, Severity: severity, Code: code, Text: fmt.Sprintf(format, args...)}
	r.findings = append(r.findings, f)
	return &r.findings[len(r.findings)-1]
}

// hint sets what to write instead.
func (f *Finding) hint(format string, args ...any) { f.Hint = fmt.Sprintf(format, args...) }

// sorted gives the findings by line, in the order found within a line.
func (r *report) sorted() []Finding {
	slices.SortStableFunc(r.findings, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return r.findings
}
