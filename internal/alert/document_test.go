package alert_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// specimens are the zones that ICAO Doc 9303 parts 4 to 7 show, of a state that
// does not exist.
var specimens = []struct {
	name  string
	kind  karaulav1.DocumentKind
	no    string
	lines []string
}{
	{"TD3", karaulav1.DocumentKind_DOCUMENT_KIND_PASSPORT, "L898902C3", []string{
		"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
	}},
	{"TD2", karaulav1.DocumentKind_DOCUMENT_KIND_IDENTITY_CARD, "D23145890", []string{
		"I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6",
	}},
	{"TD1", karaulav1.DocumentKind_DOCUMENT_KIND_IDENTITY_CARD, "D23145890", []string{
		"I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<",
	}},
	{"TD1 with a long number", karaulav1.DocumentKind_DOCUMENT_KIND_IDENTITY_CARD, "D23145890734", []string{
		"I<UTOD23145890<7349<<<<<<<<<<<", "3407127M9507122UTO<<<<<<<<<<<2", "STEVENSON<<PETER<JOHN<<<<<<<<<",
	}},
	{"visa A", karaulav1.DocumentKind_DOCUMENT_KIND_VISA, "L8988901C", []string{
		"V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L8988901C4XXX4009078F96121096ZE184226B<<<<<<",
	}},
	{"visa B", karaulav1.DocumentKind_DOCUMENT_KIND_VISA, "L8988901C", []string{
		"V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "L8988901C4XXX4009078F9612109<<<<<<<<",
	}},
}

// specimen makes the example passport one of the specimens.
func specimen(t testing.TB, i int) *karaulav1.Alert {
	t.Helper()
	a := example(t, "document-passport")
	s, d := specimens[i], a.GetDocument()
	d.Kind, d.Number, d.Mrz, d.IssuingState, d.ExpiresOn, d.IssuedOn, d.Holder = s.kind, s.no,
		append([]string(nil), s.lines...), "UTO", "", "", nil
	return a
}

func TestSpecimensOfICAO(t *testing.T) {
	t.Parallel()
	for i, s := range specimens {
		a := specimen(t, i)
		if fs := alert.Validate(a, now); len(fs) != 0 {
			t.Errorf("%s: found %v", s.name, fs)
		}
		a.GetDocument().Number = "TEST1"
		line := "document.mrz[1]"
		if len(s.lines) == 3 {
			line = "document.mrz[0]"
		}
		if fs := alert.Validate(a, now); !has(fs, line, "mrz-number", alert.Error) {
			t.Errorf("%s: another number is not found: %v", s.name, fs)
		}
	}
}

// TestEveryDigitOfAZoneCounts: one digit of the data that is misread by one is
// always found.
func TestEveryDigitOfAZoneCounts(t *testing.T) {
	t.Parallel()
	for i, s := range specimens {
		line := 1
		for at := range s.lines[line] {
			c := s.lines[line][at]
			if c < '0' || c > '8' || strings.HasPrefix(s.name, "visa") && at > 27 { // a visa's optional data has no digit
				continue
			}
			a := specimen(t, i)
			a.GetDocument().Mrz[line] = s.lines[line][:at] + string(c+1) + s.lines[line][at+1:]
			if fs := alert.Validate(a, now); !has(fs, "document.mrz[1]", "mrz-check-digit", alert.Error) {
				t.Errorf("%s: digit %d is misread unseen: %v", s.name, at+1, fs)
			}
		}
	}
}

func TestZoneAndFields(t *testing.T) {
	t.Parallel()
	d := func(do func(d *karaulav1.Document)) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { do(a.GetDocument()) }
	}
	breaches := []breach{
		{"another number", d(func(d *karaulav1.Document) { d.Number = "TEST00001" }), "document.mrz[1]", "mrz-number"},
		{"another end", d(func(d *karaulav1.Document) { d.ExpiresOn = "2030-01-02" }), "document.mrz[1]", "mrz-expiry"},
		{"another state", d(func(d *karaulav1.Document) { d.IssuingState = "ALB" }), "document.mrz[0]", "mrz-state"},
		{"another birth", d(func(d *karaulav1.Document) { d.Holder.BirthDate = "1985-02-03" }), "document.mrz[1]", "mrz-birth"},
		{"a visa's letter", d(func(d *karaulav1.Document) {
			d.Kind = karaulav1.DocumentKind_DOCUMENT_KIND_VISA
		}), "document.mrz[0]", "mrz-kind"},
		{"no sex", d(func(d *karaulav1.Document) {
			d.Mrz[1] = d.GetMrz()[1][:20] + "Q" + d.GetMrz()[1][21:]
		}), "document.mrz[1]", "mrz-sex"},
	}
	run(t, "document-passport", breaches)
	for _, b := range breaches { // a forgery may contradict itself: it is told, and taken
		a := example(t, "document-passport")
		b.do(a)
		a.GetDocument().Status = karaulav1.DocumentStatus_DOCUMENT_STATUS_FORGED
		if fs := alert.Validate(a, now); fs.Err() != nil || !has(fs, b.field, b.rule, alert.Warning) {
			t.Errorf("forged, %s: found %v", b.name, fs)
		}
	}
	run(t, "document-passport", []breach{
		{"one line", d(func(d *karaulav1.Document) { d.Mrz = d.GetMrz()[:1] }), "document.mrz", "mrz-form"},
		{"lines of two lengths", d(func(d *karaulav1.Document) {
			d.Mrz[0] = d.GetMrz()[0][:36]
		}), "document.mrz", "mrz-form"},
		{"small letters", d(func(d *karaulav1.Document) {
			d.Mrz[0] = strings.ToLower(d.GetMrz()[0])
		}), "document.mrz[0]", "string.pattern"},
		{"number of nothing", d(func(d *karaulav1.Document) { d.Number = "-" }), "document.number", "document-number"},
		{"ends first", d(func(d *karaulav1.Document) { d.IssuedOn = "2031-01-01" }), "document.issued_on", "document-dates"},
		{"ends before it begins", d(func(d *karaulav1.Document) {
			d.IssuedOn, d.ExpiresOn, d.Mrz = "2020-01-02", "2019-01-01", nil
		}), "document.expires_on", "document-dates"},
	})
	pass(t, "document-passport", map[string]func(a *karaulav1.Alert){
		"state as printed": d(func(d *karaulav1.Document) { d.IssuingState, d.IssuingStateAsPrinted = "ME", "MNE" }),
		"year of birth":    d(func(d *karaulav1.Document) { d.Holder.BirthDate = "1985" }),
		"spaces":           d(func(d *karaulav1.Document) { d.Number = "TEST 00000" }),
	})
}

func TestBlanks(t *testing.T) {
	t.Parallel()
	ends := func(from, to string) func(a *karaulav1.Alert) {
		return func(a *karaulav1.Alert) { a.GetDocument().BlankFrom, a.GetDocument().BlankTo = from, to }
	}
	run(t, "document", []breach{
		{"no end", ends("TEST000000", ""), "document", "document-named"},
		{"end before the beginning", ends("TEST000249", "TEST000000"), "document.blank_to", "blank-range"},
		{"another series", ends("TEST000000", "TSET000249"), "document.blank_to", "blank-range"},
		{"longer", ends("TEST000000", "TEST0000249"), "document.blank_to", "blank-range"},
		{"no digits", ends("TESTA", "TESTB"), "document.blank_to", "blank-range"},
		{"a holder of a blank", func(a *karaulav1.Alert) {
			a.DataSubjectCategories = []karaulav1.DataSubject{karaulav1.DataSubject_DATA_SUBJECT_OTHER}
			a.GetDocument().Holder = &karaulav1.Identity{Surname: "TESTOVIC"}
		}, "document.status", "blank-issued"},
	})
	pass(t, "document", map[string]func(a *karaulav1.Alert){"one blank": ends("TEST000000", "TEST000000")})
	warn(t, "document", []breach{{
		"lost some time", func(a *karaulav1.Alert) { a.GetDocument().LostAt = 0 }, "document.lost_at", "document-loss",
	}})
}

// TestOnlyTheIssuerSpeaks: a party speaks of its own documents, by whatever code
// they bear, and of nobody else's; one without documents of its own of none.
func TestOnlyTheIssuerSpeaks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		origin, state string
		ok            bool
	}{
		{"al", "ALB", true},
		{"ba", "BIH", true},
		{"xk", "RKS", true},
		{"xk", "UNK", true},
		{"mk", "MKD", true},
		{"me", "MNE", true},
		{"rs", "SRB", true},
		{"hr", "HRV", true},
		{"al", "AL", true},
		{"me", "ALB", false},
		{"rs", "RKS", false},
		{"xk", "SRB", false},
		{"selec", "ALB", false},
		{"", "ALB", false},
	} {
		for _, name := range []string{"document", "document-passport"} {
			a, limits := example(t, name), wide
			a.GetDocument().IssuingState, limits.Origin = c.state, c.origin
			fs := alert.Check(a, limits, now)
			if has(fs, "document.issuing_state", "issuer", alert.Error) == c.ok {
				t.Errorf("%s on a document of %s: found %v", c.origin, c.state, fs)
			}
			if code := fs.Code(); !c.ok && code != karaulav1.Code_CODE_INVALID_CONTENT {
				t.Errorf("%s on a document of %s: code %v", c.origin, c.state, code)
			}
		}
	}
}

// FuzzMRZ: whatever stands in a zone, it is judged, no finding shows it, and it
// is found to be good or bad twice the same way.
func FuzzMRZ(f *testing.F) {
	for i := range specimens {
		f.Add(strings.Join(specimens[i].lines, "\n"), uint8(specimens[i].kind))
	}
	f.Add("P<UTO", uint8(1))
	f.Add(strings.Repeat(strings.Repeat("<", 30)+"\n", 3), uint8(3))
	f.Add(strings.Repeat(strings.Repeat("9", 44)+"\n", 2), uint8(1))
	base := example(f, "document-passport")
	f.Fuzz(func(t *testing.T, zone string, kind uint8) {
		if len(zone) > 1000 {
			return
		}
		a := proto.CloneOf(base)
		d := a.GetDocument()
		d.Mrz, d.Kind = strings.Split(zone, "\n"), karaulav1.DocumentKind(kind)
		fs := alert.Validate(a, now)
		if again := alert.Validate(a, now); len(again) != len(fs) {
			t.Errorf("judged as %v, then as %v", fs, again)
		}
		for _, f := range fs {
			for _, l := range d.GetMrz() {
				if len(l) > 20 && strings.Contains(f.String(), l) {
					t.Errorf("%s shows a value", f.Rule)
				}
			}
		}
	})
}
