package alert_test

import (
	"testing"
	"time"

	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func TestExpiryByType(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]time.Time{
		"vehicle":     now.AddDate(5, 0, 0),
		"document":    now.AddDate(5, 0, 0),
		"firearm":     now.AddDate(10, 0, 0),
		"person":      now.AddDate(5, 0, 0),
		"trafficking": now.AddDate(1, 0, 0),
		"route":       now.AddDate(1, 0, 0),
		"migration":   now.AddDate(0, 6, 0),
		"request":     now.AddDate(0, 6, 0),
		"answer":      now.AddDate(0, 6, 0),
		"hit":         now.AddDate(1, 0, 0),
		"patrol":      time.Date(2035, 6, 16, 3, 0, 0, 0, time.UTC).AddDate(0, 0, 90),
	} {
		if got := alert.Expiry(example(t, name), now); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestExpiryOfPersons(t *testing.T) {
	t.Parallel()
	for reason, years := range map[karaulav1.PersonReason]int{
		karaulav1.PersonReason_PERSON_REASON_ARREST: 5, karaulav1.PersonReason_PERSON_REASON_MISSING: 5,
		karaulav1.PersonReason_PERSON_REASON_JUDICIAL: 3, karaulav1.PersonReason_PERSON_REASON_UNKNOWN_WANTED: 3,
		karaulav1.PersonReason_PERSON_REASON_CHECK: 1,
	} {
		a := example(t, "person")
		a.GetPerson().Reason = reason
		if got := alert.Expiry(a, now); !got.Equal(now.AddDate(years, 0, 0)) {
			t.Errorf("%v: %v, want %d years", reason, got, years)
		}
	}
}

// TestLifeBeginsWithTheFirstVersion: a correction years later does not make the
// alert live longer.
func TestLifeBeginsWithTheFirstVersion(t *testing.T) {
	t.Parallel()
	a := example(t, "vehicle")
	born := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	a.Id = "018cc251-f400-7000-8000-000000000000" // 2024-01-01T00:00:00Z
	if got := alert.Expiry(a, now); !got.Equal(born.AddDate(5, 0, 0)) {
		t.Errorf("expires %v, want five years after %v", got, born)
	}
	a.Expires = born.AddDate(10, 0, 1).UnixMicro()
	if fs := alert.Validate(a, now); !has(fs, "expires", "expires-late", alert.Error) {
		t.Errorf("kept ten years and a day: found %v", fs)
	}
	a.Expires = 0
	if fs := alert.Validate(a, born.AddDate(5, 0, 1)); !has(fs, "expires", "expires-past", alert.Error) {
		t.Errorf("a correction after its end: found %v", fs)
	}
	a.Id = "ffffffff-ffff-7fff-bfff-ffffffffffff" // made in the far future: counts from now
	if got := alert.Expiry(a, now); !got.Equal(now.AddDate(5, 0, 0)) {
		t.Errorf("expires %v, want five years from now", got)
	}
}

// TestLifeIsTheSameEverywhere: months are counted in UTC, whatever the clock of
// a country says.
func TestLifeIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	a := example(t, "migration")
	said := time.Date(2026, 8, 31, 23, 30, 0, 0, time.UTC) // 1 September one hour east
	east := said.In(time.FixedZone("east", 3600))
	if here, there := alert.Expiry(a, said), alert.Expiry(a, east); !here.Equal(there) {
		t.Errorf("expires %v here and %v one hour east", here, there)
	}
	a.Expires = alert.Expiry(a, said).UnixMicro()
	if err := alert.Validate(a, east).Err(); err != nil {
		t.Errorf("kept exactly as long as it may be: %v", err)
	}
}

func TestUrgencyWord(t *testing.T) {
	t.Parallel()
	for u, want := range map[karaulav1.Urgency]string{1: "routine", 2: "urgent", 3: "immediate", 0: "", 9: ""} {
		if got := alert.UrgencyWord(u); got != want {
			t.Errorf("%v is %q, want %q", u, got, want)
		}
	}
}

func TestType(t *testing.T) {
	t.Parallel()
	hit, route := karaulav1.AlertType_ALERT_TYPE_HIT, karaulav1.AlertType_ALERT_TYPE_ROUTE
	if got := alert.Type(&karaulav1.Alert{Details: &karaulav1.Alert_Hit{Hit: &karaulav1.Hit{}}}); got != hit {
		t.Errorf("by details: %v", got)
	}
	if got := alert.Type(&karaulav1.Alert{Type: route}); got != route {
		t.Errorf("by type: %v", got)
	}
}
