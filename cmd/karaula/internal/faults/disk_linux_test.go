package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk puts a stopped node's folder onto a disk of its own, of so many bytes.
// Where that is not permitted, the test is skipped and says so.
func smallDisk(t *testing.T, n *Node, bytes int) {
	t.Helper()
	aside := n.Dir + ".aside"
	must(t, os.Rename(n.Dir, aside))
	must(t, os.Mkdir(n.Dir, 0o700))
	err := unix.Mount("tmpfs", n.Dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d,mode=700", bytes))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		skip(t, "nothing can be mounted here: "+err.Error())
	}
	must(t, err)
	t.Cleanup(func() {
		n.Clean()
		if err := unix.Unmount(n.Dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	must(t, filepath.WalkDir(aside, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == aside {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		to := filepath.Join(n.Dir, strings.TrimPrefix(path, aside))
		if d.IsDir() {
			return os.Mkdir(to, info.Mode().Perm())
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, raw, info.Mode().Perm())
	}))
}

// roundRoom is how much of a small disk there is for the traffic of each time that
// it is filled, in bytes.
const roundRoom = 64 << 20

// free gives how many bytes a node's disk has room for.
func free(t *testing.T, n *Node) int {
	t.Helper()
	var s unix.Statfs_t
	must(t, unix.Statfs(n.Dir, &s))
	return int(s.Bavail) * int(s.Bsize)
}

// fill fills a node's disk but for a few bytes, and gives what makes room again.
func fill(t *testing.T, n *Node, left int) (room func()) {
	t.Helper()
	ballast := filepath.Join(n.Dir, "ballast")
	f, err := os.Create(ballast)
	must(t, err)
	for block := make([]byte, 1<<20); len(block) >= 512; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else {
			must(t, err)
		}
	}
	info, err := f.Stat()
	must(t, err)
	must(t, f.Truncate(max(0, info.Size()-int64(left))))
	must(t, f.Close())
	return func() { must(t, os.Remove(ballast)) }
}

// A disk is full on either side, again and again, at random moments of the traffic.
// What was acknowledged stays; when there is room again everything goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"al", "me"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			fullDisk(t, side)
		})
	}
}

func fullDisk(t *testing.T, side string) {
	t.Helper()
	rounds := 1
	if long() {
		rounds = 15
	}
	w, r, rng := makeWorld(t), records(), seeded(t)
	n := w.Node(side)
	smallDisk(t, n, rounds*roundRoom)
	start(t, w)
	send(t, w.AL, r["al"], 1)
	send(t, w.ME, r["me"], 1)
	r[side].halts = true
	loads := []*Load{Start(t.Context(), w.AL, r["al"], 2), Start(t.Context(), w.ME, r["me"], 2)}
	for i := range rounds {
		if free(t, n) < roundRoom/2 { // the traffic itself has filled it, on a fast machine: then it stays full
			rounds = i
			break
		}
		fullOnce(t, w, n, r, rng)
	}
	if rounds == 0 {
		t.Fatal("the disk was never full")
	}
	endLoad(t, loads...)
	f := settleAndWalk(t, w, r, Expect{Copies: true}) // what repair puts back stands at the end
	tell(t, "the disk of %s was full %d times; al's commands ended with %s, me's with %s; %s", side, rounds,
		r["al"].Exits(), r["me"].Exits(), f)
}

// fullOnce fills the disk, lets that go on for a while, and makes room.
func fullOnce(t *testing.T, w *World, n *Node, r map[string]*Record, rng *rand.Rand) {
	t.Helper()
	acks(t, r["al"], 1+rng.IntN(5))
	room := fill(t, n, rng.IntN(64<<10))
	before := r[n.Party].Failed()
	must(t, Until(patient(t), func() string {
		if r[n.Party].Failed() < before+2 {
			return "the senders do not notice that the disk is full"
		}
		return ""
	}))
	room()
	mended(t, n)
	acks(t, r[n.Party], 3)
	acks(t, r[w.Partner(n).Party], 3)
}

// mended does what a node asks for that could not write: the channel is repaired if
// it is halted. The broker starts again by itself.
func mended(t *testing.T, n *Node) {
	t.Helper()
	ctx := patient(t)
	must(t, Until(ctx, func() string {
		s, err := n.Status(ctx)
		if err != nil {
			return err.Error()
		}
		if !s.Broker {
			return "the broker does not answer"
		}
		if !strings.Contains(strings.Join(s.Warnings, "; "), "is halted") {
			return ""
		}
		a, err := n.Run(ctx, "", "ledger", "repair", "--channel", Channel)
		if err != nil || a.Code != 0 {
			return fmt.Sprintf("ledger repair: %v, exit code %d: %s%s", err, a.Code, a.Out, a.Err)
		}
		return ""
	}))
}
