package agreement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Kinds of a [Change].
const (
	ChangePossible   = "possible"   // something may be said that could not
	ChangeImpossible = "impossible" // something may no longer be said
	ChangeLimits     = "limits"     // it may be said as before, under other limits
	ChangeTerms      = "terms"      // a line that is not about one clause
)

// Change is one difference between two texts.
type Change struct {
	// Kind is "possible", "impossible", "limits" or "terms".
	Kind string
	// From, To, Type and Channel say who could tell whom what and where; empty for terms.
	From, To string
	Type     karaulav1.AlertType
	Channel  string
	// Text says the difference: "al may tell me vehicle on b01-al-me (b01-al-me clause 2)".
	Text string
}

// Diff says what changes if the text before is replaced by the text after:
// first the terms in the order of the text, then what becomes impossible and
// possible for whom, then other limits. before may be nil: everything is new.
func Diff(before, after *Agreement) []Change {
	if before == nil {
		before = &Agreement{ID: after.ID}
	}
	out := diffTerms(before, after)
	clauses := diffClauses(grantsOf(before), grantsOf(after))
	slices.SortFunc(clauses, func(x, y Change) int {
		return cmp.Or(cmp.Compare(order(x.Kind), order(y.Kind)), cmp.Compare(x.From, y.From),
			cmp.Compare(x.To, y.To), cmp.Compare(x.Type, y.Type), cmp.Compare(x.Channel, y.Channel))
	})
	return append(out, clauses...)
}

func order(kind string) int {
	return slices.Index([]string{ChangeTerms, ChangeImpossible, ChangePossible, ChangeLimits}, kind)
}

// told is one thing that somebody may tell somebody on a channel.
type told struct {
	from, to string
	typ      karaulav1.AlertType
	channel  string
}

// grantsOf gives the clauses for everything that may be told.
func grantsOf(a *Agreement) map[told][]Grant {
	out := map[told][]Grant{}
	for _, r := range Matrix(a) {
		for _, g := range r.Grants {
			key := told{r.From, r.To, r.Type, g.Channel}
			out[key] = append(out[key], g)
		}
	}
	return out
}

func diffClauses(before, after map[told][]Grant) []Change {
	var out []Change
	change := func(kind string, k told, why string) {
		text := fmt.Sprintf("%s may tell %s %s on %s (%s)", k.from, k.to, terms.TypeWord(k.typ), k.channel, why)
		if kind == ChangeImpossible {
			text = strings.Replace(text, "may", "may no longer", 1)
		}
		out = append(out, Change{Kind: kind, From: k.from, To: k.to, Type: k.typ, Channel: k.channel, Text: text})
	}
	for k, was := range before {
		is, ok := after[k]
		switch {
		case !ok:
			change(ChangeImpossible, k, "was "+was[0].Ref)
		case limits(was) != limits(is):
			change(ChangeLimits, k, limits(was)+"; now "+limits(is))
		}
	}
	for k, is := range after {
		if _, ok := before[k]; !ok {
			change(ChangePossible, k, is[0].Ref+", "+limits(is))
		}
	}
	return out
}

// limits says within which limits something may be said, by all clauses that
// allow it.
func limits(grants []Grant) string {
	var out []string
	for _, g := range grants {
		personal := "no personal data"
		if g.Personal {
			personal = "personal data"
		}
		s := fmt.Sprintf("%s, up to %s, kept %s", personal, terms.HandlingWord(g.Handling), FormatDuration(g.Retain))
		if g.Mode != karaulav1.Mode_MODE_ACTUAL {
			s = terms.ModeWord(g.Mode) + ", " + s
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " or ")
}

// diffTerms compares everything but the clauses.
func diffTerms(before, after *Agreement) []Change {
	var out []Change
	say := func(format string, args ...any) {
		out = append(out, Change{Kind: ChangeTerms, Text: fmt.Sprintf(format, args...)})
	}
	was, is := termsOf(before), termsOf(after)
	for i := range is {
		if len(was) == 0 || was[i].value == is[i].value {
			continue
		}
		say("%s was %s, is %s", is[i].name, was[i].value, is[i].value)
	}
	for _, p := range before.Parties {
		now, ok := after.Party(p.Code)
		switch {
		case !ok:
			say("%s is no longer a party", p.Code)
		case now.Root != p.Root:
			say("%s has another root key: its former one no longer counts", p.Code)
		case now.Next != p.Next:
			say("%s announces another next root key", p.Code)
		case now.Name != p.Name:
			say("%s is named %q, was %q", p.Code, now.Name, p.Name)
		}
	}
	for _, p := range after.Parties {
		if _, ok := before.Party(p.Code); !ok {
			say("%s becomes a party", p.Code)
		}
	}
	diffReaders(before, after, say)
	return out
}

// diffReaders compares auditors and channels.
func diffReaders(before, after *Agreement, say func(string, ...any)) {
	for _, d := range before.Auditors {
		now, ok := after.Auditor(d.Code)
		switch {
		case !ok:
			say("%s is no longer an auditor", d.Code)
		case now.Root != d.Root:
			say("auditor %s has another root key", d.Code)
		}
	}
	for _, d := range after.Auditors {
		if _, ok := before.Auditor(d.Code); !ok {
			say("%s becomes an auditor and reads everything from then on", d.Code)
		}
	}
	for _, c := range before.Channels {
		now, ok := after.Channel(c.ID)
		switch {
		case !ok:
			say("channel %s ends", c.ID)
		case now.Mode != c.Mode:
			say("channel %s becomes mode %s, was %s", c.ID, terms.ModeWord(now.Mode), terms.ModeWord(c.Mode))
		case now.SealedTypes != c.SealedTypes:
			say("channel %s changes whether its alert types are sealed", c.ID)
		}
	}
	for _, c := range after.Channels {
		if _, ok := before.Channel(c.ID); !ok {
			say("channel %s begins", c.ID)
		}
	}
}

// term is one header line for comparison.
type term struct{ name, value string }

// termsOf lists the header lines; nothing for an empty agreement.
func termsOf(a *Agreement) []term {
	if a.Text == nil {
		return nil
	}
	return []term{
		{"id", a.ID},
		{"version", fmt.Sprint(a.Version)},
		{"title", fmt.Sprintf("%q", a.Title)},
		{"basis", fmt.Sprintf("%q", a.Basis)},
		{"valid-from", FormatTime(a.ValidFrom)},
		{"valid-until", FormatTime(a.ValidUntil)},
		{"winding-down", FormatDuration(a.WindingDown)},
		{"min-algs", a.MinSign + " " + a.MinSeal},
		{"max-size", FormatSize(a.MaxSize)},
		{"quota", FormatSize(a.Quota)},
		{"withdraw notice", FormatDuration(a.WithdrawNotice)},
		{"continues-without", fmt.Sprint(a.ContinuesWithout)},
		{"exercise", fmt.Sprint(a.Exercise)},
	}
}
