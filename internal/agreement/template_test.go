package agreement

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func TestTemplate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 0, 0, 500, time.UTC)
	types := []karaulav1.AlertType{
		karaulav1.AlertType_ALERT_TYPE_VEHICLE, karaulav1.AlertType_ALERT_TYPE_ROUTE,
		karaulav1.AlertType_ALERT_TYPE_DOCUMENT, karaulav1.AlertType_ALERT_TYPE_VEHICLE,
		karaulav1.AlertType_ALERT_TYPE_TRAFFICKING,
	}
	text, err := Template("b01-al-me", []Party{party(t, "al"), party(t, "me")}, types, now)
	if err != nil {
		t.Fatal(err)
	}
	a, findings := Lint(text)
	if len(findings) > 0 {
		t.Fatalf("findings in a new text: %v", findings)
	}
	if FormatTime(a.ValidFrom) != "2026-03-01T10:00:01Z" || FormatTime(a.ValidUntil) != "2027-03-01T10:00:01Z" {
		t.Errorf("validity %v to %v", a.ValidFrom, a.ValidUntil)
	}
	var got []string
	for _, s := range a.Channels[0].Says {
		got = append(got, s.Describe())
	}
	want := []string{
		"al, me may say vehicle, document with personal data, up to H2, kept at most 5y",
		"al, me may say route without personal data, up to H1, kept at most 1y",
		"al, me may say trafficking with personal data, up to H2, kept at most 1y",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("clauses (-want +got):\n%s", d)
	}
}

// TestTemplateOfEveryType: no choice of types gives a text with findings.
func TestTemplateOfEveryType(t *testing.T) {
	t.Parallel()
	all := terms.Types()
	sets := [][]karaulav1.AlertType{all}
	for _, typ := range all {
		sets = append(sets, []karaulav1.AlertType{typ})
	}
	for _, set := range sets {
		text, err := Template("x1", []Party{party(t, "al"), party(t, "me"), party(t, "xk")}, set, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, findings := Lint(text); len(findings) > 0 {
			t.Errorf("%v: %v", set, findings)
		}
	}
}

func TestTemplateRefuses(t *testing.T) {
	t.Parallel()
	two := []Party{party(t, "al"), party(t, "me")}
	types := []karaulav1.AlertType{karaulav1.AlertType_ALERT_TYPE_HIT}
	for name, f := range map[string]func() ([]byte, error){
		"one party": func() ([]byte, error) { return Template("x1", two[:1], types, time.Unix(0, 0)) },
		"no types":  func() ([]byte, error) { return Template("x1", two, nil, time.Unix(0, 0)) },
		"a bad id":  func() ([]byte, error) { return Template("X 1", two, types, time.Unix(0, 0)) },
		"same party twice": func() ([]byte, error) {
			return Template("x1", []Party{two[0], two[0]}, types, time.Unix(0, 0))
		},
	} {
		if text, err := f(); text != nil || !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	al, me := party(t, "al"), party(t, "me")
	template := sample(t, "root="+al.Root, "root=@al", "next="+FormatDigest(al.Next), "next=@al",
		"root="+me.Root, "root=@me", "next="+FormatDigest(me.Next), "next=@me",
		"root="+key(t, "dpa").vkey, "root=@dpa", "2026-01-01T00:00:00Z", "@from", "2027-01-01T00:00:00Z", "@until",
		"Nobody ever", "root=@al @from nobody")
	from, until := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	parties := []Party{me, al, {Code: "dpa", Root: key(t, "dpa").vkey}}
	got, err := Fill(template, parties, from, until)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(string(sample(t)), "Nobody ever", "root=@al @from nobody", 1)
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("filled (-want +got):\n%s", d)
	}
	if _, err := Fill(template, parties[:1], from, until); !problem.Is(err, problem.NotFound) {
		t.Errorf("a party without keys: %v", err)
	}
	if again, err := Fill(got, nil, from, until); err != nil || string(again) != string(got) {
		t.Errorf("a full text changes: %v", err)
	}
}
