package searchkey

import (
	"strings"
	"unicode"
)

// MaxNumber bounds a number that is asked for or indexed, in characters; what is
// longer has no term.
const MaxNumber = 40

// lookAlikes folds Cyrillic and Greek capitals to the Latin capitals that look
// the same. Plates of the region use only letters that both scripts have (after
// the Vienna Convention on Road Traffic, annex 2), so that the fold loses nothing.
var lookAlikes = map[rune]rune{
	'А': 'A', 'В': 'B', 'С': 'C', 'Е': 'E', 'Н': 'H', 'Ј': 'J', 'К': 'K', 'М': 'M',
	'О': 'O', 'Р': 'P', 'Ѕ': 'S', 'Т': 'T', 'І': 'I', 'Х': 'X', 'У': 'Y',
	'Α': 'A', 'Β': 'B', 'Ε': 'E', 'Ζ': 'Z', 'Η': 'H', 'Ι': 'I', 'Κ': 'K', 'Μ': 'M',
	'Ν': 'N', 'Ο': 'O', 'Ρ': 'P', 'Τ': 'T', 'Υ': 'Y', 'Χ': 'X',
}

// Number gives the form in which plates and numbers are compared: capitals,
// letters of other scripts folded to the Latin ones that look the same,
// diacritics kept, nothing but letters and digits. Where a Cyrillic letter looks
// like no Latin one, somebody has typed what is Latin on the plate on a Cyrillic
// keyboard, and all letters are transliterated. Empty if nothing is left, or if it
// is longer than [MaxNumber].
func Number(s string) string {
	if strings.ContainsFunc(s, onlyCyrillic) {
		s = Latin(s)
	}
	return latinNumber(s)
}

// onlyCyrillic is true for Cyrillic letters that look like no Latin one.
func onlyCyrillic(r rune) bool {
	_, like := lookAlikes[unicode.ToUpper(r)]
	return !like && unicode.Is(unicode.Cyrillic, r)
}

func latinNumber(s string) string {
	out := strings.Map(func(r rune) rune {
		r = unicode.ToUpper(r)
		if latin, ok := lookAlikes[r]; ok {
			return latin
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
	if len([]rune(out)) > MaxNumber {
		return ""
	}
	return out
}

// misread maps characters that cameras and people take for one another to one of them.
var misread = strings.NewReplacer(
	"O", "0", "Q", "0", "D", "0", "I", "1", "L", "1", "Z", "2", "S", "5", "G", "6", "B", "8",
	"Š", "5", "Ž", "2", "Đ", "0", "Č", "C", "Ć", "C",
)

// vinLetters puts in the digits for which I, O and Q are misread; a VIN has
// none of these letters (ISO 3779).
var vinLetters = strings.NewReplacer("I", "1", "O", "0", "Q", "0")

func plateTerms(t *terms, number, country string) {
	n := Number(number)
	t.add(PlateOfCountry, n, strings.ToUpper(country))
	t.add(Plate, n)
	t.add(PlateRead, misread.Replace(n))
	if typed := latinNumber(Latin(number)); typed != n {
		t.add(PlateRead, misread.Replace(typed)) // В for V, not for B
	}
}

func vinTerm(t *terms, vin string) { t.add(VIN, vinLetters.Replace(Number(vin))) }

// documentTerms are of a number and, where it is known, its issuing state.
func documentTerms(t *terms, number, state string) {
	n := Number(number)
	t.add(DocumentOfState, n, State(state))
	t.add(Document, n)
}

// State gives an issuing state in one form: the codes that the region's
// documents bear beside those of ICAO Doc 9303 part 3, section 5, fold to one.
func State(s string) string {
	switch s = strings.ToUpper(strings.TrimSpace(s)); s {
	case "RKS", "XKX", "XKK", "UNK":
		return "XK"
	case "ALB":
		return "AL"
	case "BIH":
		return "BA"
	case "MNE":
		return "ME"
	case "MKD":
		return "MK"
	case "SRB":
		return "RS"
	default:
		return s
	}
}

func firearmTerms(t *terms, serial, maker string) {
	n := misread.Replace(Number(serial))
	t.add(Firearm, n, Number(maker))
	t.add(FirearmSerial, n)
}

// phoneTerm is of the digits of an international number.
func phoneTerm(t *terms, phone string) { t.add(Phone, digits(phone)) }

// imeiTerm is of the first 14 digits: the 15th is a check digit, or a version
// of the software (3GPP TS 23.003, 6.2).
func imeiTerm(t *terms, imei string) {
	if d := digits(imei); len(d) >= 14 {
		t.add(IMEI, d[:14])
	}
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}
