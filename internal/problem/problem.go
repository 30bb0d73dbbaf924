// Package problem is the one kind of error that crosses Karaula's packages,
// its API and its command line intact.
//
// A [Problem] says what happened, what was not done and what to do next. Its
// [Kind] decides the exit code of the command and the code of the API; kinds
// are append-only because scripts rely on them.
//
// A problem must never carry personal data or the content of an alert: its
// text ends in logs, terminals and signed refusals.
package problem

import (
	"errors"
	"fmt"
)

// Kind classifies a problem. The value is the exit code of the command.
type Kind int

// The kinds, with the exit codes that docs/cli.md promises.
const (
	Failed       Kind = 1  // something went wrong that the caller could not foresee
	Invalid      Kind = 2  // usage or invalid input; nothing was sent
	NotAllowed   Kind = 3  // not allowed by agreement; the text names the clause or the nearest reason
	Locked       Kind = 4  // a key is missing or locked
	NotFound     Kind = 5  // there is no such thing
	Verification Kind = 6  // a signature, digest or history did not verify
	Unreachable  Kind = 7  // not reachable now; safe to retry
	Conflict     Kind = 8  // contradicts what is there already
	Findings     Kind = 10 // checks ran and found problems
)

// String gives the kind's word, as JSON output shows it.
func (k Kind) String() string {
	switch k {
	case Failed:
		return "failed"
	case Invalid:
		return "invalid"
	case NotAllowed:
		return "not-allowed"
	case Locked:
		return "locked"
	case NotFound:
		return "not-found"
	case Verification:
		return "verification-failed"
	case Unreachable:
		return "unreachable"
	case Conflict:
		return "conflict"
	case Findings:
		return "findings"
	default:
		return "failed"
	}
}

// Problem is an error for a person: what happened, and what to do next.
type Problem struct {
	Kind Kind
	// Text says what happened and what was not done; lower case, no full stop.
	Text string
	// Hint is the next step, often the exact command; may be empty.
	Hint string
	// Cause is the error behind it, if any; shown after the text.
	Cause error
}

// Error gives text and cause, without the hint.
func (p *Problem) Error() string {
	if p.Cause == nil {
		return p.Text
	}
	return p.Text + ": " + p.Cause.Error()
}

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// New makes a problem from a format and its arguments.
func New(kind Kind, format string, args ...any) *Problem {
	return &Problem{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Wrap makes a problem with a cause.
func Wrap(kind Kind, cause error, format string, args ...any) *Problem {
	return &Problem{Kind: kind, Text: fmt.Sprintf(format, args...), Cause: cause}
}

// WithHint sets the next step and returns the problem.
func (p *Problem) WithHint(format string, args ...any) *Problem {
	p.Hint = fmt.Sprintf(format, args...)
	return p
}

// KindOf gives the kind of the first Problem in err's chain, [Failed] for any
// other error, and 0 for nil.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Kind
	}
	return Failed
}

// HintOf gives the hint of the first Problem in err's chain that has one.
func HintOf(err error) string {
	for err != nil {
		var p *Problem
		if !errors.As(err, &p) {
			return ""
		}
		if p.Hint != "" {
			return p.Hint
		}
		err = p.Cause
	}
	return ""
}

// Is reports whether err's chain holds a Problem of this kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }
