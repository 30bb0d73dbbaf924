package alert

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// badText says what is wrong with the characters of a text; "" if nothing is.
// Admitted are printable characters of Unicode in normal form NFC, the plain
// space between words, and line feeds where lines is true. What cannot be seen,
// or turns the reading direction, could hide or change what an officer reads.
func badText(s string, lines bool) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e {
			plain = false
			break
		}
	}
	if s != "" && (s[0] == ' ' || s[len(s)-1] == ' ') {
		return "begins or ends with a space"
	}
	if plain {
		return ""
	}
	if !utf8.ValidString(s) {
		return "is not valid UTF-8"
	}
	for i, r := range s {
		if lines && r == '\n' {
			continue
		}
		if why := badRune(r); why != "" {
			return fmt.Sprintf("holds %s U+%04X at byte %d", why, r, i)
		}
	}
	if !norm.NFC.IsNormalString(s) {
		return "is not in Unicode normal form NFC"
	}
	if lines && (s[0] == '\n' || s[len(s)-1] == '\n') {
		return "begins or ends with an empty line"
	}
	return ""
}

// badRune classes a character that is not admitted; "" for one that is.
func badRune(r rune) string {
	switch {
	case r < 0x20, unicode.Is(unicode.Cc, r):
		return "control character"
	case unicode.Is(unicode.Bidi_Control, r):
		return "bidirectional control character"
	case unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
		unicode.Cf, unicode.Zl, unicode.Zp):
		return "invisible character"
	case r == utf8.RuneError:
		return "replacement character"
	case r != ' ' && unicode.Is(unicode.Zs, r):
		return "unusual space"
	case !unicode.IsPrint(r):
		return "unknown character"
	}
	return ""
}

// badDate says what is wrong with a date or a part of one ("2026", "2026-11",
// "2026-11-23"); "" if nothing is. Its form is the schema's business. The day
// after now is admitted, because days begin earlier in the east.
func badDate(s string, now time.Time) string {
	layout := "2006-01-02"
	if len(s) > len(layout) {
		return ""
	}
	t, err := time.Parse(layout[:len(s)], s)
	switch {
	case err != nil:
		return "is no date of the calendar"
	case t.Year() < 1850:
		return "lies before 1850"
	case t.After(now.AddDate(farYears, 0, 0)):
		return fmt.Sprintf("lies more than %d years in the future", farYears)
	}
	return ""
}
