package alert

import (
	"strings"

	"karaula/internal/searchkey"
)

// zone is a machine-readable zone, cut into what it says (ICAO Doc 9303 parts 4
// to 7). A check digit is 0 where the form of the document has none.
type zone struct {
	visa      bool
	data      int // the line that holds number and dates
	numbered  int // the line that holds the number
	code      string
	state     string
	number    string // without fillers
	birth     string // YYMMDD; "<" where it is not known
	sex       byte
	expiry    string
	checked   []checked
	composite checked
}

// checked is a part of a zone with the digit that secures it.
type checked struct {
	what string
	text string
	have byte
}

// readZone cuts a zone by its size: TD1 3x30, TD2 2x36, TD3 2x44, and visas of
// the latter two sizes; false for any other.
func readZone(lines []string) (*zone, bool) {
	for _, l := range lines {
		if len(l) != len(lines[0]) {
			return nil, false
		}
	}
	switch {
	case len(lines) == 3 && len(lines[0]) == 30:
		return readCard(lines), true
	case len(lines) == 2 && (len(lines[0]) == 36 || len(lines[0]) == 44):
		return readPage(lines), true
	default:
		return nil, false
	}
}

// readCard cuts a TD1 (part 5, 4.2).
func readCard(l []string) *zone {
	z := &zone{
		data: 1, code: l[0][:2], state: l[0][2:5], birth: l[1][:6], sex: l[1][7], expiry: l[1][8:14],
		composite: checked{"the whole zone", l[0][5:] + l[1][:7] + l[1][8:15] + l[1][18:29], l[1][29]},
	}
	z.setNumber(l[0][5:14], l[0][14], l[0][15:])
	z.setDates(l[1][6], l[1][14])
	return z
}

// readPage cuts a TD2 (part 6, 4.2), a TD3 (part 4, 4.2) or a visa of their
// sizes (part 7), which has no digit over the whole.
func readPage(l []string) *zone {
	d, last := l[1], len(l[1])-1
	z := &zone{
		visa: l[0][0] == 'V', data: 1, numbered: 1, code: l[0][:2], state: l[0][2:5],
		birth: d[13:19], sex: d[20], expiry: d[21:27],
	}
	switch optional := d[28:]; {
	case z.visa:
		z.setNumber(d[:9], d[9], "")
	case last == 35:
		z.setNumber(d[:9], d[9], optional[:7])
	default:
		z.setNumber(d[:9], d[9], "")
		if personal := d[28:42]; d[42] != '<' || strings.Trim(personal, "<") != "" {
			z.checked = append(z.checked, checked{"the optional data", personal, d[42]})
		}
	}
	z.setDates(d[19], d[27])
	if !z.visa {
		z.composite = checked{"the whole zone", d[:10] + d[13:20] + d[21:last], d[last]}
	}
	return z
}

// setNumber takes the document's number. One that is longer than nine
// characters has a filler for its digit, and goes on in the optional data up to
// the next filler, the digit last (part 5, 4.2.2 note j).
func (z *zone) setNumber(number string, digit byte, optional string) {
	rest, _, _ := strings.Cut(optional, "<")
	if digit == '<' && len(rest) > 1 {
		number, digit = number+rest[:len(rest)-1], rest[len(rest)-1]
	}
	z.number = strings.Trim(number, "<")
	z.checked = append(z.checked, checked{"the number", number, digit})
}

func (z *zone) setDates(birth, expiry byte) {
	z.checked = append(z.checked, checked{"the date of birth", z.birth, birth}, checked{"the date of expiry", z.expiry, expiry})
}

// wrong lists the parts whose check digits do not fit.
func (z *zone) wrong() []string {
	var out []string
	for _, c := range z.checked {
		if !c.fits() {
			out = append(out, c.what)
		}
	}
	if z.composite.have != 0 && !z.composite.fits() {
		out = append(out, z.composite.what)
	}
	return out
}

// fits reports whether the digit is that of the text: weights 7, 3, 1, modulo
// 10, letters from 10, fillers 0 (part 3, 4.9).
func (c checked) fits() bool {
	sum := 0
	for i := range len(c.text) {
		value := 0
		switch b := c.text[i]; {
		case b >= '0' && b <= '9':
			value = int(b - '0')
		case b >= 'A' && b <= 'Z':
			value = int(b-'A') + 10
		}
		sum += value * [3]int{7, 3, 1}[i%3]
	}
	return c.have == byte('0'+sum%10)
}

// hasState reports whether the zone's issuing state is one of these.
func (z *zone) hasState(states ...string) bool {
	own := searchkey.State(strings.Trim(z.state, "<"))
	for _, s := range states {
		if s != "" && searchkey.State(s) == own {
			return true
		}
	}
	return false
}

// hasNumber reports whether the zone's number is this one. A zone shows
// characters that it cannot hold as fillers, and the comparison leaves them out.
func (z *zone) hasNumber(number string) bool {
	return searchkey.Number(z.number) == searchkey.Number(number)
}

// sameDay reports whether a date YYMMDD of the zone may be a day "2026-11-23"; a
// date that either side does not know in full is no contradiction.
func sameDay(zone, day string) bool {
	return len(day) != 10 || strings.Contains(zone, "<") || zone == day[2:4]+day[5:7]+day[8:10]
}
