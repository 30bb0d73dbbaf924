package agreement

import (
	"fmt"
	"slices"
	"strings"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Ref names the clause for people: "b01-al-me clause 2 (Art. 5)". id is the
// agreement's id.
func (s Say) Ref(id string) string {
	ref := fmt.Sprintf("%s clause %d", id, s.Clause)
	if s.Article != "" {
		ref += " (" + s.Article + ")"
	}
	return ref
}

// Allows reports whether the clause lets this party say this type at all.
func (s Say) Allows(from string, typ karaulav1.AlertType) bool {
	return slices.Contains(s.Parties, from) && slices.Contains(s.Types, typ)
}

// Describe says the clause in plain words, as explanations and dry runs show
// it: "al, me may say vehicle, hit with personal data, up to H2, kept at most 5y".
func (s Say) Describe() string {
	words := make([]string, len(s.Types))
	for i, t := range s.Types {
		words[i] = terms.TypeWord(t)
	}
	personal := "without personal data"
	if s.Personal {
		personal = "with personal data"
	}
	return fmt.Sprintf("%s may say %s %s, up to %s, kept at most %s", strings.Join(s.Parties, ", "),
		strings.Join(words, ", "), personal, terms.HandlingWord(s.Handling), FormatDuration(s.Retain))
}

// Wider reports whether a clause grants more than another: personal data
// first, then the handling ceiling, then retention. It orders the clauses that
// name the same party and type; equal ones keep the order of the text.
func (s Say) Wider(than Say) bool {
	if s.Personal != than.Personal {
		return s.Personal
	}
	if s.Handling != than.Handling {
		return s.Handling > than.Handling
	}
	return s.Retain > than.Retain
}

// Clauses lists the clauses of a channel that let a party say a type, widest
// first; the type zero stands for a sealed type and finds every clause that
// names the party, if the channel seals its types.
func (c *Channel) Clauses(from string, typ karaulav1.AlertType) []*Say {
	var out []*Say
	for i := range c.Says {
		s := &c.Says[i]
		sealed := typ == karaulav1.AlertType_ALERT_TYPE_UNSPECIFIED && c.SealedTypes && slices.Contains(s.Parties, from)
		if sealed || s.Allows(from, typ) {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b *Say) int {
		switch {
		case a.Wider(*b):
			return -1
		case b.Wider(*a):
			return 1
		default:
			return 0
		}
	})
	return out
}
