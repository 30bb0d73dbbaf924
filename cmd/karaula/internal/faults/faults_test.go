package faults

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// bin is the real command, built once.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "karaula-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the temporary folder harms nobody
	if bin, err = Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	printReport()
	return code
}

// kills is how many kills the campaign makes: few in the normal run, and as
// many as KARAULA_KILLS says at length.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("KARAULA_KILLS")
	if text == "" {
		return 12
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("KARAULA_KILLS=%q is no number of kills", text)
	}
	return n
}

// long reports whether the long form was asked for.
func long() bool { return os.Getenv("KARAULA_KILLS") != "" }

// seeded gives random numbers whose seed is printed, and can be given again as
// KARAULA_SEED.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // a seed
	if text := os.Getenv("KARAULA_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("KARAULA_SEED=%q is no seed", text)
		}
	}
	t.Logf("KARAULA_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // guards nothing
}

// patience bounds every wait for something that must happen.
const patience = 120 * time.Second

// patient gives a context for one wait.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// makeWorld makes a world that is cleaned up with the test, and shows the nodes'
// logs if it failed.
func makeWorld(t *testing.T) *World {
	t.Helper()
	w, err := Make(t.TempDir(), bin)
	if err != nil {
		t.Fatal(err)
	}
	cleanWorld(t, w)
	return w
}

// cleanWorld cleans a world up with the test.
func cleanWorld(t *testing.T, w *World) {
	t.Helper()
	t.Cleanup(func() {
		w.Clean()
		if t.Failed() {
			for _, n := range w.Nodes() {
				t.Logf("log of %s:\n%s", n.Party, n.Tail(4000))
			}
		}
	})
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// both does something for both nodes at the same time.
func both(t *testing.T, w *World, f func(n *Node) error) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, n := range w.Nodes() {
		wg.Go(func() { errs[i] = f(n) })
	}
	wg.Wait()
	for _, err := range errs {
		must(t, err)
	}
}

// start starts both nodes, each in one process.
func start(t *testing.T, w *World) {
	t.Helper()
	ctx := patient(t)
	both(t, w, func(n *Node) error { return n.Start(ctx, Whole) })
}

// records makes an empty record for each side.
func records() map[string]*Record { return map[string]*Record{"al": NewRecord(), "me": NewRecord()} }

// send sends files of alerts one after the other; all must be acknowledged.
func send(t *testing.T, n *Node, r *Record, counts ...int) {
	t.Helper()
	for _, c := range counts {
		must(t, r.Send(patient(t), n, c))
	}
}

// endLoad stops senders; all of their answers must have been understood.
func endLoad(t *testing.T, loads ...*Load) {
	t.Helper()
	for _, l := range loads {
		for _, err := range l.Stop() {
			t.Error(err)
		}
	}
}

// settleAndWalk waits for rest, stops both nodes and compares them.
func settleAndWalk(t *testing.T, w *World, r map[string]*Record, x Expect) *Findings {
	t.Helper()
	settleInStock(t, w)
	must(t, w.Stop())
	return walk(t, w, r, x)
}

// settleInStock waits until both nodes are at rest, and has them look at their streams.
func settleInStock(t *testing.T, w *World) {
	t.Helper()
	must(t, w.Settle(patient(t)))
	for _, n := range w.Nodes() {
		inStock(t, n)
	}
}

// inStock has a node look at its streams: whatever has happened to it, it must not
// take its own work for that of an insider.
func inStock(t *testing.T, n *Node) {
	t.Helper()
	for range 2 {
		for stream, what := range stock(t, n) {
			t.Errorf("%s: %s: %s", n.Party, stream, what)
		}
	}
}

// walk compares two stopped nodes; nothing may be wrong.
func walk(t *testing.T, w *World, r map[string]*Record, x Expect) *Findings {
	t.Helper()
	f, err := Walk(patient(t), w, r, x)
	must(t, err)
	t.Log(f)
	if len(f.Wrong) > 0 {
		t.Errorf("what is wrong:\n%s", f.Show())
	}
	return f
}

func TestTwoNodesAgree(t *testing.T) {
	t.Parallel()
	w := makeWorld(t)
	start(t, w)
	r := records()
	send(t, w.AL, r["al"], 1, 7, 1)
	send(t, w.ME, r["me"], 3)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 9 || f.Alerts["me"] != 3 || f.Acked["al"] != 9 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
}

// The walk is worth what it finds: an alert that is not there, one that nobody
// sent, and a store that was set back on either side.
func TestTheWalkFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 3)
	must(t, w.Settle(patient(t)))
	must(t, w.Stop())
	older := map[string]string{}
	for _, n := range w.Nodes() {
		older[n.Party] = filepath.Join(t.TempDir(), "older")
		must(t, Copy(store(n), older[n.Party]))
	}
	start(t, w)
	send(t, w.AL, r["al"], 2)
	settleAndWalk(t, w, r, Expect{})

	finds := func(what string, r map[string]*Record, want ...string) {
		t.Helper()
		f, err := Walk(patient(t), w, r, Expect{})
		must(t, err)
		for _, text := range want {
			if !strings.Contains(strings.Join(f.Wrong, "\n"), text) {
				t.Errorf("%s: the walk did not find %q, but\n%s", what, text, f.Show())
			}
		}
	}
	told := records()
	told["al"].sent = append(r["al"].Sent(), Sent{ID: "an alert that was lost", Number: 3})
	finds("another record", told, "which nobody sent", "(0: it is lost)")
	newer := swap(t, w.ME, older["me"])
	finds("an older receiver", r, "me holds 3 of the 5 statements of al", "al holds more of me than it said")
	swap(t, w.ME, newer)
	swap(t, w.AL, older["al"])
	finds("an older sender", r, "(0: it is lost)", "the stream holds 3", "me holds more of al than it said")
}
