package checkup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"karaula/internal/node"
)

// Bounds of the machine's checks.
const (
	slowSync  = time.Second // a write and two syncs on a disk that keeps up take less
	leastRoom = 256 << 20   // bytes below which the disk is as good as full
)

// Place is a node's folder and the machine that it lies on.
type Place struct {
	Layout node.Layout
	Config *node.Config
	Now    func() time.Time
	// UID is who must own what is secret: the user who runs the node.
	UID int
}

// Checks makes the checks of the folder and of the machine.
func (p Place) Checks(ctx context.Context) []Check {
	out := p.files()
	out = append(out, p.sealed()...)
	out = append(out, p.root(), p.room(), p.kind(), p.sync(), clockSync())
	out = append(append(out, p.advertise(ctx)...), p.api()...)
	return append(out, p.metrics())
}

// Room gives the bytes that the user may still write where the store lies, and
// the bytes that the store takes now.
func (p Place) Room() (free, used uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(p.Layout.Store(), &st); err != nil {
		return 0, 0, err
	}
	used, err = dirSize(p.Layout.Store())
	return st.Bavail * uint64(st.Bsize), used, err //nolint:gosec // the kernel gives no negative size
}

// dirSize gives the bytes of all files below a folder. Files that go meanwhile
// are left out.
func dirSize(dir string) (uint64, error) {
	var sum uint64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				sum += uint64(info.Size()) //nolint:gosec // no file has a negative size
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return sum, err
}

func (p Place) room() Check {
	free, used, err := p.Room()
	if err != nil {
		return Skip(DiskRoom, "", "the store cannot be looked at: %s", cause(err))
	}
	most := uint64(p.Config.Store.MaxBytes) //nolint:gosec // checked by the configuration
	left := most - min(used, most)
	const mend = "make room on the disk, or lower store.max-bytes in node.yaml"
	text := fmt.Sprintf("%s free, the store has %s of %s", size(free), size(used), size(most))
	switch {
	case free < leastRoom:
		return Bad(Fail, DiskRoom, "", text+": the disk is full", mend)
	case free < left:
		return Bad(Warn, DiskRoom, "", text+": the disk is full before the store is", mend)
	default:
		return Good(DiskRoom, "", "%s", text)
	}
}

// size writes bytes for people.
func size(n uint64) string { return node.Size(min(n, 1<<62)).Round() }

// The file systems that forget, by their magic numbers (statfs(2)).
var forgetful = map[int64]string{unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs"}

// The file systems whose sync depends on another machine or on a layer that may
// not keep it.
var doubtful = map[int64]string{
	unix.NFS_SUPER_MAGIC: "NFS", unix.CIFS_SUPER_MAGIC: "CIFS", unix.SMB2_SUPER_MAGIC: "SMB",
	unix.FUSE_SUPER_MAGIC: "FUSE",
}

func (p Place) kind() Check {
	for _, dir := range []string{p.Layout.Dir, p.Layout.Journals(), p.Layout.Store()} {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return Skip(DiskKind, "", "the file system cannot be looked at: %s", cause(err))
		}
		kind := int64(st.Type) //nolint:unconvert // its type differs between architectures
		rel, _ := filepath.Rel(filepath.Dir(p.Layout.Dir), dir)
		if name := forgetful[kind]; name != "" {
			return Bad(Fail, DiskKind, "", rel+" lies on "+name+", which forgets everything at a restart",
				"stop the node and move its folder to a disk")
		}
		if name := doubtful[kind]; name != "" {
			return Bad(Warn, DiskKind, "", rel+" lies on "+name+"; whether it keeps what is synced is not known",
				"move the node's folder to a local disk")
		}
	}
	return Good(DiskKind, "", "a file system that keeps what is synced")
}

// sync does once what every alert relies on: write, sync, rename, sync the folder.
func (p Place) sync() Check {
	began := time.Now()
	if err := trySync(p.Layout.Journals()); err != nil {
		return Bad(Fail, DiskSync, "", "a file cannot be written and synced: "+cause(err),
			"look at the disk: dmesg, df, mount; then start the node again")
	}
	took := time.Since(began)
	if took > slowSync {
		return Bad(Warn, DiskSync, "", fmt.Sprintf("a write with its sync took %s; every alert waits for several", short(took)),
			"look at the disk: iostat -x 1")
	}
	return Good(DiskSync, "", "a write with its sync took %s", short(took))
}

func trySync(dir string) error {
	f, err := os.CreateTemp(dir, ".checkup-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // renamed, mostly
	_, err = f.Write(make([]byte, 4096))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	moved := f.Name() + ".moved"
	defer os.Remove(moved) //nolint:errcheck // what is left is one small file
	if err := os.Rename(f.Name(), moved); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// clockSync asks the kernel (adjtimex(2)) whether something keeps its clock.
func clockSync() Check {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		return Skip(ClockSync, "", "the kernel does not say whether its clock is synchronised")
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return Bad(Warn, ClockSync, "", "the kernel says that nothing synchronises the clock", "timedatectl set-ntp true")
	default:
		return Good(ClockSync, "", "synchronised, off by at most %s", short(time.Duration(t.Maxerror)*time.Microsecond))
	}
}

// short rounds a length of time for people.
func short(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}

// cause gives an error without the names of files that it may hold.
func cause(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err.Error()
	}
	return err.Error()
}
