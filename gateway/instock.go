package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"karaula/gateway/bus"
	"karaula/gateway/stock"
	"karaula/gateway/stream"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times of stocktaking.
const (
	stockPause   = 10 * time.Second // between two looks at the own streams
	stockTimeout = 5 * time.Second  // for one stream
)

// mindStock looks at the own streams now and then until ctx ends.
func (g *Gateway) mindStock(ctx context.Context) {
	tick := time.NewTicker(stockPause)
	defer tick.Stop()
	shelves := map[string]*stock.Shelf{}
	for _, name := range []string{subject.VerdictStream, subject.DeskStream} {
		shelves[name] = stock.NewShelf(stream.Open(g.js, name))
	}
	for {
		g.takeStock(ctx, shelves)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// takeStock looks at every own stream once: at those that hold no ledger in the
// given shelves, at the others in those of their channels.
func (g *Gateway) takeStock(ctx context.Context, shelves map[string]*stock.Shelf) {
	for _, s := range shelves {
		g.look(ctx, s, nil, "", func(stock.Fault) {})
	}
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
	out := subject.Out(c.id)
	c.mu.Lock()
	said := stock.PlacesOf(c.storedAt)
	c.mu.Unlock()
	c.g.look(ctx, c.shelf(out), &stock.Known{Places: said, Taken: c.hasTaken(out)}, c.id, func(f stock.Fault) {
		c.writer.Halt(problem.New(problem.Verification, "%s (%s); nothing more is said there", f.Text, f.Code).
			WithHint("karaula ledger repair --channel %s", c.id))
	})
	for _, p := range c.partners() {
		if ear, in := c.ear(p), subject.InStream(c.id, p); ear != nil {
			c.g.look(ctx, c.shelf(in), &stock.Known{Places: ear.Places(), Taken: c.hasTaken(in)}, c.id, func(f stock.Fault) {
				ear.Lost(problem.New(problem.Verification, "%s (%s)", f.Text, f.Code))
			})
		}
	}
}

// takeOut notes that a message is about to be erased by this gateway, so that
// nobody takes the hole for somebody else's work.
func (c *channel) takeOut(origin string, seq uint64) {
	name := c.eraser(origin).Log.Name()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken[name] == nil {
		c.taken[name] = map[uint64]bool{}
	}
	c.taken[name][seq] = true
}

// hasTaken tells which messages of a stream this gateway has erased.
func (c *channel) hasTaken(name string) func(uint64) bool {
	return func(seq uint64) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.taken[name][seq]
	}
}

// shelf gives the shelf of one of the channel's streams. Called with c.stocking
// held.
func (c *channel) shelf(name string) *stock.Shelf {
	if c.shelves[name] == nil {
		c.shelves[name] = stock.NewShelf(stream.Open(c.g.js, name))
	}
	return c.shelves[name]
}

// look looks at one stream, tells what is wrong, and has done what follows from
// a loss.
func (g *Gateway) look(ctx context.Context, s *stock.Shelf, known *stock.Known, channel string, lost func(stock.Fault)) {
	ctx, cancel := context.WithTimeout(ctx, stockTimeout)
	defer cancel()
	list, err := s.Look(ctx, known)
	if err != nil {
		return // the broker does not answer, which is told elsewhere
	}
	for _, f := range list {
		g.metrics.stock.WithLabelValues(f.Stream, string(f.Code)).Inc()
		g.log.Error("the own broker does not hold what was stored there", "stream", f.Stream, "code", string(f.Code),
			"messages", f.Count, "why", f.Text)
		g.mu.Lock()
		g.faults[f.Stream+" "+string(f.Code)] = fmt.Sprintf("%s (%s); look who has the broker's rights", f.Text, f.Code)
		g.mu.Unlock()
		g.tell(&karaulav1.WatchResponse{Event: bus.Stock, Channel: channel, Text: f.Text})
		if f.Code != stock.Strange {
			lost(f)
		}
	}
}

// stockFaults gives what was wrong with the own streams since the start.
func (g *Gateway) stockFaults() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Values(g.faults))
}
