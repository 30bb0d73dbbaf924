package faults

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"karaula/internal/node"
	"karaula/internal/subject"
)

// strace gives the tracer. Where there is none, or it may trace nothing, the test is
// skipped and says so.
var strace = sync.OnceValues(func() (string, error) {
	path, err := exec.LookPath("strace")
	if err != nil {
		return "", err
	}
	if out, err := exec.Command(path, "-f", "-o", os.DevNull, "true").CombinedOutput(); err != nil { //nolint:noctx // at once
		return "", fmt.Errorf("strace may not trace here: %w: %s", err, out)
	}
	return path, nil
})

// injection says which calls of a process go wrong: on which files, and how.
type injection struct {
	calls string   // as strace names them, with commas
	how   string   // error=EIO:when=…, delay_exit=…
	files []string // empty: whatever they are about
}

// under has a part of a node run under the tracer, which answers some of its calls
// in the kernel's place. The process stays a child of the test's: kill -9 reaches it.
func under(t *testing.T, n *Node, i injection, parts ...Part) {
	t.Helper()
	path, err := strace()
	if err != nil {
		skip(t, err.Error())
	}
	args := []string{path, "-D", "-f", "-qqq", "--seccomp-bpf", "-o", os.DevNull, "-e", "trace=" + i.calls, "-e", "inject=" + i.calls + ":" + i.how}
	if len(i.files) > 0 { // a path filter and --seccomp-bpf go together
		for _, f := range i.files {
			args = append(args, "-P", f)
		}
	}
	n.Before = map[Part][]string{}
	for _, p := range parts {
		n.Before[p] = args
	}
}

// filesOf gives the files in folders of a node that hold what must not be lost.
func filesOf(t *testing.T, dirs ...string) []string {
	t.Helper()
	var out []string
	for _, dir := range dirs {
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, "lock") {
				out = append(out, path)
			}
			return err
		}))
	}
	return out
}

// block gives the first message file of a stream.
func block(n *Node, stream string) string {
	return filepath.Join(store(n), "jetstream", strings.ToUpper(n.Party), "streams", stream, "msgs", "1.blk")
}

// Whatever sync fails on the way of an alert to its acknowledgement, it is not
// acknowledged: neither to the officer nor to the partner. After the disk was mended
// everything goes on, and nothing is lost or doubled.
func TestAFailedSyncIsNeverAcknowledged(t *testing.T) {
	t.Parallel()
	syncs := injection{calls: "fsync,fdatasync", how: "error=EIO"}
	for name, c := range map[string]struct {
		part Part
		side string
		file func(n *Node) string
	}{
		"signing journal":    {Gateway, "al", func(n *Node) string { return node.Layout{Dir: n.Dir}.Journal(subject.Actual(Channel)) }},
		"stream of sent":     {Broker, "al", func(n *Node) string { return block(n, "OUT_"+Channel) }},
		"stream of received": {Broker, "me", func(n *Node) string { return block(n, "IN_"+Channel+"_al") }},
		"stream of verdicts": {Broker, "me", func(n *Node) string { return block(n, "VERDICT") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !long() && name != "stream of sent" && name != "signing journal" {
				t.Skip("make faults tries it")
			}
			w, r := makeWorld(t), records()
			both(t, w, func(n *Node) error { return n.Start(patient(t), Broker, Gateway) })
			send(t, w.AL, r["al"], 2)
			send(t, w.ME, r["me"], 1)
			must(t, w.Settle(patient(t)))
			n := w.Node(c.side)
			must(t, n.Stop())
			i := syncs
			i.files = []string{c.file(n)}
			under(t, n, i, c.part)
			must(t, n.Start(patient(t), Broker))
			must(t, n.Start(patient(t), Gateway))
			ids, file := Alerts(1)
			a, err := w.AL.Run(patient(t), file, "alert", "send", "-", "--channel", Channel, "--output", "json", "--wait", "6s")
			must(t, err)
			r["al"].tried[ids[0]] = true
			if c.side == "al" {
				if a.Code == 0 || a.Out != "" || !strings.HasPrefix(a.Err, "karaula: ") {
					t.Errorf("a sync failed, and it was acknowledged: exit code %d, %s%s", a.Code, a.Out, a.Err)
				}
			} else {
				time.Sleep(3 * time.Second) // for what must not happen
				if all := list(t, w.AL); len(all[ids[0]].Deliveries) == 0 || all[ids[0]].Deliveries[0].State == "accepted" {
					t.Errorf("me could not sync, and said that it has accepted: %+v", all[ids[0]])
				}
			}
			t.Logf("exit code %d: %s", a.Code, a.Err)
			n.Clean()
			logged(t, patient(t), n, "input/output error") // it has happened
			n.Before = nil
			must(t, n.Start(patient(t), Broker, Gateway))
			mended(t, n)
			send(t, w.AL, r["al"], 1)
			send(t, w.ME, r["me"], 1)
			f := settleAndWalk(t, w, r, Expect{Copies: true})
			tell(t, "no acknowledgement; after the disk was mended: %s", f)
		})
	}
}

// calls are what a node asks of the disk, and what of it may fail at random.
const calls = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,openat,ftruncate"

// Calls to the disk fail at random, in the gateway and in the broker of either side.
func TestFailedSystemCalls(t *testing.T) {
	t.Parallel()
	rounds := 1
	if long() {
		rounds = 24
	}
	w, r, rng := makeWorld(t), records(), seeded(t)
	both(t, w, func(n *Node) error { return n.Start(patient(t), Broker, Gateway) })
	send(t, w.AL, r["al"], 1)
	send(t, w.ME, r["me"], 1)
	must(t, w.Settle(patient(t)))
	r["al"].halts, r["me"].halts = true, true
	loads := []*Load{Start(t.Context(), w.AL, r["al"], 2), Start(t.Context(), w.ME, r["me"], 2)}
	tried := map[string]int{}
	for range rounds {
		tried[failedCalls(t, w, r, rng)]++
	}
	endLoad(t, loads...)
	f := settleAndWalk(t, w, r, Expect{Copies: true})
	tell(t, "%s; al's commands ended with %s, me's with %s; %s", counts(tried), r["al"].Exits(), r["me"].Exits(), f)
}

// failedCalls has calls of one part fail for a while, and then none any more.
func failedCalls(t *testing.T, w *World, r map[string]*Record, rng *rand.Rand) string {
	t.Helper()
	n := w.Nodes()[rng.IntN(2)]
	part := []Part{Broker, Gateway}[rng.IntN(2)]
	dir := filepath.Join(n.Dir, string(part))
	must(t, n.Stop())
	under(t, n, injection{
		calls: calls, how: fmt.Sprintf("error=%s:when=%d+%d", []string{"EIO", "ENOSPC"}[rng.IntN(2)], 2+rng.IntN(30), 1+rng.IntN(40)),
		files: filesOf(t, dir),
	}, part)
	must(t, n.Launch(t.Context(), Broker))
	time.Sleep(500 * time.Millisecond) // the gateway needs a broker
	must(t, n.Launch(t.Context(), Gateway))
	acks(t, r[w.Partner(n).Party], 2)
	time.Sleep(time.Duration(500+rng.IntN(2500)) * time.Millisecond) // some time of failures
	n.Clean()
	n.Before = nil
	must(t, n.Start(patient(t), Broker, Gateway))
	mended(t, n)
	acks(t, r[n.Party], 2)
	return string(part) + " of " + n.Party
}

// A disk that takes its time changes nothing but the time.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	for _, n := range w.Nodes() {
		under(t, n, injection{calls: "fsync,fdatasync", how: "delay_exit=40000"}, Whole)
	}
	start(t, w)
	count := 3
	if long() {
		count = 40
	}
	for range count {
		send(t, w.AL, r["al"], 1)
		send(t, w.ME, r["me"], 2)
	}
	f := settleAndWalk(t, w, r, Expect{})
	tell(t, "every sync took 40 ms longer: %s", f)
}
