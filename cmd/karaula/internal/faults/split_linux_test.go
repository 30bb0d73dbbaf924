package faults

import (
	"context"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/subject"
)

// leader gives the machine whose server leads the stream of what is sent.
func leader(t *testing.T, c *Cluster) int {
	t.Helper()
	nc, err := c.Connect()
	must(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	must(t, err)
	at := -1
	ctx := patient(t)
	must(t, Until(ctx, func() string {
		one, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		s, err := js.Stream(one, subject.Out(subject.Actual(Channel)))
		if err != nil {
			return err.Error()
		}
		if info := s.CachedInfo().Cluster; info != nil {
			for i := range c.Machines {
				if info.Leader == fmt.Sprintf("al-%d", i+1) {
					at = i
					return ""
				}
			}
		}
		return "no leader"
	}))
	return at
}

// index gives which machine a node is.
func (c *Cluster) index(n *Node) int { return slices.Index(c.Machines, n) }

// others gives the machines but one.
func others(i int) []int {
	return slices.DeleteFunc([]int{0, 1, 2}, func(x int) bool { return x == i })
}

// again brings back gateways that have ended because they had lost their turn, as
// their unit does, and waits until everything is as before.
func again(t *testing.T, w *World) {
	t.Helper()
	must(t, w.Cluster.Whole(patient(t)))
	ctx := patient(t)
	must(t, Until(ctx, func() string {
		for _, n := range w.Cluster.Gateways() { // none waits for another one: both may have ended
			if n.PID(Gateway) != 0 {
				continue
			}
			n.take(Gateway)
			if err := n.Launch(ctx, Gateway); err != nil {
				return err.Error()
			}
		}
		s, err := w.AL.Status(ctx)
		if err != nil {
			return err.Error()
		}
		if text := strings.Join(s.Warnings, "; "); strings.Contains(text, "not in step") {
			return text
		}
		return ""
	}))
}

// goesOn waits until alerts are acknowledged again.
func goesOn(t *testing.T, r *Record) {
	t.Helper()
	_, acked := r.Count()
	must(t, r.Await(patient(t), acked+3))
}

// The machine of the leader, that of the speaking gateway, or another one is cut off
// from the two others, while partners and officers still reach it: the two go on, and
// nobody ever speaks against them.
func TestClusterSplit(t *testing.T) {
	t.Parallel()
	net := makeNetwork(t, machines)
	hosts := &Hosts{
		Of:      map[string]string{"al": net.host(0), "me": net.outside()},
		Proxies: net.outside(), More: []string{net.host(1), net.host(2)},
	}
	rng := seeded(t)
	w, r, o := makeClusterAt(t, true, hosts, func(i int, n *Node) { n.In = net.in(i) }), records(), &outages{}
	step(t, w)
	loads := []*Load{Start(t.Context(), w.AL, r["al"], 3), Start(t.Context(), w.ME, r["me"], 1)}
	rounds := 1
	if long() {
		rounds = 6
	}
	waited := 0
	for i := range rounds {
		at, what := leader(t, w.Cluster), "machine of the stream's leader cut off"
		switch i % 3 {
		case 1:
			at, what = w.Cluster.index(w.Cluster.Speaking(t.Context())), "machine of the speaking gateway cut off"
		case 2:
			at, what = rng.IntN(machines), "any machine cut off"
		}
		step(t, w)
		o.note(what)
		logs := logsOf(w.Cluster)
		net.split(at, others(at)...)
		if !resumes(t, w, r["al"], logs) {
			waited++
		}
		time.Sleep(time.Duration(rng.IntN(8)) * time.Second) // for as long as it may be
		o.note("joined again")
		net.join(at, others(at)...)
		again(t, w)
	}
	endLoad(t, loads...)
	f := finish(t, w, r)
	tell(t, "%s (NATS elects after %s); %d times nobody could take over, because the gateway that stood by was out of step; %s",
		o.longest(r["al"]), electionTime, waited, f)
}

// logsOf gives what both gateways have written to their logs.
func logsOf(c *Cluster) map[*Node]string {
	out := map[*Node]string{}
	for _, n := range c.Gateways() {
		out[n] = n.Tail(math.MaxInt32)
	}
	return out
}

// resumes waits until alerts are acknowledged again. It gives false where that has to
// wait for the end of the split: the gateway that spoke is cut off, and the other one
// had gone out of step just then, so that it must not take over. The log says so, behind
// what was logged before.
func resumes(t *testing.T, w *World, r *Record, before map[*Node]string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience/2)
	defer cancel()
	_, acked := r.Count()
	if r.Await(ctx, acked+3) == nil {
		return true
	}
	for _, n := range w.Cluster.Gateways() {
		if strings.Contains(strings.TrimPrefix(n.Tail(math.MaxInt32), before[n]), "it goes out of step") {
			return false
		}
	}
	t.Fatal("nothing is acknowledged, and no gateway says why")
	return false
}

// A process is not dead but stands still, as a virtual machine does that is moved: the
// leader's server, or the gateway that speaks. When it wakes up, its turn is over.
func TestClusterStopAndContinue(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	w, r, o := makeCluster(t, true), records(), &outages{}
	step(t, w)
	loads := []*Load{Start(t.Context(), w.AL, r["al"], 3), Start(t.Context(), w.ME, r["me"], 1)}
	rounds := 1
	if long() {
		rounds = 12
	}
	for i := range rounds {
		_, acked := r["al"].Count()
		must(t, r["al"].Await(patient(t), acked+1+rng.IntN(5)))
		n, part, what := w.Cluster.Speaking(t.Context()), Gateway, "speaking gateway stopped (SIGSTOP)"
		if i%2 == 1 {
			n, part, what = w.Cluster.Machines[leader(t, w.Cluster)], Server, "server of the stream's leader stopped (SIGSTOP)"
		}
		pid := n.PID(part)
		o.note(what)
		must(t, syscall.Kill(pid, syscall.SIGSTOP))
		stopped(t, w, n, part, r["al"])
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond) // for as long as it may be
		o.note("continued")
		must(t, syscall.Kill(pid, syscall.SIGCONT))
		again(t, w)
	}
	endLoad(t, loads...)
	f := finish(t, w, r)
	tell(t, "%s (NATS elects after %s); %s", o.longest(r["al"]), electionTime, f)
}

// stopped waits until the others have gone on without a process that stands still. A
// gateway's socket still takes callers then, so officers go to the other machine.
func stopped(t *testing.T, w *World, n *Node, part Part, r *Record) {
	t.Helper()
	if part != Gateway {
		goesOn(t, r)
		return
	}
	other := w.Cluster.Machines[1-w.Cluster.index(n)]
	must(t, Until(patient(t), func() string {
		alone := &Node{Party: other.Party, Dir: other.Dir, Bin: other.Bin}
		if err := r.Send(patient(t), alone, 1); err != nil {
			return err.Error()
		}
		return ""
	}))
}

// newer is the command with another version.
const newer = "v9.9.9-faults"

// Every process of a node with three servers and two gateways is replaced by one of a
// newer version, one machine at a time, while alerts are sent: old and new run side by
// side meanwhile.
func TestClusterRollingUpgrade(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("TestClusterRollingRestart is its short form; KARAULA_KILLS=1 asks for it")
	}
	path := filepath.Join(t.TempDir(), "karaula-new")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.release="+newer, "-o", path, "karaula/cmd/karaula")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w, r, o := makeCluster(t, true), records(), &outages{}
	step(t, w)
	loads := []*Load{Start(t.Context(), w.AL, r["al"], 3), Start(t.Context(), w.ME, r["me"], 1)}
	must(t, r["al"].Await(patient(t), 3))
	for _, n := range slices.Backward(w.Cluster.Machines) {
		o.note("machine upgraded")
		n.Bin = path
		must(t, n.StopParts(Server))
		must(t, w.Cluster.Serve(patient(t), n))
		must(t, w.Cluster.Whole(patient(t)))
		must(t, n.StopParts(Agent))
		must(t, n.Start(patient(t), Agent))
		if n.PID(Gateway) != 0 {
			must(t, n.StopParts(Gateway))
			goesOn(t, r["al"])
			must(t, n.Start(patient(t), Gateway))
		}
		again(t, w)
		goesOn(t, r["al"])
	}
	o.note("all are new")
	a, err := w.AL.Run(patient(t), "", "status", "--output", "json")
	must(t, err)
	if !strings.Contains(a.Out, newer) {
		t.Errorf("the new version does not speak: %s", a.Out)
	}
	w.ME.Bin = path // and the partner, which has one process
	must(t, w.ME.Stop())
	must(t, w.ME.Start(patient(t), Whole))
	goesOn(t, r["me"])
	endLoad(t, loads...)
	f := finish(t, w, r)
	tell(t, "%s (NATS elects after %s); %s", o.longest(r["al"]), electionTime, f)
}

// The gateway that speaks dies, and the one that took over dies as well before the
// first one is back in step: that one must not speak, and waits for the other one,
// which goes on. Neither may be started only after the other one is ready.
func TestClusterBothGatewaysGone(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("TestClusterPairKills is its short form; KARAULA_KILLS=1 asks for it")
	}
	w, r, o := makeCluster(t, true), records(), &outages{}
	step(t, w)
	loads := []*Load{Start(t.Context(), w.AL, r["al"], 3), Start(t.Context(), w.ME, r["me"], 1)}
	for range 3 {
		goesOn(t, r["al"])
		for _, what := range []string{"speaking gateway killed", "the other one killed, too"} {
			o.note(what)
			must(t, w.Cluster.Speaking(t.Context()).Kill(Gateway))
			if what == "speaking gateway killed" {
				goesOn(t, r["al"])
			}
		}
		o.note("both started")
		again(t, w)
	}
	goesOn(t, r["al"])
	endLoad(t, loads...)
	f := finish(t, w, r)
	tell(t, "%s (NATS elects after %s); %s", o.longest(r["al"]), electionTime, f)
}
