package faults

import (
	"os"
	"path/filepath"
	"testing"

	"karaula/internal/node"
)

// The machine of the gateway is lost, and made again from a backup.
func TestClusterRestoredMachine(t *testing.T) {
	t.Parallel()
	clusterRestored(t, 1, "the signing journal only 0")
}

// All three machines are lost, and made again from one backup.
func TestClusterRestored(t *testing.T) {
	t.Parallel()
	clusterRestored(t, machines, "restored from a backup made when number")
}

// clusterRestored makes a backup of a node with three servers, has more said, and loses
// the first machines: what is restored says nothing on a channel on which it had spoken
// before ledger repair, and forks nothing.
func clusterRestored(t *testing.T, lost int, why string) {
	t.Helper()
	if !long() {
		t.Skip("TestARestoredNodeForksNothing is its short form; KARAULA_KILLS=1 asks for it")
	}
	w, r := makeCluster(t, false), records()
	send(t, w.AL, r["al"], 4)
	send(t, w.ME, r["me"], 3)
	restore := backup(t, w.AL)
	send(t, w.AL, r["al"], 3)
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Kill(Gateway))
	for i, n := range w.Cluster.Machines[:lost] {
		must(t, n.Kill(Agent, Server))
		own, err := os.ReadFile(node.Layout{Dir: n.Dir}.Config())
		must(t, err)
		must(t, os.RemoveAll(n.Dir))
		restoreMachine(t, n, restore, i, own)
	}
	if lost == machines {
		must(t, w.Cluster.Start(patient(t)))
	} else {
		must(t, w.AL.Launch(patient(t), Agent))
		must(t, w.Cluster.Serve(patient(t), w.AL))
	}
	must(t, w.Cluster.Whole(patient(t)))
	must(t, w.AL.Start(patient(t), Gateway))
	halted(t, w.AL, why)
	send(t, w.ME, r["me"], 1)
	caughtUp(t, w, w.AL)
	linked(t, w, w.AL)
	if got := repair(t, w.AL, 0); got.State != "mended" || got.Stubs != 0 {
		t.Errorf("repair: %+v", got)
	}
	send(t, w.AL, r["al"], 2)
	tell(t, "%s", finish(t, w, r))
}

// restoreMachine makes a machine's folder from the backup of the first one, as an
// operator does: with the machine's own node.yaml, and keys of the gateway where one runs.
func restoreMachine(t *testing.T, n *Node, restore func(dir string) []string, i int, own []byte) {
	t.Helper()
	n.Dir = filepath.Join(filepath.Dir(n.Dir), "new-"+filepath.Base(n.Dir))
	a, err := (&Node{Party: n.Party, Dir: n.Dir, Bin: n.Bin}).Run(patient(t), "", restore(n.Dir)[:4]...)
	must(t, err)
	if a.Code != 0 {
		t.Fatalf("restore: exit code %d: %s", a.Code, a.Err)
	}
	l := node.Layout{Dir: n.Dir}
	if i > 0 {
		must(t, os.WriteFile(l.Config(), own, 0o600))
		must(t, os.Remove(l.GatewayKeys()))
	}
}
