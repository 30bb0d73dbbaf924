package agreement

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Template writes the text of a new agreement to edit further: these parties,
// one channel named like the agreement on which every party may say these
// types, a year's validity from the first full second at or after now. Types
// that never hold personal data get a clause of their own, and so do groups of
// types that are usually kept for different times.
func Template(id string, parties []Party, types []karaulav1.AlertType, now time.Time) ([]byte, error) {
	if len(parties) < 2 || len(types) == 0 {
		return nil, problem.New(problem.Invalid,
			"an agreement needs at least two parties and one alert type, nothing was written")
	}
	from := now.UTC().Truncate(time.Second)
	if from.Before(now) {
		from = from.Add(time.Second)
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	codes := make([]string, len(parties))
	for i, p := range parties {
		codes[i] = p.Code
	}
	line("%s", firstLine)
	line("id %s", id)
	line("version 1")
	line("title %q", "Exchange of alerts between "+strings.Join(codes, ", "))
	line("basis %q", "Name the legal basis here")
	line("valid-from %s", FormatTime(from))
	line("valid-until %s", FormatTime(from.AddDate(1, 0, 0)))
	line("winding-down 30d")
	for _, p := range parties {
		line(`party %s "%s" root=%s next=%s`, p.Code, p.Name, p.Root, FormatDigest(p.Next))
	}
	line("min-algs sign=ed25519 seal=age-hybrid")
	line("max-size 256KiB")
	line("quota 1GiB")
	line("withdraw notice=90d")
	line("continues-without 0")
	line("exercise no")
	line("channel %s mode=actual types=open", id)
	for _, group := range groups(types) {
		line("say %s %s personal=%s handling<=%s retain<=%s", strings.Join(codes, ","), group.words(),
			map[bool]string{true: "yes", false: "no"}[group.personal], group.handling, FormatDuration(group.retain))
	}
	text := []byte(b.String())
	if _, findings := Lint(text); Errors(findings) > 0 {
		return nil, lintProblem(findings)
	}
	return text, nil
}

// group is one clause to be: types with the same limits.
type group struct {
	types    []karaulav1.AlertType
	personal bool
	handling string
	retain   time.Duration
}

func (g group) words() string {
	words := make([]string, len(g.types))
	for i, t := range g.types {
		words[i] = terms.TypeWord(t)
	}
	return strings.Join(words, ",")
}

// proposed is the retention that a new text begins with: the usual default,
// which is half of the usual limit where the limit is 10 years.
func proposed(t karaulav1.AlertType) time.Duration {
	return min(retention(t, true), 5*year)
}

// groups sorts types into clauses, in the order in which they first come;
// repeated types count once.
func groups(types []karaulav1.AlertType) []group {
	var out []group
	seen := map[karaulav1.AlertType]bool{}
next:
	for _, t := range types {
		if seen[t] {
			continue
		}
		seen[t] = true
		g := group{[]karaulav1.AlertType{t}, !terms.NeverPersonal(t), "H1", proposed(t)}
		if g.personal {
			g.handling = "H2"
		}
		for i := range out {
			if out[i].personal == g.personal && out[i].retain == g.retain {
				out[i].types = append(out[i].types, t)
				continue next
			}
		}
		out = append(out, g)
	}
	return out
}

// Fill turns an example template into a text that can be signed: @from and
// @until become times, root=@al and next=@al the keys of the party al. Nothing
// else is changed. A party that the template names and the list lacks is of
// kind NotFound.
func Fill(template []byte, parties []Party, from, until time.Time) ([]byte, error) {
	lines := bytes.SplitAfter(template, []byte("\n"))
	for i, l := range lines {
		s := string(l)
		switch word, _, _ := strings.Cut(s, " "); word {
		case "---\n":
			return bytes.Join(lines, nil), nil
		case "valid-from":
			s = strings.Replace(s, "@from", FormatTime(from), 1)
		case "valid-until":
			s = strings.Replace(s, "@until", FormatTime(until), 1)
		case "party", "auditor":
			var err error
			if s, err = fillKeys(s, parties); err != nil {
				return nil, err
			}
		}
		lines[i] = []byte(s)
	}
	return bytes.Join(lines, nil), nil
}

// fillKeys puts the keys into a party's or auditor's line.
func fillKeys(line string, parties []Party) (string, error) {
	code := strings.Split(line, " ")[1]
	if !strings.Contains(line, "=@"+code) {
		return line, nil
	}
	for _, p := range parties {
		if p.Code == code {
			line = strings.Replace(line, "root=@"+code, "root="+p.Root, 1)
			return strings.Replace(line, "next=@"+code, "next="+FormatDigest(p.Next), 1), nil
		}
	}
	return "", problem.New(problem.NotFound, "no keys of party %s to fill the agreement with", code)
}
