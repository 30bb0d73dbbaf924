package searchkey

import (
	"strconv"
	"strings"
)

// maxBlankDigits bounds the counting part of a blank's number.
const maxBlankDigits = 15

// A range of blanks is indexed as the decimal blocks of which it consists, like
// routes in a network: TEST000100 to TEST000349 are the blocks TEST0001??,
// TEST0002??, TEST00030? … TEST00034?. A number is in the range if one of its
// own prefixes is one of the blocks. So a range needs at most 18 terms for each
// of its digits, however long it is, and the index needs no values.

// blankTerms gives the blocks of a range; none if the two numbers don't belong
// together: another length, another beginning, the last before the first.
func blankTerms(t *terms, state, from, to string) {
	series, first, last, ok := blankRange(Number(from), Number(to))
	if !ok {
		return
	}
	width := len(first)
	lo, _ := strconv.ParseUint(first, 10, 64) // bounded by maxBlankDigits
	hi, _ := strconv.ParseUint(last, 10, 64)
	for lo <= hi {
		block, free := uint64(1), 0
		for free < width && lo%(block*10) == 0 && lo+block*10-1 <= hi {
			block, free = block*10, free+1
		}
		number := strconv.FormatUint(lo, 10)
		number = strings.Repeat("0", width-len(number)) + number
		addBlank(t, state, series+number[:width-free], free)
		lo += block
	}
}

func addBlank(t *terms, state, prefix string, free int) {
	t.add(Blank, State(state), prefix+strings.Repeat("?", free))
}

// askBlank gives the blocks in which a number lies, of every size.
func askBlank(t *terms, state, number string) {
	n := Number(number)
	at := len(n) - len(counting(n))
	for i := len(n); i >= at && n != ""; i-- {
		addBlank(t, state, n[:i], len(n)-i)
	}
}

// BlankRange reports whether two numbers are the ends of one range: of the same
// length and beginning, digits at the end, the last not before the first.
func BlankRange(from, to string) bool {
	from, to = Number(from), Number(to)
	first, last := counting(from), counting(to)
	return len(from) == len(to) && first != "" && len(first) == len(last) && first <= last &&
		strings.TrimSuffix(from, first) == strings.TrimSuffix(to, last)
}

// blankRange splits the two ends of a range into their common series and the
// counting parts of equal length.
func blankRange(from, to string) (series, first, last string, ok bool) {
	if !BlankRange(from, to) {
		return "", "", "", false
	}
	first, last = counting(from), counting(to)
	return strings.TrimSuffix(from, first), first, last, true
}

// counting gives the digits at the end of a number, at most [maxBlankDigits].
func counting(s string) string {
	at := len(s)
	for at > 0 && s[at-1] >= '0' && s[at-1] <= '9' && len(s)-at < maxBlankDigits {
		at--
	}
	return s[at:]
}
