package alert

import (
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// HitAnswer is how soon the owner of an alert answers a hit on it (after the
// SIRENE Manual: twelve hours).
const HitAnswer = 12 * time.Hour

// errorNoticeDays is within how many working days an error is told
// (Regulation (EU) 2018/1862, Art. 59(3)).
const errorNoticeDays = 2

// ReplyDue gives when an alert that was said at a time wants an answer: the time
// that it states; for a request the limits of Directive (EU) 2023/977, Art. 5:
// urgent and directly accessible within eight hours, urgent within three days,
// others within seven; for a deferred answer its new date. False if none.
func ReplyDue(a *karaulav1.Alert, said time.Time) (time.Time, bool) {
	urgent := a.GetUrgency() > karaulav1.Urgency_URGENCY_ROUTINE
	direct := a.GetRequest().GetAccess() == karaulav1.Access_ACCESS_DIRECT
	switch {
	case a.GetReplyDue() != 0:
		return time.UnixMicro(a.GetReplyDue()).UTC(), true
	case a.GetAnswer().GetNewDue() != 0:
		return time.UnixMicro(a.GetAnswer().GetNewDue()).UTC(), true
	case a.GetRequest() == nil:
		return time.Time{}, false
	case urgent && direct:
		return said.Add(8 * time.Hour), true
	case urgent:
		return said.AddDate(0, 0, 3), true
	default:
		return said.AddDate(0, 0, 7), true
	}
}

// ReviewDue gives when the need to keep an alert must be looked at again: the
// time that it states, or four months before its end (Regulation (EU) 2018/1862,
// Art. 53: the warning), fifteen days where it lives for less than eight months.
// A stated time that the alert does not live to see counts as none.
// False for a withdrawal, a hit, a request and an answer: nobody reviews them.
func ReviewDue(a *karaulav1.Alert, said, end time.Time) (time.Time, bool) {
	switch typ := Type(a); {
	case withdrawn(a), typ == karaulav1.AlertType_ALERT_TYPE_HIT, typ == karaulav1.AlertType_ALERT_TYPE_REQUEST,
		typ == karaulav1.AlertType_ALERT_TYPE_ANSWER:
		return time.Time{}, false
	case a.GetReviewDue() != 0 && time.UnixMicro(a.GetReviewDue()).Before(end):
		return time.UnixMicro(a.GetReviewDue()).UTC(), true
	}
	due := end.AddDate(0, -4, 0)
	if end.Before(born(a, said).AddDate(0, 8, 0)) {
		due = end.AddDate(0, 0, -15)
	}
	if due.Before(said) {
		return time.Time{}, false // it ends before anybody could look
	}
	return due, true
}

// OnwardRenewal is within how long whoever has passed an alert on renews it, or takes
// it back, once its originator has said another version. No law names a time.
const OnwardRenewal = 24 * time.Hour

// Holidays are days on which a country does not work, as dates ("2026-11-28").
type Holidays map[string]bool

// HolidaysOf makes them of a list of dates.
func HolidaysOf(dates []string) Holidays {
	out := Holidays{}
	for _, d := range dates {
		out[d] = true
	}
	return out
}

// ErrorNoticeDue gives until when an error that became known at a time must be
// told: the end of the second working day after it, in UTC. Saturdays, Sundays
// and the country's own holidays are no working days; where they are not known (nil)
// they are, so that nobody is told too late.
func ErrorNoticeDue(known time.Time, off Holidays) time.Time {
	day := known.UTC().Truncate(24 * time.Hour)
	for n := 0; n < errorNoticeDays; {
		day = day.AddDate(0, 0, 1)
		if w := day.Weekday(); w != time.Saturday && w != time.Sunday && !off[day.Format(time.DateOnly)] {
			n++
		}
	}
	return day.AddDate(0, 0, 1)
}
