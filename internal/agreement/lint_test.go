package agreement

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// codes writes findings as "line:code", with an exclamation mark for errors.
func codes(findings []Finding) []string {
	out := []string{}
	for _, f := range findings {
		mark := ""
		if f.Severity == SeverityError {
			mark = "!"
		}
		out = append(out, fmt.Sprintf("%d:%s%s", f.Line, f.Code, mark))
	}
	return out
}

func TestLintAcceptsTheSample(t *testing.T) {
	t.Parallel()
	a, findings := Lint(sample(t))
	if len(findings) != 0 {
		t.Fatalf("findings: %v", findings)
	}
	if a.ID != "b01-al-me" || a.Version != 1 || a.MaxSize != 256<<10 || a.Quota != 1<<30 || a.WithdrawNotice != 90*day {
		t.Errorf("header: %+v", a)
	}
	if a.First != a.Digest || a.Supersedes != [32]byte{} {
		t.Errorf("version 1: first %x, digest %x, supersedes %x", a.First, a.Digest, a.Supersedes)
	}
	want := []Say{
		{
			Clause: 1, Parties: []string{"al", "me"}, Personal: true, Handling: karaulav1.Handling_HANDLING_H2,
			Types:  []karaulav1.AlertType{karaulav1.AlertType_ALERT_TYPE_VEHICLE, karaulav1.AlertType_ALERT_TYPE_HIT},
			Retain: 3 * year, Article: "Art. 5", Line: 19,
		},
		{
			Clause: 2, Parties: []string{"al"}, Personal: true, Handling: karaulav1.Handling_HANDLING_H3,
			Types:  []karaulav1.AlertType{karaulav1.AlertType_ALERT_TYPE_TRAFFICKING},
			Retain: year, Line: 20,
		},
	}
	if d := cmp.Diff(want, a.Channels[0].Says); d != "" {
		t.Errorf("clauses (-want +got):\n%s", d)
	}
	if got := a.Channels[0].Says[0].Ref(a.ID); got != "b01-al-me clause 1 (Art. 5)" {
		t.Errorf("Ref = %q", got)
	}
	if got := a.Channels[0].Says[1].Ref(a.ID); got != "b01-al-me clause 2" {
		t.Errorf("Ref = %q", got)
	}
}

// TestLintFindings changes the sample in one place each.
func TestLintFindings(t *testing.T) {
	t.Parallel()
	some := "sha256:" + strings.Repeat("aa", 32)
	for _, c := range []struct {
		name     string
		from, to string
		want     []string
	}{
		{"first line", "karaula agreement v1", "karaula agreement v2", []string{"1:first-line!"}},
		{"id", "id b01-al-me", "id B01_AL", []string{"2:bad-id!"}},
		{"reserved id", "id b01-al-me", "id all", []string{"2:bad-id!"}},
		{"version zero", "version 1", "version 0", []string{"3:syntax!"}},
		{"version spelling", "version 1", "version 01", []string{"3:syntax!"}},
		{"version 2 alone", "version 1", "version 2", []string{"3:version!", "3:version!"}},
		{"version 1 supersedes", "version 1", "version 1\nsupersedes " + some, []string{"4:version!"}},
		{
			"version 2 of another first", "version 1",
			"version 2\nsupersedes sha256:" + strings.Repeat("22", 32) + "\nfirst sha256:" + strings.Repeat("11", 32),
			[]string{"5:version!"},
		},
		{"digest", "version 1", "version 2\nsupersedes sha256:xy\nfirst " + some, []string{"4:syntax!"}},
		{"title unquoted", `title "Police cooperation across an invented border"`, "title Police", []string{"4:syntax!"}},
		{"title missing", "title \"Police cooperation across an invented border\"\n", "", []string{"0:missing!"}},
		{"title empty", `title "Police cooperation across an invented border"`, `title ""`, []string{"4:syntax!"}},
		{"title twice", "basis", "title \"Again\"\nbasis", []string{"5:duplicate!"}},
		{"order", "quota 1GiB\nwithdraw notice=90d", "withdraw notice=90d\nquota 1GiB", []string{"15:order!"}},
		{
			"digest of zeros", "version 1", "version 2\nsupersedes sha256:" + strings.Repeat("00", 32) + "\nfirst " + some,
			[]string{"4:syntax!"},
		},
		{"time zone", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", []string{"6:syntax!"}},
		{"time spelling", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.100Z", []string{"6:syntax!"}},
		{"microseconds", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z", []string{}},
		{"no such day", "2026-01-01T00:00:00Z", "2026-02-30T00:00:00Z", []string{"6:syntax!"}},
		{"until before from", "valid-until 2027", "valid-until 2026", []string{"7:validity!"}},
		{"very long", "valid-until 2027", "valid-until 2047", []string{"7:validity"}},
		{"duration in months", "winding-down 30d", "winding-down 6m", []string{"8:syntax!"}},
		{"long winding-down", "winding-down 30d", "winding-down 2y", []string{"8:validity"}},
		{"party code", "party me", "party M-E", []string{"10:bad-id!", "10:bad-root!", "19:unknown-party!"}},
		{"root of another name", "root=me+", "root=xk+", []string{"10:bad-root!"}},
		{"broken party", " next=", " then=", []string{"9:syntax!"}},
		{"one party twice", "party me", "party al", []string{"10:bad-root!", "10:duplicate!", "19:unknown-party!"}},
		{"algorithm", "sign=ed25519", "sign=rsa", []string{"12:unknown-algorithm!"}},
		{"seal", "seal=age-hybrid", "seal=none", []string{"12:unknown-algorithm!"}},
		{"too large envelopes", "256KiB", "2MiB", []string{"13:limit!"}},
		{"no unit", "256KiB", "262144", []string{"13:syntax!"}},
		{"small quota", "1GiB", "1KiB", []string{"14:limit!"}},
		{"continues alone", "continues-without 0", "continues-without 1", []string{"16:parties!"}},
		{"continues with all", "continues-without 0", "continues-without 2", []string{"16:parties!"}},
		{"exercise word", "exercise no", "exercise maybe", []string{"17:syntax!"}},
		{"exercise channel", "mode=actual", "mode=exercise", []string{"18:exercise!"}},
		{"mode", "mode=actual", "mode=real", []string{"18:syntax!"}},
		{"types", "types=open", "types=closed", []string{"18:syntax!"}},
		{"no clause", "types=open", "types=open\nchannel b01-al-me-x mode=actual types=open", []string{"18:no-clause!"}},
		{
			"channel twice", "types=open",
			"types=open\nsay al hit personal=no handling<=H0 retain<=1d\nchannel b01-al-me mode=actual types=open",
			[]string{"20:duplicate!"},
		},
		{"say before channel", "channel", "say al hit personal=no handling<=H0 retain<=1d\nchannel", []string{"18:order!"}},
		{"unknown party", "say al,me", "say al,xk", []string{"19:unknown-party!"}},
		{"party listed twice", "say al,me", "say al,al", []string{"19:syntax!"}},
		{"space in a list", "say al,me", "say al, me", []string{"19:syntax!"}},
		{"unknown type", "vehicle,hit", "vehicle,ufo", []string{"19:syntax!"}},
		{"handling", "handling<=H2", "handling<=H9", []string{"19:syntax!"}},
		{"handling is no equality", "handling<=H2", "handling=H2", []string{"19:syntax!"}},
		{"kept long", "retain<=3y", "retain<=4y", []string{"19:retention"}},
		{"kept for no time", "retain<=3y", "retain<=0s", []string{"19:retention!"}},
		{"never personal", "vehicle,hit", "vehicle,route", []string{"19:never-personal!", "19:retention"}},
		{"always personal", "say al trafficking personal=yes", "say al person personal=no", []string{"20:always-personal"}},
		{"same clause again", "say al trafficking", "say me,al vehicle", []string{"20:overlap"}},
		{"unknown line", "quota 1GiB", "quota 1GiB\nquote 1GiB", []string{"15:unknown-line!"}},
		{"empty line", "quota 1GiB", "quota 1GiB\n", []string{"15:syntax!"}},
		{"two spaces", "quota 1GiB", "quota  1GiB", []string{"14:syntax!"}},
		{"trailing space", "quota 1GiB", "quota 1GiB ", []string{"14:text!", "14:syntax!"}},
		{"carriage return", "quota 1GiB", "quota 1GiB\r", []string{"14:text!", "14:syntax!"}},
		{"not ASCII outside quotes", "quota 1GiB", "quota 1GiБ", []string{"14:text!", "14:syntax!"}},
		{"letters in quotes", `"Art. 5"`, `"čl. 5"`, []string{}},
		{"right to left", "Article 1", "Article \u202e1", []string{"22:text!"}},
		{"signature in the text", "Nobody ever", "— Nobody ever", []string{"0:text!"}},
		{"no newline at the end", "to this.\n", "to this.", []string{"0:text!"}},
		{"sealed types", "types=open", "types=sealed", []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, findings := Lint(sample(t, c.from, c.to))
			if d := cmp.Diff(c.want, codes(findings)); d != "" {
				t.Errorf("findings (-want +got):\n%s\n%v", d, findings)
			}
		})
	}
}

// TestLintSaysEverything checks that one broken line hides no other.
func TestLintSaysEverything(t *testing.T) {
	t.Parallel()
	text := sample(t, "version 1", "version one", "256KiB", "256", "party me", "party M", "retain<=1y", "retain<=2y",
		"exercise no\n", "")
	_, findings := Lint(text)
	want := []string{
		"0:missing!", "3:syntax!", "10:bad-id!", "10:bad-root!", "13:syntax!", "18:unknown-party!", "19:retention",
	}
	if d := cmp.Diff(want, codes(findings)); d != "" {
		t.Errorf("findings (-want +got):\n%s\n%v", d, findings)
	}
	for _, f := range findings {
		if f.Code == "syntax" && f.Hint == "" {
			t.Errorf("no hint: %v", f)
		}
	}
}

func TestLintLimits(t *testing.T) {
	t.Parallel()
	if a, findings := Lint(bytes.Repeat([]byte("x\n"), MaxText)); a != nil || Errors(findings) != 1 {
		t.Errorf("a text above the limit: %v, %v", a, findings)
	}
	if a, findings := Lint(nil); a != nil || Errors(findings) == 0 {
		t.Errorf("an empty text: %v, %v", a, findings)
	}
	clause := "say al hit personal=no handling<=H0 retain<=1d\n"
	a, findings := Lint(sample(t, "---\n", strings.Repeat(clause, 127)+"---\n"))
	if a == nil || Errors(findings) != 1 || findings[0].Code != "limit" {
		t.Errorf("129 clauses: %v", findings)
	}
	var many strings.Builder
	for i := range 40 {
		fmt.Fprintf(&many, "channel c%d mode=actual types=open\nsay al hit personal=no handling<=H0 retain<=1d\n", i)
	}
	_, findings = Lint(sample(t, "---\n", many.String()+"---\n"))
	if d := cmp.Diff([]string{"83:limit!"}, codes(findings)); d != "" {
		t.Errorf("41 channels (-want +got):\n%s", d)
	}
}

func FuzzLint(f *testing.F) {
	f.Add(sample(f))
	f.Add(sample(f, "version 1", "version 2\nsupersedes sha256:00", "say", "channel x\nsay"))
	f.Add([]byte("karaula agreement v1\nsay\nparty \"\n"))
	f.Add([]byte("— al AAAA\n"))
	vectors, err := filepath.Glob("../../docs/spec/vectors/agreement/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range vectors {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, findings := Lint(text)
		if Errors(findings) == 0 && a == nil {
			t.Fatal("no agreement and no error")
		}
		s, err := Open(text)
		if (err == nil) != (s != nil) {
			t.Fatalf("Open gave %v and %v", s, err)
		}
		if err == nil && !bytes.HasPrefix(text, s.Agreement.Text) {
			t.Fatal("the text was changed")
		}
		if Errors(findings) > 0 && err == nil {
			t.Fatal("Open takes what Lint refuses")
		}
		if Errors(findings) == 0 {
			Matrix(a)
			Diff(nil, a)
			if d := Diff(a, a); len(d) != 0 {
				t.Fatalf("a text differs from itself: %v", d)
			}
		}
	})
}
