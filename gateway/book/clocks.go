package book

import (
	"cmp"
	"slices"
	"time"

	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Clock is something that a party owes until a time.
type Clock struct {
	Kind  karaulav1.ClockKind
	Party string // who owes it
	Due   time.Time
	// Since is when the clock began to run.
	Since time.Time
	// Met is when it was done; zero while it is not.
	Met   time.Time
	Alert Entry // what it is about
}

// State says where a clock stands at a time: met, running, soon (a quarter of its
// time is left), overdue.
func (c Clock) State(now time.Time) karaulav1.ClockState {
	switch {
	case !c.Met.IsZero():
		return karaulav1.ClockState_CLOCK_STATE_MET
	case !now.Before(c.Due):
		return karaulav1.ClockState_CLOCK_STATE_OVERDUE
	case c.Due.Sub(now) <= c.Due.Sub(c.Since)/4:
		return karaulav1.ClockState_CLOCK_STATE_SOON
	default:
		return karaulav1.ClockState_CLOCK_STATE_RUNNING
	}
}

// Clocks gives what is owed or was, the soonest first: of alerts that are not
// withdrawn, and not past the time at which they are erased. The holidays are those
// of the own country: what a partner owes is counted without its own, which are not known.
func (b *Book) Clocks(self string, off alert.Holidays, now time.Time) []Clock {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []Clock
	for _, e := range b.entries {
		if e.Refused() || e.Repudiated || !e.Opened || e.EraseAfter <= now.UnixMicro() || b.superseded(e) ||
			e.Lifecycle == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW {
			continue
		}
		switch {
		case e.Type == karaulav1.AlertType_ALERT_TYPE_HIT:
			out = append(out, b.hitClocks(e, self, off)...)
		case e.ReplyDue != 0 && e.Type != karaulav1.AlertType_ALERT_TYPE_ANSWER:
			out = append(out, b.replyClocks(e, self)...)
		}
		if e.ReviewDue != 0 && e.Origin == self {
			out = append(out, Clock{
				Kind: karaulav1.ClockKind_CLOCK_KIND_REVIEW, Party: self, Alert: *e,
				Since: time.UnixMicro(e.SaidAt).UTC(), Due: time.UnixMicro(e.ReviewDue).UTC(),
			})
		}
		if first, _ := b.newer(e); first != nil && e.Origin == self && !b.ordered[e.at()] && b.erased[e.at()] == 0 {
			since := time.UnixMicro(first.SaidAt).UTC()
			out = append(out, Clock{
				Kind: karaulav1.ClockKind_CLOCK_KIND_ONWARD, Party: self, Alert: *e, Since: since, Due: since.Add(alert.OnwardRenewal),
			})
		}
	}
	slices.SortStableFunc(out, func(x, y Clock) int { return cmp.Or(x.Due.Compare(y.Due), cmp.Compare(x.Party, y.Party)) })
	return out
}

// superseded reports whether a later version on the same ledger is known.
func (b *Book) superseded(e *Entry) bool {
	return slices.ContainsFunc(b.byID[e.ID], func(x *Entry) bool {
		return x.Ledger == e.Ledger && x.Version > e.Version && !x.Refused() && !x.Repudiated
	})
}

// replyClocks are what readers owe to an alert that wants an answer: to a request
// an answer, to others an act.
func (b *Book) replyClocks(e *Entry, self string) []Clock {
	owing := e.Readers
	if e.Origin != self {
		owing = []string{self}
	}
	out := make([]Clock, 0, len(owing))
	for _, p := range owing {
		out = append(out, b.replyClock(e, p))
	}
	return out
}

func (b *Book) replyClock(e *Entry, party string) Clock {
	c := Clock{
		Kind: karaulav1.ClockKind_CLOCK_KIND_REPLY, Party: party, Alert: *e,
		Since: time.UnixMicro(e.SaidAt).UTC(), Due: time.UnixMicro(e.ReplyDue).UTC(),
	}
	if e.Type != karaulav1.AlertType_ALERT_TYPE_REQUEST {
		c.Met = b.actAt(e, party, karaulav1.Deed_DEED_ACTED, karaulav1.Deed_DEED_NOT_EXECUTED)
	}
	b.answered(&c, e, party)
	return c
}

// answered looks for a party's answers to a request: one that is not deferred
// meets the clock, a deferred one sets it to its new date.
func (b *Book) answered(c *Clock, e *Entry, party string) {
	last := int64(0)
	for _, a := range b.about[e.ID] {
		if a.Origin != party || a.Channel != e.Channel || a.Refused() || a.Repudiated ||
			a.Type != karaulav1.AlertType_ALERT_TYPE_ANSWER {
			continue
		}
		switch at := time.UnixMicro(a.SaidAt).UTC(); {
		case a.ReplyDue == 0 && (c.Met.IsZero() || at.Before(c.Met)):
			c.Met = at
		case a.ReplyDue != 0 && a.SaidAt > last:
			last, c.Due = a.SaidAt, time.UnixMicro(a.ReplyDue).UTC()
		}
	}
}

// hitClocks are what the owner of an alert owes to a hit on it, and what whoever
// reported a hit owes if it was none.
func (b *Book) hitClocks(e *Entry, self string, off alert.Holidays) []Clock {
	var out []Clock
	if e.Origin != self {
		off = nil
	}
	said := time.UnixMicro(e.SaidAt).UTC()
	for _, owned := range b.byID[e.About] {
		if owned.Channel != e.Channel || owned.Refused() || owned.Origin == e.Origin {
			continue
		}
		out = append(out, Clock{
			Kind: karaulav1.ClockKind_CLOCK_KIND_HIT, Party: owned.Origin, Alert: *e, Since: said, Due: said.Add(alert.HitAnswer),
			Met: b.actAt(e, owned.Origin, karaulav1.Deed_DEED_SEEN, karaulav1.Deed_DEED_ACTED, karaulav1.Deed_DEED_NOT_EXECUTED),
		})
		if e.FalseHit {
			out = append(out, Clock{
				Kind: karaulav1.ClockKind_CLOCK_KIND_ERROR_NOTICE, Party: e.Origin, Alert: *e, Since: said,
				Due: alert.ErrorNoticeDue(said, off), Met: b.actAt(owned, e.Origin, karaulav1.Deed_DEED_ERROR),
			})
		}
		break // versions of one alert
	}
	return out
}

// actAt gives when a party first said one of the deeds about an alert; zero if never.
func (b *Book) actAt(e *Entry, party string, deeds ...karaulav1.Deed) time.Time {
	var first time.Time
	for _, x := range b.acts[e.ID] {
		at := time.UnixMicro(x.SaidAt).UTC()
		if x.Origin == party && x.Channel == e.Channel && !x.Refused() && !x.Repudiated &&
			slices.Contains(deeds, x.Act.GetDeed()) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}
