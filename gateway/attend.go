package gateway

import (
	"maps"
	"time"

	"karaula/gateway/bus"
	"karaula/internal/agreement"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// attendPause is the time between two looks at who is silent and who is behind.
const attendPause = time.Second

// attention is what a channel remembers about how its partners keep up. Guarded
// by the channel's mu.
type attention struct {
	heardAt map[string]time.Time // when a partner last said something here
	silent  map[string]bool      // partners that were told of as silent
	judged  map[string]uint64    // own number that a partner had judged at the last look
	behind  map[string]time.Time // since when a partner that has a backlog judges nothing
}

func newAttention() attention {
	return attention{map[string]time.Time{}, map[string]bool{}, map[string]uint64{}, map[string]time.Time{}}
}

// heardFrom notes that a partner has said something.
func (c *channel) heardFrom(party string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attended.heardAt[party] = c.g.o.Now()
}

// attendAll looks at all open channels. A partner whose link is up and who says
// nothing for as long as the configuration allows may be withholding: whoever
// withholds the last statements leaves no gap (docs/spec/ledger.md).
func (g *Gateway) attendAll(view *register.View, now time.Time) {
	for _, c := range g.openChannels() {
		cv, ok := view.Channel(c.id)
		if !ok {
			continue
		}
		for _, p := range c.partners() {
			c.attendBacklog(p, now)
			quiet := phaseSpeaks(cv, now) && cv.Suspended[p] == nil && cv.Suspended[g.self] == nil &&
				c.quietFor(p, now) >= g.o.Config.Silence
			if c.noteSilent(p, quiet) {
				c.tellSilent(p, quiet)
			}
		}
	}
}

// phaseSpeaks reports whether parties say heartbeats on a channel.
func phaseSpeaks(cv *register.ChannelView, now time.Time) bool {
	p := cv.PhaseAt(now)
	return p == agreement.InForce || p == agreement.WindingDown
}

// quietFor is how long a partner has said nothing on a channel although it could
// have: zero while its link is down, or where it has never said anything.
func (c *channel) quietFor(party string, now time.Time) time.Duration {
	ear, p := c.ear(party), c.g.partner(party)
	if ear == nil || p == nil || ear.Head().GetSize() == 0 {
		return 0
	}
	p.mu.Lock()
	up, since := p.state == "up", p.since
	p.mu.Unlock()
	if !up {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range []time.Time{c.openedAt, c.attended.heardAt[party]} {
		if t.After(since) {
			since = t
		}
	}
	return now.Sub(since)
}

// noteSilent remembers whether a partner is silent, and reports whether that is new.
func (c *channel) noteSilent(party string, quiet bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.attended.silent[party] != quiet
	c.attended.silent[party] = quiet
	return news
}

func (c *channel) tellSilent(party string, quiet bool) {
	if !quiet {
		c.g.log.Info("a partner is heard again", "channel", c.id, "party", party)
		c.g.tell(&karaulav1.WatchResponse{
			Event: bus.Heard, Party: party, Channel: c.id, Text: party + " is heard again on " + c.id,
		})
		return
	}
	c.g.log.Warn("a partner says nothing, though its link is up", "channel", c.id, "party", party,
		"for", c.g.o.Config.Silence.String())
	c.g.tell(&karaulav1.WatchResponse{
		Event: bus.Silent, Party: party, Channel: c.id,
		Text: party + " has said nothing on " + c.id + " for " + c.g.o.Config.Silence.String() + ", though its link is up",
	})
}

// attendBacklog notes since when a partner with a backlog judges nothing.
func (c *channel) attendBacklog(party string, now time.Time) {
	backlog := c.backlog(party)
	judged := c.book.JudgedTo(c.ledger(c.g.self), party, c.writer.Head().GetEpoch())
	c.mu.Lock()
	defer c.mu.Unlock()
	_, waits := c.attended.behind[party]
	switch {
	case backlog == 0:
		delete(c.attended.behind, party)
	case !waits || judged != c.attended.judged[party]:
		c.attended.behind[party] = now
	}
	c.attended.judged[party] = judged
}

// attended gives a copy of what is remembered.
func (c *channel) attention() attention {
	c.mu.Lock()
	defer c.mu.Unlock()
	return attention{
		maps.Clone(c.attended.heardAt), maps.Clone(c.attended.silent),
		maps.Clone(c.attended.judged), maps.Clone(c.attended.behind),
	}
}
