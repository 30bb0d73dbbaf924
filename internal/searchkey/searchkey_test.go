package searchkey_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// best gives the best kind that two lists of terms share, zero if none.
func best(a, b []searchkey.Term) searchkey.Kind {
	var out searchkey.Kind
	has := map[searchkey.Term]bool{}
	for _, t := range a {
		has[t] = true
	}
	for _, t := range b {
		if has[t] && (out == 0 || t.Kind.Rank() > out.Rank()) {
			out = t.Kind
		}
	}
	return out
}

// failer is what tests of both kinds have.
type failer interface {
	Fatalf(format string, args ...any)
}

func ask(t failer, q *karaulav1.Question) []searchkey.Term {
	terms, err := searchkey.Ask(q)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return terms
}

func askPlate(number, country string) *karaulav1.Question {
	return &karaulav1.Question{About: &karaulav1.Question_Plate{
		Plate: &karaulav1.PlateQuestion{Number: number, Country: country},
	}}
}

func askDocument(number, state string) *karaulav1.Question {
	return &karaulav1.Question{About: &karaulav1.Question_Document{
		Document: &karaulav1.DocumentQuestion{Number: number, IssuingState: state},
	}}
}

func askPerson(surname, given, born string) *karaulav1.Question {
	return &karaulav1.Question{About: &karaulav1.Question_Person{
		Person: &karaulav1.PersonQuestion{Surname: surname, GivenNames: given, BirthDate: born},
	}}
}

func plateAlert(number, country string) *karaulav1.Alert {
	return &karaulav1.Alert{Details: &karaulav1.Alert_Vehicle{Vehicle: &karaulav1.Vehicle{
		Vin:    "TESTVXN0000000001",
		Plates: []*karaulav1.Plate{{Number: number, Country: country}},
	}}}
}

func personAlert(surname, given, born string) *karaulav1.Alert {
	return &karaulav1.Alert{Details: &karaulav1.Alert_Person{Person: &karaulav1.Person{
		Identity: &karaulav1.Identity{Surname: surname, GivenNames: given, BirthDate: born},
	}}}
}

func TestPlates(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		alert, asked [2]string
		want         searchkey.Kind
	}{
		{[2]string{"AA 000 TT", "AL"}, [2]string{"aa000tt", "AL"}, searchkey.PlateOfCountry},
		{[2]string{"AA 000 TT", "AL"}, [2]string{"AA-000-TT", ""}, searchkey.Plate},
		{[2]string{"AA 000 TT", "AL"}, [2]string{"АА 000 ТТ", "AL"}, searchkey.PlateOfCountry}, // Cyrillic letters
		{[2]string{"ZŠ 000-BV", "RS"}, [2]string{"зш 000 бв", "RS"}, searchkey.PlateOfCountry}, // a Cyrillic keyboard
		{[2]string{"VR 000 AV", "RS"}, [2]string{"ВР 000 АВ", "RS"}, searchkey.PlateRead},      // may be BP, may be VR
		{[2]string{"BP 000 AB", "RS"}, [2]string{"ВР 000 АВ", "RS"}, searchkey.PlateOfCountry},
		{[2]string{"AA 000 TT", "AL"}, [2]string{"AA000TT", "MK"}, searchkey.Plate},
		{[2]string{"AO 000 TT", "AL"}, [2]string{"A0 0O0 TT", "AL"}, searchkey.PlateRead},
		{[2]string{"AA 000 TT", "AL"}, [2]string{"AA 001 TT", "AL"}, 0},
		{[2]string{"ČA 000-TT", "BA"}, [2]string{"CA000TT", "BA"}, searchkey.PlateRead},
	} {
		got := best(searchkey.Of(plateAlert(tc.alert[0], tc.alert[1])), ask(t, askPlate(tc.asked[0], tc.asked[1])))
		if got != tc.want {
			t.Errorf("%v asked as %v: kind %d (%s), want %d", tc.alert, tc.asked, got, got.Why(), tc.want)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ZZ 000 ZZ": "ZZ000ZZ", "zz-000-zz": "ZZ000ZZ", "ВС·000": "BC000", "СК 000-АМ": "CK000AM",
		"ČA 000": "ČA000", "З 000 Р": "Z000R", "ЉЏ 000": "LJDŽ000", " - .": "", "": "", "Ј Т Х Н": "JTXH",
	} {
		if got := searchkey.Number(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestPersons(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		alert, asked [3]string
		want         searchkey.Kind
	}{
		// One name in the region's spellings. All invented.
		{[3]string{"Đorđević", "Primer", "1985-02-17"}, [3]string{"Ђорђевић", "Пример", "1985-02-17"}, searchkey.NameAndBirth},
		{[3]string{"Đorđević", "Primer", "1985-02-17"}, [3]string{"DJORDJEVIC", "PRIMER", "1985-02-17"}, searchkey.NameAndBirth},
		{[3]string{"Đorđević", "Primer", "1985-02-17"}, [3]string{"Dordevic", "Primer", "1985-02-17"}, searchkey.NameAndBirth},
		{[3]string{"Djordjevic", "Primer", "1985-02-17"}, [3]string{"Dordevic", "Primer", "1985-02-17"}, searchkey.SoundAndBirth},
		{[3]string{"Ѓорѓиевски", "Пример", "1985-02-17"}, [3]string{"GJORGJIEVSKI", "PRIMER", "1985-02-17"}, searchkey.NameAndBirth},
		{[3]string{"Ќосев", "Пример", "1985"}, [3]string{"Kjosev", "Primer", "1985"}, searchkey.NameAndYear},
		{[3]string{"Petrović", "Žarko", "1985-02-17"}, [3]string{"Petrovich", "Zharko", "1985-02-17"}, searchkey.NameAndBirth},
		{[3]string{"Xhaferi", "Shembull", "1985-02-17"}, [3]string{"Džaferi", "Šembul", "1985-02-17"}, searchkey.SoundAndBirth},
		{[3]string{"Çela", "Shëmbëll", "1985-02-17"}, [3]string{"CELA", "SHEMBELL", "1985-02-17"}, searchkey.NameAndBirth},
		{[3]string{"Müller-Testović", "Ana Marija", "1985-02-17"}, [3]string{"Mueller", "Ana", "1985-02-17"}, searchkey.NameAndBirth},
		// Exchanged names, dates and letters.
		{[3]string{"Testović", "Primer", "1985-02-17"}, [3]string{"Primer", "Testovic", "1985-02-17"}, searchkey.NameAndBirth},
		{[3]string{"Testović", "Primer", "1985-02-07"}, [3]string{"Testović", "Primer", "1985-07-02"}, searchkey.NameAndYear},
		{[3]string{"Testović", "Primer", "1985-02-17"}, [3]string{"Testavić", "Drugi", "1985-02-17"}, searchkey.SlipAndBirth},
		{[3]string{"Testović", "Primer", "1985-02-17"}, [3]string{"Testović", "Drugi", "1985-02-17"}, searchkey.SurnameAndBirth},
		{[3]string{"Testović", "Primer", "1985-02-17"}, [3]string{"Testović", "Primer", "1986"}, searchkey.NearYear},
		{[3]string{"Testović", "Primer", "1985-02"}, [3]string{"Testović", "Primer", "1985-02-17"}, searchkey.NameAndYear},
		{[3]string{"Testović", "Primer", "1985"}, [3]string{"Testović", "Primer", ""}, searchkey.NameUndated},
		{[3]string{"Testović", "Primer", ""}, [3]string{"Testović", "Primer", "1985"}, searchkey.NameUndated},
		// Strangers.
		{[3]string{"Testović", "Primer", "1985-02-17"}, [3]string{"Testović", "Primer", "1970-02-17"}, 0},
		{[3]string{"Testović", "Primer", "1985-02-17"}, [3]string{"Testović", "Drugi", "1985-02-18"}, 0},
		{[3]string{"Testović", "Primer", "1985-02-17"}, [3]string{"Testarić", "Primer", "1985"}, 0},
		{[3]string{"Hodža", "Primer", "1985-02-17"}, [3]string{"Godža", "Primer", "1984-02-17"}, 0},
	} {
		got := best(searchkey.Of(personAlert(tc.alert[0], tc.alert[1], tc.alert[2])),
			ask(t, askPerson(tc.asked[0], tc.asked[1], tc.asked[2])))
		if got != tc.want {
			t.Errorf("%v asked as %v: kind %d (%s), want %d", tc.alert, tc.asked, got, got.Why(), tc.want)
		}
	}
}

// TestNobodyIsSoughtForWhatWasDoneToHim: victims, witnesses, owners and lawful
// holders are not found.
func TestNobodyIsSoughtForWhatWasDoneToHim(t *testing.T) {
	t.Parallel()
	who := &karaulav1.Identity{Surname: "Testović", GivenNames: "Primer", BirthDate: "1985-02-17"}
	asked := ask(t, askPerson("Testović", "Primer", "1985-02-17"))
	in := func(role karaulav1.PersonRole) *karaulav1.Alert {
		return &karaulav1.Alert{Details: &karaulav1.Alert_Vehicle{Vehicle: &karaulav1.Vehicle{
			Owner: who, Persons: []*karaulav1.InvolvedPerson{{Role: role, Identity: who}},
		}}}
	}
	for n := range karaulav1.PersonRole_name {
		role := karaulav1.PersonRole(n)
		var want searchkey.Kind
		switch role {
		case karaulav1.PersonRole_PERSON_ROLE_SUSPECT, karaulav1.PersonRole_PERSON_ROLE_DRIVER,
			karaulav1.PersonRole_PERSON_ROLE_COMPANION, karaulav1.PersonRole_PERSON_ROLE_BEARER,
			karaulav1.PersonRole_PERSON_ROLE_CONTROLLER:
			want = searchkey.NameAndBirth
		default:
		}
		if got := best(searchkey.Of(in(role)), asked); got != want {
			t.Errorf("%s: kind %d, want %d", role, got, want)
		}
	}
	for name, a := range map[string]*karaulav1.Alert{
		"victim": {Details: &karaulav1.Alert_Trafficking{Trafficking: &karaulav1.Trafficking{
			Victims: []*karaulav1.VictimGroup{{Identities: []*karaulav1.Identity{who}}},
		}}},
		"holder":      {Details: &karaulav1.Alert_Document{Document: &karaulav1.Document{Number: "TEST1", Holder: who}}},
		"last holder": {Details: &karaulav1.Alert_Firearm{Firearm: &karaulav1.Firearm{Serial: "TEST1", LastHolder: who}}},
		"asked about": {Details: &karaulav1.Alert_Request{Request: &karaulav1.Request{
			Subjects: []*karaulav1.Subject{{Person: who}},
		}}},
	} {
		if got := best(searchkey.Of(a), asked); got != 0 {
			t.Errorf("%s: kind %d", name, got)
		}
	}
}

func TestBadQuestions(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]*karaulav1.Question{
		"nothing":         {},
		"empty plate":     askPlate(" -. ", "AL"),
		"endless plate":   askPlate(fmt.Sprintf("%050d", 1), "AL"),
		"surname alone":   askPerson("Testović", "", ""),
		"surname, year":   askPerson("Testović", "", "1985"),
		"no surname":      askPerson("", "Primer", "1985-02-17"),
		"bad date":        askPerson("Testović", "Primer", "17.02.1985"),
		"no letters":      askPerson("12", "34", "1985-02-17"),
		"short telephone": {About: &karaulav1.Question_Imei{Imei: "12"}},
	} {
		if terms, err := searchkey.Ask(q); err == nil {
			t.Errorf("%s: asked as %v", name, terms)
		}
	}
}

// TestBlanks tries every number around every small range.
func TestBlanks(t *testing.T) {
	t.Parallel()
	number := func(n int) string { return fmt.Sprintf("TEST%04d", n) }
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, 3000).Draw(t, "from")
		to := from + rapid.IntRange(0, 1500).Draw(t, "more")
		a := &karaulav1.Alert{Details: &karaulav1.Alert_Document{Document: &karaulav1.Document{
			IssuingState: "ALB", BlankFrom: number(from), BlankTo: number(to),
		}}}
		terms := searchkey.Of(a)
		if len(terms) > 4*18 {
			t.Fatalf("%d terms", len(terms))
		}
		for _, n := range []int{0, from - 1, from, (from + to) / 2, to, to + 1, to * 2} {
			if n < 0 || n > 9999 {
				continue
			}
			got := best(terms, ask(t, askDocument(number(n), "ALB"))) == searchkey.Blank
			if want := n >= from && n <= to; got != want {
				t.Fatalf("%d in %d to %d: %v", n, from, to, got)
			}
		}
		if best(terms, ask(t, askDocument(number(from), "MNE"))) != 0 {
			t.Fatalf("another state's blank")
		}
	})
}

func TestBadBlankRanges(t *testing.T) {
	t.Parallel()
	for _, r := range [][2]string{
		{"TEST10", "TEST5"},
		{"TEST20", "TEST10"},
		{"TESA10", "TESB20"},
		{"TESTA", "TESTB"},
		{"", ""},
		{"1234567890123456789", "9234567890123456789"},
	} {
		a := &karaulav1.Alert{Details: &karaulav1.Alert_Document{Document: &karaulav1.Document{
			IssuingState: "ALB", BlankFrom: r[0], BlankTo: r[1],
		}}}
		if got := searchkey.Of(a); len(got) != 0 {
			t.Errorf("%v has %d terms", r, len(got))
		}
	}
}

// TestEveryoneIsFoundAsWritten: whatever the letters, the same words find their
// alert, and no name costs more than a bound.
func TestEveryoneIsFoundAsWritten(t *testing.T) {
	t.Parallel()
	word := rapid.StringOfN(rapid.RuneFrom([]rune("aeijobdvčćšžđëçöüљњђџћѓќѕжя'- ")), 1, 60, -1)
	rapid.Check(t, func(t *rapid.T) {
		s, g := "a"+word.Draw(t, "surname"), "b"+word.Draw(t, "given")
		terms := searchkey.Of(personAlert(s, g, "1985-02-17"))
		if best(terms, ask(t, askPerson(s, g, "1985-02-17"))) != searchkey.NameAndBirth {
			t.Fatalf("%q %q is not found", s, g)
		}
		if len(terms) > 1000 {
			t.Fatalf("%d terms", len(terms))
		}
	})
}

// FuzzAsk: no question makes it fail, and none has terms without end.
func FuzzAsk(f *testing.F) {
	f.Add("Ђорђевић", "Пример", "1985-02-17")
	f.Add("Müller-Testović", "Ana Marija", "1985")
	f.Add("\xff\xfe", "'", "2000-00-00")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, q := range []*karaulav1.Question{askPerson(a, b, c), askPlate(a, b), askDocument(a, b)} {
			terms, err := searchkey.Ask(q)
			if err == nil && (len(terms) == 0 || len(terms) > 1000) {
				t.Errorf("%d terms", len(terms))
			}
		}
		searchkey.Of(personAlert(a, b, c))
	})
}
