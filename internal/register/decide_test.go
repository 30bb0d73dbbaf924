package register

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/agreement"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func TestDecideToTheMicrosecond(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me")
	add(t, r, signAll(t, draft(t, "b01", "al,me", someTypes)))
	v := r.View()
	closed := end.Add(30 * day)
	for _, c := range []struct {
		at     time.Time
		code   string
		phase  agreement.Phase
		reason string
	}{
		{start.Add(-tick), CodeNotYet, agreement.NotYet, "b01 comes into force on 2026-01-01T00:00:00Z"},
		{start, CodeAllowed, agreement.InForce, "b01 clause 1: al, me may say vehicle"},
		{end.Add(-tick), CodeAllowed, agreement.InForce, "b01 clause 1"},
		{end, CodeExpired, agreement.WindingDown, "b01 expired on 2027-01-01T00:00:00Z (winding down)"},
		{closed.Add(-tick), CodeExpired, agreement.WindingDown, "b01 expired"},
		{closed, CodeExpired, agreement.Closed, "b01 expired on 2027-01-01T00:00:00Z (closed)"},
	} {
		d := v.Decide("al", "b01", vehicle, c.at)
		if d.Code != c.code || d.Allowed != (c.code == CodeAllowed) || !strings.Contains(d.Reason, c.reason) {
			t.Errorf("at %v: %+v, want %s, %q", c.at, d, c.code, c.reason)
		}
		if (d.Problem() == nil) != d.Allowed || (d.Problem() != nil && !problem.Is(d.Problem(), problem.NotAllowed)) {
			t.Errorf("at %v: the problem is %v", c.at, d.Problem())
		}
		ch, ok := v.ChannelAt("b01", c.at)
		if !ok || ch.PhaseAt(c.at) != c.phase {
			t.Errorf("at %v: channel %+v, want phase %v", c.at, ch, c.phase)
		}
		live := c.phase == agreement.InForce || c.phase == agreement.WindingDown
		if got := len(v.At(c.at).Channels()) == 1; got != live {
			t.Errorf("at %v: listed %v", c.at, got)
		}
	}
	moments := []time.Time{start, end, closed}
	at := start.Add(-day)
	for _, want := range moments {
		next, ok := v.NextChange(at)
		if !ok || !next.Equal(want) {
			t.Errorf("after %v the next change is %v, want %v", at, next, want)
		}
		at = next
	}
	if next, ok := v.NextChange(at); ok {
		t.Errorf("after the end: %v", next)
	}
}

func TestDecideReasons(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me", "xk")
	add(t, r, signAll(t, draft(t, "b01", "al,me", someTypes, "say al,me vehicle", "say al vehicle")))
	add(t, r, sign(t, draft(t, "b02", "al,xk", someTypes), "xk"))
	for _, c := range []struct{ from, channel, code, reason string }{
		{"al", "b01", CodeAllowed, "b01 clause 1"},
		{"me", "b01", CodeNoClause, "no clause lets me say vehicle on b01 (it may say route)"},
		{"xk", "b01", CodeNotParty, "xk is not a party of b01"},
		{"al", "b02", CodeNotSigned, "b02 is not signed by al"},
		{"al", "b99", CodeNoChannel, `there is no channel "b99"`},
	} {
		d := r.View().Decide(c.from, c.channel, vehicle, start)
		if d.Code != c.code || !strings.Contains(d.Reason, c.reason) {
			t.Errorf("%s on %s: %+v, want %s, %q", c.from, c.channel, d, c.code, c.reason)
		}
	}
}

func TestSealedTypes(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me")
	add(t, r, signAll(t, draft(t, "b01", "al,me", someTypes,
		"types=open", "types=sealed", "say al,me", "say me", "say al,me", "say me")))
	add(t, r, signAll(t, draft(t, "b02", "al,me", someTypes)))
	v := r.View()
	for _, c := range []struct {
		from, channel string
		typ           karaulav1.AlertType
		want          string
	}{
		{"me", "b01", 0, CodeAllowed},
		{"me", "b01", vehicle, CodeAllowed},
		{"me", "b01", hit, CodeNoClause},
		{"al", "b01", 0, CodeNoClause},
		{"me", "b02", 0, CodeNoClause},
	} {
		if d := v.Decide(c.from, c.channel, c.typ, start); d.Code != c.want {
			t.Errorf("%s says %s on %s: %+v", c.from, terms.TypeWord(c.typ), c.channel, d)
		}
	}
}

func TestDecisionFor(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me")
	add(t, r, signAll(t, draft(t, "b01", "al,me", []karaulav1.AlertType{vehicle},
		"say al,me vehicle personal=yes handling<=H2 retain<=5y",
		"say al vehicle personal=no handling<=H3 retain<=2y\nsay al vehicle personal=yes handling<=H1 retain<=5y\n"+
			"say me vehicle personal=no handling<=H1 retain<=1y")))
	v := r.View()
	for _, c := range []struct {
		from     string
		personal bool
		handling karaulav1.Handling
		ref      string
		allowed  bool
	}{
		{"al", true, karaulav1.Handling_HANDLING_H1, "b01 clause 2", true},
		{"al", false, karaulav1.Handling_HANDLING_H1, "b01 clause 2", true},
		{"al", false, karaulav1.Handling_HANDLING_H3, "b01 clause 1", true},
		{"al", true, karaulav1.Handling_HANDLING_H3, "b01 clause 2", false},
		{"me", true, karaulav1.Handling_HANDLING_H0, "b01 clause 3", false},
		{"me", false, karaulav1.Handling_HANDLING_H2, "b01 clause 3", false},
		{"xk", false, karaulav1.Handling_HANDLING_H0, "", false},
	} {
		d := v.Decide(c.from, "b01", vehicle, start).For(c.personal, c.handling)
		if d.Allowed != c.allowed || d.Ref != c.ref || d.Reason == "" {
			t.Errorf("%+v: %+v", c, d)
		}
	}
	said := start.Add(day)
	say := v.Decide("al", "b01", vehicle, start).Clause
	for _, c := range []struct{ expires, want time.Time }{
		{time.Time{}, said.Add(5 * 365 * day)},
		{said.Add(day), said.Add(day)},
		{said.Add(9 * 365 * day), said.Add(5 * 365 * day)},
	} {
		if got := v.Retain(say, said, c.expires); !got.Equal(c.want) {
			t.Errorf("Retain until %v = %v, want %v", c.expires, got, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	r := node(t, "al", "me", "xk", "rs")
	text := draft(t, "b01", "al,me", someTypes)
	add(t, r, signAll(t, text))
	add(t, r, signAll(t, draft(t, "m02", "al,me,rs", []karaulav1.AlertType{route})))
	add(t, r, signAll(t, draft(t, "late", "al,me", []karaulav1.AlertType{hit},
		"valid-from "+agreement.FormatTime(start), "valid-from "+agreement.FormatTime(start.Add(9*day)))))
	add(t, r, sign(t, draft(t, "b02", "al,xk", []karaulav1.AlertType{patrol}), "xk"))
	for _, c := range []struct {
		from, to string
		typ      karaulav1.AlertType
		codes    []string
		reason   string
	}{
		{"al", "me", vehicle, []string{CodeAllowed, CodeNoClause, CodeNoClause}, "b01 clause 1: al, me may say vehicle"},
		{"al", "me", route, []string{CodeAllowed, CodeAllowed, CodeNoClause}, "b01 clause 2"},
		{
			"al", "me", hit,
			[]string{CodeNotYet, CodeNoClause, CodeNoClause},
			"late clause 1 allows it, but late comes into force",
		},
		{
			"al", "rs", vehicle,
			[]string{CodeNoClause},
			"no agreement between al and rs covers vehicle; nearest: no clause lets al say vehicle on m02 (it may say route)",
		},
		{"al", "xk", patrol, []string{CodeNotSigned}, "b02 clause 1 would allow it, but b02 is not signed by al"},
		{
			"al", "xk", vehicle,
			[]string{CodeNoAgreement},
			"no agreement between al and xk covers vehicle; nearest: b01 clause 1 covers vehicle, but xk is not a party of b01",
		},
		{"rs", "xk", hit, []string{CodeNoAgreement}, "no agreement between rs and xk covers hit"},
		{"al", "al", vehicle, []string{CodeNoAgreement}, "al needs no agreement with itself"},
	} {
		got := r.View().Explain(c.from, c.to, c.typ, start)
		var codes []string
		for _, d := range got {
			codes = append(codes, d.Code)
		}
		if d := cmp.Diff(c.codes, codes); d != "" || !strings.HasPrefix(got[0].Reason, c.reason) {
			t.Errorf("%s to %s, %s (-want +got):\n%s\n%q", c.from, c.to, terms.TypeWord(c.typ), d, got[0].Reason)
		}
	}
	must(t, r.AddNotice(who(t, "me").noticeFile(t, 1, notice.Suspend, text, start)))
	got := r.View().Explain("al", "me", vehicle, start)
	if got[0].Code != CodeSuspended || !strings.Contains(got[0].Reason, "me suspended b01 since") {
		t.Errorf("suspended by the reader: %+v", got[0])
	}
	var rows []string
	for _, row := range r.View().Matrix() {
		rows = append(rows, row.From+">"+row.To+" "+terms.TypeWord(row.Type)+" "+strings.Join(row.Refs(), ";"))
	}
	want := []string{
		"al>me route m02 clause 1", "al>rs route m02 clause 1", "me>al route m02 clause 1", "me>rs route m02 clause 1",
		"rs>al route m02 clause 1", "rs>me route m02 clause 1",
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Errorf("Matrix (-want +got):\n%s", d)
	}
}

func TestAuditor(t *testing.T) {
	t.Parallel()
	line := "min-algs"
	auditor := `auditor dpa "Invented auditor" root=` + who(t, "dpa").root.VKey + "\nmin-algs"
	file := signAll(t, draft(t, "b01", "al,me", someTypes, line, auditor))
	r := node(t, "dpa", "al", "me")
	if res := add(t, r, file); !res.Complete {
		t.Errorf("an agreement that self audits: %+v", res)
	}
	c, ok := r.View().Channel("b01")
	if !ok || !cmp.Equal(c.Auditors, []string{"dpa"}) || !cmp.Equal(c.Parties, []string{"al", "me"}) {
		t.Errorf("channel: %+v", c)
	}
	if d := r.View().Decide("dpa", "b01", vehicle, start); d.Code != CodeNotParty {
		t.Errorf("an auditor speaks: %+v", d)
	}
	if d := r.View().Explain("al", "dpa", vehicle, start); !d[0].Allowed {
		t.Errorf("an auditor reads: %+v", d[0])
	}
}
