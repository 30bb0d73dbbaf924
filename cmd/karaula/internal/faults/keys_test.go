package faults

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// command runs a command at a node; it must work. It gives the JSON in out.
func command(t *testing.T, n *Node, out any, args ...string) {
	t.Helper()
	a, err := n.Run(patient(t), "", append(args, "--output", "json")...)
	must(t, err)
	if a.Code != 0 {
		t.Fatalf("%s: exit code %d: %s", strings.Join(args, " "), a.Code, a.Err)
	}
	if out != nil {
		must(t, json.Unmarshal([]byte(a.Out), out))
	}
}

// keyLines is what `karaula key list` says, as far as it is needed here.
type keyLines struct {
	Counted bool
	Keys    []struct {
		Use, ID, State, Private string
		Content                 uint64
	}
}

// current gives the id of the current key of a use.
func (k keyLines) current(use string) string {
	for _, line := range k.Keys {
		if line.Use == use && line.State == "current" {
			return line.ID
		}
	}
	return ""
}

// Keys are rotated on a node that runs and both sides speak: nothing is lost,
// held for good, or said twice.
func TestKeysRotateWhileBothSpeak(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	for round := range 3 {
		var speaking sync.WaitGroup
		for _, n := range []*Node{w.AL, w.ME} {
			speaking.Go(func() { send(t, n, r[n.Party], 3, 1, 2) })
		}
		command(t, w.AL, nil, "key", "rotate")
		if round == 1 {
			command(t, w.ME, nil, "key", "rotate", "--use", "seal", "--use", "sign")
		}
		speaking.Wait()
	}
	knows(t, w.ME, "al", 4)
	knows(t, w.AL, "me", 2)
	send(t, w.AL, r["al"], 1)
	send(t, w.ME, r["me"], 1)
	must(t, w.Settle(patient(t)))
	var list keyLines
	command(t, w.AL, &list, "key", "list")
	content, here := uint64(0), 0
	for _, k := range list.Keys {
		if k.Use == "seal" {
			content += k.Content
			here++
			if k.Private != "here" {
				t.Errorf("seal key %s is %s", k.ID, k.Private)
			}
		}
	}
	if !list.Counted || here != 4 || content < 21 {
		t.Errorf("counted %v: %d seal keys for %d statements", list.Counted, here, content)
	}
	// What is sealed to old keys is still on disk: they stay.
	var pruned struct{ Keys []struct{ Use string } }
	command(t, w.AL, &pruned, "key", "prune")
	for _, k := range pruned.Keys {
		if k.Use == "seal" || k.Use == "archive" {
			t.Errorf("a %s key was destroyed that is needed", k.Use)
		}
	}
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 21 || f.Alerts["me"] != 21 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
}

// said gives how many statements a node has said.
func said(t *testing.T, n *Node) uint64 {
	t.Helper()
	s, err := n.Status(t.Context())
	must(t, err)
	return s.Said()
}

// A key is revoked where the journal ends: the node goes on under the new card,
// without a word by the old key.
func TestARevokedKeyIsReplaced(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 4)
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))
	var list keyLines
	command(t, w.AL, &list, "key", "list")
	stolen := list.current("sign")
	a, err := w.AL.Run(patient(t), "", "key", "revoke", stolen, "--reason", "invented theft")
	must(t, err)
	if a.Code != 8 {
		t.Errorf("revoked under a running node: exit code %d, %s%s", a.Code, a.Out, a.Err)
	}
	must(t, w.AL.Stop())
	command(t, w.AL, nil, "key", "revoke", stolen, "--reason", "invented theft")
	send(t, w.ME, r["me"], 2)
	must(t, w.AL.Start(patient(t), Whole))
	knows(t, w.ME, "al", 2)
	send(t, w.AL, r["al"], 3)
	send(t, w.ME, r["me"], 1)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 7 || f.Alerts["me"] != 5 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
}

// A key is revoked from an earlier number on: what the partner has accepted since
// stays there, and is shown as repudiated; the channel needs a new epoch.
func TestWhatIsRepudiatedIsShown(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	must(t, w.Settle(patient(t)))
	good := said(t, w.AL)
	send(t, w.AL, r["al"], 3)
	must(t, w.Settle(patient(t)))
	var list keyLines
	command(t, w.AL, &list, "key", "list")
	must(t, w.AL.Stop())
	place := fmt.Sprintf("%s:1:%d", Channel, good)
	command(t, w.AL, nil, "key", "revoke", list.current("sign"), "--reason", "invented theft", "--last-good", place)
	must(t, w.AL.Start(patient(t), Whole))
	knows(t, w.ME, "al", 2)
	var alerts struct {
		Alerts []struct {
			Origin     string
			Repudiated bool
		}
	}
	must(t, Until(patient(t), func() string {
		command(t, w.ME, &alerts, "alert", "list")
		n := 0
		for _, a := range alerts.Alerts {
			if a.Repudiated {
				n++
			}
		}
		if n != 3 || len(alerts.Alerts) != 5 {
			return fmt.Sprintf("me shows %d of %d alerts as repudiated", n, len(alerts.Alerts))
		}
		return ""
	}))
	halted(t, w.AL, "the own card revokes the key")
}

// Keys are rotated while the partner is away and a backlog waits for it: what
// was sealed before, between and behind is read in order when it comes back.
func TestKeysRotateWithABacklog(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))
	must(t, w.ME.Kill(Whole))
	send(t, w.AL, r["al"], 3)
	command(t, w.AL, nil, "key", "rotate")
	send(t, w.AL, r["al"], 3)
	command(t, w.AL, nil, "key", "rotate")
	send(t, w.AL, r["al"], 3)
	must(t, w.ME.Start(patient(t), Whole))
	knows(t, w.ME, "al", 3)
	send(t, w.ME, r["me"], 2)

	// And the other way round: the partner that was away has rotated, too.
	must(t, w.ME.Stop())
	command(t, w.ME, nil, "key", "rotate")
	send(t, w.AL, r["al"], 2) // sealed to keys that me has put aside
	must(t, w.ME.Start(patient(t), Whole))
	knows(t, w.AL, "me", 2)
	send(t, w.ME, r["me"], 2)
	send(t, w.AL, r["al"], 1)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 14 || f.Alerts["me"] != 6 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
}
