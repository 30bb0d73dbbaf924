package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"karaula/internal/node"
)

// What became of a damaged copy of a cluster's streams.
const (
	didCopy     = "whole again by itself"
	didNotStart = "did not start; its store was removed, and copied anew"
	didRenew    = "started, and was not whole; its store was removed, and copied anew"
	didHide     = "whole by all counts, and does not give a message; its store was removed, and copied anew"
	didDiffer   = "whole as NATS says, and lacks something; its agent says so; its store was removed, and copied anew"
)

// storeFiles gives the files of a server's store by what they are.
// KARAULA_DAMAGE names a part of their names.
func storeFiles(t *testing.T, n *Node) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	must(t, filepath.WalkDir(store(n), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(store(n), path)
		if strings.Contains(name, os.Getenv("KARAULA_DAMAGE")) {
			out[class(name)] = append(out[class(name)], path)
		}
		return err
	}))
	return out
}

// wholeSoon waits until a cluster is whole, for a time in which NATS has restored
// every copy that it restores.
func wholeSoon(t *testing.T, w *World) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	return w.Cluster.Whole(ctx)
}

// down has a server end: killed, or stopped in order, which leaves other files.
func down(t *testing.T, n *Node, rng *rand.Rand) {
	t.Helper()
	if rng.IntN(2) == 0 {
		must(t, n.Kill(Server))
		return
	}
	must(t, n.StopParts(Server))
}

// renew removes a server's store, has NATS copy it, and waits until that is done. The
// server does not start before the file that speaks against it is removed, too.
func renew(t *testing.T, w *World, n *Node) {
	t.Helper()
	if p := n.take(Server); p != nil {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
	}
	must(t, os.RemoveAll(store(n)))
	if err := w.Cluster.Serve(patient(t), n); err == nil || !strings.Contains(err.Error(), "is empty, and was not before") {
		t.Fatalf("a server starts with a store that is empty and was not: %v", err)
	}
	must(t, os.Remove(node.Layout{Dir: n.Dir}.StoreHeld()))
	must(t, w.Cluster.Serve(patient(t), n))
	must(t, w.Cluster.Whole(patient(t)))
	must(t, Until(patient(t), func() string { return w.Cluster.lacks(n) }))
}

// harmed damages files of a server's store while it is down, and says which.
func harmed(t *testing.T, n *Node, kind string, files []string, rng *rand.Rand) string {
	t.Helper()
	var said []string
	for _, f := range files {
		harm := Harms()[rng.IntN(len(Harms()))]
		what, err := harm.Do(f, rng)
		must(t, err)
		if what != "" {
			name, err := filepath.Rel(store(n), f)
			must(t, err)
			said = append(said, name+" "+what)
		}
	}
	if len(said) > 3 {
		said = append(said[:3], fmt.Sprintf("and %d more", len(said)-3))
	}
	return kind + ": " + strings.Join(said, ", ")
}

// tryCopy damages the store of one of a cluster's servers while it is down, and gives
// what became of it.
func tryCopy(t *testing.T, w *World, r map[string]*Record, n *Node, rng *rand.Rand) (kind, outcome string) {
	t.Helper()
	down(t, n, rng)
	send(t, w.AL, r["al"], 1) // which this copy has to catch up with
	files := storeFiles(t, n)
	kinds := slices.Sorted(maps.Keys(files))
	if len(kinds) == 0 {
		t.Fatal("there are no such files")
	}
	kind = kinds[rng.IntN(len(kinds))]
	list := files[kind][rng.IntN(len(files[kind])):][:1]
	if rng.IntN(5) == 0 {
		kind, list = "several", nil
		for _, k := range kinds {
			for _, f := range files[k] {
				if rng.IntN(3) == 0 {
					list = append(list, f)
				}
			}
		}
	}
	what, logged := harmed(t, n, kind, list, rng), len(n.Tail(math.MaxInt32))
	outcome = didCopy
	if err := w.Cluster.Serve(patient(t), n); err != nil {
		outcome = didNotStart
	} else if err := wholeSoon(t, w); err != nil {
		t.Logf("%s: %s: %v", n.Dir, what, err)
		outcome = didRenew
	} else if lacks := w.Cluster.lacking(t, n); len(lacks) > 0 {
		t.Logf("%s: %s: %v", n.Dir, what, lacks)
		if saysDamaged(t, w.Cluster, n, logged) {
			outcome = didDiffer
		}
	} else if differ := same(t, w); len(differ) > 0 {
		t.Logf("%s: %s: %v", n.Dir, what, differ)
		outcome = didHide
	}
	if outcome != didCopy {
		renew(t, w, n)
	}
	if s, err := w.AL.Status(patient(t)); err == nil && strings.Contains(strings.Join(s.Warnings, "; "), "is halted") {
		outcome += "; the channel had stopped, and ledger repair mended it"
		linked(t, w, w.AL)
		repair(t, w.AL, 0)
	}
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 1)
	must(t, w.Settle(patient(t)))
	for _, m := range w.Cluster.Machines {
		must(t, Until(patient(t), func() string { return w.Cluster.lacks(m) }))
	}
	differ := same(t, w)
	if len(differ) > 0 && outcome == didCopy { // another one had answered for it: a server gives its own copy some seconds after its start only
		t.Logf("%s: %s: in the end: %v", n.Dir, what, differ)
		outcome = didHide
		renew(t, w, n)
		differ = same(t, w)
	}
	if len(differ) > 0 {
		t.Errorf("%s: %s: in the end: %v", n.Dir, what, differ)
	}
	return kind, outcome
}

// same reads through all servers, and gives the messages that not every copy gives. None
// may be given in other bytes.
func same(t *testing.T, w *World) []string {
	t.Helper()
	differ, err := w.Cluster.Differing(patient(t))
	must(t, err)
	for _, d := range differ {
		if strings.Contains(d, otherBytes) {
			t.Error(d)
		}
	}
	return differ
}

// lacking gives the streams of which a server's copy holds less than that of another one,
// while nothing is said, for longer than NATS takes to copy. Whether the server is whole
// cannot be asked right after its start: the others still take it for what it was.
func (c *Cluster) lacking(t *testing.T, n *Node) []string {
	t.Helper()
	var lack string
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_ = Until(ctx, func() string { // what is lacking in the end counts
		lack = c.lacks(n)
		return lack
	})
	if lack == "" {
		return nil
	}
	return strings.Split(lack, "\n")
}

func (c *Cluster) lacks(n *Node) string {
	var out []string
	all := map[*Node]map[string]natsserver.StreamState{}
	for _, m := range c.Machines {
		var err error
		if all[m], err = c.states(m); err != nil {
			return err.Error()
		}
	}
	for _, theirs := range all {
		for stream, other := range theirs {
			mine := all[n][stream]
			if other.Msgs > mine.Msgs || other.LastSeq > mine.LastSeq {
				out = append(out, fmt.Sprintf("%s holds %d to %d instead of %d to %d", stream, mine.Msgs, mine.LastSeq, other.Msgs, other.LastSeq))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "\n")
}

// states gives what the copies of one server hold, as it says itself.
func (c *Cluster) states(n *Node) (map[string]natsserver.StreamState, error) {
	nc, err := c.ops(n)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	ask, err := json.Marshal(natsserver.JszEventOptions{
		JSzOptions:         natsserver.JSzOptions{Accounts: true, Streams: true},
		EventFilterOptions: natsserver.EventFilterOptions{Name: nc.ConnectedServerName(), ExactMatch: true},
	})
	if err != nil {
		return nil, err
	}
	m, err := nc.Request("$SYS.REQ.SERVER.PING.JSZ", ask, 5*time.Second)
	if err != nil {
		return nil, err
	}
	var info natsserver.JSInfo
	if err := json.Unmarshal(m.Data, &natsserver.ServerAPIResponse{Data: &info}); err != nil {
		return nil, err
	}
	out := map[string]natsserver.StreamState{}
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			out[s.Name] = s.State
		}
	}
	return out, nil
}

// saysDamaged waits until the agent of a server says, behind what it had logged before,
// that the server's copies hold less than they should. False: NATS has copied it after all.
func saysDamaged(t *testing.T, c *Cluster, n *Node, logged int) (said bool) {
	t.Helper()
	must(t, Until(patient(t), func() string {
		said = strings.Contains(n.Tail(math.MaxInt32)[logged:], "the server's store is damaged")
		if !said && c.lacks(n) != "" {
			return "the agent of a damaged server does not say so"
		}
		return ""
	}))
	return said
}

// Whatever in the store of one of a cluster's servers is damaged while it is down:
// what the others hold is right, and nothing else is ever said, judged or acknowledged.
func TestClusterDamagedStores(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("KARAULA_KILLS=1 asks for it")
	}
	rng := seeded(t)
	w, r := makeCluster(t, false), records()
	send(t, w.AL, r["al"], 3, 1)
	send(t, w.ME, r["me"], 4)
	o := &outcomes{by: map[string]map[string]int{}}
	t.Cleanup(func() { o.tell(t) })
	for range clusterKills(t) {
		n := w.Cluster.Machines[rng.IntN(machines)]
		o.note(tryCopy(t, w, r, n, rng))
		must(t, w.AL.StopParts(Gateway)) // it reads everything again
		must(t, w.AL.Start(patient(t), Gateway))
	}
	tell(t, "%s", finish(t, w, r))
}
