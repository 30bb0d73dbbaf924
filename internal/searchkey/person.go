package searchkey

import (
	"slices"
	"strconv"
	"strings"
)

// Person is what names a person.
type Person struct {
	Surname string
	Given   string
	Born    string // 2026-11-25, 2026-11 or 2026; may be empty
}

// name is one way to write a person: surname and given names.
type name struct {
	surname, given []string // forms
}

// nameOf makes the forms of a name. Of several given names the first alone is a
// form as well, of several surnames each one.
func nameOf(surname, given string) name {
	s, g := words(surname), words(given)
	n := name{surname: forms(strings.Join(s, "")), given: forms(strings.Join(g, ""))}
	if len(g) > 1 {
		n.given = merge(n.given, forms(g[0]))
	}
	if len(s) > 1 {
		for _, part := range s {
			if len(part) >= 3 {
				n.surname = merge(n.surname, forms(part))
			}
		}
	}
	return n
}

func merge(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// pairs calls fn with every pair of forms, in the order of the alphabet:
// documents and people exchange surname and given name.
func (n name) pairs(fn func(a, b string)) {
	for _, s := range n.surname {
		for _, g := range n.given {
			fn(min(s, g), max(s, g))
		}
	}
}

// soundPair gives both names by sound; empty if one is missing.
func (n name) soundPair() (a, b string) {
	if len(n.surname) == 0 || len(n.given) == 0 {
		return "", ""
	}
	s, g := sound(n.surname[0]), sound(n.given[0])
	return min(s, g), max(s, g)
}

// born is a date of birth in its parts.
type born struct{ day, year string } // day is the whole date

func bornOf(s string) born {
	if len(s) < 4 || !isYear(s[:4]) {
		return born{}
	}
	b := born{year: s[:4]}
	if len(s) == 10 && s[4] == '-' && s[7] == '-' && s[5:7] != "00" && s[8:] != "00" {
		b.day = s
	}
	return b
}

func isYear(s string) bool { return digits(s) == s && s != "0000" }

// exchanged gives the date with day and month exchanged; empty if that is none
// or the same.
func (b born) exchanged() string {
	if b.day == "" || b.day[8:] > "12" || b.day[5:7] == b.day[8:] {
		return ""
	}
	return b.day[:5] + b.day[8:] + "-" + b.day[5:7]
}

// near gives the years before and after.
func (b born) near() []string {
	y, err := strconv.Atoi(b.year)
	if err != nil {
		return nil
	}
	return []string{strconv.Itoa(y - 1), strconv.Itoa(y + 1)}
}

// common adds what a person who is to be found and a person who is asked for have in common.
func (n name) common(t *terms, b born) {
	n.pairs(func(x, y string) {
		t.add(NameAndBirth, x, y, b.day)
		t.add(NameAndYear, x, y, b.year)
	})
	for _, s := range n.surname {
		t.add(SurnameAndBirth, s, b.day)
	}
	if len(n.surname) > 0 && b.day != "" {
		for _, s := range slips(n.surname[0]) {
			t.add(SlipAndBirth, s, b.day)
		}
	}
	x, y := n.soundPair()
	t.add(SoundAndBirth, x, y, b.day)
	t.add(SoundAndYear, x, y, b.year)
}

// personTerms are those of a person in an alert.
func personTerms(t *terms, p Person) {
	n, b := nameOf(p.Surname, p.Given), bornOf(p.Born)
	n.common(t, b)
	n.pairs(func(x, y string) {
		t.add(NameUndated, x, y, "any") // for who asks without a date
		if b.year == "" {
			t.add(NameUndated, x, y, "none") // for who asks with one
		}
		t.add(ExchangedBirth, x, y, b.day)
		t.add(NearYear, x, y, b.year)
	})
}

// askPerson are those of a person who is asked for.
func askPerson(t *terms, p Person) {
	n, b := nameOf(p.Surname, p.Given), bornOf(p.Born)
	n.common(t, b)
	n.pairs(func(x, y string) {
		if b.year == "" {
			t.add(NameUndated, x, y, "any")
			return
		}
		t.add(NameUndated, x, y, "none")
		t.add(ExchangedBirth, x, y, b.exchanged())
		for _, year := range b.near() {
			t.add(NearYear, x, y, year)
		}
	})
}
