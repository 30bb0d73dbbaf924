package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"karaula/internal/node"
	"karaula/internal/register"
)

// renewed are the files that a step of a renewal puts in the place of older ones, in
// their order; %d is the card's serial. All else that it writes counts for nothing yet.
var renewed = []string{"gateway/keys", "broker/keys", "register/parties/al/%d.card", "register/generation", "al.card"}

// A step of a renewal is killed before any of the files that it writes takes its place,
// while the node runs. Both links work, the step can be repeated, and behind it partner,
// register and card file have the newest card.
func TestARenewalIsKilledBetweenTwoFiles(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	files := renewed
	if !long() {
		at := seeded(t).IntN(len(renewed))
		files = renewed[at : at+1]
	}
	killed, said := 0, 0
	step := func(file string, args ...string) {
		if killedBefore(t, w.AL, file, args...) {
			killed++
		}
		for _, n := range w.Nodes() {
			send(t, n, r[n.Party], 1)
		}
		said++
		arrived(t, w.ME, said)
		arrived(t, w.AL, said)
		repeated(t, w.AL, args...)
		serial := newest(t, w.AL)
		knows(t, w.ME, "al", serial)
		want, err := os.ReadFile(filepath.Join(node.Layout{Dir: w.AL.Dir}.Register(), "parties", "al", fmt.Sprintf("%d.card", serial)))
		must(t, err)
		got, err := os.ReadFile(node.Layout{Dir: w.AL.Dir}.Card("al"))
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("key %v was killed before %s and repeated: the card file is not card %d", args, file, serial)
		}
	}
	for _, f := range files {
		step(f, "renew")
		step(f, "renew", "--finish")
		step(f, "renew", "--leaked")
		step(f, "renew", "--finish")
	}
	if b := brokerKeys(t, w.AL); len(b.Certificates()) != 1 || len(logins(t, w.AL)) != 1 {
		t.Errorf("%d certificates and %d logins are left", len(b.Certificates()), len(logins(t, w.AL)))
	}
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != said || f.Alerts["me"] != said {
		t.Errorf("al said %d and me %d alerts, not %d", f.Alerts["al"], f.Alerts["me"], said)
	}
	if killed < 3*len(files) { // the last step has key files to write only
		t.Errorf("%d steps were killed", killed)
	}
	tell(t, "%d steps of a renewal, %d killed before a file took its place: each could be repeated; %s", 4*len(files), killed, f)
}

// newest gives the serial of a node's newest own card.
func newest(t *testing.T, n *Node) uint64 {
	t.Helper()
	reg, err := register.Open(node.Layout{Dir: n.Dir}.Register(), n.Party)
	must(t, err)
	c, err := reg.View().OwnCard()
	must(t, err)
	return c.Serial
}

// killedBefore runs a key command of a node, which is killed in the moment in which a
// file is to take its place. It reports whether the command was, or else does not write it.
func killedBefore(t *testing.T, n *Node, file string, args ...string) (killed bool) {
	t.Helper()
	path, err := strace()
	if err != nil {
		skip(t, err.Error())
	}
	if strings.Contains(file, "%d") {
		file = fmt.Sprintf(file, newest(t, n)+1)
	}
	const calls = "rename,renameat,renameat2"
	full := []string{
		"-f", "-qqq", "-o", os.DevNull, "-P", filepath.Join(n.Dir, file), "-e", "trace=" + calls, "-e", "inject=" + calls + ":error=EIO:signal=KILL",
		n.Bin, "key",
	}
	full = append(append(full, args...), "--dir", n.Dir)
	must(t, Until(patient(t), func() string {
		before, _ := os.ReadFile(filepath.Join(n.Dir, file)) // it may not be there yet
		c := exec.CommandContext(patient(t), path, full...)
		c.Env = append(os.Environ(), n.Env...)
		out, err := c.CombinedOutput()
		killed = !c.ProcessState.Exited()
		if after, _ := os.ReadFile(filepath.Join(n.Dir, file)); killed && !bytes.Equal(before, after) {
			t.Fatalf("%s has taken its place before the command was killed", file)
		}
		if killed || err == nil {
			return ""
		}
		return string(out) // a partner is not known to have the newest card yet
	}))
	return killed
}

// repeated repeats a step until it is done, or was done already.
func repeated(t *testing.T, n *Node, args ...string) {
	t.Helper()
	must(t, Until(patient(t), func() string {
		a, err := n.Run(patient(t), "", append([]string{"key"}, args...)...)
		if err == nil && (a.Code == 0 || a.Code == 8 && strings.Contains(a.Err, "already")) {
			return ""
		}
		return fmt.Sprint(err, a.Err)
	}))
}
