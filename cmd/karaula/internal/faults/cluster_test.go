package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// stockServer builds the stock nats-server once.
var stockServer = sync.OnceValues(func() (string, error) { return BuildNATS(context.Background(), filepath.Dir(bin)) })

// makeCluster makes a world in which AL has three servers, and starts them.
func makeCluster(t *testing.T, pair bool) *World {
	t.Helper()
	return makeClusterAt(t, pair, nil, nil)
}

// makeClusterAt makes one on other hosts; ready sees to its machines before anything runs.
func makeClusterAt(t *testing.T, pair bool, hosts *Hosts, ready func(machine int, n *Node)) *World {
	t.Helper()
	server, err := stockServer()
	must(t, err)
	w, err := makeWorldWith(t.TempDir(), bin, &Cluster{NATS: server, Pair: pair}, hosts)
	must(t, err)
	for i, n := range w.Cluster.Machines {
		if ready != nil {
			ready(i, n)
		}
	}
	t.Cleanup(func() {
		w.Clean()
		if t.Failed() {
			for _, n := range append(slices.Clone(w.Cluster.Machines), w.ME) {
				t.Logf("log of %s:\n%s", n.Dir, quiet(n.Tail(1<<20)))
			}
		}
	})
	must(t, w.Cluster.Start(patient(t)))
	must(t, w.Cluster.Whole(patient(t)))
	for _, n := range w.Cluster.Gateways() {
		must(t, n.Start(patient(t), Gateway))
	}
	must(t, w.ME.Start(patient(t), Whole))
	return w
}

// quiet gives the end of a log without what a server says all the time.
func quiet(log string) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(l string) bool {
		return strings.Contains(l, "[INF]") || strings.Contains(l, "trying to connect to route") || strings.Contains(l, "quorum")
	})
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

// finish settles, walks both sides, and stops the servers.
func finish(t *testing.T, w *World, r map[string]*Record) *Findings {
	t.Helper()
	must(t, w.Cluster.Whole(patient(t)))
	f := settleAndWalk(t, w, r, Expect{Copies: true}) // two gateways may both have stored what arrived
	must(t, w.Cluster.Stop())
	return f
}

// conclude ends the traffic of both sides, walks them, and tells of what was done and for
// how long nothing was acknowledged.
func conclude(t *testing.T, w *World, r map[string]*Record, o *outages, loads []*Load, done string) {
	t.Helper()
	endLoad(t, loads...)
	f := finish(t, w, r)
	tell(t, "%s: %s (NATS elects after %s); al's commands ended with %s; %s", done, o.longest(r["al"]), electionTime, r["al"].Exits(), f)
	if f.Acked["al"] == 0 || f.Acked["me"] == 0 {
		t.Error("nothing was sent: the campaign has shown nothing")
	}
}

// electionTime is how long nats-server's followers wait for a leader before one of
// them stands for election (minElectionTimeout and maxElectionTimeout, server/raft.go).
const electionTime = "4 to 9 s"

// outages measures for how long nothing was acknowledged around each event.
type outages struct {
	what []string
	at   []time.Time
}

func (o *outages) note(what string) {
	o.what, o.at = append(o.what, what), append(o.at, time.Now())
}

// longest gives, for each kind of event, how often it was and the longest time
// between two acknowledgements from it to the next event.
func (o *outages) longest(r *Record) string {
	var acked []time.Time
	for _, s := range r.Sent() {
		acked = append(acked, s.Acked)
	}
	slices.SortFunc(acked, time.Time.Compare)
	count, worst := map[string]int{}, map[string]time.Duration{}
	for i, from := range o.at {
		count[o.what[i]]++
		end := from.Add(time.Hour)
		if i+1 < len(o.at) {
			end = o.at[i+1]
		}
		last := from
		for _, at := range acked {
			switch {
			case at.Before(from):
				continue
			case at.After(end): // what is left of this pause is the next event's
				at = end
			}
			worst[o.what[i]] = max(worst[o.what[i]], at.Sub(last))
			if last = at; at.Equal(end) {
				break
			}
		}
	}
	var out []string
	for what, n := range count {
		out = append(out, fmt.Sprintf("%s %d times, longest pause %s", what, n, worst[what].Round(10*time.Millisecond)))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// killOne kills one process of a cluster at a random moment, and brings it back.
func killOne(t *testing.T, w *World, r *Record, rng *rand.Rand, o *outages) {
	t.Helper()
	_, acked := r.Count()
	must(t, r.Await(patient(t), acked+1+rng.IntN(6)))
	time.Sleep(time.Duration(rng.Int64N(int64(30 * time.Millisecond)))) // a random moment
	n := w.Cluster.Machines[rng.IntN(machines)]
	ctx := patient(t)
	switch rng.IntN(5) {
	case 0, 1, 2:
		o.note("server killed")
		must(t, n.Kill(Server))
		_, acked = r.Count()
		must(t, r.Await(ctx, acked+3)) // goes on with two
		must(t, w.Cluster.Serve(ctx, n))
	case 3:
		o.note("agent killed")
		must(t, n.Kill(Agent))
		must(t, n.Start(ctx, Agent))
	default:
		o.note("gateway killed")
		must(t, w.AL.Kill(Gateway))
		must(t, w.AL.Start(ctx, Gateway))
	}
	must(t, w.Cluster.Whole(ctx))
}

// clusterKills is how many kills a cluster has to stand: few, because each is
// followed by an election, and as many as KARAULA_CLUSTER says.
func clusterKills(t *testing.T) int {
	t.Helper()
	switch text := os.Getenv("KARAULA_CLUSTER"); {
	case text != "":
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("KARAULA_CLUSTER=%q is no number of kills", text)
		}
		return n
	case long():
		return 20
	default:
		return 4
	}
}

// Whatever one process of a node with three servers is killed, nothing that was
// acknowledged is lost, doubled or forked, and the service goes on.
func TestClusterKills(t *testing.T) {
	t.Parallel()
	rng, count := seeded(t), clusterKills(t)
	w, r, o := makeCluster(t, false), records(), &outages{}
	loads := []*Load{Start(t.Context(), w.AL, r["al"], 3), Start(t.Context(), w.ME, r["me"], 1)}
	for range count {
		killOne(t, w, r["al"], rng, o)
	}
	conclude(t, w, r, o, loads, fmt.Sprintf("%d kills", count))
}

// Every process is restarted once, one after the other, while alerts are sent.
func TestClusterRollingRestart(t *testing.T) {
	t.Parallel()
	w, r, o := makeCluster(t, false), records(), &outages{}
	load := Start(t.Context(), w.AL, r["al"], 3)
	must(t, r["al"].Await(patient(t), 3))
	for _, n := range w.Cluster.Machines {
		ctx := patient(t)
		if a, err := n.Offline(ctx, "broker", "sweep", "--dir", n.Dir); err != nil || a.Code != 8 || !strings.Contains(a.Err, "nothing was swept") {
			t.Errorf("the store of a running server: exit code %d, %v: %s", a.Code, err, a.Err)
		}
		o.note("server restarted")
		must(t, n.StopParts(Server))
		must(t, w.Cluster.Serve(ctx, n))
		must(t, w.Cluster.Whole(ctx))
		must(t, n.StopParts(Agent))
		must(t, n.Start(ctx, Agent))
	}
	o.note("gateway restarted")
	must(t, w.AL.StopParts(Gateway))
	must(t, w.AL.Start(patient(t), Gateway))
	_, acked := r["al"].Count()
	must(t, r["al"].Await(patient(t), acked+3))
	endLoad(t, load)
	f := finish(t, w, r)
	tell(t, "%s (NATS elects after %s); al's commands ended with %s; %s", o.longest(r["al"]), electionTime, r["al"].Exits(), f)
}

// step waits until one of two gateways speaks and the other one could take over.
func step(t *testing.T, w *World) {
	t.Helper()
	ctx := patient(t)
	must(t, Until(ctx, func() string {
		s, err := w.AL.Status(ctx)
		if err != nil {
			return err.Error()
		}
		for _, warning := range s.Warnings {
			if strings.Contains(warning, "not in step") {
				return warning
			}
		}
		return ""
	}))
}

// revive starts a gateway as its unit would: again, when it has lost its turn.
func revive(t *testing.T, n *Node) {
	t.Helper()
	n.take(Gateway)
	must(t, n.Start(patient(t), Gateway))
}

// killPaired kills one process, or a whole machine, of a node with two gateways
// at a random moment, sees that the service goes on without it, and brings it back.
func killPaired(t *testing.T, w *World, r *Record, rng *rand.Rand, o *outages) {
	t.Helper()
	step(t, w)
	_, acked := r.Count()
	must(t, r.Await(patient(t), acked+1+rng.IntN(6)))
	time.Sleep(time.Duration(rng.Int64N(int64(30 * time.Millisecond)))) // a random moment
	ctx := patient(t)
	speaking := w.Cluster.Speaking(ctx)
	other := w.Cluster.Machines[0]
	if other == speaking {
		other = w.Cluster.Machines[1]
	}
	n, parts, what := speaking, []Part{Gateway}, "speaking gateway killed"
	switch rng.IntN(6) {
	case 0, 1:
	case 2:
		n, what = other, "gateway that stands by killed"
	case 3:
		parts, what = []Part{Gateway, Server, Agent}, "machine of the speaking gateway killed"
	case 4:
		n, parts, what = other, []Part{Gateway, Server, Agent}, "machine of the gateway that stands by killed"
	default:
		n, parts, what = w.Cluster.Machines[2], []Part{Server, Agent}, "third machine killed"
	}
	o.note(what)
	must(t, n.Kill(parts...))
	_, acked = r.Count()
	must(t, r.Await(ctx, acked+3)) // goes on without it
	if slices.Contains(parts, Server) {
		must(t, n.Launch(ctx, Agent))
		must(t, w.Cluster.Serve(ctx, n))
	}
	must(t, w.Cluster.Whole(ctx))
	if slices.Contains(parts, Gateway) {
		revive(t, n)
	}
}

// Whatever one process or machine of a node with three servers and two gateways is
// killed, the rest goes on by itself, and nothing that was acknowledged is lost,
// doubled or forked.
func TestClusterPairKills(t *testing.T) {
	t.Parallel()
	rng, count := seeded(t), clusterKills(t)
	w, r, o := makeCluster(t, true), records(), &outages{}
	loads := []*Load{Start(t.Context(), w.AL, r["al"], 3), Start(t.Context(), w.ME, r["me"], 1)}
	for range count {
		killPaired(t, w, r["al"], rng, o)
	}
	conclude(t, w, r, o, loads, fmt.Sprintf("%d kills", count))
}
