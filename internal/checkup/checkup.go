// Package checkup holds the checks of a node: what each is called, what its
// outcome looks like, and those that need nothing but the node's folder and the
// machine under it.
//
// One list of checks serves everybody who asks how a node is: `karaula doctor`,
// /readyz and the metric karaula_check_state. A running gateway and broker add
// what only they can see; their checks have the form and the ids of this package.
//
// A check must never change anything but a temporary file of its own, never read
// a private key, never wait long, and never name a person or quote content: its
// texts end in logs and on monitors.
package checkup

import (
	"cmp"
	"fmt"
	"slices"
)

// State is the outcome of a check.
type State string

// The states, from good to bad.
const (
	OK      State = "ok"
	Skipped State = "skipped" // could not be looked at, and why
	Warn    State = "warn"    // works, and needs a person before it no longer does
	Fail    State = "fail"    // does not work, or is not safe
)

// Level gives a state's number for metrics: 0 ok or skipped, 1 warn, 2 fail.
func (s State) Level() int {
	switch s {
	case Warn:
		return 1
	case Fail:
		return 2
	default:
		return 0
	}
}

// Check is the outcome of one check.
type Check struct {
	// ID is stable, one of [All].
	ID string `json:"id"`
	// About is the channel, partner, stream, agreement or file that it is about;
	// empty: the node as a whole.
	About string `json:"about,omitempty"`
	// State is ok, warn, fail or skipped.
	State State `json:"state"`
	// Text says what was found, in one line.
	Text string `json:"text"`
	// Hint is what mends it, often the exact command.
	Hint string `json:"hint,omitempty"`
}

// Good makes a check that found nothing wrong.
func Good(id, about, format string, args ...any) Check {
	return Check{ID: id, About: about, State: OK, Text: fmt.Sprintf(format, args...)}
}

// Skip makes a check that was not made, with the reason.
func Skip(id, about, format string, args ...any) Check {
	return Check{ID: id, About: about, State: Skipped, Text: fmt.Sprintf(format, args...)}
}

// Bad makes a check that found something, with what mends it.
func Bad(state State, id, about, text, hint string) Check {
	return Check{ID: id, About: about, State: state, Text: text, Hint: hint}
}

// Sort orders checks by id and what they are about.
func Sort(list []Check) {
	slices.SortStableFunc(list, func(a, b Check) int {
		return cmp.Or(cmp.Compare(place(a.ID), place(b.ID)), cmp.Compare(a.About, b.About))
	})
}

// place is an id's place in [All].
func place(id string) int {
	return slices.IndexFunc(All(), func(k Kind) bool { return k.ID == id })
}

// Worst gives the worst state of a list, and how many checks warn and fail.
func Worst(list []Check) (worst State, warn, fail int) {
	worst = OK
	for _, c := range list {
		switch c.State {
		case Warn:
			warn++
		case Fail:
			fail++
		case OK, Skipped:
		}
	}
	switch {
	case fail > 0:
		worst = Fail
	case warn > 0:
		worst = Warn
	}
	return worst, warn, fail
}

// Stopping gives the checks because of which a node may not be sent work: failed
// ones of the kinds that stop it.
func Stopping(list []Check) []Check {
	var out []Check
	for _, c := range list {
		if i := place(c.ID); c.State == Fail && i >= 0 && All()[i].Stops {
			out = append(out, c)
		}
	}
	return out
}
