package register

import (
	"cmp"
	"slices"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/ledger"
	"karaula/internal/notice"
	"karaula/internal/subject"
)

// ChannelView is a channel under the version of its agreement that rules at
// the view's time.
type ChannelView struct {
	// ID is the channel's id.
	ID string
	// Channel holds mode and clauses.
	Channel agreement.Channel
	// Agreement is the text that rules; its digest goes into statements.
	Agreement *agreement.Agreement
	// First is the digest of the agreement's version 1, for ledger ids.
	First [32]byte
	// Joined is the digest of the text with which self came in, and zero if that
	// is the first one: what was said before it is not self's to read.
	Joined [32]byte
	// Parties read everything said here: those of the text that have not
	// withdrawn, in its order. A party that suspended is one of them.
	Parties []string
	// Auditors read everything too, and say nothing.
	Auditors []string
	// Suspended are the suspensions in effect, by party.
	Suspended map[string]*notice.Notice
	// Everyone are the parties of all complete texts so far that have the channel,
	// also those that have withdrawn, in alphabetical order: what they said may
	// still be stored.
	Everyone []string
	// Leaving are former readers and the moment until which they may fetch
	// what was said before they left.
	Leaving map[string]time.Time
	// EndsAt is the first moment no longer in force, ClosesAt the first at
	// which nothing travels any more.
	EndsAt, ClosesAt time.Time
}

// PhaseAt says where the channel stands at t, withdrawals and newer versions
// considered. It is exact only for moments at which the same version rules;
// ask [View.ChannelAt] for others.
func (c *ChannelView) PhaseAt(t time.Time) agreement.Phase {
	switch {
	case t.Before(c.Agreement.ValidFrom):
		return agreement.NotYet
	case t.Before(c.EndsAt):
		return agreement.InForce
	case t.Before(c.ClosesAt):
		return agreement.WindingDown
	default:
		return agreement.Closed
	}
}

// Channel finds a channel of a complete agreement, whatever its phase, as it
// stands at the view's time.
func (v *View) Channel(id string) (*ChannelView, bool) { return v.ChannelAt(id, v.at) }

// ChannelAt is [View.Channel] for another moment: under the newest complete
// version that has begun by then, or else the first one that will.
func (v *View) ChannelAt(id string, t time.Time) (*ChannelView, bool) {
	c := v.At(t).channelOf(v.s.index.channels[id], id)
	return c, c != nil
}

// Channels lists the channels in force or winding down at the view's time, by id.
func (v *View) Channels() []*ChannelView {
	return slices.DeleteFunc(v.AllChannels(), func(c *ChannelView) bool {
		phase := c.PhaseAt(v.at)
		return phase != agreement.InForce && phase != agreement.WindingDown
	})
}

// AllChannels lists the channels of all complete agreements, also those not
// yet in force or closed, by id.
func (v *View) AllChannels() []*ChannelView {
	var out []*ChannelView
	for _, id := range sortedKeys(v.s.texts) {
		seen := map[string]bool{}
		for _, t := range v.s.texts[id] {
			for _, c := range t.Agreement.Channels {
				if seen[c.ID] {
					continue
				}
				seen[c.ID] = true
				if view := v.channelOf(id, c.ID); view != nil {
					out = append(out, view)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b *ChannelView) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// channelOf makes the view of a channel of one agreement; nil if no complete
// text of it has that channel with self among its readers.
func (v *View) channelOf(id, channel string) *ChannelView {
	var rules *Entry
	for _, e := range v.entries(id) {
		_, has := e.Agreement.Channel(channel)
		if !e.Complete || !has || !reads(e.Agreement, v.s.self) {
			continue
		}
		if rules == nil || !v.at.Before(e.Agreement.ValidFrom) {
			rules = e
		}
	}
	if rules == nil {
		return nil
	}
	return v.channelView(rules, channel)
}

// reads reports whether somebody is a party or an auditor.
func reads(a *agreement.Agreement, code string) bool {
	_, party := a.Party(code)
	_, auditor := a.Auditor(code)
	return party || auditor
}

func (v *View) channelView(e *Entry, channel string) *ChannelView {
	a := e.Agreement
	def, _ := a.Channel(channel)
	c := &ChannelView{
		ID: channel, Channel: *def, Agreement: a, First: a.First, Suspended: e.Suspensions,
		Leaving: map[string]time.Time{}, EndsAt: e.EndsAt, ClosesAt: e.ClosesAt(), Joined: v.joined(e, channel),
	}
	for _, p := range a.Parties {
		if at, out := e.Withdrawals[p.Code]; out && !v.at.Before(at) {
			c.leaves(p.Code, at.Add(a.WindingDown), v.at)
			continue
		}
		c.Parties = append(c.Parties, p.Code)
	}
	for _, d := range a.Auditors {
		c.Auditors = append(c.Auditors, d.Code)
	}
	c.Everyone = v.everyone(a, channel)
	for _, o := range v.entries(a.ID) {
		_, had := o.Agreement.Channel(channel)
		if !o.Complete || !had || o.Agreement.Version >= a.Version {
			continue
		}
		for _, p := range o.Agreement.Parties {
			if !reads(a, p.Code) {
				c.leaves(p.Code, o.ClosesAt(), v.at)
			}
		}
	}
	return c
}

// everyone lists who was ever a party of a channel, up to a text.
func (v *View) everyone(upTo *agreement.Agreement, channel string) []string {
	var out []string
	for _, e := range v.entries(upTo.ID) {
		if _, has := e.Agreement.Channel(channel); !e.Complete || !has || e.Agreement.Version > upTo.Version {
			continue
		}
		for _, p := range e.Agreement.Parties {
			out = append(out, p.Code)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// joined finds the text with which self came into a channel: the first of the
// unbroken row of complete texts up to this one that have self among the readers.
func (v *View) joined(upTo *Entry, channel string) [32]byte {
	var first *agreement.Agreement
	for _, e := range v.entries(upTo.Agreement.ID) {
		_, has := e.Agreement.Channel(channel)
		switch {
		case !e.Complete || !has || e.Agreement.Version > upTo.Agreement.Version:
		case !reads(e.Agreement, v.s.self):
			first = nil
		case first == nil:
			first = e.Agreement
		}
	}
	if first == nil || first.Version == 1 {
		return [32]byte{}
	}
	return first.Digest
}

// leaves notes until when a former reader may fetch the rest.
func (c *ChannelView) leaves(party string, until, now time.Time) {
	if now.Before(until) && until.After(c.Leaving[party]) {
		c.Leaving[party] = until
	}
}

// Subject is what the channel is called in subjects and streams.
func (c *ChannelView) Subject() subject.Channel { return subject.On(c.ID, c.Channel.Mode) }

// Ledger gives the id of a party's ledger on the channel.
func (c *ChannelView) Ledger(party string) ledger.ID {
	return ledger.NewID(c.ID, party, c.Channel.Mode, c.First)
}
