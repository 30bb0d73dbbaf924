package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"karaula/internal/node"
)

// secondEpoch has al lose what me has never heard, and go on in epoch 2.
func secondEpoch(t *testing.T, w *World) {
	t.Helper()
	must(t, w.AL.Stop())
	older := filepath.Join(t.TempDir(), "older")
	must(t, Copy(store(w.AL), older))
	w.ToAL.Cut()
	must(t, w.AL.Start(patient(t), Whole))
	_, gone := Alerts(1)
	sendFile(t, w.AL, gone)
	must(t, w.AL.Stop())
	swap(t, w.AL, older)
	must(t, w.AL.Start(patient(t), Whole))
	halted(t, w.AL, "were confirmed")
	linked(t, w, w.AL)
	if r := repair(t, w.AL, 0, "--new-epoch", "--root-key", node.Layout{Dir: w.AL.Dir}.RootKey()); r.Epoch != 2 {
		t.Fatalf("a new epoch: %+v", r)
	}
	must(t, w.ToAL.Mend())
	linked(t, w, w.ME)
}

// toldOf gives what a node knows of how its alerts were answered, and wants nobody to
// have signed another history than the one that is there.
func toldOf(t *testing.T, n *Node) string {
	t.Helper()
	var shown struct {
		Ledgers []struct {
			Differing, Forks []any
			State            string
		}
	}
	command(t, n, &shown, "ledger", "show", "--channel", Channel)
	for _, l := range shown.Ledgers {
		if len(l.Differing)+len(l.Forks) > 0 || l.State != "open" {
			t.Errorf("%s shows a ledger that is %s: %v, %v", n.Party, l.State, l.Differing, l.Forks)
		}
	}
	var page struct {
		Alerts []struct {
			ID         string
			Deliveries json.RawMessage
		}
	}
	command(t, n, &page, "alert", "list")
	said := map[string]string{}
	for _, a := range page.Alerts {
		said[a.ID] = string(a.Deliveries)
	}
	return fmt.Sprint(said)
}

// In a later epoch, who sent loses its streams, or who received and then who sent: each
// has them put back, tells nothing otherwise than before, and nobody is called a liar, not
// after a restart either. What is erased in the epoch before is told, and comes back as a
// stub, also from who had it back as one.
func TestALaterEpochOutlivesLostStreams(t *testing.T) {
	t.Parallel()
	why := map[string]string{"me": "holds 0 statements, but", "al": "ends in epoch 1, but epoch 2 was confirmed"}
	for name, parties := range map[string][]string{"sender": {"al"}, "recipient, then sender": {"me", "al"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := makeWorld(t)
			start(t, w)
			ids, first := Alerts(1)
			sendFile(t, w.AL, first)
			must(t, w.Settle(patient(t)))
			secondEpoch(t, w)
			_, second := Alerts(1)
			sendFile(t, w.AL, second)
			command(t, w.AL, nil, "alert", "erase", ids[0], "--reason", "claim granted (invented)")
			erasedEverywhere(t, w, ids[0])
			settleInStock(t, w)
			told := toldOf(t, w.AL)
			check := func() {
				t.Helper()
				if again := toldOf(t, w.AL); again != told {
					t.Errorf("%s instead of %s", again, told)
				}
				toldOf(t, w.ME)
			}
			for _, party := range parties {
				n := map[string]*Node{"al": w.AL, "me": w.ME}[party]
				must(t, n.Stop())
				must(t, os.RemoveAll(store(n)))
				must(t, n.Start(patient(t), Whole))
				caughtUp(t, w, n)
				halted(t, n, why[party])
				linked(t, w, n)
				if r := repair(t, n, 0); r.State != "mended" {
					t.Errorf("%s: %+v", n.Party, r)
				}
				settleInStock(t, w)
				check()
			}
			must(t, w.Stop())
			start(t, w)
			settleInStock(t, w)
			check()
		})
	}
}
