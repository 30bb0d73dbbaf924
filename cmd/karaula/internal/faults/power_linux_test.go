package faults

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"karaula/internal/durable"
)

// lossy puts a folder that nobody uses onto a disk of its own that loses what was not
// synced. Where that is not permitted, the test is skipped and says so.
func lossy(t *testing.T, dir string) *lossyDisk {
	t.Helper()
	d, err := mountLossy(dir)
	for _, no := range []error{unix.EPERM, unix.EACCES, unix.ENOENT, unix.ENODEV} {
		if errors.Is(err, no) {
			skip(t, "FUSE cannot be mounted here: "+err.Error())
		}
	}
	must(t, err)
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// The campaign is worth what the disk loses: what was written and not synced, and not
// more.
func TestALossyDiskKeepsWhatIsSynced(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "disk")
		must(t, os.Mkdir(dir, 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "was there"), []byte("before"), 0o600))
		d := lossy(t, dir)
		d.strict = strict
		at := func(name string) string { return filepath.Join(dir, name) }
		write := func(name, text string, flags int, sync bool) {
			t.Helper()
			f, err := os.OpenFile(at(name), os.O_CREATE|os.O_WRONLY|flags, 0o600)
			must(t, err)
			_, err = f.WriteString(text)
			must(t, err)
			if sync {
				must(t, f.Sync())
			}
			must(t, f.Close())
		}
		write("was there", "after", os.O_TRUNC, false)
		write("synced", "synced", 0, true)
		write("synced", " and more", os.O_APPEND, false)
		write("open with O_SYNC", "synced", os.O_SYNC, false)
		must(t, durable.SyncDir(dir))
		write("no name", "synced", 0, true)
		write("empty", "not synced", 0, false)
		if !strict {
			must(t, durable.SyncDir(dir))
		}
		must(t, os.Rename(at("synced"), at("renamed")))
		must(t, os.Remove(at("open with O_SYNC")))
		d.powerCut(nil, d.gateway, d.broker)
		want := map[string]string{"was there": "before", "synced": "synced", "open with O_SYNC": "synced"}
		if !strict {
			want["no name"], want["empty"] = "synced", ""
		}
		got := map[string]string{}
		list, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range list {
			raw, err := os.ReadFile(at(e.Name()))
			must(t, err)
			got[e.Name()] = string(raw)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("strict %v: what is left (-want +got):\n%s", strict, diff)
		}
	}
}

// cuts is how often the power fails.
func cuts(t *testing.T) int {
	t.Helper()
	if !long() {
		return 4
	}
	return max(4, kills(t)/10)
}

// powerFails runs a campaign in which whatever is killed loses its power: nothing that
// was not synced is left, or some of it, torn.
func powerFails(t *testing.T, blows []blow, parts []Part) {
	t.Helper()
	disks := map[string]*lossyDisk{}
	kinds := map[bool]string{true: "POSIX", false: "ext4, XFS"}
	c := &campaign{t: t, rng: seeded(t), tried: map[string]int{}, what: "failures of the power"}
	c.made = func(w *World) {
		for _, n := range w.Nodes() {
			disks[n.Party] = lossy(t, n.Dir)
			disks[n.Party].strict = n.Party == "al"
			t.Cleanup(n.Clean) // before its disk goes
		}
	}
	c.killed = func(n *Node, parts []Part) string {
		d, how := disks[n.Party], "nothing unsynced is left"
		var off []*volume
		if slices.Contains(parts, Whole) || slices.Contains(parts, Gateway) {
			off = append(off, d.gateway)
		}
		if slices.Contains(parts, Whole) || slices.Contains(parts, Broker) {
			off = append(off, d.broker)
		}
		var rng *rand.Rand
		if c.rng.IntN(2) == 0 {
			rng, how = c.rng, "parts of what is unsynced are left"
		}
		d.powerCut(rng, off...)
		return " (" + kinds[d.strict] + "; " + how + ")"
	}
	c.run(blows, parts, cuts(t))
}

// The power of a machine fails, again and again, at random moments of the traffic of
// both sides. What was acknowledged stays.
func TestPowerFailsForBrokerAndGatewayApart(t *testing.T) {
	t.Parallel()
	powerFails(t, apart, []Part{Broker, Gateway})
}

func TestPowerFailsForWholeNodes(t *testing.T) {
	t.Parallel()
	powerFails(t, together, []Part{Whole})
}
