package faults

import (
	"slices"
	"strings"
	"testing"
)

// A server of a cluster that was away while something was erased, until the logs of the
// others did not hold it any more, is told which messages are gone, and does not
// overwrite them. The next start after an orderly stop does (package sweep).
func TestClusterServerThatWasAwayDuringAnErasure(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("make cluster tries it")
	}
	w, r := makeCluster(t, false), records()
	erased, kept, probe := oneToErase(t, w, r["al"])
	away, others := w.Cluster.Machines[2], w.Cluster.Machines[:2]
	inStreams := func(n *Node, id string) []string {
		return slices.DeleteFunc(holds(t, n.Dir, probe[id]), func(file string) bool { return !strings.Contains(file, "/streams/") })
	}
	must(t, away.StopParts(Server))
	command(t, w.AL, nil, "alert", "erase", erased, "--reason", "claim granted (invented)")
	for _, n := range others {
		must(t, Until(patient(t), func() string { return strings.Join(inStreams(n, erased), " ") }))
	}
	for _, n := range others { // a server that is stopped has its log compacted
		must(t, n.StopParts(Server))
	}
	for _, n := range others {
		must(t, w.Cluster.Serve(patient(t), n))
	}
	must(t, w.Settle(patient(t)))
	must(t, w.Cluster.Serve(patient(t), away))
	must(t, w.Cluster.Whole(patient(t)))
	left := inStreams(away, erased)
	must(t, away.StopParts(Server))
	must(t, w.Cluster.Serve(patient(t), away))
	if files := inStreams(away, erased); len(files) > 0 {
		t.Errorf("still in %v", files)
	}
	must(t, w.Cluster.Whole(patient(t)))
	for _, n := range w.Cluster.Machines {
		if files := inStreams(n, erased); len(files) > 0 {
			t.Errorf("%s: still in %v", n.Dir, files)
		}
		if len(inStreams(n, kept)) == 0 {
			t.Errorf("%s does not hold what was not erased", n.Dir)
		}
	}
	send(t, w.AL, r["al"], 1)
	must(t, w.Settle(patient(t)))
	tell(t, "after the server was back it was in %d files, after the next start in none", len(left))
}
