package book_test

import (
	"testing"
	"time"

	"karaula/gateway/book"
	"karaula/internal/alert"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var start = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) // a Monday

// said is an alert of a party on one channel, said some hours after the start.
func said(party string, id byte, typ karaulav1.AlertType, hours int, change func(*book.Entry)) book.Entry {
	at := start.Add(time.Duration(hours) * time.Hour)
	e := book.Entry{
		Ledger: ledger.ID{party[0]}, Channel: "t01-plav", Origin: party, Epoch: 1, Seq: uint64(id), Leaf: [32]byte{id, party[0]},
		SaidAt: at.UnixMicro(), Type: typ, Opened: true, ID: [16]byte{id}, Version: 1, EraseAfter: at.AddDate(1, 0, 0).UnixMicro(),
	}
	if party == "al" {
		e.Readers = []string{"me", "xk"}
	}
	if change != nil {
		change(&e)
	}
	return e
}

func acted(party string, leaf, about byte, hours int, deed karaulav1.Deed) book.Entry {
	e := said(party, leaf, 0, hours, func(e *book.Entry) { e.Act = &karaulav1.Act{Deed: deed} })
	e.ID = [16]byte{about}
	return e
}

// clock finds the one clock of a kind that a party owes.
func clock(t *testing.T, b *book.Book, kind karaulav1.ClockKind, party string) book.Clock {
	t.Helper()
	var found []book.Clock
	for _, c := range b.Clocks("al", nil, start.AddDate(0, 0, 1)) {
		if c.Kind == kind && c.Party == party {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d clocks %v of %s", len(found), kind, party)
	}
	return found[0]
}

const (
	request = karaulav1.AlertType_ALERT_TYPE_REQUEST
	answer  = karaulav1.AlertType_ALERT_TYPE_ANSWER
	hit     = karaulav1.AlertType_ALERT_TYPE_HIT
	vehicle = karaulav1.AlertType_ALERT_TYPE_VEHICLE
)

func TestReplyClocks(t *testing.T) {
	t.Parallel()
	b := book.New()
	due := start.Add(8 * time.Hour)
	b.Add(said("al", 1, request, 0, func(e *book.Entry) { e.ReplyDue = due.UnixMicro() }))
	reply := karaulav1.ClockKind_CLOCK_KIND_REPLY
	if c := clock(t, b, reply, "me"); !c.Met.IsZero() || !c.Due.Equal(due) {
		t.Errorf("%+v", c)
	}
	about := func(deferred time.Time) func(*book.Entry) {
		return func(e *book.Entry) {
			e.About = [16]byte{1}
			if !deferred.IsZero() {
				e.ReplyDue = deferred.UnixMicro()
			}
		}
	}
	b.Add(said("me", 2, answer, 1, about(due.AddDate(0, 0, 3))))
	if c := clock(t, b, reply, "me"); !c.Met.IsZero() || !c.Due.Equal(due.AddDate(0, 0, 3)) {
		t.Errorf("deferred: %+v", c)
	}
	b.Add(said("me", 3, answer, 5, about(time.Time{})))
	if c := clock(t, b, reply, "me"); !c.Met.Equal(start.Add(5 * time.Hour)) {
		t.Errorf("answered: %+v", c)
	}
	if c := clock(t, b, reply, "xk"); !c.Met.IsZero() {
		t.Errorf("xk has not answered: %+v", c)
	}
}

func TestHitClocks(t *testing.T) {
	t.Parallel()
	b := book.New()
	b.Add(said("al", 1, vehicle, 0, nil))
	b.Add(said("me", 2, hit, 1, func(e *book.Entry) { e.About, e.FalseHit = [16]byte{1}, true }))
	owner, notice := karaulav1.ClockKind_CLOCK_KIND_HIT, karaulav1.ClockKind_CLOCK_KIND_ERROR_NOTICE
	if c := clock(t, b, owner, "al"); !c.Met.IsZero() || !c.Due.Equal(start.Add(13*time.Hour)) {
		t.Errorf("%+v", c)
	}
	if c := clock(t, b, notice, "me"); !c.Met.IsZero() || !c.Due.Equal(time.Date(2026, 5, 7, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", c)
	}
	tuesday := alert.HolidaysOf([]string{"2026-05-05"})
	for self, want := range map[string]int{"al": 7, "me": 8} { // who reported it does not work on its own holiday
		for _, c := range b.Clocks(self, tuesday, start) {
			if c.Kind == notice && !c.Due.Equal(time.Date(2026, 5, want, 0, 0, 0, 0, time.UTC)) {
				t.Errorf("to %s: %+v", self, c)
			}
		}
	}
	b.AddAct(acted("xk", 3, 2, 2, karaulav1.Deed_DEED_SEEN)) // another reader, not the owner
	b.AddAct(acted("al", 4, 2, 3, karaulav1.Deed_DEED_SEEN))
	b.AddAct(acted("me", 5, 1, 4, karaulav1.Deed_DEED_ERROR))
	if c := clock(t, b, owner, "al"); !c.Met.Equal(start.Add(3 * time.Hour)) {
		t.Errorf("%+v", c)
	}
	if c := clock(t, b, notice, "me"); !c.Met.Equal(start.Add(4 * time.Hour)) {
		t.Errorf("%+v", c)
	}
}

func TestReviewClocks(t *testing.T) {
	t.Parallel()
	b := book.New()
	review := start.AddDate(0, 8, 0)
	own := func(e *book.Entry) { e.ReviewDue = review.UnixMicro() }
	b.Add(said("al", 1, vehicle, 0, own))
	b.Add(said("me", 2, vehicle, 0, own)) // for its owner to review
	if all := b.Clocks("al", nil, start); len(all) != 1 || !all[0].Due.Equal(review) || all[0].Party != "al" {
		t.Errorf("%+v", all)
	}
	b.Add(said("al", 3, vehicle, 1, func(e *book.Entry) {
		e.ID, e.Version, e.Lifecycle = [16]byte{1}, 2, karaulav1.Lifecycle_LIFECYCLE_WITHDRAW
	}))
	if all := b.Clocks("al", nil, start); len(all) != 0 {
		t.Errorf("of a withdrawn alert: %+v", all)
	}
}

func TestClockStates(t *testing.T) {
	t.Parallel()
	c := book.Clock{Since: start, Due: start.Add(8 * time.Hour)}
	for hours, want := range map[int]karaulav1.ClockState{
		0: karaulav1.ClockState_CLOCK_STATE_RUNNING, 5: karaulav1.ClockState_CLOCK_STATE_RUNNING,
		6: karaulav1.ClockState_CLOCK_STATE_SOON, 8: karaulav1.ClockState_CLOCK_STATE_OVERDUE,
	} {
		if got := c.State(start.Add(time.Duration(hours) * time.Hour)); got != want {
			t.Errorf("after %d hours: %v, want %v", hours, got, want)
		}
	}
}
