package agreement

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// rows writes a matrix as lines.
func rows(matrix []Row) []string {
	out := []string{}
	for _, r := range matrix {
		out = append(out, fmt.Sprintf("%s>%s %s: %s", r.From, r.To, terms.TypeWord(r.Type), strings.Join(r.Refs(), "; ")))
	}
	return out
}

func TestMatrix(t *testing.T) {
	t.Parallel()
	one := mustLint(t, sample(t))
	two := mustLint(t, sample(t, "id b01-al-me", "id second", "channel b01-al-me", "channel second",
		"say al trafficking personal=yes handling<=H3 retain<=1y", "say me hit personal=no handling<=H0 retain<=1d"))
	want := []string{
		"al>me vehicle: b01-al-me clause 1 (Art. 5); second clause 1 (Art. 5)",
		"al>me trafficking: b01-al-me clause 2",
		"al>me hit: b01-al-me clause 1 (Art. 5); second clause 1 (Art. 5)",
		"me>al vehicle: b01-al-me clause 1 (Art. 5); second clause 1 (Art. 5)",
		"me>al hit: b01-al-me clause 1 (Art. 5); second clause 1 (Art. 5); second clause 2",
	}
	if d := cmp.Diff(want, rows(Matrix(one, two))); d != "" {
		t.Errorf("matrix (-want +got):\n%s", d)
	}
	if got := Matrix(); len(got) != 0 {
		t.Errorf("a matrix of nothing: %v", got)
	}
}

func TestClausesWidestFirst(t *testing.T) {
	t.Parallel()
	a := mustLint(t, sample(t, "say al trafficking", `say al hit personal=no handling<=H3 retain<=1y
say al hit personal=yes handling<=H3 retain<=1d
say al trafficking`))
	c := &a.Channels[0]
	clauses := func(from string, typ karaulav1.AlertType) (out []int) {
		for _, s := range c.Clauses(from, typ) {
			out = append(out, s.Clause)
		}
		return out
	}
	if d := cmp.Diff([]int{3, 1, 2}, clauses("al", karaulav1.AlertType_ALERT_TYPE_HIT)); d != "" {
		t.Errorf("clauses (-want +got):\n%s", d)
	}
	if got := clauses("me", karaulav1.AlertType_ALERT_TYPE_TRAFFICKING); got != nil {
		t.Errorf("clauses for what is not allowed: %v", got)
	}
	if got := clauses("al", 0); got != nil {
		t.Errorf("a sealed type on a channel with open ones: %v", got)
	}
	c.SealedTypes = true
	if got := clauses("me", 0); !cmp.Equal(got, []int{1}) {
		t.Errorf("clauses for a sealed type: %v", got)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	before := mustLint(t, sample(t))
	xk := party(t, "xk")
	after := mustLint(t, sample(t,
		"version 1", "version 2\nsupersedes "+FormatDigest(before.Digest)+"\nfirst "+FormatDigest(before.First),
		"2027-01-01", "2028-01-01",
		"auditor dpa", `party xk "`+xk.Name+`" root=`+xk.Root+" next="+FormatDigest(xk.Next)+"\nauditor ombud",
		"root="+key(t, "dpa").vkey, "root="+key(t, "ombud").vkey,
		"say al,me vehicle,hit personal=yes handling<=H2", "say al,me vehicle personal=yes handling<=H1",
		"say al trafficking", "say xk,al trafficking"))
	var got []string
	for _, c := range Diff(before, after) {
		got = append(got, c.Kind+": "+c.Text)
	}
	stricter := "personal data, up to H2, kept 3y; now personal data, up to H1, kept 3y"
	want := []string{
		"terms: version was 1, is 2",
		"terms: valid-until was 2027-01-01T00:00:00Z, is 2028-01-01T00:00:00Z",
		"terms: xk becomes a party",
		"terms: dpa is no longer an auditor",
		"terms: ombud becomes an auditor and reads everything from then on",
		"impossible: al may no longer tell me hit on b01-al-me (was b01-al-me clause 1 (Art. 5))",
		"impossible: me may no longer tell al hit on b01-al-me (was b01-al-me clause 1 (Art. 5))",
		"possible: al may tell xk vehicle on b01-al-me (b01-al-me clause 1 (Art. 5), personal data, up to H1, kept 3y)",
		"possible: al may tell xk trafficking on b01-al-me (b01-al-me clause 2, personal data, up to H3, kept 1y)",
		"possible: me may tell xk vehicle on b01-al-me (b01-al-me clause 1 (Art. 5), personal data, up to H1, kept 3y)",
		"possible: xk may tell al trafficking on b01-al-me (b01-al-me clause 2, personal data, up to H3, kept 1y)",
		"possible: xk may tell me trafficking on b01-al-me (b01-al-me clause 2, personal data, up to H3, kept 1y)",
		"limits: al may tell me vehicle on b01-al-me (" + stricter + ")",
		"limits: me may tell al vehicle on b01-al-me (" + stricter + ")",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Diff (-want +got):\n%s", d)
	}
}

func TestDiffOfKeysAndChannels(t *testing.T) {
	t.Parallel()
	before := mustLint(t, sample(t))
	after := mustLint(t, sample(t,
		"root="+key(t, "me").vkey, "root="+otherKey(t, "me").vkey,
		"channel b01-al-me mode=actual types=open", "channel night mode=test types=sealed"))
	var got []string
	for _, c := range Diff(before, after) {
		if c.Kind == ChangeTerms {
			got = append(got, c.Text)
		}
	}
	want := []string{
		"me has another root key: its former one no longer counts", "channel b01-al-me ends", "channel night begins",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Diff (-want +got):\n%s", d)
	}
	if all := Diff(nil, before); len(all) != 9 || all[0].Kind != ChangeTerms || all[8].Kind != ChangePossible {
		t.Errorf("Diff from nothing: %v", all)
	}
}
