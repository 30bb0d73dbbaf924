package gateway

import (
	"maps"
	"time"

	"karaula/internal/problem"
)

// A gateway that has lost its journal and its streams, or runs on an older copy
// of both, cannot know it: they agree with each other. Its partners know,
// because they hold what was said before. So nothing is said on a channel before
// a partner has told what it holds (docs/adr/0012-compare-before-speaking.md).
const (
	comparePatience = 2 * time.Second  // for links to come up after a start
	compareLimit    = 10 * time.Second // for a partner that is there to answer
	compareRetry    = 500 * time.Millisecond
	compareWindow   = 30 * time.Second // after which greetings come at their usual pace
)

// maySpeak refuses while nobody has said what it holds of this ledger. A ledger
// in which nothing was ever said waits for a partner in any case; one that has a
// history goes on alone if no partner is there.
func (c *channel) maySpeak(size uint64) error {
	c.mu.Lock()
	compared, since := len(c.compared) > 0, c.g.o.Now().Sub(c.openedAt)
	var waits error
	if c.g.restored != nil && size == 0 {
		waits = c.unheard()
	}
	c.mu.Unlock()
	if waits == nil {
		waits = c.tailLost(since)
	}
	if waits != nil {
		return waits
	}
	if compared || c.g.alone {
		return nil
	}
	patience := comparePatience
	if c.linked() {
		patience = compareLimit
	}
	if size > 0 && since >= patience {
		return nil
	}
	err := problem.New(problem.Unreachable,
		"no partner has said yet what it holds of us on channel %s; nothing was said", c.id)
	if size == 0 {
		return err.WithHint("before the first statement on a channel one partner must be reachable: karaula status --dir DIR")
	}
	return err.WithHint("try again in a moment")
}

// Quiet gives the channels on which nothing can be said now, and why.
func (g *Gateway) Quiet() map[string]string {
	g.mu.Lock()
	out := maps.Clone(g.troubles)
	g.mu.Unlock()
	for _, c := range g.openChannels() {
		err := c.writer.Halted()
		if err == nil {
			err = c.maySpeak(c.writer.Head().GetSize())
		}
		if err != nil {
			out[c.id] = err.Error()
		}
	}
	return out
}

// linked reports whether the link to a partner of the channel is up.
func (c *channel) linked() bool {
	for _, code := range c.partners() {
		if p := c.g.partner(code); p != nil {
			p.mu.Lock()
			up := p.state == "up"
			p.mu.Unlock()
			if up {
				return true
			}
		}
	}
	return false
}

// waitsFor reports whether a channel with a partner was opened lately and the
// partner has not said what it holds.
func (g *Gateway) waitsFor(code string) bool {
	for _, c := range g.openChannels() {
		if !contains(c.parties, code) {
			continue
		}
		c.mu.Lock()
		waits := !c.compared[code] && g.o.Now().Sub(c.openedAt) < compareWindow
		c.mu.Unlock()
		if waits {
			return true
		}
	}
	return false
}
