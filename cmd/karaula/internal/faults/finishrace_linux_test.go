package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"karaula/internal/keyring"
	"karaula/internal/node"
)

// A renewal is finished, and while that waits for its turn the keys are replaced once
// more. What was known of the partner is about the card before: nothing is destroyed, and
// the partner, which was away, is brought the card by a login that it still knows.
func TestKeysAreReplacedWhileARenewalIsFinished(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	command(t, w.AL, nil, "key", "renew")
	knows(t, w.ME, "al", 2)

	lock := node.Layout{Dir: w.AL.Dir}.Card("al") + ".lock"
	gate, err := os.OpenFile(lock, os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	defer gate.Close() //nolint:errcheck // it may be open no more
	must(t, syscall.Flock(int(gate.Fd()), syscall.LOCK_EX))
	finish := stoppedAt(t, w.AL, lock, "key", "renew", "--finish")
	must(t, gate.Close())
	must(t, w.ME.Kill(Whole))
	command(t, w.AL, nil, "key", "renew", "--leaked")
	before := len(logins(t, w.AL))
	must(t, finish.Process.Signal(syscall.SIGCONT))
	_ = finish.Wait() // the exit code is looked at
	if said := finish.Stderr.(*strings.Builder).String(); finish.ProcessState.ExitCode() != 8 || !strings.Contains(said, "card 3") {
		t.Errorf("finished on card 2 when there was card 3: exit code %d, %s", finish.ProcessState.ExitCode(), said)
	}
	if now := len(logins(t, w.AL)); now != before {
		t.Errorf("%d of %d logins are left, and me knows one of the earlier ones", now, before)
	}

	must(t, w.ME.Start(patient(t), Whole))
	knows(t, w.ME, "al", 3)
	finishRenewal(t, w.AL)
	send(t, w.AL, r["al"], 1)
	send(t, w.ME, r["me"], 1)
	if f := settleAndWalk(t, w, r, Expect{}); f.Alerts["al"] != 1 || f.Alerts["me"] != 1 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
}

// A key is revoked, and while that waits for its turn another card is issued: what was
// decided on the card before is not done.
func TestACardIsIssuedWhileAKeyIsRevoked(t *testing.T) {
	t.Parallel()
	w := makeWorld(t)
	g, err := keyring.LoadGateway(node.Layout{Dir: w.AL.Dir}.GatewayKeys(), nil)
	must(t, err)
	lock := node.Layout{Dir: w.AL.Dir}.Card("al") + ".lock"
	gate, err := os.OpenFile(lock, os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	defer gate.Close() //nolint:errcheck // it may be open no more
	must(t, syscall.Flock(int(gate.Fd()), syscall.LOCK_EX))
	revoke := stoppedAt(t, w.AL, lock, "key", "revoke", fmt.Sprintf("%x", g.Sign.ID), "--reason", "laptop stolen (invented)")
	must(t, gate.Close())
	command(t, w.AL, nil, "card", "issue")
	must(t, revoke.Process.Signal(syscall.SIGCONT))
	_ = revoke.Wait() // the exit code is looked at
	said := revoke.Stderr.(*strings.Builder).String()
	if revoke.ProcessState.ExitCode() != 8 || !strings.Contains(said, "card 2 was issued meanwhile") {
		t.Errorf("revoked on card 1 when there was card 2: exit code %d, %s", revoke.ProcessState.ExitCode(), said)
	}
	command(t, w.AL, nil, "key", "revoke", fmt.Sprintf("%x", g.Sign.ID), "--reason", "laptop stolen (invented)")
	if got := newest(t, w.AL); got != 3 {
		t.Errorf("card %d is the newest", got)
	}
}

// stoppedAt starts a command of a node and stops it (SIGSTOP) where it waits for a lock
// that the caller holds. A command that ends before that is started again.
func stoppedAt(t *testing.T, n *Node, lock string, args ...string) *exec.Cmd {
	t.Helper()
	var c *exec.Cmd
	must(t, Until(patient(t), func() string {
		said := new(strings.Builder)
		c = exec.Command(n.Bin, append(args, "--dir", n.Dir)...) //nolint:noctx // it outlives the call; the caller waits for it
		c.Env, c.Stderr = append(os.Environ(), n.Env...), said
		must(t, startTied(c))
		for !hasOpen(c.Process.Pid, lock) {
			if state(c.Process.Pid) == "Z" {
				_ = c.Wait()
				return said.String()
			}
			time.Sleep(time.Millisecond)
		}
		must(t, c.Process.Signal(syscall.SIGSTOP))
		return ""
	}))
	return c
}

// hasOpen reports whether a process has a file open.
func hasOpen(pid int, path string) bool {
	list, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range list {
		if to, err := os.Readlink(fd); err == nil && to == path {
			return true
		}
	}
	return false
}

// state gives what the kernel says of a process that is a child, as one letter: Z has ended.
func state(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:min(1, len(rest))]
}
