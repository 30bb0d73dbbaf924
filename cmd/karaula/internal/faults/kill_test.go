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
	what    string         // what it calls its blows
	// made does something to nodes before they run, and killed to a node before what
	// was killed is started again: it says how that was done. Both may be nil.
	made   func(*World)
	killed func(n *Node, parts []Part) string
}

// round kills one part at a random moment of the traffic, and brings it back.
func (c *campaign) round(i int, blows []blow) {
	c.t.Helper()
	n := c.w.Nodes()[c.rng.IntN(2)]
	b := blows[c.rng.IntN(len(blows))]
	// Some alerts later: every other time right behind one that the victim has just
	// acknowledged, otherwise anywhere in the traffic of either side.
	watch, within := c.records[n.Party], 2*time.Millisecond
	if c.rng.IntN(2) == 0 {
		watch, within = c.records[c.w.Nodes()[c.rng.IntN(2)].Party], 30*time.Millisecond
	}
	_, acked := watch.Count()
	if err := watch.Await(patient(c.t), acked+1+c.rng.IntN(6)); err != nil {
		c.t.Fatalf("before kill %d: %v", i, err)
	}
	time.Sleep(time.Duration(c.rng.Int64N(int64(within)))) // a random moment, not a wait for something
	if err := n.Kill(b.kill...); err != nil {
		c.t.Fatalf("kill %d: %v", i, err)
	}
	how := ""
	if c.killed != nil {
		how = c.killed(n, b.kill)
	}
	c.tried[b.name+" of "+n.Party+how]++
	if err := n.Start(patient(c.t), b.revive...); err != nil {
		c.t.Fatalf("after kill %d (%s of %s%s): %v", i, b.name, n.Party, how, err)
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

// leg is how many kills a pair of nodes has to stand between two walks. A long
// campaign makes a new pair for each leg: a start reads all of the history back.
const leg = 25

// killAll runs a campaign of so many kills.
func killAll(t *testing.T, blows []blow, parts []Part, count int) {
	t.Helper()
	c := &campaign{t: t, rng: seeded(t), tried: map[string]int{}, what: "kills with kill -9"}
	c.run(blows, parts, count)
}

// run makes so many kills, and walks both sides after every leg.
func (c *campaign) run(blows []blow, parts []Part, count int) {
	t := c.t
	t.Helper()
	began, acked := time.Now(), 0
	for done := 0; done < count && !t.Failed(); {
		kills := min(leg, count-done)
		f := c.leg(done, kills, blows, parts)
		done += kills
		acked += f.Acked["al"] + f.Acked["me"]
		t.Logf("%d kills in %s: %s; al's commands ended with %s, me's with %s; %d alerts were acknowledged so far", done,
			time.Since(began).Round(time.Second), c.summary(), c.records["al"].Exits(), c.records["me"].Exits(), acked)
		if f.Acked["al"] == 0 || f.Acked["me"] == 0 {
			t.Error("nothing was sent: the campaign has shown nothing")
		}
		c.w.Clean()
	}
	tell(t, "%d %s: %s; %d alerts were acknowledged", count, c.what, c.summary(), acked)
}

// leg makes two nodes, kills them so many times under load, and walks them.
func (c *campaign) leg(done, kills int, blows []blow, parts []Part) *Findings {
	c.t.Helper()
	c.w, c.records = makeWorld(c.t), records()
	if c.made != nil {
		c.made(c.w)
	}
	ctx := patient(c.t)
	both(c.t, c.w, func(n *Node) error { return n.Start(ctx, parts...) })
	var loads []*Load
	for _, n := range c.w.Nodes() {
		loads = append(loads, Start(c.t.Context(), n, c.records[n.Party], 3))
	}
	for i := range kills {
		c.round(done+i+1, blows)
	}
	endLoad(c.t, loads...)
	return settleAndWalk(c.t, c.w, c.records, Expect{})
}

func TestKillBrokerAndGatewayApart(t *testing.T) {
	t.Parallel()
	killAll(t, apart, []Part{Broker, Gateway}, kills(t)*2/3)
}

func TestKillWholeNodes(t *testing.T) {
	t.Parallel()
	killAll(t, together, []Part{Whole}, kills(t)/3)
}
