package searchkey

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of a name; what is longer is cut, so that no name costs more.
const (
	maxWords  = 6
	maxLetter = 40
)

// cyrillic gives the official Latin letters: of Serbian and Montenegrin one for
// one, of Macedonian with ǵ and ḱ, and what neighbouring alphabets add (after ISO
// 9 and ICAO Doc 9303 part 3, section 6).
var cyrillic = map[rune]string{
	'а': "a", 'б': "b", 'в': "v", 'г': "g", 'д': "d", 'ђ': "đ", 'ѓ': "ǵ", 'е': "e", 'ѐ': "e", 'ё': "jo",
	'ж': "ž", 'з': "z", 'ѕ': "dz", 'и': "i", 'ѝ': "i", 'і': "i", 'ї': "ji", 'й': "j", 'ј': "j", 'к': "k",
	'ќ': "ḱ", 'л': "l", 'љ': "lj", 'м': "m", 'н': "n", 'њ': "nj", 'о': "o", 'п': "p", 'р': "r", 'с': "s",
	'т': "t", 'ћ': "ć", 'у': "u", 'ф': "f", 'х': "h", 'ц': "c", 'ч': "č", 'џ': "dž", 'ш': "š", 'щ': "št",
	'ъ': "a", 'ы': "i", 'ь': "", 'э': "e", 'ю': "ju", 'я': "ja", 'є': "je", 'ґ': "g", 'ў': "v",
}

// Latin writes Cyrillic letters in Latin ones, officially, with their marks; the
// rest stays. A capital that becomes two letters keeps the second one small.
func Latin(text string) string {
	var b strings.Builder
	for _, r := range text {
		s, ok := cyrillic[unicode.ToLower(r)]
		switch {
		case !ok:
			b.WriteRune(r)
		case unicode.IsUpper(r) && s != "":
			first, size := utf8.DecodeRuneInString(s)
			b.WriteRune(unicode.ToUpper(first))
			b.WriteString(s[size:])
		default:
			b.WriteString(s)
		}
	}
	return b.String()
}

// spellings gives the ways in which a Latin letter is written where it is
// missing: without its mark (as most registers do, and ICAO Doc 9303 for most);
// as the languages' own digraph; as English ears hear it.
var spellings = map[rune][3]string{
	'č': {"c", "c", "ch"}, 'ć': {"c", "c", "ch"}, 'š': {"s", "s", "sh"}, 'ž': {"z", "z", "zh"},
	'đ': {"d", "dj", "dj"}, 'ð': {"d", "dh", "dj"}, 'ǵ': {"g", "gj", "gj"}, 'ḱ': {"k", "kj", "kj"},
	'ë': {"e", "e", "e"}, 'ç': {"c", "c", "ch"}, 'ö': {"o", "oe", "oe"}, 'ü': {"u", "ue", "ue"},
	'ä': {"a", "ae", "ae"}, 'ß': {"ss", "ss", "ss"}, 'ø': {"o", "oe", "oe"}, 'å': {"a", "aa", "aa"},
	'æ': {"ae", "ae", "ae"}, 'œ': {"oe", "oe", "oe"}, 'ł': {"l", "l", "l"}, 'ı': {"i", "i", "i"},
	'þ': {"th", "th", "th"}, 'ñ': {"n", "n", "nj"}, 'ǆ': {"dz", "dz", "dzh"}, 'ǉ': {"lj", "lj", "lj"},
	'ǌ': {"nj", "nj", "nj"},
}

// greek gives letters as travel documents do (after ICAO Doc 9303 and ELOT 743,
// letter by letter).
var greek = map[rune]string{
	'α': "a", 'β': "v", 'γ': "g", 'δ': "d", 'ε': "e", 'ζ': "z", 'η': "i", 'θ': "th", 'ι': "i", 'κ': "k", 'λ': "l",
	'μ': "m", 'ν': "n", 'ξ': "x", 'ο': "o", 'π': "p", 'ρ': "r", 'σ': "s", 'ς': "s", 'τ': "t", 'υ': "y", 'φ': "f",
	'χ': "ch", 'ψ': "ps", 'ω': "o",
}

// words splits a name into its words, in lower-case Latin letters with their
// marks. Apostrophes join, everything else that is no letter separates.
func words(name string) []string {
	var out []string
	var w []rune
	end := func() {
		if len(w) > 0 && len(out) < maxWords {
			out = append(out, string(w))
		}
		w = nil
	}
	for _, r := range strings.ToLower(norm.NFC.String(name)) {
		switch {
		case cyrillic[r] != "" || r == 'ь':
			w = append(w, []rune(cyrillic[r])...)
		case greek[plain(r)] != "":
			w = append(w, []rune(greek[plain(r)])...)
		case unicode.IsLetter(r):
			w = append(w, r)
		case r == '\'' || r == '’' || r == 'ʼ' || r == '`' || unicode.Is(unicode.Mn, r):
		default:
			end()
		}
		if len(w) > maxLetter {
			w = w[:maxLetter]
		}
	}
	end()
	return out
}

// plain takes a letter's mark away, where it has one that can be taken.
func plain(r rune) rune {
	for _, d := range norm.NFD.String(string(r)) {
		return d
	}
	return r
}

// forms gives the spellings of a word or of words written as one, in a to z.
func forms(word string) []string {
	var out []string
	for way := range 3 {
		var b strings.Builder
		for _, r := range word {
			switch s, ok := spellings[r]; {
			case ok:
				b.WriteString(s[way])
			default:
				if r = plain(r); r >= 'a' && r <= 'z' {
					b.WriteRune(r)
				}
			}
		}
		if s := b.String(); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// sounds makes one form of the ways in which the region's languages and English
// write the same sound. Longest first.
var sounds = strings.NewReplacer(
	"tch", "c", "dzh", "dz", "sch", "s", "ije", "e", "ch", "c", "kj", "c", "tj", "c", "sh", "s", "zh", "z",
	"dj", "d", "gj", "d", "xh", "dz", "dh", "d", "th", "t", "ph", "f", "ks", "x", "je", "e", "ie", "e",
	"q", "c", "w", "v", "y", "i", "j", "i",
)

// sound gives a rough form of a word in a to z, with no letter twice in a row.
func sound(form string) string {
	var out []byte
	for _, c := range []byte(sounds.Replace(form)) {
		if len(out) == 0 || out[len(out)-1] != c {
			out = append(out, c)
		}
	}
	return string(out)
}

// slips gives a form with each of its letters left out in turn, and itself: two
// forms that differ by one letter put in, left out or mistaken share one (the
// deletion neighbourhood of Damerau and Levenshtein's distance 1; two letters
// exchanged are found as well).
func slips(form string) []string {
	if len(form) < minSlip {
		return nil
	}
	out := []string{form}
	for i := range len(form) {
		if s := form[:i] + form[i+1:]; !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// minSlip is the shortest form of which a letter may be amiss.
const minSlip = 5
