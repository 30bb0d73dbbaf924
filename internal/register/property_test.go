package register

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/notice"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// world is a random register with what its texts say in plain data.
type world struct {
	versions []version
	notices  []notice.Notice
	edges    []time.Time
	view     *View
}

type version struct {
	from, until time.Time
	parties     []string
	complete    bool
	clauses     []clause
}

type clause struct {
	parties []string
	types   []karaulav1.AlertType
}

var everybody = []string{"al", "me", "xk"}

// some draws a sublist that is not empty.
func some[T any](rt *rapid.T, label string, from []T, least int) []T {
	list := rapid.Permutation(from).Draw(rt, label)
	return list[:rapid.IntRange(least, len(from)).Draw(rt, label+" count")]
}

// drawWorld draws up to two versions of one agreement on the node al, signed by
// some, with suspensions and withdrawals.
func drawWorld(t testing.TB, rt *rapid.T) *world {
	t.Helper()
	w := &world{}
	s := &state{
		self: "al", cards: map[string][]*card.Card{}, texts: map[string][]*text{},
		notices: map[string][]*notice.Notice{},
	}
	moment := func(label string) time.Time {
		at := start.Add(time.Duration(rapid.IntRange(0, 100).Draw(rt, label)) * day)
		w.edges = append(w.edges, at)
		return at
	}
	var before []byte
	var digests [][32]byte
	for n := range rapid.IntRange(1, 2).Draw(rt, "versions") {
		v := version{from: moment("from"), parties: []string{"al"}}
		v.parties = append(v.parties, some(rt, "parties", everybody[1:], 1)...)
		v.until = v.from.Add(time.Duration(rapid.IntRange(1, 60).Draw(rt, "days")) * day)
		w.edges = append(w.edges, v.until)
		for range rapid.IntRange(1, 3).Draw(rt, "clauses") {
			v.clauses = append(v.clauses, clause{
				some(rt, "sayers", v.parties, 1),
				some(rt, "types", []karaulav1.AlertType{vehicle, hit, patrol}, 1),
			})
		}
		file := v.text(t)
		if n == 1 {
			file = follow(t, file, before, "2")
		}
		before = file
		signers := some(rt, "signers", everybody, 0)
		if rapid.Bool().Draw(rt, "all sign") {
			signers = everybody
		}
		for _, code := range signers {
			// Former parties sign too: their line counts if the text before names them.
			file = sign(t, file, code)
		}
		opened, err := s.openText(file)
		must(t, err)
		v.complete = true
		for _, code := range v.mustSign(w.versions) {
			v.complete = v.complete && slices.Contains(signers, code)
		}
		s.texts["t01"] = append(s.texts["t01"], opened)
		w.versions = append(w.versions, v)
		digests = append(digests, opened.Agreement.Digest)
	}
	for i := range rapid.IntRange(0, 4).Draw(rt, "notices") {
		n := notice.Notice{
			Party: rapid.SampledFrom(everybody).Draw(rt, "notice by"), Serial: uint64(i + 1), Agreement: "t01",
			Act:       rapid.SampledFrom([]string{notice.Suspend, notice.Suspend, notice.Resume, notice.Object}).Draw(rt, "act"),
			Effective: moment("effective"), Digest: digests[0],
		}
		w.notices = append(w.notices, n)
		s.notices[n.Party] = append(s.notices[n.Party], &n)
	}
	s.makeIndex()
	w.view = &View{s: s}
	return w
}

// text writes a version as an agreement text.
func (v version) text(t testing.TB) []byte {
	t.Helper()
	types := []karaulav1.AlertType{vehicle}
	file := string(draft(t, "t01", strings.Join(v.parties, ","), types,
		agreement.FormatTime(start), agreement.FormatTime(v.from),
		agreement.FormatTime(end), agreement.FormatTime(v.until)))
	head, _, _ := strings.Cut(file, "say ")
	for _, c := range v.clauses {
		words := make([]string, len(c.types))
		for i, typ := range c.types {
			words[i] = terms.TypeWord(typ)
		}
		head += fmt.Sprintf("say %s %s personal=no handling<=H1 retain<=90d\n",
			strings.Join(c.parties, ","), strings.Join(words, ","))
	}
	return []byte(head)
}

// mustSign lists the parties of a version and of the one before.
func (v version) mustSign(before []version) []string {
	out := slices.Clone(v.parties)
	if len(before) > 0 {
		out = append(out, before[len(before)-1].parties...)
	}
	return out
}

// allowed says in the plainest way whether somebody may say something.
func (w *world) allowed(from string, typ karaulav1.AlertType, at time.Time) bool {
	var rules *version
	for i, v := range w.versions {
		if v.complete && !at.Before(v.from) {
			rules = &w.versions[i]
		}
	}
	if rules == nil || !at.Before(rules.until) || !slices.Contains(rules.parties, from) {
		return false
	}
	if w.suspended(from, at) || w.suspended("al", at) {
		return false
	}
	readers := 0
	for _, p := range rules.parties {
		if p != from && !w.suspended(p, at) {
			readers++
		}
	}
	return readers > 0 && slices.ContainsFunc(rules.clauses, func(c clause) bool {
		return slices.Contains(c.parties, from) && slices.Contains(c.types, typ)
	})
}

func (w *world) suspended(party string, at time.Time) bool {
	out := false
	for _, n := range w.notices { // ascending serial
		if n.Party == party && !at.Before(n.Effective) && n.Act != notice.Object {
			out = n.Act == notice.Suspend
		}
	}
	return out
}

// TestDecideProperty: on random registers and at every edge of time, a decision
// allows exactly what a clause of the ruling text in force allows.
func TestDecideProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(t, rt)
		for _, edge := range w.edges {
			for _, at := range []time.Time{edge.Add(-tick), edge, edge.Add(tick)} {
				for _, from := range append(everybody, "rs") {
					for _, typ := range []karaulav1.AlertType{vehicle, hit, patrol, route} {
						w.check(rt, from, typ, at)
					}
				}
			}
		}
	})
}

func (w *world) check(rt *rapid.T, from string, typ karaulav1.AlertType, at time.Time) {
	d := w.view.Decide(from, "t01", typ, at)
	if want := w.allowed(from, typ, at); d.Allowed != want {
		rt.Fatalf("%s says %s at %v: %+v, want allowed %v\n%+v", from, terms.TypeWord(typ), at, d, want, w)
	}
	if d.Allowed && (!slices.Contains(d.Clause.Parties, from) || !slices.Contains(d.Clause.Types, typ)) {
		rt.Fatalf("%s says %s under %+v", from, terms.TypeWord(typ), d.Clause)
	}
	if d.Reason == "" || (d.Code == CodeAllowed) != d.Allowed {
		rt.Fatalf("an odd decision: %+v", d)
	}
	if next, ok := w.view.NextChange(at); ok && !next.After(at) {
		rt.Fatalf("the next change after %v is %v", at, next)
	}
	for _, to := range everybody {
		told := w.view.Explain(from, to, typ, at)
		if len(told) == 0 || (told[0].Allowed && !d.Allowed) || (told[0].Allowed && from == to) {
			rt.Fatalf("explain %s to %s: %+v, decided %+v", from, to, told, d)
		}
	}
}
