package faults

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What became of a damaged copy of a cluster's streams.
const (
	didCopy     = "whole again by itself"
	didNotStart = "did not start; its store was removed, and copied anew"
	didRenew    = "started, and was not whole; its store was removed, and copied anew"
	didDiffer   = "whole as NATS says, and a copy lacks something"
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

// renew removes a server's store, has NATS copy it, and waits until that is done.
func renew(t *testing.T, w *World, n *Node) {
	t.Helper()
	if p := n.take(Server); p != nil {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
	}
	must(t, os.RemoveAll(store(n)))
	must(t, w.Cluster.Serve(patient(t), n))
	must(t, w.Cluster.Whole(patient(t)))
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
	what := harmed(t, n, kind, list, rng)
	outcome = didCopy
	if err := w.Cluster.Serve(patient(t), n); err != nil {
		outcome = didNotStart
	} else if err := wholeSoon(t, w); err != nil {
		t.Logf("%s: %s: %v", n.Dir, what, err)
		outcome = didRenew
	}
	if outcome != didCopy {
		renew(t, w, n)
	}
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 1)
	must(t, w.Settle(patient(t)))
	differ, err := w.Cluster.Differing(patient(t))
	must(t, err)
	if len(differ) > 0 {
		t.Logf("%s: %s:\n%s", n.Dir, what, strings.Join(differ, "\n"))
		outcome = didDiffer
	}
	return kind, outcome
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
