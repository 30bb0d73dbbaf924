package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"karaula/internal/node"
	"karaula/internal/register"
)

// card runs `card issue` at a node; it must work.
func issue(t *testing.T, n *Node, args ...string) {
	t.Helper()
	a, err := n.Run(patient(t), "", append([]string{"card", "issue"}, args...)...)
	must(t, err)
	if a.Code != 0 {
		t.Fatalf("card issue: exit code %d: %s", a.Code, a.Err)
	}
}

// knows waits until the register of a node holds a card of a party with this serial.
func knows(t *testing.T, n *Node, party string, serial uint64) {
	t.Helper()
	must(t, Until(patient(t), func() string {
		reg, err := register.Open(node.Layout{Dir: n.Dir}.Register(), n.Party)
		if err != nil {
			return err.Error()
		}
		if c, ok := reg.View().Card(party); !ok || c.Serial != serial {
			return fmt.Sprintf("%s does not know card %d of %s", n.Party, serial, party)
		}
		return ""
	}))
}

func TestANewCardNeedsNoCourier(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	issue(t, w.AL, "--contact", "duty desk, extension 001 (invented)")
	knows(t, w.ME, "al", 2)
	send(t, w.AL, r["al"], 1)
	send(t, w.ME, r["me"], 1)
	// New keys: the node is stopped for it, and the partner told when it is back.
	must(t, w.AL.Stop())
	issue(t, w.AL, "--rotate")
	send(t, w.ME, r["me"], 2) // sealed to the old keys, on their way
	must(t, w.AL.Start(patient(t), Whole))
	send(t, w.AL, r["al"], 3)
	knows(t, w.ME, "al", 3)
	send(t, w.ME, r["me"], 3)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 6 || f.Alerts["me"] != 8 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
}

// The partner is away while keys are rotated twice, and the link is down when it
// comes back for a while.
func TestCardsOfThePartnerThatWasAway(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	must(t, w.Settle(patient(t)))
	must(t, w.ME.Stop())
	for range 2 {
		must(t, w.AL.Stop())
		issue(t, w.AL, "--rotate")
		must(t, w.AL.Start(patient(t), Whole))
		send(t, w.AL, r["al"], 2)
	}
	must(t, w.ME.Start(patient(t), Whole))
	knows(t, w.ME, "al", 3)
	send(t, w.ME, r["me"], 2)
	settleAndWalk(t, w, r, Expect{})
}

func TestAnAmendmentNeedsNoCourier(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	text, err := w.Amend("The second version")
	must(t, err)
	file := filepath.Join(t.TempDir(), "second")
	must(t, os.WriteFile(file, text, 0o600))
	a, err := w.AL.Run(patient(t), "", "agreement", "add", file)
	must(t, err)
	if a.Code != 0 {
		t.Fatalf("agreement add: exit code %d: %s", a.Code, a.Err)
	}
	must(t, Until(patient(t), func() string {
		a, err := w.ME.Run(patient(t), "", "agreement", "show", Channel)
		if err != nil {
			return err.Error()
		}
		if !strings.Contains(a.Out, "The second version") {
			return "me does not show the second version"
		}
		return ""
	}))
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	settleAndWalk(t, w, r, Expect{})
}

func TestANewAddressIsUsed(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	must(t, w.Settle(patient(t)))
	moved, err := NewProxy(w.AL.Listen)
	must(t, err)
	t.Cleanup(moved.Close)
	issue(t, w.AL, "--address", moved.Addr())
	knows(t, w.ME, "al", 2)
	w.ToAL.Cut() // for good
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 4 || moved.Passed() == 0 {
		t.Errorf("%d alerts, %d bytes through the new address", f.Alerts["al"], moved.Passed())
	}
}

// Where the old address is gone before the new card has reached the partner, a
// courier is needed, and nothing else.
func TestANewAddressByCourier(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	must(t, w.Settle(patient(t)))
	w.ToAL.Cut()
	moved, err := NewProxy(w.AL.Listen)
	must(t, err)
	t.Cleanup(moved.Close)
	issue(t, w.AL, "--address", moved.Addr())
	send(t, w.AL, r["al"], 2)
	a, err := w.ME.Run(patient(t), "", "party", "add", node.Layout{Dir: w.AL.Dir}.Card("al"))
	must(t, err)
	if a.Code != 0 {
		t.Fatalf("party add: exit code %d: %s", a.Code, a.Err)
	}
	settleAndWalk(t, w, r, Expect{})
}
