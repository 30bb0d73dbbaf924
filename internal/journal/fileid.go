package journal

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// fileID tells one file from every other on its file system, a copy of it too:
// its inode and the nanosecond of its birth, neither of which anybody sets.
// Renaming a file keeps both. Nil where the file system does not say.
func fileID(f *os.File) []byte {
	const want = unix.STATX_INO | unix.STATX_BTIME
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, want, &st); err != nil || st.Mask&want != want {
		return nil
	}
	out := binary.BigEndian.AppendUint64(nil, st.Ino)
	return binary.BigEndian.AppendUint64(out, uint64(st.Btime.Sec)*1e9+uint64(st.Btime.Nsec)) //nolint:gosec // bits, not an amount
}

// Copied reports whether the file is a copy of the one that was written here: the
// folder was restored from a backup, or moved by copying. Numbers may have been
// signed since that it does not know, so nothing must be signed behind it before
// everybody has been asked who may hold them; [Rebuild] then makes it a file of
// its own. What is written into it keeps it a copy.
//
// A snapshot of a whole disk that is set back is not noticed: its files are the same.
func (j *Journal) Copied() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.copied
}

// isCopy compares what the first record says about its file with the file.
func isCopy(recorded []byte, f *os.File) bool {
	return len(recorded) > 0 && !bytes.Equal(recorded, fileID(f))
}
