package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"karaula/internal/durable"
	"karaula/internal/envelope"
	karaulav1 "karaula/proto/gen/karaula/v1"
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
		d.gateway.strict = strict
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
	c := &campaign{t: t, rng: seeded(t), tried: map[string]int{}, what: "failures of the power"}
	c.made = func(w *World) {
		for _, n := range w.Nodes() {
			disks[n.Party] = lossy(t, n.Dir)
			t.Cleanup(n.Clean) // before its disk goes
		}
	}
	c.killed = func(n *Node, parts []Part) string {
		d, how := disks[n.Party], ", nothing unsynced is left"
		var off []*volume
		if slices.Contains(parts, Whole) || slices.Contains(parts, Gateway) {
			off = append(off, d.gateway)
		}
		if slices.Contains(parts, Whole) || slices.Contains(parts, Broker) {
			off = append(off, d.broker)
		}
		var rng *rand.Rand
		if c.rng.IntN(2) == 0 {
			rng, how = c.rng, ", parts of what is unsynced are left"
		}
		d.powerCut(rng, off...)
		return how
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

// The power fails while a register is imported: of each row there is one alert, and the
// import goes on where it was.
func TestPowerFailsDuringAnImport(t *testing.T) {
	t.Parallel()
	w, rng := makeWorld(t), seeded(t)
	d := lossy(t, w.AL.Dir)
	t.Cleanup(w.AL.Clean) // before its disk goes
	const rows = 60
	file := documents(t, rows)
	start(t, w)
	failures := 3
	if long() {
		failures = 10
	}
	run := []string{
		"alert", "import", file, "--map", filepath.Join(filepath.Dir(file), "documents.map.yaml"), "--channel", Channel, "--output", "json",
	}
	for i := range failures {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = w.AL.Run(ctx, "", run...) // it dies with the machine
		}()
		must(t, Until(patient(t), func() string { // some more rows are there
			if s, err := w.AL.Status(patient(t)); err != nil || s.Said() < uint64(2+i) {
				return "the import does not begin"
			}
			return ""
		}))
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond) // a random moment, not a wait for something
		cancel()
		<-done
		must(t, w.AL.Kill(Whole))
		var left *rand.Rand
		if rng.IntN(2) == 0 {
			left = rng
		}
		d.powerCut(left, d.gateway, d.broker)
		must(t, w.AL.Start(patient(t), Whole))
	}
	for range 2 {
		command(t, w.AL, nil, run[:len(run)-2]...)
	}
	must(t, w.Settle(patient(t)))
	must(t, w.Stop())
	s, err := Read(patient(t), w.ME, []string{"al"}, t.TempDir())
	must(t, err)
	alerts := 0
	for _, m := range s.In["al"] {
		p, err := envelope.Parse(m.Data)
		must(t, err)
		if p.Statement.GetKind() == karaulav1.Kind_KIND_ALERT {
			alerts++
		}
	}
	if alerts != rows {
		t.Errorf("of %d rows there are %d alerts", rows, alerts)
	}
	tell(t, "%d failures of the power during an import of %d rows: %d alerts", failures, rows, alerts)
}

// documents writes a register of so many rows, beside its map.
func documents(t *testing.T, rows int) (file string) {
	t.Helper()
	dir := t.TempDir()
	from := filepath.Join("..", "..", "..", "..", "deploy", "examples", "import")
	text, err := os.ReadFile(filepath.Join(from, "documents.map.yaml"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "documents.map.yaml"), text, 0o600))
	line := `{"state":"ALB","number":"TEST%07d","kind":"P","state_of_document":"lost","reported":{"day":"2026-01-10","by":"holder"}}`
	var b strings.Builder
	for i := range rows {
		fmt.Fprintf(&b, line+"\n", i+1)
	}
	file = filepath.Join(dir, "documents.ndjson")
	must(t, os.WriteFile(file, []byte(b.String()), 0o600))
	return file
}
