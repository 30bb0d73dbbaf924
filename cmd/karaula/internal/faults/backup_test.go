package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"filippo.io/age"

	"karaula/internal/node"
)

// backup makes a backup of a node and gives the command words that restore it.
func backup(t *testing.T, n *Node) func(dir string) []string {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	must(t, err)
	temp := t.TempDir()
	file, key := filepath.Join(temp, "backup"), filepath.Join(temp, "identity")
	must(t, os.WriteFile(key, []byte(id.String()+"\n"), 0o600))
	command(t, n, nil, "backup", "--out", file, "--recipient", id.Recipient().String())
	return func(dir string) []string { return []string{"restore", file, "--identity", key, "--dir", dir} }
}

// restored makes the node run from a folder made from a backup, as on a new
// machine; the old folder is gone.
func restored(t *testing.T, n *Node, restore func(dir string) []string) {
	t.Helper()
	must(t, os.RemoveAll(n.Dir))
	dir := n.Dir
	n.Dir = filepath.Join(filepath.Dir(dir), "new-"+n.Party)
	a, err := (&Node{Party: n.Party, Dir: n.Dir, Bin: n.Bin}).Run(patient(t), "", restore(n.Dir)[:4]...)
	must(t, err)
	if a.Code != 0 {
		t.Fatalf("restore: exit code %d: %s", a.Code, a.Err)
	}
}

// A backup is made while both speak and keys are rotated; the machine is lost.
// What was restored is older than what the partner holds: it receives everything
// again, and says nothing on a channel that it has spoken on.
func TestARestoredNodeForksNothing(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 4)
	send(t, w.ME, r["me"], 3)
	command(t, w.AL, nil, "key", "rotate")
	restore := backup(t, w.AL)
	send(t, w.AL, r["al"], 3)
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Kill(Whole))
	restored(t, w.AL, restore)

	// With nobody to ask it knows from the backup that it had spoken.
	w.ToME.Cut()
	w.ToAL.Cut()
	must(t, w.AL.Start(patient(t), Whole))
	halted(t, w.AL, "restored from a backup made when number")
	must(t, w.ToME.Mend())
	must(t, w.ToAL.Mend())
	send(t, w.ME, r["me"], 2)
	caughtUp(t, w, w.AL)
	halted(t, w.AL, "restored from a backup made when number")
	s, err := w.AL.Status(t.Context())
	must(t, err)
	if s.Said() != 0 {
		t.Errorf("it has said %d statements", s.Said())
	}
	// The partner has every statement, and it goes on where it was.
	linked(t, w, w.AL)
	if got := repair(t, w.AL, 0); got.State != "mended" || got.Stubs != 0 {
		t.Errorf("repair: %+v", got)
	}
	send(t, w.AL, r["al"], 1)
	settleAndWalk(t, w, r, Expect{})
}

// A backup from before anything was said knows of nothing: the partners do.
func TestARestoredNodeAsksThePartners(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	restore := backup(t, w.AL)
	start(t, w)
	send(t, w.AL, r["al"], 3)
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop())
	restored(t, w.AL, restore)
	w.ToME.Cut()
	w.ToAL.Cut()
	must(t, w.AL.Start(patient(t), Whole))
	_, file := Alerts(1)
	a, err := w.AL.Run(patient(t), file, "alert", "send", "-", "--channel", Channel, "--wait", "3s")
	must(t, err)
	if a.Code != 7 || a.Out != "" || !strings.Contains(a.Err, "restored from a backup, and me has not said yet") {
		t.Errorf("exit code %d, %s%s", a.Code, a.Out, a.Err)
	}
	must(t, w.ToME.Mend())
	must(t, w.ToAL.Mend())
	halted(t, w.AL, "me holds")
	caughtUp(t, w, w.AL)
	if _, err := os.Stat(node.Layout{Dir: w.AL.Dir}.Restored()); err != nil {
		t.Error(err)
	}
	must(t, w.Stop())
	walk(t, w, r, Expect{OutLost: map[string]bool{"al": true}})
}

// A card was issued after the backup was made. The restored folder issues none
// before somebody has asked the partners; the one that it issues then has a serial
// of its own, and all goes on under its keys.
func TestARestoredNodeIssuesNoSecondCardWithOneSerial(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	restore := backup(t, w.AL)
	command(t, w.AL, nil, "key", "rotate", "--use", "seal")
	knows(t, w.ME, "al", 2)
	send(t, w.AL, r["al"], 2)
	must(t, w.Settle(patient(t)))
	root := node.Layout{Dir: w.AL.Dir}.RootKey()
	must(t, w.AL.Kill(Whole))
	restored(t, w.AL, restore)
	for _, args := range [][]string{
		{"card", "issue"},
		{"key", "rotate"},
		{"card", "issue", "--request", filepath.Join(t.TempDir(), "request")},
		{"key", "root", "change", "--reason", "invented", "--after", root + ".after"},
	} {
		refused(t, w.AL, 8, "a card of al may have been issued since", append(args, "--root-key", root)...)
	}
	refused(t, w.AL, 2, "not the serial", "card", "confirm", "0")
	var party struct{ Serial uint64 }
	a, err := w.ME.Run(patient(t), "", "party", "show", "al", "--output", "json")
	must(t, err)
	must(t, json.Unmarshal([]byte(a.Out), &party))
	lost := filepath.Join(node.Layout{Dir: w.ME.Dir}.Register(), "parties", "al", "2.card")
	command(t, w.AL, nil, "party", "add", lost)
	refused(t, w.AL, 8, "a card of al may have been issued since", "card", "issue", "--root-key", root)
	command(t, w.AL, nil, "card", "confirm", strconv.FormatUint(party.Serial, 10))
	refused(t, w.AL, 8, "card 2 of al is known here", "card", "confirm", "1")
	command(t, w.AL, nil, "card", "issue", "--rotate", "--root-key", root)
	must(t, w.AL.Start(patient(t), Whole))
	halted(t, w.AL, "restored from a backup made when number")
	knows(t, w.ME, "al", 3)
	linked(t, w, w.AL)
	if got := repair(t, w.AL, 0); got.State != "mended" {
		t.Errorf("repair: %+v", got)
	}
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	if got := registerOf(t, w.ME).View().Conflicts(); len(got) != 0 {
		t.Errorf("evidence against al: %v", got)
	}
}
