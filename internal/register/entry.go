package register

import (
	"slices"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/notice"
)

// Entry is one agreement text of the register and how it stands.
type Entry struct {
	// Agreement is the text.
	Agreement *agreement.Agreement
	// SignedBy and Missing list who has signed, and who has not but must.
	SignedBy, Missing []string
	// Complete: nobody is missing. Only complete texts have any effect.
	Complete bool
	// File is the text with all signature lines, to hand on.
	File []byte
	// Suspensions are the suspensions in effect at the view's time, by party.
	Suspensions map[string]*notice.Notice
	// Withdrawals are the withdrawals announced, by party, with their effect.
	Withdrawals map[string]time.Time
	// SupersededBy is the version that takes this one's place, 0 for none;
	// SupersededFrom is when.
	SupersededBy   uint64
	SupersededFrom time.Time
	// EndsAt is the first moment no longer in force: valid-until, or earlier
	// if a withdrawal ends the agreement or a newer version takes its place.
	EndsAt time.Time
	// ExpiresAt is EndsAt without newer versions: valid-until, or earlier if a
	// withdrawal ends the agreement. Which of two versions rules in a ledger is
	// said by its AGREEMENT statements.
	ExpiresAt time.Time
}

// PhaseAt says where the text stands at t. An incomplete text is never in force.
func (e *Entry) PhaseAt(t time.Time) agreement.Phase {
	switch {
	case !e.Complete || t.Before(e.Agreement.ValidFrom):
		return agreement.NotYet
	case t.Before(e.EndsAt):
		return agreement.InForce
	case t.Before(e.ClosesAt()):
		return agreement.WindingDown
	default:
		return agreement.Closed
	}
}

// ClosesAt is the first moment at which nothing travels any more under the text.
func (e *Entry) ClosesAt() time.Time { return e.EndsAt.Add(e.Agreement.WindingDown) }

// Agreements lists all texts, also proposals and old versions, by id and version.
func (v *View) Agreements() []*Entry {
	var out []*Entry
	for _, id := range sortedKeys(v.s.texts) {
		out = append(out, v.entries(id)...)
	}
	return out
}

// AgreementByDigest finds a text by its digest, as statements name it.
func (v *View) AgreementByDigest(digest [32]byte) (*Entry, bool) {
	for _, e := range v.entries(v.s.index.texts[digest]) {
		if e.Agreement.Digest == digest {
			return e, true
		}
	}
	return nil, false
}

// entries gives the texts of one id, ascending by version.
func (v *View) entries(id string) []*Entry {
	list := v.s.texts[id]
	suspensions := v.s.suspensions(id, v.at)
	out := make([]*Entry, len(list))
	for i, t := range list {
		e := &Entry{
			Agreement: t.Agreement, SignedBy: t.SignedBy, Missing: t.missing, Complete: t.complete, File: t.File,
			Suspensions: suspensions, Withdrawals: v.s.withdrawals(t.Agreement), ExpiresAt: t.Agreement.ValidUntil,
		}
		for _, newer := range list[i+1:] {
			from := newer.Agreement.ValidFrom
			if newer.complete && newer.Agreement.Version > t.Agreement.Version &&
				(e.SupersededBy == 0 || from.Before(e.SupersededFrom)) {
				e.SupersededBy, e.SupersededFrom = newer.Agreement.Version, from
			}
		}
		if end, ok := endedBy(t.Agreement, e.Withdrawals); ok {
			e.ExpiresAt = earlier(e.ExpiresAt, end)
		}
		e.EndsAt = e.ExpiresAt
		if e.SupersededBy != 0 {
			e.EndsAt = earlier(e.EndsAt, e.SupersededFrom)
		}
		out[i] = e
	}
	return out
}

// endedBy says when withdrawals end an agreement: with the first one if the
// text doesn't let the others go on, else when too few remain.
func endedBy(a *agreement.Agreement, withdrawals map[string]time.Time) (time.Time, bool) {
	var times []time.Time
	for _, at := range withdrawals {
		times = append(times, at)
	}
	slices.SortFunc(times, time.Time.Compare)
	for i, at := range times {
		if a.ContinuesWithout == 0 || len(a.Parties)-(i+1) < a.ContinuesWithout {
			return at, true
		}
	}
	return time.Time{}, false
}

// suspensions gives the parties that have suspended an agreement at t: of each
// party's suspensions and resumptions in effect, the highest serial rules.
func (s *state) suspensions(id string, t time.Time) map[string]*notice.Notice {
	out := map[string]*notice.Notice{}
	for party, list := range s.notices {
		for _, n := range list { // ascending serial
			if n.Agreement != id || t.Before(n.Effective) {
				continue
			}
			switch n.Act {
			case notice.Suspend:
				out[party] = n
			case notice.Resume:
				delete(out, party)
			}
		}
	}
	return out
}

// withdrawals gives the parties that leave an agreement and when. A withdrawal
// is from the text that it names and all versions before: who signs a later
// version is in again. A later notice doesn't take an earlier one back.
func (s *state) withdrawals(a *agreement.Agreement) map[string]time.Time {
	out := map[string]time.Time{}
	for _, p := range a.Parties {
		for _, n := range s.notices[p.Code] {
			if n.Agreement != a.ID || n.Act != notice.Withdraw {
				continue
			}
			if from := s.text(a.ID, n.Digest); from == nil || from.Agreement.Version < a.Version {
				continue
			}
			if at, ok := out[p.Code]; !ok || n.Effective.Before(at) {
				out[p.Code] = n.Effective
			}
		}
	}
	return out
}

// NextChange gives the first moment after t at which something changes by
// itself: a text comes into force, ends or closes, a notice takes effect.
// false: nothing ever will.
func (v *View) NextChange(after time.Time) (time.Time, bool) {
	var first time.Time
	found := false
	consider := func(t time.Time) {
		if t.After(after) && (!found || t.Before(first)) {
			first, found = t, true
		}
	}
	for _, e := range v.Agreements() {
		if !e.Complete {
			continue
		}
		consider(e.Agreement.ValidFrom)
		consider(e.EndsAt)
		consider(e.ClosesAt())
		for _, at := range e.Withdrawals {
			consider(at)
			consider(at.Add(e.Agreement.WindingDown))
		}
	}
	for _, list := range v.s.notices {
		for _, n := range list {
			consider(n.Effective)
		}
	}
	return first, found
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
