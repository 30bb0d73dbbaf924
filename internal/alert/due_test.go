package alert_test

import (
	"testing"
	"time"

	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func TestReplyDue(t *testing.T) {
	t.Parallel()
	request := func(u karaulav1.Urgency, access karaulav1.Access) *karaulav1.Alert {
		return &karaulav1.Alert{Urgency: u, Details: &karaulav1.Alert_Request{Request: &karaulav1.Request{Access: access}}}
	}
	stated := request(1, 0)
	stated.ReplyDue = now.Add(time.Hour).UnixMicro()
	const direct, indirect = karaulav1.Access_ACCESS_DIRECT, karaulav1.Access_ACCESS_INDIRECT
	for name, c := range map[string]struct {
		a    *karaulav1.Alert
		want time.Time
	}{
		"routine":            {request(1, direct), now.AddDate(0, 0, 7)},
		"urgent, direct":     {request(2, direct), now.Add(8 * time.Hour)},
		"immediate, direct":  {request(3, direct), now.Add(8 * time.Hour)},
		"urgent, indirect":   {request(2, indirect), now.AddDate(0, 0, 3)},
		"urgent, not stated": {request(2, 0), now.AddDate(0, 0, 3)},
		"stated":             {stated, now.Add(time.Hour).UTC()},
		"no request":         {&karaulav1.Alert{}, time.Time{}},
	} {
		if got, _ := alert.ReplyDue(c.a, now); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestReviewDue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typ  karaulav1.AlertType
		end  time.Time
		want time.Time
	}{
		"five years": {karaulav1.AlertType_ALERT_TYPE_VEHICLE, now.AddDate(5, 0, 0), now.AddDate(5, -4, 0)},
		"six months": {karaulav1.AlertType_ALERT_TYPE_VEHICLE, now.AddDate(0, 6, 0), now.AddDate(0, 6, -15)},
		"ten days":   {karaulav1.AlertType_ALERT_TYPE_VEHICLE, now.AddDate(0, 0, 10), time.Time{}},
		"a hit":      {karaulav1.AlertType_ALERT_TYPE_HIT, now.AddDate(1, 0, 0), time.Time{}},
	} {
		if got, _ := alert.ReviewDue(&karaulav1.Alert{Type: c.typ}, now, c.end); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestReviewStatedForAfterTheEnd(t *testing.T) {
	t.Parallel()
	a := &karaulav1.Alert{Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE, ReviewDue: now.AddDate(4, 0, 0).UnixMicro()}
	end := now.AddDate(1, 0, 0) // as the clause says
	if got, _ := alert.ReviewDue(a, now, end); !got.Equal(end.AddDate(0, -4, 0)) {
		t.Errorf("%v: nobody can review what is erased", got)
	}
}

func TestErrorNoticeDue(t *testing.T) {
	t.Parallel()
	for known, want := range map[string]string{
		"2026-11-23T10:00:00Z": "2026-11-26T00:00:00Z", // Monday: until the end of Wednesday
		"2026-11-26T23:59:00Z": "2026-12-01T00:00:00Z", // Thursday: Friday, Monday
		"2026-11-28T10:00:00Z": "2026-12-02T00:00:00Z", // Saturday: Monday, Tuesday
	} {
		at, _ := time.Parse(time.RFC3339, known)
		if got := alert.ErrorNoticeDue(at, nil).Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", known, got, want)
		}
	}
	off := alert.HolidaysOf([]string{"2026-11-24", "2026-11-28", "2026-11-30"}) // Tuesday, Saturday, Monday
	for known, want := range map[string]string{
		"2026-11-23T10:00:00Z": "2026-11-27T00:00:00Z", // Monday: Wednesday, Thursday
		"2026-11-26T23:59:00Z": "2026-12-02T00:00:00Z", // Thursday: Friday, Tuesday
		"2026-11-28T10:00:00Z": "2026-12-03T00:00:00Z", // Saturday: Tuesday, Wednesday
	} {
		at, _ := time.Parse(time.RFC3339, known)
		if got := alert.ErrorNoticeDue(at, off).Format(time.RFC3339); got != want {
			t.Errorf("with holidays, %s: %s, want %s", known, got, want)
		}
	}
}
