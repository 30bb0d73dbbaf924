package alert

import (
	"fmt"
	"strings"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Severity says whether a finding stops an alert.
type Severity int

// The severities.
const (
	// Error: the alert is not taken.
	Error Severity = iota + 1
	// Warning: it is taken, and the officer is told.
	Warning
)

// String gives the word.
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Finding is one thing about one field. It never shows a value.
type Finding struct {
	// Field is the path in the schema's names, "vehicle.plates[0].country"; empty for the whole alert.
	Field string
	// Rule is the rule's stable name, "vin-check-digit".
	Rule string
	// Text says what is wrong; lower case, no full stop.
	Text     string
	Severity Severity
	// Code is the reason for a signed refusal; CODE_UNSPECIFIED for warnings.
	Code karaulav1.Code
}

// String gives field, text and rule in one line.
func (f Finding) String() string {
	if f.Field == "" {
		return fmt.Sprintf("%s [%s]", f.Text, f.Rule)
	}
	return fmt.Sprintf("%s: %s [%s]", f.Field, f.Text, f.Rule)
}

// Findings is what [Validate] and [Check] give, errors and warnings.
type Findings []Finding

// Errors gives those that stop the alert.
func (fs Findings) Errors() Findings { return fs.with(Error) }

// Warnings gives those that do not.
func (fs Findings) Warnings() Findings { return fs.with(Warning) }

func (fs Findings) with(s Severity) Findings {
	var out Findings
	for _, f := range fs {
		if f.Severity == s {
			out = append(out, f)
		}
	}
	return out
}

// Code gives the reason for a signed refusal: that of the first error, zero if
// there is none. A broken rule of the type goes before a limit of the clause.
func (fs Findings) Code() karaulav1.Code {
	var code karaulav1.Code
	for _, f := range fs.Errors() {
		if f.Code == karaulav1.Code_CODE_INVALID_CONTENT {
			return f.Code
		}
		if code == 0 {
			code = f.Code
		}
	}
	return code
}

// maxNamed is how many findings an error names.
const maxNamed = 10

// Err gives one error that names up to ten of the errors, nil if there is none:
// a [problem.Invalid] where a rule is broken, a [problem.NotAllowed] where only
// the clause's limits are in the way.
func (fs Findings) Err() error {
	errs := fs.Errors()
	if len(errs) == 0 {
		return nil
	}
	kind := problem.NotAllowed
	if code := errs.Code(); code == karaulav1.Code_CODE_INVALID_CONTENT || code == karaulav1.Code_CODE_TOO_LARGE {
		kind = problem.Invalid
	}
	var lines []string
	for _, f := range errs[:min(len(errs), maxNamed)] {
		lines = append(lines, f.String())
	}
	if more := len(errs) - maxNamed; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return problem.New(kind, "the alert is not taken: %s", strings.Join(lines, "; ")).
		WithHint("the fields and rules are in docs/alerts.md")
}
