package alert_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const year = 365 * 24 * time.Hour

// wide are limits that no example exceeds.
var wide = alert.Limits{Personal: true, Handling: karaulav1.Handling_HANDLING_H3, Retain: 5 * year, MaxSize: 1 << 20}

func TestCheckHoldsTheClause(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		limits func(l *alert.Limits)
		change func(a *karaulav1.Alert)
		want   karaulav1.Code
	}{
		{name: "within", want: karaulav1.Code_CODE_UNSPECIFIED},
		{
			name:   "personal data",
			limits: func(l *alert.Limits) { l.Personal = false }, want: karaulav1.Code_CODE_PERSONAL_DATA,
		},
		{
			name: "attachments", limits: func(l *alert.Limits) { l.Personal = false },
			change: func(a *karaulav1.Alert) {
				a.GetVehicle().Owner = nil
				a.Attachments = []*karaulav1.Attachment{{Digest: make([]byte, 32), Media: "image/png", Size: 1}}
			}, want: karaulav1.Code_CODE_PERSONAL_DATA,
		},
		{
			name: "plate and VIN alone", limits: func(l *alert.Limits) { l.Personal = false },
			change: func(a *karaulav1.Alert) { a.GetVehicle().Owner = nil }, want: karaulav1.Code_CODE_UNSPECIFIED,
		},
		{
			name:   "at the ceiling",
			limits: func(l *alert.Limits) { l.Handling = karaulav1.Handling_HANDLING_H1 }, want: karaulav1.Code_CODE_UNSPECIFIED,
		},
		{
			name:   "above the ceiling",
			limits: func(l *alert.Limits) { l.Handling = karaulav1.Handling_HANDLING_H0 }, want: karaulav1.Code_CODE_HANDLING,
		},
		{name: "no ceiling", limits: func(l *alert.Limits) { l.Handling = 0 }, want: karaulav1.Code_CODE_HANDLING},
		{
			name:   "kept as long",
			change: func(a *karaulav1.Alert) { a.Expires = micros(now.Add(5 * year)) }, want: karaulav1.Code_CODE_UNSPECIFIED,
		},
		{
			name:   "kept longer",
			change: func(a *karaulav1.Alert) { a.Expires = micros(now.Add(5*year)) + 1 }, want: karaulav1.Code_CODE_RETENTION,
		},
		{
			name:   "by default shorter",
			limits: func(l *alert.Limits) { l.Retain = year }, want: karaulav1.Code_CODE_UNSPECIFIED,
		},
		{name: "too large", limits: func(l *alert.Limits) { l.MaxSize = 100 }, want: karaulav1.Code_CODE_TOO_LARGE},
		{
			name:   "no limits of size and time",
			limits: func(l *alert.Limits) { l.MaxSize, l.Retain = 0, 0 }, want: karaulav1.Code_CODE_UNSPECIFIED,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, limits := example(t, "vehicle"), wide
			if c.limits != nil {
				c.limits(&limits)
			}
			if c.change != nil {
				c.change(a)
			}
			fs := alert.Check(a, limits, now)
			if fs.Code() != c.want {
				t.Errorf("code %v, want %v: %v", fs.Code(), c.want, fs)
			}
			if (fs.Err() == nil) != (c.want == 0) {
				t.Errorf("error is %v", fs.Err())
			}
		})
	}
}

func TestWarnsOfWhatTheAlertDoesNotLiveToSee(t *testing.T) {
	t.Parallel()
	limits := wide
	limits.Retain = year / 2
	for field, change := range map[string]func(*karaulav1.Alert){
		"review_due":  func(a *karaulav1.Alert) { a.ReviewDue = micros(now.Add(year)) },
		"patrol.ends": func(a *karaulav1.Alert) { a.GetPatrol().Ends = micros(now.Add(year)) },
		"":            func(a *karaulav1.Alert) { a.GetPatrol().Ends = micros(now.Add(year / 4)) },
	} {
		a := example(t, "patrol")
		a.GetPatrol().Ends = micros(now.Add(year / 4))
		change(a)
		got := ""
		for _, f := range alert.Check(a, limits, now) {
			if f.Rule == "outlives" {
				got += f.Field
			}
		}
		if got != field {
			t.Errorf("warned of %q, want %q", got, field)
		}
	}
}

func TestErrorsTellTheKind(t *testing.T) {
	t.Parallel()
	a := example(t, "vehicle")
	limits := wide
	limits.Personal, limits.Handling = false, karaulav1.Handling_HANDLING_H0
	fs := alert.Check(a, limits, now)
	err := fs.Err()
	if !problem.Is(err, problem.NotAllowed) {
		t.Errorf("limits of the clause are %v, want not-allowed", problem.KindOf(err))
	}
	for _, want := range []string{"vehicle.owner: holds personal data", "handling: is H1, the clause admits up to H0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	a.Authority = ""
	fs = append(fs, alert.Validate(a, now)...)
	if err := fs.Err(); !problem.Is(err, problem.Invalid) || fs.Code() != karaulav1.Code_CODE_INVALID_CONTENT {
		t.Errorf("a broken rule goes first: %v, %v", problem.KindOf(err), fs.Code())
	}
}

func TestErrNamesTen(t *testing.T) {
	t.Parallel()
	var fs alert.Findings
	for range 12 {
		fs = append(fs, alert.Finding{
			Rule: "r", Text: "is wrong", Severity: alert.Error, Code: karaulav1.Code_CODE_INVALID_CONTENT,
		})
	}
	if err := fs.Err(); strings.Count(err.Error(), "is wrong [r]") != 10 || !strings.Contains(err.Error(), "and 2 more") {
		t.Errorf("got %v", err)
	}
}

// TestFreeTextIsNamed: where the clause forbids personal data, the officer is
// told what nobody has judged.
func TestFreeTextIsNamed(t *testing.T) {
	t.Parallel()
	limits := wide
	limits.Personal = false
	fs := alert.Check(example(t, "route"), limits, now)
	const want = "free text is not checked for personal data"
	if len(fs) != 1 || fs[0].Severity != alert.Warning || !strings.Contains(fs[0].Text, want) {
		t.Fatalf("found %v, want one warning", fs)
	}
	for _, field := range []string{
		"texts[0].text", "route.modus_operandi", "route.actor_groups", "route.waypoints[3].location.place",
	} {
		if !strings.Contains(fs[0].Text, field) {
			t.Errorf("%q is not named in %q", field, fs[0].Text)
		}
	}
	if fs := alert.Check(example(t, "route"), wide, now); len(fs) != 0 {
		t.Errorf("where personal data may be said: %v", fs)
	}
}

// TestPersonalDataOfTheExamples: the outermost fields, and nothing else.
func TestPersonalDataOfTheExamples(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"vehicle":     {"vehicle.owner"},
		"trafficking": {"trafficking.victims", "trafficking.suspects"},
		"person":      {"person"},

		"document-passport": {"document.number", "document.mrz", "document.holder"},
	}
	for _, name := range exampleNames(t) {
		if diff := cmp.Diff(want[name], alert.PersonalData(example(t, name))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestIdentitiesAreAlwaysPersonal: wherever a person can be named, the field or
// one around it is marked; nothing inside an identity is unmarked but what
// describes the document or the certainty.
func TestIdentitiesAreAlwaysPersonal(t *testing.T) {
	t.Parallel()
	for _, fd := range alertFields() {
		if fd.Message() == nil {
			continue
		}
		switch fd.Message().Name() {
		case "Identity", "IdentityDocument", "InvolvedPerson", "Person", "VictimGroup", "Attachment", "Warrant":
			if !markOf(fd).GetPersonal() {
				t.Errorf("%s is not marked as personal data", fd.FullName())
			}
		}
	}
}

// TestMarksNotFlags: no field lets the sender say that an alert holds no
// personal data; special_category only makes it stricter.
func TestMarksNotFlags(t *testing.T) {
	t.Parallel()
	a := example(t, "vehicle-urgent")
	if got := alert.PersonalData(a); len(got) != 0 {
		t.Fatalf("the example holds %v", got)
	}
	b := proto.CloneOf(a)
	b.SpecialCategory = true
	if got := alert.PersonalData(b); !slices.Equal(got, []string{"special_category"}) {
		t.Errorf("got %v", got)
	}
}
