package faults

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// A server of a cluster that was away while something was erased, until the logs of the
// others did not hold it any more, is told which messages are gone, and does not
// overwrite them. The next start after an orderly stop does (package sweep); before that a
// partner is not told that its content is erased, and the doctor says that something waits.
func TestClusterServerThatWasAwayDuringAnErasure(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("make cluster tries it")
	}
	w, r := makeCluster(t, false), records()
	erased, kept, probe := oneToErase(t, w, r["al"])
	send(t, w.ME, r["me"], 1)
	must(t, w.Settle(patient(t)))
	theirs := r["me"].Sent()[0].ID
	probe[theirs] = probesOf(t, w.ME, []string{theirs})[theirs]
	away, others := w.Cluster.Machines[2], w.Cluster.Machines[:2]
	inStreams := func(n *Node, id string) []string {
		return slices.DeleteFunc(holds(t, n.Dir, probe[id]), func(file string) bool { return !strings.Contains(file, "/streams/") })
	}
	must(t, away.StopParts(Server))
	command(t, w.AL, nil, "alert", "erase", erased, "--reason", "claim granted (invented)")
	command(t, w.ME, nil, "alert", "erase", theirs, "--reason", "claim granted (invented)")
	for _, n := range others {
		must(t, Until(patient(t), func() string {
			return strings.Join(slices.Concat(inStreams(n, erased), inStreams(n, theirs)), " ")
		}))
	}
	for _, n := range others { // a server that is stopped has its log compacted
		must(t, n.StopParts(Server))
	}
	for _, n := range others {
		must(t, w.Cluster.Serve(patient(t), n))
	}
	linked(t, w, w.AL) // at rest it is not: it warns of the server that is away
	linked(t, w, w.ME)
	must(t, w.Cluster.Serve(patient(t), away))
	must(t, w.Cluster.Whole(patient(t)))
	left := slices.Concat(inStreams(away, erased), inStreams(away, theirs))
	if len(left) == 2 {
		must(t, Until(patient(t), func() string {
			if all := doctor(t, w.AL); !strings.Contains(all, "1 of partners' and 1 of our own wait") {
				return "the doctor does not say that two erasures wait: " + all
			}
			return ""
		}))
		if toldErased(t, w.ME, theirs) {
			t.Errorf("the partner was told while %v held it", left)
		}
	}
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
	compacted, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	must(t, Until(compacted, func() string {
		if !toldErased(t, w.ME, theirs) {
			return "the partner is not told: " + doctor(t, w.AL)
		}
		return ""
	}))
	for _, n := range w.Cluster.Machines {
		if files := holds(t, n.Dir, probe[theirs]); len(files) > 0 {
			t.Errorf("told, and held in %v", files)
		}
	}
	tell(t, "after the server was back two erased contents were in %d files, after the next start in none; told after that", len(left))
}

// toldErased reports whether a node was told that its alert, which one partner has, is erased there.
func toldErased(t *testing.T, n *Node, id string) bool {
	t.Helper()
	d := list(t, n)[id].Deliveries
	if len(d) != 1 {
		t.Fatalf("the alert has %d deliveries", len(d))
	}
	return d[0].ErasedAt != ""
}

// A cluster tells its partner of an erasure when every server's machine has found nothing
// of the content, and not before: not while the machine of one of them cannot be asked,
// though the content is in no file any more. Then no file holds it.
func TestClusterTellsOfAnErasureWhenNoServerHoldsIt(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("make cluster tries it")
	}
	w, r := makeCluster(t, false), records()
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))
	erased := r["me"].Sent()[0].ID
	probe := probesOf(t, w.ME, []string{erased})[erased]
	held := func() string {
		var files []string
		for _, n := range w.Cluster.Machines {
			files = append(files, holds(t, n.Dir, probe)...)
		}
		return strings.Join(files, " ")
	}
	if held() == "" {
		t.Fatal("no file holds it: the search shows nothing")
	}
	silent := w.Cluster.Machines[2]
	must(t, silent.StopParts(Agent))
	began := time.Now()
	command(t, w.ME, nil, "alert", "erase", erased, "--reason", "claim granted (invented)")
	must(t, Until(patient(t), func() string {
		if all := doctor(t, w.AL); !strings.Contains(all, "erasure.told") || !strings.Contains(all, "server al-3: ") {
			return "the doctor does not name the server whose machine cannot be asked: " + all
		}
		return ""
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	must(t, Until(ctx, held))
	gone := time.Since(began).Round(time.Second)
	if toldErased(t, w.ME, erased) {
		t.Error("the partner was told while one server's machine could not be asked")
	}
	must(t, silent.Start(patient(t), Agent))
	must(t, Until(ctx, func() string {
		if !toldErased(t, w.ME, erased) {
			return "the partner is not told: " + doctor(t, w.AL)
		}
		return ""
	}))
	if files := held(); files != "" {
		t.Errorf("told, and held in %s", files)
	}
	tell(t, "an erased content was in no file after %s, and the partner told after %s", gone, time.Since(began).Round(time.Second))
}
