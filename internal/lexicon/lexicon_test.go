package lexicon_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"

	"karaula/internal/lexicon"
	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// alphabets are the letters of each language; a look-alike of another script, or
// a letter of a neighbour, is in none of them.
var alphabets = map[string]string{
	"bs": latin, "cnr": latin,
	"en":      "abcdefghijklmnopqrstuvwxyzé",
	"mk":      "абвгдѓежзѕијклљмнњопрстќуфхцчџш",
	"sq":      "abcçdeëfghijklmnopqrstuvxyz",
	"sr-Cyrl": "абвгдђежзијклљмнњопрстћуфхцчџш",
	"sr-Latn": latin,
}

const latin = "abcčćdđefghijklmnoprsštuvzž"

// shown lists the enums whose values people see: those of alerts and acts, and
// how far an alert got.
func shown() []protoreflect.EnumDescriptor {
	out := []protoreflect.EnumDescriptor{
		karaulav1.VerdictClass(0).Descriptor(), karaulav1.DeliveryState(0).Descriptor(),
		karaulav1.ClockKind(0).Descriptor(), karaulav1.ClockState(0).Descriptor(),
		karaulav1.MatchRank(0).Descriptor(),
	}
	seen := map[protoreflect.FullName]bool{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			fd := m.Fields().Get(i)
			if e := fd.Enum(); e != nil && !seen[e.FullName()] {
				seen[e.FullName()] = true
				out = append(out, e)
			}
			if fd.Message() != nil {
				walk(fd.Message())
			}
		}
	}
	walk((&karaulav1.Alert{}).ProtoReflect().Descriptor())
	walk((&karaulav1.Act{}).ProtoReflect().Descriptor())
	return out
}

// line is one line of a table.
type line struct{ key, term, doubt string }

func table(t *testing.T, tag string) []line {
	t.Helper()
	body, err := os.ReadFile("tables/" + tag + ".tsv")
	if err != nil {
		t.Fatal(err)
	}
	var out []line
	for text := range strings.Lines(string(body)) {
		cells := strings.Split(strings.TrimSuffix(text, "\n"), "\t")
		if len(cells) < 2 || len(cells) > 3 || (len(cells) == 3 && cells[2] != "?") {
			t.Fatalf("%s: a line that is not key, term and perhaps a question mark: %q", tag, text)
		}
		out = append(out, line{cells[0], cells[1], strings.Join(cells[2:], "")})
	}
	return out
}

// files lists the tags that have a table of their own.
func files() []string {
	return slices.DeleteFunc(lexicon.Tags(), func(tag string) bool { return tag == string(lexicon.SerbianLatin) })
}

// TestEveryValueHasATermInEveryLanguage and no table has a line too many.
func TestEveryValueHasATermInEveryLanguage(t *testing.T) {
	t.Parallel()
	var want []string
	for _, e := range shown() {
		for i := range e.Values().Len() {
			if v := e.Values().Get(i); v.Number() != 0 {
				want = append(want, string(v.Name()))
			}
		}
	}
	for _, x := range table(t, "en") { // the other keys are those of English
		if strings.HasPrefix(x.key, "party.") || strings.HasPrefix(x.key, "label.") {
			want = append(want, x.key)
		}
	}
	slices.Sort(want)
	for _, tag := range files() {
		var have []string
		for _, x := range table(t, tag) {
			have = append(have, x.key)
		}
		slices.Sort(have)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s: keys wanted (-) and there (+) differ:\n%s", tag, diff)
		}
	}
	for _, tag := range lexicon.Tags() {
		l, ok := lexicon.Parse(tag)
		if !ok || l.Name() == "" {
			t.Errorf("%s is no language", tag)
		}
		for _, e := range shown() {
			terms(t, l, e)
		}
	}
}

// terms checks the terms of one enum: none is missing, and none stands for two
// values, or a reader could not tell them apart.
func terms(t *testing.T, l lexicon.Language, e protoreflect.EnumDescriptor) {
	t.Helper()
	seen := map[string]protoreflect.Name{}
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		term := l.Term(e, v.Number())
		switch {
		case (term == "") != (v.Number() == 0):
			t.Errorf("%s: %s has the term %q", l, v.Name(), term)
		case term != "" && seen[term] != "":
			t.Errorf("%s: %q stands for %s and for %s", l, term, seen[term], v.Name())
		}
		seen[term] = v.Name()
	}
	if term := l.Term(e, 9999); term != "" {
		t.Errorf("%s: an unknown value of %s has the term %q", l, e.Name(), term)
	}
}

func TestTermsAreInTheLettersOfTheirLanguage(t *testing.T) {
	t.Parallel()
	for _, tag := range lexicon.Tags() {
		l, _ := lexicon.Parse(tag)
		for _, x := range table(t, "en") {
			var term string
			if kind, word, ok := strings.Cut(x.key, "."); ok && kind == "party" {
				term = l.Party(word)
			} else if ok {
				term = l.Label(word)
			}
			letters(t, tag, term)
		}
		for _, e := range shown() {
			for i := range e.Values().Len() {
				letters(t, tag, l.Term(e, e.Values().Get(i).Number()))
			}
		}
	}
}

// TestEveryReasonOfAMatchHasATerm in the keys of English, which all tables have.
func TestEveryReasonOfAMatchHasATerm(t *testing.T) {
	t.Parallel()
	n := 0
	for k := range searchkey.Kind(255) {
		if why := k.Why(); why != "" {
			n++
			if lexicon.English.Label(strings.ReplaceAll(why, " ", "-")) == "" {
				t.Errorf("%q has no term", why)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d reasons", n)
	}
}

// letters checks one term: letters of the alphabet, digits, spaces and few signs,
// in a line that a page has room for.
func letters(t *testing.T, tag, term string) {
	t.Helper()
	for _, r := range term {
		if !strings.ContainsRune(alphabets[tag]+"0123456789 ,.:-'*", unicode.ToLower(r)) {
			t.Errorf("%s: %q has %q", tag, term, r)
		}
	}
	if n := len([]rune(term)); n > 80 || strings.TrimSpace(term) != term {
		t.Errorf("%s: %q has %d letters, or spaces around it", tag, term, n)
	}
}

// TestBothScriptsSayTheSame with examples that have every letter that is two in
// Latin.
func TestBothScriptsSayTheSame(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		e          protoreflect.Enum
		cyrl, latn string
	}{
		{karaulav1.FirearmKind_FIREARM_KIND_PISTOL, "пиштољ", "pištolj"},
		{karaulav1.Purpose_PURPOSE_PROSECUTION, "кривично гоњење", "krivično gonjenje"},
		{karaulav1.RecruitmentMethod_RECRUITMENT_METHOD_FEIGNED_LOVE, "лажна љубав", "lažna ljubav"},
	} {
		cyrl := lexicon.SerbianCyrillic.Term(x.e.Descriptor(), x.e.Number())
		latn := lexicon.SerbianLatin.Term(x.e.Descriptor(), x.e.Number())
		if cyrl != x.cyrl || latn != x.latn {
			t.Errorf("%s, %s; want %s, %s", cyrl, latn, x.cyrl, x.latn)
		}
	}
	if got := lexicon.SerbianLatin.Party("rs"); got != "Srbija" {
		t.Errorf("a capital becomes %s", got)
	}
}

// TestPartiesAreNamedWithoutAPosition: the star, and with it the footnote, stands
// in every language, and at no other party.
func TestPartiesAreNamedWithoutAPosition(t *testing.T) {
	t.Parallel()
	for _, tag := range lexicon.Tags() {
		l, _ := lexicon.Parse(tag)
		for _, code := range []string{"al", "ba", "xk", "mk", "me", "rs"} {
			if name := l.Party(code); name == "" || strings.HasSuffix(name, "*") != (code == "xk") {
				t.Errorf("%s: %s is named %q", tag, code, name)
			}
		}
		if name := l.Party("zz"); name != "" {
			t.Errorf("%s: an unknown party is named %q", tag, name)
		}
	}
	if got := lexicon.English.Party("mk"); got != "North Macedonia" {
		t.Errorf("mk is named %s", got)
	}
	for _, tag := range []string{"", "sr", "SQ", "de"} {
		if _, ok := lexicon.Parse(tag); ok {
			t.Errorf("%q is taken for a language", tag)
		}
	}
}
