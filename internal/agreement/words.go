package agreement

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// unit is a suffix and what one of it is worth.
type unit struct {
	word  string
	worth int64
}

// The units, largest first. A year is 365 days and a day 24 hours: lengths
// here never depend on a calendar. Months don't exist, since "6m" would be
// read as minutes by some and as months by others.
var (
	durationUnits = []unit{
		{"y", int64(365 * 24 * time.Hour)},
		{"d", int64(24 * time.Hour)},
		{"h", int64(time.Hour)},
		{"min", int64(time.Minute)},
		{"s", int64(time.Second)},
	}
	sizeUnits = []unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
)

// maxDuration is the longest duration a text may state: 100 years.
const maxDuration = 100 * 365 * 24 * time.Hour

// ParseDuration reads "5y", "30d", "12h", "15min" or "30s": a whole number
// without leading zeros, and one unit.
func ParseDuration(s string) (time.Duration, error) {
	n, err := parseUnits(s, durationUnits)
	if err != nil || n > int64(maxDuration) {
		return 0, fmt.Errorf("%q is not a duration of at most 100y", s)
	}
	return time.Duration(n), nil
}

// FormatDuration writes a duration in the largest unit that divides it; parts
// of a second are cut off.
func FormatDuration(d time.Duration) string {
	return formatUnits(int64(d.Truncate(time.Second)), durationUnits)
}

// ParseSize reads "256KiB", "1GiB", "64MiB" or "512B".
func ParseSize(s string) (int64, error) {
	n, err := parseUnits(s, sizeUnits)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	return n, nil
}

// FormatSize writes a number of bytes in the largest unit that divides it.
func FormatSize(n int64) string { return formatUnits(n, sizeUnits) }

// parseUnits reads a whole number with exactly one of the units.
func parseUnits(s string, units []unit) (int64, error) {
	digits := strings.TrimRight(s, "GKMBiydhmns")
	n, err := parseCount(digits)
	if err != nil {
		return 0, err
	}
	for _, u := range units {
		if s[len(digits):] != u.word {
			continue
		}
		if n > math.MaxInt64/u.worth {
			return 0, fmt.Errorf("%q is too large", s)
		}
		return n * u.worth, nil
	}
	return 0, fmt.Errorf("%q has no known unit", s)
}

// parseCount reads a whole number in its one spelling.
func parseCount(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return n, nil
}

// formatUnits writes n with the largest unit that divides it.
func formatUnits(n int64, units []unit) string {
	for _, u := range units {
		if n != 0 && n%u.worth == 0 {
			return strconv.FormatInt(n/u.worth, 10) + u.word
		}
	}
	return "0" + units[len(units)-1].word
}

// timeForm is the one spelling of a time: UTC, to the microsecond at most.
const timeForm = "2006-01-02T15:04:05.999999Z"

// parseTime reads a time in its one spelling.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(timeForm, s)
	if err != nil || t.Format(timeForm) != s {
		return time.Time{}, fmt.Errorf("%q is not a time like 2026-01-01T00:00:00Z", s)
	}
	return t, nil
}

// FormatTime writes a time as an agreement's text has it: UTC, to the microsecond.
func FormatTime(t time.Time) string { return t.UTC().Format(timeForm) }
