package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"karaula/gateway/bus"
	"karaula/gateway/stock"
	"karaula/gateway/stream"
	"karaula/internal/checkup"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times of stocktaking. A look is one question to the own broker for each stream
// (BenchmarkLook in gateway/stock).
const (
	stockPause   = 10 * time.Second // between two looks at the own streams
	stockTimeout = 5 * time.Second  // for one stream
)

// mindStock looks at the own streams now and then until ctx ends.
func (g *Gateway) mindStock(ctx context.Context) {
	tick := time.NewTicker(stockPause)
	defer tick.Stop()
	for {
		g.takeStock(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// takeStock looks at every own stream once.
func (g *Gateway) takeStock(ctx context.Context) {
	g.stocking.Lock()
	for _, name := range []string{subject.VerdictStream, subject.DeskStream} {
		if g.shelves[name] == nil {
			g.shelves[name] = stock.NewShelf(stream.Open(g.js, name), nil)
		}
		g.look(ctx, g.shelves[name], name, nil, nil)
	}
	g.stocking.Unlock()
	for _, c := range g.openChannels() {
		c.takeStock(ctx)
	}
}

// takeStock looks at the streams of a channel. What was said and is gone stops
// the own voice, as it would at the next start: partners that have not fetched it
// would wait for it. What was received and is gone is read back and asked for
// again.
func (c *channel) takeStock(ctx context.Context) {
	c.stocking.Lock()
	defer c.stocking.Unlock()
	for _, p := range c.parties {
		c.g.look(ctx, c.shelves[p], c.log(p).Name(), c, func(f stock.Fault) {
			why := problem.New(problem.Verification, "%s (%s); nothing more is said there", f.Text, f.Code).
				WithHint("karaula ledger repair --channel %s", c.id)
			if ear := c.ear(p); ear != nil {
				ear.Lost(why)
			}
			if p == c.g.self {
				c.writer.Halt(why)
			}
		})
	}
}

// look looks at one stream, tells what is wrong, and has done what follows from
// a loss. What is seen of a channel that was closed meanwhile says nothing.
func (g *Gateway) look(ctx context.Context, s *stock.Shelf, name string, c *channel, lost func(stock.Fault)) {
	for _, code := range stock.Codes() {
		g.metrics.stock.WithLabelValues(name, string(code)).Add(0) // so that the first fault is seen to rise
	}
	ctx, cancel := context.WithTimeout(ctx, stockTimeout)
	defer cancel()
	list, err := s.Look(ctx)
	if err != nil || c != nil && c.over.Load() {
		return // that the broker does not answer is told elsewhere
	}
	id := ""
	if c != nil {
		id = c.id
	}
	for _, f := range list {
		g.metrics.stock.WithLabelValues(f.Stream, string(f.Code)).Inc()
		g.log.Error("the own broker does not hold what was stored there", "stream", f.Stream, "code", string(f.Code),
			"messages", f.Count, "why", f.Text)
		g.mu.Lock()
		g.faults[fault{id, f.Stream, f.Code}] = fmt.Sprintf("%s (%s)", f.Text, f.Code)
		g.mu.Unlock()
		g.tell(&karaulav1.WatchResponse{Event: bus.Stock, Channel: id, Text: f.Text})
		if f.Code != stock.Strange && lost != nil {
			lost(f)
		}
	}
}

// fault names what is wrong with an own stream.
type fault struct {
	channel, stream string
	code            stock.Code
}

// stockFaults gives what was wrong with the own streams since the start, or since
// the ledger of their channel was repaired.
func (g *Gateway) stockFaults() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Values(g.faults))
}

// stockOf gives what was wrong with one stream, and what to do about it.
func (g *Gateway) stockOf(name string) (text, hint string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for f, text := range g.faults {
		if f.stream != name {
			continue
		}
		out = append(out, text)
		if hint = "keep the broker's log and look who has its rights"; f.channel != "" {
			hint += "; then karaula ledger repair --channel " + f.channel
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; "), hint
}

// stocks looks at every own stream, and says what was ever found there.
func (g *Gateway) stocks(ctx context.Context) []checkup.Check {
	g.takeStock(ctx)
	var out []checkup.Check
	for _, name := range g.streams() {
		text, hint := g.stockOf(name)
		switch {
		case name == subject.QuarantineStream: // a ring: what is old goes
		case text == "":
			out = append(out, checkup.Good(checkup.StreamStock, name, "what was stored there is there, and nothing else"))
		default:
			out = append(out, checkup.Bad(checkup.Warn, checkup.StreamStock, name, text, hint))
		}
	}
	return out
}

// settleStock forgets what was wrong with the streams of a channel: somebody has
// looked, and it is repaired.
func (g *Gateway) settleStock(channel string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.faults, func(f fault, _ string) bool { return f.channel == channel })
}
