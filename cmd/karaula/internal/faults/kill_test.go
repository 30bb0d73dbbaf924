package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// blow is one kind of kill: what is killed at once, and what has to be started
// again, in that order.
type blow struct {
	name   string
	kill   []Part
	revive []Part
}

// apart are the kinds of kills where broker and gateway are processes of their
// own, together the one where they are not.
var (
	apart = []blow{
		{"gateway", []Part{Gateway}, []Part{Gateway}},
		{"broker", []Part{Broker}, []Part{Broker}},
		{"gateway and broker", []Part{Gateway, Broker}, []Part{Broker, Gateway}},
	}
	together = []blow{{"the whole node", []Part{Whole}, []Part{Whole}}}
)

// campaign kills parts of both nodes in turn while officers on both sides send.
type campaign struct {
	t       *testing.T
	w       *World
	rng     *rand.Rand
	records map[string]*Record
	tried   map[string]int // by kind of kill and side
}

// round kills one part at a random moment of the traffic, and brings it back.
func (c *campaign) round(i int, blows []blow) {
	c.t.Helper()
	ctx := patient(c.t)
	n := c.w.Nodes()[c.rng.IntN(2)]
	b := blows[c.rng.IntN(len(blows))]
	// Some alerts later: every other time right behind one that the victim has just
	// acknowledged, otherwise anywhere in the traffic of either side.
	watch, within := c.records[n.Party], 2*time.Millisecond
	if c.rng.IntN(2) == 0 {
		watch, within = c.records[c.w.Nodes()[c.rng.IntN(2)].Party], 30*time.Millisecond
	}
	_, acked := watch.Count()
	if err := watch.Await(ctx, acked+1+c.rng.IntN(6)); err != nil {
		c.t.Fatalf("before kill %d: %v", i, err)
	}
	time.Sleep(time.Duration(c.rng.Int64N(int64(within)))) // a random moment, not a wait for something
	if err := n.Kill(b.kill...); err != nil {
		c.t.Fatalf("kill %d: %v", i, err)
	}
	c.tried[b.name+" of "+n.Party]++
	if err := n.Start(ctx, b.revive...); err != nil {
		c.t.Fatalf("after kill %d (%s of %s): %v", i, b.name, n.Party, err)
	}
}

// summary says what was tried.
func (c *campaign) summary() string {
	var out []string
	for name, n := range c.tried {
		out = append(out, fmt.Sprintf("%d× %s", n, name))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// killAll runs a campaign of so many kills, in both ways of running a node, and
// walks both sides after every leg.
func killAll(t *testing.T, blows []blow, parts []Part, count int) {
	t.Helper()
	const leg = 25 // kills between two walks
	w := makeWorld(t)
	c := &campaign{t: t, w: w, rng: seeded(t), records: records(), tried: map[string]int{}}
	began := time.Now()
	for done := 0; done < count; {
		ctx := patient(t)
		both(t, w, func(n *Node) error { return n.Start(ctx, parts...) })
		var loads []*Load
		for _, n := range w.Nodes() {
			loads = append(loads, Start(t.Context(), n, c.records[n.Party], 3))
		}
		for range min(leg, count-done) {
			done++
			c.round(done, blows)
		}
		endLoad(t, loads...)
		f := settleAndWalk(t, w, c.records, Expect{})
		t.Logf("%d kills in %s: %s; al's commands ended with %s, me's with %s", done,
			time.Since(began).Round(time.Second), c.summary(), c.records["al"].Exits(), c.records["me"].Exits())
		if f.Acked["al"] == 0 || f.Acked["me"] == 0 {
			t.Error("nothing was sent: the campaign has shown nothing")
		}
		if t.Failed() {
			return
		}
	}
}

func TestKillBrokerAndGatewayApart(t *testing.T) {
	t.Parallel()
	killAll(t, apart, []Part{Broker, Gateway}, kills(t)*2/3)
}

func TestKillWholeNodes(t *testing.T) {
	t.Parallel()
	killAll(t, together, []Part{Whole}, kills(t)/3)
}
