package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// machineParts are what runs on a machine of a cluster, in the order in which its units
// start it again.
func machineParts(w *World, n *Node) []Part {
	if slices.Contains(w.Cluster.Gateways(), n) {
		return []Part{Agent, Server, Gateway}
	}
	return []Part{Agent, Server}
}

// powerCluster makes the power of some machines of a cluster fail at a random moment, all
// at once, and starts them again.
func powerCluster(t *testing.T, w *World, disks map[*Node]*lossyDisk, rng *rand.Rand, machines []*Node) {
	t.Helper()
	failed := make(chan error, len(machines))
	for _, n := range machines {
		go func() { failed <- n.Kill(machineParts(w, n)...) }()
	}
	for range machines {
		must(t, <-failed)
	}
	var left *rand.Rand // nothing unsynced, or parts of it
	if rng.IntN(2) == 0 {
		left = rng
	}
	for _, n := range machines {
		d := disks[n]
		d.powerCut(left, d.gateway, d.broker)
	}
	ctx := patient(t)
	for _, n := range machines {
		must(t, n.Launch(ctx, Agent))
	}
	for _, n := range machines {
		must(t, w.Cluster.Serve(ctx, n))
	}
	must(t, w.Cluster.Whole(ctx))
	for _, n := range machines {
		if slices.Contains(machineParts(w, n), Gateway) {
			n.take(Gateway)
			must(t, n.Launch(ctx, Gateway)) // each waits for the other one, if both are gone
		}
	}
}

// The power of one machine fails, of the one whose gateway speaks, or of all of them at
// once: nothing that was acknowledged is lost, doubled or forked.
func TestClusterPowerFails(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("make cluster tries it")
	}
	rng, count := seeded(t), clusterKills(t)
	disks := map[*Node]*lossyDisk{}
	w := makeClusterAt(t, true, nil, func(_ int, n *Node) {
		disks[n] = lossy(t, n.Dir)
		t.Cleanup(n.Clean) // before its disk goes
	})
	r, o := records(), &outages{}
	loads := []*Load{Start(t.Context(), w.AL, r["al"], 3), Start(t.Context(), w.ME, r["me"], 1)}
	for range count {
		step(t, w)
		_, acked := r["al"].Count()
		must(t, r["al"].Await(patient(t), acked+1+rng.IntN(6)))
		time.Sleep(time.Duration(rng.Int64N(int64(30 * time.Millisecond)))) // a random moment
		machines, what := w.Cluster.Machines, "all machines without power"
		switch rng.IntN(4) {
		case 0:
			machines, what = []*Node{w.Cluster.Speaking(patient(t))}, "machine of the speaking gateway without power"
		case 1:
			machines, what = []*Node{machines[rng.IntN(len(machines))]}, "one machine without power"
		}
		o.note(what)
		powerCluster(t, w, disks, rng, machines)
	}
	_, acked := r["al"].Count()
	must(t, r["al"].Await(patient(t), acked+1)) // the last pause ends
	conclude(t, w, r, o, loads, fmt.Sprintf("%d failures of the power", count))
}
