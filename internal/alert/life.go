package alert

import (
	"fmt"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// life is how long alerts of a type are kept: by default, and at most. The
// values are those of the project's retention table; an agreement may shorten
// them.
type life struct {
	years, months, days          int // by default
	maxYears, maxMonths, maxDays int
	words                        string // the most, in words
}

// years is a life with its default and its most in years.
func years(n, most int) life {
	return life{years: n, maxYears: most, words: fmt.Sprintf("%d years", most)}
}

// lifeOf gives the life of an alert. A withdrawal has no content to erase.
func lifeOf(a *karaulav1.Alert) life {
	if withdrawn(a) {
		return years(10, 10)
	}
	switch detailsType(a) {
	case karaulav1.AlertType_ALERT_TYPE_VEHICLE, karaulav1.AlertType_ALERT_TYPE_DOCUMENT:
		return years(5, 10) // after SIS Art. 54 and INTERPOL
	case karaulav1.AlertType_ALERT_TYPE_FIREARM:
		return years(10, 10)
	case karaulav1.AlertType_ALERT_TYPE_PERSON:
		return personLife(a.GetPerson().GetReason())
	case karaulav1.AlertType_ALERT_TYPE_PATROL:
		return life{days: 90, maxDays: 90, words: "90 days after its end"}
	case karaulav1.AlertType_ALERT_TYPE_HIT:
		return years(1, 3)
	case karaulav1.AlertType_ALERT_TYPE_MIGRATION, karaulav1.AlertType_ALERT_TYPE_REQUEST,
		karaulav1.AlertType_ALERT_TYPE_ANSWER:
		return life{months: 6, maxMonths: 6, words: "6 months"}
	default: // route, trafficking
		return years(1, 1)
	}
}

// personLife is after SIS Art. 53.
func personLife(r karaulav1.PersonReason) life {
	switch r {
	case karaulav1.PersonReason_PERSON_REASON_ARREST, karaulav1.PersonReason_PERSON_REASON_MISSING:
		return years(5, 5)
	case karaulav1.PersonReason_PERSON_REASON_JUDICIAL, karaulav1.PersonReason_PERSON_REASON_UNKNOWN_WANTED:
		return years(3, 3)
	default:
		return years(1, 1)
	}
}

// born is when the alert's life begins: when its id was made (UUIDv7, RFC 9562
// 5.7), or now where it has none yet; a patrol's plan is kept from its end. It is
// in UTC, so that years and months are as long in every country.
func born(a *karaulav1.Alert, now time.Time) time.Time {
	if end := a.GetPatrol().GetEnds(); end > 0 {
		return time.UnixMicro(end).UTC()
	}
	if t, ok := idTime(a.GetId()); ok && t.Before(now) {
		return t.UTC()
	}
	return now.UTC()
}

// idTime reads the time inside a UUIDv7 in text form.
func idTime(id string) (time.Time, bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[14] != '7' {
		return time.Time{}, false
	}
	var ms int64
	for _, c := range []byte(id[:8] + id[9:13]) {
		d, ok := hexDigit(c)
		if !ok {
			return time.Time{}, false
		}
		ms = ms<<4 | int64(d)
	}
	return time.UnixMilli(ms), true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// Expiry gives when the alert's content must be erased: the time that it states,
// or the default of its type, counted from when its id was made. now is when it
// is said. A clause may end it earlier.
func Expiry(a *karaulav1.Alert, now time.Time) time.Time {
	if e := a.GetExpires(); e != 0 {
		return time.UnixMicro(e).UTC()
	}
	l := lifeOf(a)
	return born(a, now).AddDate(l.years, l.months, l.days)
}

// lifeFindings gives what is wrong with when the alert ends, and what is due before.
func lifeFindings(a *karaulav1.Alert, now time.Time) Findings {
	var out Findings
	l := lifeOf(a)
	latest := born(a, now).AddDate(l.maxYears, l.maxMonths, l.maxDays)
	switch end := Expiry(a, now); {
	case !end.After(now):
		out = append(out, fault("expires", "expires-past", "the alert's life has ended already"))
	case end.After(latest):
		out = append(out, fault("expires", "expires-late",
			fmt.Sprintf("is later than this type may be kept: %s", l.words)))
	}
	if due := a.GetReplyDue(); due != 0 && time.UnixMicro(due).Before(now.Add(-clockTolerance)) {
		out = append(out, fault("reply_due", "reply-past", "lies before the alert is said"))
	}
	if due := a.GetReviewDue(); due != 0 && time.UnixMicro(due).After(latest) {
		out = append(out, fault("review_due", "review-late", "is later than this type may be kept"))
	}
	return out
}
