package broker

import (
	"fmt"
	"slices"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// A server of a cluster that finds a message damaged leaves it out, and so it may
// leave out all behind it. It is as current as before, and copies nothing from the
// others (nats-server 2.15.2): its own health knows nothing of that. So agents compare
// how much the copies hold.

const (
	// lackLooks is how many looks in a row must show that a copy holds less than the
	// others: what is being stored or erased differs for a moment.
	lackLooks = 10
	// copiesEvery is how many looks at the health there are to one at the copies.
	copiesEvery = 30
)

// renewStore is what to do with a store that NATS does not mend.
const renewStore = "; stop no other one; stop this one, empty broker/jetstream in its folder, remove broker/store-held beside it, and start it"

// What is logged of a server whose own copy holds less than the others, and of one that
// cannot open a copy.
const (
	damagedCopy = "the server's store is damaged, and NATS does not mend it: copies of streams hold fewer messages than those of " +
		"the other servers" + renewStore
	unopenedCopy = "the server's store is damaged, or its disk is full: it cannot open a copy, and NATS does not mend that" + renewStore
)

// held is what a server's own copy of a stream holds.
type held struct{ last, msgs uint64 }

// streamsOf asks a server for its streams, with the groups of their logs.
func (r *remote) streamsOf(name string) (*natsserver.JSInfo, error) {
	var info natsserver.JSInfo
	o := natsserver.JszEventOptions{
		JSzOptions:         natsserver.JSzOptions{Accounts: true, Streams: true, Consumer: true, RaftGroups: true},
		EventFilterOptions: natsserver.EventFilterOptions{Name: name, ExactMatch: true},
	}
	return &info, r.ask("$SYS.REQ.SERVER.PING.JSZ", o, &info)
}

// heldBy asks a server what its own copies hold, by account and stream, and which
// other servers have copies.
func (r *remote) heldBy(name string) (map[string]held, []string, error) {
	info, err := r.streamsOf(name)
	if err != nil {
		return nil, nil, err
	}
	out := map[string]held{}
	var peers []string
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			out[a.Name+" > "+s.Name] = held{s.State.LastSeq, s.State.Msgs}
			if s.Cluster == nil {
				continue
			}
			peers = append(peers, s.Cluster.Leader)
			for _, p := range s.Cluster.Replicas {
				peers = append(peers, p.Name)
			}
		}
	}
	slices.Sort(peers)
	return out, slices.DeleteFunc(slices.Compact(peers), func(p string) bool { return p == name || p == "" }), nil
}

// copies gives the streams of which the server's copy holds less than every other one
// does. Servers that do not answer tell nothing.
func (r *remote) copies() []string {
	own, peers, err := r.heldBy(r.o.Name)
	if err != nil {
		return nil
	}
	var others []map[string]held
	for _, p := range peers {
		if h, _, err := r.heldBy(p); err == nil {
			others = append(others, h)
		}
	}
	return fewer(own, others)
}

// fewer compares the own copies with those of others that end at the same place, and
// names those that end before all others do, and where. One that holds more than another
// one is not fewer: that one may be damaged, or the own one may not have erased yet.
func fewer(own map[string]held, others []map[string]held) []string {
	var out []string
	for name, mine := range own {
		least, end, same, behind := ^uint64(0), ^uint64(0), false, false
		for _, o := range others {
			theirs, ok := o[name]
			if !ok {
				continue
			}
			end, behind = min(end, theirs.last), true
			if theirs.last == mine.last {
				least, same = min(least, theirs.msgs), true
			}
		}
		switch {
		case same && mine.msgs < least:
			out = append(out, name)
		case behind && mine.last < end: // in every look: it stands still
			out = append(out, fmt.Sprintf("%s (ends at %d)", name, mine.last))
		}
	}
	slices.Sort(out)
	return out
}

// comparison is what looks at the copies of a healthy server have shown so far.
type comparison struct {
	look    int      // counts looks at the health
	lacking []string // streams that held less in every one of the last looks
	inARow  int      // so many looks
}

// next compares the copies when it is time, and gives the streams of which the own
// copy is damaged; sure is false while that is being found out.
func (c *comparison) next(copies func() []string) (damaged []string, sure bool) {
	due := c.inARow > 0 || c.look%copiesEvery == 0
	c.look++
	if !due {
		return nil, true
	}
	now := copies()
	if c.inARow > 0 {
		now = slices.DeleteFunc(now, func(s string) bool { return !slices.Contains(c.lacking, s) })
	}
	if c.lacking = now; len(now) == 0 {
		c.inARow = 0
		return nil, true
	}
	c.inARow++
	return now, c.inARow >= lackLooks
}
