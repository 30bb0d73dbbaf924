// Package terms holds the words of the field that every other package shares:
// party codes, channel and agreement ids, and the words for types, kinds,
// modes, handling codes and key uses, as they stand in agreements, subjects,
// cards and on the command line.
//
// It must never hold behaviour: only words and their rules.
package terms

import (
	"slices"
	"strings"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// MaxID is the longest party code, channel id or agreement id, in bytes.
const MaxID = 32

// reserved words never name a party, an agreement or a channel, because they
// have a meaning in subjects, accounts or files.
var reserved = []string{
	"all",
	"any",
	"none",
	"self",
	"sys",
	"peer",
	"k1",
	"in",
	"out",
	"stub",
	"verdict",
	"desk",
	"link",
	"x",
}

// ValidID reports whether s may name a party, an agreement or a channel: 1 to
// [MaxID] of a-z, 0-9 and inner single hyphens, beginning with a letter, and
// not a reserved word.
func ValidID(s string) bool {
	if len(s) == 0 || len(s) > MaxID || slices.Contains(reserved, s) {
		return false
	}
	if s[0] < 'a' || s[0] > 'z' || s[len(s)-1] == '-' || strings.Contains(s, "--") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// ValidParty reports whether s may be a party code: a valid id without hyphens,
// 2 to 12 characters.
func ValidParty(s string) bool {
	return ValidID(s) && len(s) >= 2 && len(s) <= 12 && !strings.Contains(s, "-")
}

// word turns an enum name like "ALERT_TYPE_VEHICLE" into "vehicle".
func word(name, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "_", "-")
}

// Types lists the alert types in the order of their numbers.
func Types() []karaulav1.AlertType {
	var out []karaulav1.AlertType
	for n := range karaulav1.AlertType_name {
		if n != 0 {
			out = append(out, karaulav1.AlertType(n))
		}
	}
	slices.Sort(out)
	return out
}

// TypeWord gives the word of an alert type ("vehicle"), "sealed" for zero.
func TypeWord(t karaulav1.AlertType) string {
	if t == karaulav1.AlertType_ALERT_TYPE_UNSPECIFIED {
		return "sealed"
	}
	return word(t.String(), "ALERT_TYPE_")
}

// ParseType finds the alert type of a word.
func ParseType(s string) (karaulav1.AlertType, bool) {
	for _, t := range Types() {
		if TypeWord(t) == s {
			return t, true
		}
	}
	return 0, false
}

// TypeWords lists the words of all alert types, for messages.
func TypeWords() []string {
	out := make([]string, 0, len(karaulav1.AlertType_name))
	for _, t := range Types() {
		out = append(out, TypeWord(t))
	}
	return out
}

// NeverPersonal reports whether alerts of this type must never hold personal
// data, whatever a clause says (EUROSUR, Regulation (EU) 2019/1896: risk
// analysis and incidents).
func NeverPersonal(t karaulav1.AlertType) bool {
	return t == karaulav1.AlertType_ALERT_TYPE_ROUTE || t == karaulav1.AlertType_ALERT_TYPE_MIGRATION
}

// KindWord gives the word of a kind ("alert", "receipt").
func KindWord(k karaulav1.Kind) string { return word(k.String(), "KIND_") }

// ModeWord gives the word of a mode ("actual").
func ModeWord(m karaulav1.Mode) string { return word(m.String(), "MODE_") }

// KeyUses gives the key uses that belong to a mode: who signs statements and who
// receives content. Keys for what is meant are never used for what is practised.
func KeyUses(m karaulav1.Mode) (sign, receive karaulav1.KeyUse) {
	if m == karaulav1.Mode_MODE_EXERCISE {
		return karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN, karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL
	}
	return karaulav1.KeyUse_KEY_USE_SIGN, karaulav1.KeyUse_KEY_USE_SEAL
}

// OwnUse gives the key use to which the origin's own copy is sealed. In an
// exercise no key for what is meant receives anything, this one neither.
func OwnUse(m karaulav1.Mode) karaulav1.KeyUse {
	if m == karaulav1.Mode_MODE_EXERCISE {
		return karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL
	}
	return karaulav1.KeyUse_KEY_USE_ARCHIVE
}

// ParseMode finds the mode of a word.
func ParseMode(s string) (karaulav1.Mode, bool) {
	for n := range karaulav1.Mode_name {
		if n != 0 && ModeWord(karaulav1.Mode(n)) == s {
			return karaulav1.Mode(n), true
		}
	}
	return 0, false
}

// HandlingWord gives the word of a handling code ("H1").
func HandlingWord(h karaulav1.Handling) string { return strings.ToUpper(word(h.String(), "HANDLING_")) }

// ParseHandling finds the handling code of a word.
func ParseHandling(s string) (karaulav1.Handling, bool) {
	for n := range karaulav1.Handling_name {
		if n != 0 && HandlingWord(karaulav1.Handling(n)) == s {
			return karaulav1.Handling(n), true
		}
	}
	return 0, false
}

// UseWord gives the word of a key use ("exercise-sign").
func UseWord(u karaulav1.KeyUse) string { return word(u.String(), "KEY_USE_") }

// ParseUse finds the key use of a word.
func ParseUse(s string) (karaulav1.KeyUse, bool) {
	for n := range karaulav1.KeyUse_name {
		if n != 0 && UseWord(karaulav1.KeyUse(n)) == s {
			return karaulav1.KeyUse(n), true
		}
	}
	return 0, false
}

// CodeWord gives the word of a reason code ("wrong-root"), "accepted" for zero.
func CodeWord(c karaulav1.Code) string {
	if c == karaulav1.Code_CODE_UNSPECIFIED {
		return "accepted"
	}
	return word(c.String(), "CODE_")
}

// ClockWord gives the word of what is owed ("reply", "error-notice").
func ClockWord(k karaulav1.ClockKind) string { return word(k.String(), "CLOCK_KIND_") }

// ClockStateWord gives the word of where a clock stands ("running", "overdue").
func ClockStateWord(s karaulav1.ClockState) string { return word(s.String(), "CLOCK_STATE_") }

// ClassWord gives the word of a verdict class ("refused").
func ClassWord(c karaulav1.VerdictClass) string { return word(c.String(), "VERDICT_CLASS_") }

// KosovoFootnote is the footnote that documents carry wherever Kosovo* appears.
const KosovoFootnote = "* This designation is without prejudice to positions on status, and is in line with " +
	"UNSCR 1244/1999 and the ICJ Opinion on the Kosovo declaration of independence."
