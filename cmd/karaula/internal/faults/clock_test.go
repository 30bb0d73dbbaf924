package faults

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// wrongClocks builds the command with a clock that can be set, once.
var wrongClocks = sync.OnceValues(func() (string, error) { return BuildClock(context.Background(), filepath.Dir(bin)) })

const (
	minutes = 3 * time.Minute  // less than clock-skew
	seconds = 40 * time.Second // the agreement has been in force for a minute
	days    = 2 * 24 * time.Hour
	years   = 400 * 24 * time.Hour // longer than a card counts
)

// clockWorld makes a world whose clocks can be set. The short form does without: the
// whole program and its dependencies are compiled anew for it.
func clockWorld(t *testing.T) *World {
	t.Helper()
	if !long() {
		t.Skip("compiles everything anew; KARAULA_KILLS=1 asks for it")
	}
	path, err := wrongClocks()
	must(t, err)
	w, err := Make(t.TempDir(), path)
	must(t, err)
	cleanWorld(t, w)
	for _, n := range w.Nodes() {
		must(t, n.SetClock(0))
	}
	return w
}

// says waits until a node's status warns of something.
func says(t *testing.T, n *Node, text string) {
	t.Helper()
	ctx := patient(t)
	must(t, Until(ctx, func() string {
		s, err := n.Status(ctx)
		if err != nil {
			return err.Error()
		}
		if all := strings.Join(s.Warnings, "; "); !strings.Contains(all, text) {
			return n.Party + " does not say " + text + ": " + all
		}
		return ""
	}))
}

// doctor gives what the doctor finds wrong, by check.
func doctor(t *testing.T, n *Node) string {
	t.Helper()
	a, err := n.Run(patient(t), "", "doctor")
	must(t, err)
	return a.Out
}

// Clocks jump by minutes and by days, forward and back, on one side and on both, while
// nodes run. Nothing is renumbered, doubled or lost, what lies in the future waits, and
// a node whose clock went back says nothing until it has caught up.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	w := clockWorld(t)
	r := records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))

	for _, wrong := range []time.Duration{minutes, 0, -seconds, 0} { // within the skew: nobody minds
		must(t, w.AL.SetClock(wrong))
		send(t, w.AL, r["al"], 1)
		send(t, w.ME, r["me"], 1)
	}
	must(t, w.Settle(patient(t)))

	must(t, w.AL.SetClock(days)) // what al says now lies in the future for me
	send(t, w.AL, r["al"], 2)
	must(t, Until(patient(t), func() string {
		s, err := w.ME.Status(t.Context())
		if err != nil {
			return err.Error()
		}
		if s.Channels[0].Partners[0].Held == 0 {
			return "me holds nothing"
		}
		return ""
	}))
	must(t, w.AL.SetClock(0)) // and back: al must not say anything before what it has said
	_, file := Alerts(1)
	a, err := w.AL.Run(patient(t), file, "alert", "send", "-", "--channel", Channel, "--wait", "3s")
	must(t, err)
	if a.Code == 0 || a.Out != "" {
		t.Errorf("behind its own last statement al said something: exit code %d, %s%s", a.Code, a.Out, a.Err)
	}
	says(t, w.AL, "ahead of the clock")
	if out := doctor(t, w.AL); !strings.Contains(out, "ahead of the clock") && !strings.Contains(out, "lies ahead") {
		t.Errorf("the doctor says nothing of it: %s", out)
	}
	must(t, w.AL.Stop()) // a start makes no difference
	must(t, w.AL.Start(patient(t), Whole))
	says(t, w.AL, "ahead of the clock")

	for _, n := range w.Nodes() { // it was right after all
		must(t, n.SetClock(days))
	}
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	f := settleAndWalk(t, w, r, Expect{})
	tell(t, "clocks set wrong by %s and %s, forward and back: %s", minutes, days, f)
}

// A clock is more than a year ahead: the agreement has ended, and so have the cards.
// Nothing is said. When the clock is right again, work goes on where it was.
func TestClockPastTheEnd(t *testing.T) {
	t.Parallel()
	w := clockWorld(t)
	r := records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))
	must(t, w.AL.SetClock(years))
	_, file := Alerts(1)
	a, err := w.AL.Run(patient(t), file, "alert", "send", "-", "--channel", Channel, "--wait", "3s")
	must(t, err)
	if a.Code == 0 || a.Out != "" {
		t.Errorf("after the end something was said: exit code %d, %s%s", a.Code, a.Out, a.Err)
	}
	t.Logf("exit code %d: %s", a.Code, a.Err)
	if out := doctor(t, w.AL); !strings.Contains(out, "fail") {
		t.Errorf("the doctor finds nothing: %s", out)
	}
	must(t, w.AL.SetClock(0))
	send(t, w.AL, r["al"], 1)
	send(t, w.ME, r["me"], 1)
	must(t, w.Settle(patient(t)))
	for _, n := range w.Nodes() { // content may have been erased at its end: the ledgers still verify
		a, err := n.Run(patient(t), "", "audit", "replay", "--reason", "clock (invented)")
		must(t, err)
		if a.Code != 0 {
			t.Errorf("audit replay of %s: exit code %d: %s%s", n.Party, a.Code, a.Out, a.Err)
		}
	}
	must(t, w.Stop())
	tell(t, "al's clock %s ahead, and right again: nothing was said after the end of the agreement, both ledgers verify", years)
}
