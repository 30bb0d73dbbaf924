package agreement

import (
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"5y": 5 * 365 * 24 * time.Hour, "30d": 720 * time.Hour, "12h": 12 * time.Hour, "90min": 90 * time.Minute,
		"1s": time.Second, "0s": 0, "0d": 0, "100y": 100 * year,
	} {
		got, err := ParseDuration(s)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "d", "30", "30 d", "-1d", "+1d", "1.5d", "01d", "30D", "6m", "1w", "101y", "99999999999999999999d", "1d1h",
		"9223372036854775807y", "٣d",
	} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", s, got)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", year: "1y", 30 * day: "30d", 36 * time.Hour: "36h", time.Minute: "1min", 1500 * time.Millisecond: "1s",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{"256KiB": 256 << 10, "1GiB": 1 << 30, "3B": 3, "2MiB": 2 << 20} {
		got, err := ParseSize(s)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", s, got, err, want)
		}
		if again := FormatSize(want); again != s {
			t.Errorf("FormatSize(%d) = %q, want %q", want, again, s)
		}
	}
	for _, s := range []string{"", "KiB", "1", "1KB", "1kib", "0x1B", "1TiB", "99999999999GiB"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) = %v, want an error", s, got)
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"2026-01-01T00:00:00Z", "2026-12-31T23:59:59.999999Z", "2026-06-01T12:00:00.5Z"} {
		got, err := parseTime(s)
		if err != nil || FormatTime(got) != s || got.Location() != time.UTC {
			t.Errorf("parseTime(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00", "2026-01-01 00:00:00Z",
		"2026-1-1T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00.0000001Z", "2026-01-01T00:00:00.10Z",
		"2026-01-01T00:00:00,5Z",
	} {
		if got, err := parseTime(s); err == nil {
			t.Errorf("parseTime(%q) = %v, want an error", s, got)
		}
	}
}
