package bench

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"karaula/internal/problem"
)

// size sums up the files below a folder, in bytes.
func size(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // files come and go while a node works
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		return 0, problem.Wrap(problem.Failed, err, "the size of the nodes' folders cannot be found out")
	}
	return sum, nil
}

// syncTime measures one synced write of 4 KiB in a folder.
func syncTime(dir string) (time.Duration, error) {
	const writes = 50
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, problem.Wrap(problem.Failed, err, "the folder cannot be written to")
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a leftover harms nobody
	defer f.Close()           //nolint:errcheck // nothing of it is needed
	block := make([]byte, 4<<10)
	began := time.Now()
	for range writes {
		if _, err := f.Write(block); err != nil {
			return 0, problem.Wrap(problem.Failed, err, "the folder cannot be written to")
		}
		if err := f.Sync(); err != nil {
			return 0, problem.Wrap(problem.Failed, err, "the folder cannot be synced")
		}
	}
	return time.Since(began) / writes, nil
}

// filesystems names what people should know that they measure on.
var filesystems = map[int64]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs",
	unix.BTRFS_SUPER_MAGIC: "btrfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs",
}

// filesystem names the filesystem of a folder.
func filesystem(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return "unknown"
	}
	if name := filesystems[int64(st.Type)]; name != "" { //nolint:unconvert // the type differs between platforms
		return name
	}
	return "other"
}

// cpuTime gives the processor time that this process has used, on all cores.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// micros gives microseconds of one of n.
func micros(d time.Duration, n int) float64 { return float64(d.Nanoseconds()/1000) / float64(n) }
