package alert

import (
	"strings"
	"unicode"
)

// lookAlikes folds Cyrillic capitals to the Latin capitals that look the same.
// Plates of the region use only letters that both scripts have, so that the
// fold loses nothing (after the Vienna Convention on Road Traffic, annex 2).
var lookAlikes = map[rune]rune{
	'А': 'A', 'В': 'B', 'С': 'C', 'Е': 'E', 'Н': 'H', 'Ј': 'J', 'К': 'K',
	'М': 'M', 'О': 'O', 'Р': 'P', 'Т': 'T', 'Х': 'X',
}

// NormalisePlate gives the form in which plates are compared: capitals, Cyrillic
// letters folded to the Latin ones that look the same, nothing but letters and
// digits. The empty string comes back for a number that has neither.
func NormalisePlate(number string) string {
	return strings.Map(func(r rune) rune {
		r = unicode.ToUpper(r)
		if latin, ok := lookAlikes[r]; ok {
			return latin
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, number)
}
