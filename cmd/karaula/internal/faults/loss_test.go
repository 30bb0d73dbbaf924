package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"karaula/internal/node"
	"karaula/internal/subject"
)

// store gives the folder of a node's streams.
func store(n *Node) string { return node.Layout{Dir: n.Dir}.Store() }

// halted checks that a node says that its channel is halted, why, and what mends
// it, and that sending there ends with exit code 6 and nothing said.
func halted(t *testing.T, n *Node, why string) {
	t.Helper()
	before := ""
	must(t, Until(patient(t), func() string {
		s, err := n.Status(t.Context())
		if err != nil {
			return err.Error()
		}
		before = strings.Join(s.Warnings, "; ")
		if !strings.Contains(before, "is halted") || !strings.Contains(before, why) {
			return "no warning about " + why + ": " + before
		}
		return ""
	}))
	_, file := Alerts(1)
	a, err := n.Run(patient(t), file, "alert", "send", "-", "--channel", Channel)
	must(t, err)
	if a.Code != 6 || a.Out != "" || !strings.Contains(a.Err, why) ||
		!strings.Contains(a.Err, "hint: karaula ledger repair --channel "+Channel) {
		t.Errorf("alert send on a halted channel: exit code %d, %s%s", a.Code, a.Out, a.Err)
	}
}

// caughtUp waits until a node has received and judged everything that its
// partner has said.
func caughtUp(t *testing.T, w *World, n *Node) {
	t.Helper()
	ctx := patient(t)
	must(t, Until(ctx, func() string {
		mine, err := n.Status(ctx)
		if err != nil {
			return err.Error()
		}
		theirs, err := w.Partner(n).Status(ctx)
		if err != nil {
			return err.Error()
		}
		if mine.Received() != theirs.Said() || mine.Channels[0].Partners[0].Judged != mine.Received() {
			return n.Party + " has not everything yet"
		}
		return ""
	}))
}

func TestAReceiverThatLostItsDiskGetsEverythingBack(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 20, 1, 7)
	send(t, w.ME, r["me"], 5)
	must(t, w.Settle(patient(t)))
	must(t, w.ME.Stop())
	must(t, os.RemoveAll(store(w.ME))) // everything that the broker held; keys, register and journal stay
	send(t, w.AL, r["al"], 3)
	must(t, w.ME.Start(patient(t), Whole))
	caughtUp(t, w, w.ME)
	// Its own ledger is gone from its streams: it must not go on from nothing.
	halted(t, w.ME, "holds 0 statements, but")
	// It goes on receiving.
	send(t, w.AL, r["al"], 7)
	caughtUp(t, w, w.ME)
	must(t, w.Stop())
	f := walk(t, w, r, Expect{OutLost: map[string]bool{"me": true}})
	if f.Alerts["al"] != 38 || f.Alerts["me"] != 5 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
}

func TestASenderThatLostItsJournalHalts(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 7, 1)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop())
	journal := node.Layout{Dir: w.AL.Dir}.Journal(subject.Actual(Channel))
	must(t, os.Rename(journal, journal+".away"))
	must(t, w.AL.Start(patient(t), Whole))
	halted(t, w.AL, "the signing journal only 0")
	send(t, w.ME, r["me"], 5) // receiving goes on
	caughtUp(t, w, w.AL)
	// The journal turns up again: the node goes on where it was.
	must(t, w.AL.Stop())
	must(t, os.Rename(journal+".away", journal))
	must(t, w.AL.Start(patient(t), Whole))
	send(t, w.AL, r["al"], 2)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 10 {
		t.Errorf("%d alerts", f.Alerts["al"])
	}
}

// swap puts a copy in the place of a node's streams and gives where the old ones are.
func swap(t *testing.T, n *Node, with string) string {
	t.Helper()
	aside := filepath.Join(t.TempDir(), "aside")
	must(t, os.Rename(store(n), aside))
	must(t, Copy(with, store(n)))
	return aside
}

func TestAnOlderBrokerHalts(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 10)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop())
	older := filepath.Join(t.TempDir(), "older")
	must(t, Copy(store(w.AL), older))
	must(t, w.AL.Start(patient(t), Whole))
	send(t, w.AL, r["al"], 5, 5)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop()) // the journal has written down that everything is confirmed

	newer := swap(t, w.AL, older)
	must(t, w.AL.Start(patient(t), Whole))
	halted(t, w.AL, "were confirmed")
	send(t, w.ME, r["me"], 5)
	caughtUp(t, w, w.AL)
	must(t, w.AL.Stop())

	swap(t, w.AL, newer) // the newer copy is found: nothing has been lost
	must(t, w.AL.Start(patient(t), Whole))
	send(t, w.AL, r["al"], 1)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 21 {
		t.Errorf("%d alerts", f.Alerts["al"])
	}
}

// After kill -9 the journal still holds what it has signed, and gives it to an
// older broker again, in the same bytes.
func TestAnOlderBrokerGetsBackWhatTheJournalHolds(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 10)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop())
	older := filepath.Join(t.TempDir(), "older")
	must(t, Copy(store(w.AL), older))
	must(t, w.AL.Start(patient(t), Whole))
	send(t, w.AL, r["al"], 5, 5)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Kill(Whole))
	swap(t, w.AL, older)
	must(t, w.AL.Start(patient(t), Whole))
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 22 {
		t.Errorf("%d alerts", f.Alerts["al"])
	}
}

// A broker that was set back under a running gateway: what the gateway says next
// is refused, nothing is signed twice, and what it received is fetched again.
func TestABrokerSetBackUnderARunningGateway(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	ctx := patient(t)
	must(t, w.AL.Start(ctx, Broker, Gateway))
	must(t, w.ME.Start(ctx, Whole))
	send(t, w.AL, r["al"], 10)
	send(t, w.ME, r["me"], 4)
	must(t, w.Settle(ctx))
	must(t, w.AL.Kill(Broker))
	older := filepath.Join(t.TempDir(), "older")
	must(t, Copy(store(w.AL), older))
	must(t, w.AL.Start(ctx, Broker))
	send(t, w.AL, r["al"], 5)
	send(t, w.ME, r["me"], 6)
	must(t, w.Settle(ctx))

	must(t, w.AL.Kill(Broker))
	swap(t, w.AL, older)
	must(t, w.AL.Start(ctx, Broker))
	send(t, w.ME, r["me"], 3) // something new arrives at a store that went back
	caughtUp(t, w, w.AL)
	halted(t, w.AL, "confirmed")
	must(t, w.Stop())
	walk(t, w, r, Expect{OutLost: map[string]bool{"al": true}})
}

// A node that has kept its keys and nothing else does not know that it ever
// spoke. It says nothing before a partner has told what it holds, and then it
// knows.
func TestANodeThatLostStreamsAndJournalForksNothing(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 7, 1)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.Stop())
	w.ToME.Cut() // al cannot ask
	w.ToAL.Cut()
	must(t, os.RemoveAll(store(w.AL)))
	must(t, os.RemoveAll(filepath.Dir(node.Layout{Dir: w.AL.Dir}.Journal(subject.Actual(Channel)))))
	must(t, w.AL.Start(patient(t), Whole))
	_, file := Alerts(1)
	a, err := w.AL.Run(patient(t), file, "alert", "send", "-", "--channel", Channel, "--wait", "3s")
	must(t, err)
	if a.Code != 7 || a.Out != "" {
		t.Errorf("alone and without a history it said something: exit code %d, %s%s", a.Code, a.Out, a.Err)
	}
	must(t, w.ToME.Mend())
	must(t, w.ToAL.Mend())
	halted(t, w.AL, "me holds")
	send(t, w.ME, r["me"], 2)
	caughtUp(t, w, w.AL)
	must(t, w.Stop())
	walk(t, w, r, Expect{OutLost: map[string]bool{"al": true}})
}
