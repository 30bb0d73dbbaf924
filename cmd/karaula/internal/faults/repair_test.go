package faults

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"karaula/internal/node"
	"karaula/internal/subject"
)

// mending is what ledger repair --output json says.
type mending struct {
	State   string   `json:"state"`
	Found   []string `json:"found"`
	Done    []string `json:"done"`
	Epoch   uint64   `json:"epoch"`
	Size    uint64   `json:"size"`
	PutBack uint64   `json:"put_back"`
	Stubs   uint64   `json:"stubs"`
}

// repair runs ledger repair and gives its answer; code is the exit code wanted.
func repair(t *testing.T, n *Node, code int, flags ...string) mending {
	t.Helper()
	args := append([]string{"ledger", "repair", "--channel", Channel, "--output", "json"}, flags...)
	a, err := n.Run(patient(t), "", args...)
	must(t, err)
	if a.Code != code {
		t.Fatalf("ledger repair %v: exit code %d instead of %d: %s%s", flags, a.Code, code, a.Out, a.Err)
	}
	var r mending
	if a.Out != "" {
		must(t, json.Unmarshal([]byte(a.Out), &r))
	}
	return r
}

// linked waits until a node's link to its partner is up.
func linked(t *testing.T, w *World, n *Node) {
	t.Helper()
	ctx := patient(t)
	must(t, Until(ctx, func() string {
		s, err := n.Status(ctx)
		if err != nil {
			return err.Error()
		}
		if s.Link(w.Partner(n).Party) != "up" {
			return "the link is not up"
		}
		return ""
	}))
}

// setBack says what is taken away from a stopped node: nil leaves it.
type setBack struct{ journal, stream string }

// Whatever of journal and stream is lost or set back, repair puts it back from
// the partner's copies, and the numbers go on. The short form tries two.
func TestRepairPutsBackWhatThePartnerHolds(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]setBack{
		"journal lost":     {journal: "lost"},
		"journal set back": {journal: "older"},
		"stream lost":      {stream: "lost"},
		"stream set back":  {stream: "older"},
		"both lost":        {journal: "lost", stream: "lost"},
		"both set back":    {journal: "older", stream: "older"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !long() && name != "journal lost" && name != "both set back" {
				t.Skip("make faults tries it")
			}
			w, r := makeWorld(t), records()
			start(t, w)
			send(t, w.AL, r["al"], 4)
			send(t, w.ME, r["me"], 2)
			must(t, w.Settle(patient(t)))
			must(t, w.AL.Stop())
			older := filepath.Join(t.TempDir(), "older")
			must(t, Copy(store(w.AL), older))
			journal := node.Layout{Dir: w.AL.Dir}.Journal(subject.Actual(Channel))
			before, err := os.ReadFile(journal)
			must(t, err)
			must(t, w.AL.Start(patient(t), Whole))
			send(t, w.AL, r["al"], 3, 2)
			must(t, w.Settle(patient(t)))
			must(t, w.AL.Stop())

			switch lost.journal {
			case "lost":
				must(t, os.Remove(journal))
			case "older":
				must(t, os.WriteFile(journal, before, 0o600))
			}
			switch lost.stream {
			case "lost":
				must(t, os.RemoveAll(store(w.AL)))
			case "older":
				swap(t, w.AL, older)
			}
			must(t, w.AL.Start(patient(t), Whole))
			halted(t, w.AL, "")
			linked(t, w, w.AL)
			if dry := repair(t, w.AL, 0, "--dry-run"); dry.State != "mendable" {
				t.Errorf("dry run: %+v", dry)
			}
			if done := repair(t, w.AL, 0); done.State != "mended" || done.Stubs != 0 || (done.PutBack > 0) != (lost.stream != "") {
				t.Errorf("repair: %+v", done)
			}
			if again := repair(t, w.AL, 0); again.State != "fine" {
				t.Errorf("repaired again: %+v", again)
			}
			send(t, w.AL, r["al"], 2)
			send(t, w.ME, r["me"], 1)
			f := settleAndWalk(t, w, r, Expect{})
			if f.Alerts["al"] != 11 || f.Alerts["me"] != 3 {
				t.Errorf("%d and %d alerts", f.Alerts["al"], f.Alerts["me"])
			}
		})
	}
}

// A folder that was restored from a backup says nothing before it has asked, even
// if nobody can be asked and its parts agree with each other.
func TestARestoredFolderSaysNothing(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 3)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop())
	journals := filepath.Dir(node.Layout{Dir: w.AL.Dir}.Journal(subject.Actual(Channel)))
	backup := t.TempDir()
	must(t, Copy(journals, filepath.Join(backup, "journal")))
	must(t, Copy(store(w.AL), filepath.Join(backup, "store")))
	must(t, w.AL.Start(patient(t), Whole))
	send(t, w.AL, r["al"], 2)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop())

	must(t, os.RemoveAll(journals))
	must(t, Copy(filepath.Join(backup, "journal"), journals))
	must(t, os.RemoveAll(store(w.AL)))
	must(t, Copy(filepath.Join(backup, "store"), store(w.AL)))
	w.ToME.Cut()
	w.ToAL.Cut()
	must(t, w.AL.Start(patient(t), Whole))
	halted(t, w.AL, "is a copy of another file")
	if got := repair(t, w.AL, 7); got.State != "waits" {
		t.Errorf("alone: %+v", got)
	}
	must(t, w.ToME.Mend())
	must(t, w.ToAL.Mend())
	linked(t, w, w.AL)
	if got := repair(t, w.AL, 0); got.State != "mended" || got.PutBack == 0 || got.Stubs != 0 {
		t.Errorf("repair: %+v", got)
	}
	send(t, w.AL, r["al"], 1)
	if f := settleAndWalk(t, w, r, Expect{}); f.Alerts["al"] != 6 {
		t.Errorf("%d alerts", f.Alerts["al"])
	}
	must(t, w.AL.Stop()) // and it stays so
	must(t, w.AL.Start(patient(t), Whole))
	send(t, w.AL, r["al"], 1)
}

// sendFile sends a file of alerts, and gives what the command printed.
func sendFile(t *testing.T, n *Node, file string) string {
	t.Helper()
	a, err := n.Run(patient(t), file, "alert", "send", "-", "--channel", Channel, "--wait", "30s", "--output", "json")
	must(t, err)
	if a.Code != 0 {
		t.Fatalf("alert send: exit code %d: %s%s", a.Code, a.Out, a.Err)
	}
	return a.Out
}

// Where nobody holds the rest, the ledger goes on in a new epoch: what counts was
// said once and is not said again, what was lost can be said again, and the
// partner shows where the old epoch ended.
func TestANewEpochWhereNobodyHasTheRest(t *testing.T) {
	t.Parallel()
	w := makeWorld(t)
	start(t, w)
	_, kept := Alerts(1)
	_, gone := Alerts(1)
	first := sendFile(t, w.AL, kept)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop())
	older := filepath.Join(t.TempDir(), "older")
	must(t, Copy(store(w.AL), older))
	w.ToAL.Cut() // me hears nothing more
	must(t, w.AL.Start(patient(t), Whole))
	lost := sendFile(t, w.AL, gone)
	must(t, w.AL.Stop())
	swap(t, w.AL, older)
	must(t, w.AL.Start(patient(t), Whole))
	halted(t, w.AL, "were confirmed")

	root := node.Layout{Dir: w.AL.Dir}.RootKey()
	linked(t, w, w.AL)
	if r := repair(t, w.AL, 6); r.State != "lost" {
		t.Errorf("repair: %+v", r)
	}
	if r := repair(t, w.AL, 4, "--new-epoch"); r.State != "" {
		t.Errorf("a new epoch without a newer card: %+v", r)
	}
	r := repair(t, w.AL, 0, "--new-epoch", "--root-key", root)
	if r.State != "mended" || r.Epoch != 2 || r.Size != 1 {
		t.Fatalf("a new epoch: %+v", r)
	}
	repair(t, w.AL, 8, "--new-epoch", "--root-key", root) // there is nothing to begin anew
	must(t, w.ToAL.Mend())
	linked(t, w, w.ME)

	if again := sendFile(t, w.AL, kept); again != first {
		t.Errorf("what was said in epoch 1 is said again: %s instead of %s", again, first)
	}
	if again := sendFile(t, w.AL, gone); again == lost {
		t.Errorf("what was lost is answered with its void number: %s", again)
	}
	settleInStock(t, w)
	a, err := w.ME.Run(patient(t), "", "ledger", "show", "--channel", Channel)
	must(t, err)
	if !strings.Contains(a.Out, "epoch 1 ended at") || !strings.Contains(a.Out, "stream-lost") {
		t.Errorf("me does not show the new epoch: %s%s", a.Out, a.Err)
	}
	// It survives a restart of both sides.
	must(t, w.Stop())
	start(t, w)
	if again := sendFile(t, w.AL, kept); again != first {
		t.Errorf("after a restart it is said again: %s instead of %s", again, first)
	}
	settleInStock(t, w)
}

// A repair that is killed half way is repeated and comes to the same end.
func TestARepairThatIsKilledIsRepeated(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	for range 3 {
		send(t, w.AL, r["al"], 40)
	}
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop())
	must(t, os.RemoveAll(store(w.AL)))
	must(t, os.Remove(node.Layout{Dir: w.AL.Dir}.Journal(subject.Actual(Channel))))
	for i := range 4 {
		must(t, w.AL.Start(patient(t), Whole))
		linked(t, w, w.AL)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = w.AL.Run(ctx, "", "ledger", "repair", "--channel", Channel) // it dies with the node
		}()
		time.Sleep(time.Duration(i) * 150 * time.Millisecond)
		must(t, w.AL.Kill(Whole))
		cancel()
		<-done
	}
	must(t, w.AL.Start(patient(t), Whole))
	linked(t, w, w.AL)
	repair(t, w.AL, 0)
	send(t, w.AL, r["al"], 1)
	if f := settleAndWalk(t, w, r, Expect{}); f.Alerts["al"] != 121 {
		t.Errorf("%d alerts", f.Alerts["al"])
	}
}

// While the partner cannot be asked nothing is put back: it may hold more.
func TestRepairWaitsForThePartner(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 3)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop())
	must(t, os.Remove(node.Layout{Dir: w.AL.Dir}.Journal(subject.Actual(Channel))))
	w.ToME.Cut()
	w.ToAL.Cut()
	must(t, w.AL.Start(patient(t), Whole))
	halted(t, w.AL, "the signing journal only 0")
	if got := repair(t, w.AL, 7); got.State != "waits" {
		t.Errorf("alone: %+v", got)
	}
	repair(t, w.AL, 7, "--new-epoch")
	must(t, w.ToME.Mend())
	must(t, w.ToAL.Mend())
	linked(t, w, w.AL)
	repair(t, w.AL, 0)
	send(t, w.AL, r["al"], 1)
	settleAndWalk(t, w, r, Expect{})
}
