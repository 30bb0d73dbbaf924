package register

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"karaula/internal/durable"
	"karaula/internal/problem"
)

// Names in the register folder.
const (
	partiesDir     = "parties"
	agreementsDir  = "agreements"
	noticesDir     = "notices"
	tombstonesDir  = "tombstones"
	conflictsDir   = "conflicts"
	generationFile = "generation"
	lockFile       = "lock"
	changingFile   = "changing"
)

// mark tells two states of the generation file apart. The file is always
// replaced, so a change shows in inode or time; only a file younger than
// settle is read as well, because clocks of file systems are coarse.
type mark struct {
	generation uint64
	inode      uint64
	modified   time.Time
}

const settle = 2 * time.Second

// fresh reports whether the generation file is still the one of the mark.
func (r *Register) fresh(m mark) bool {
	info, err := os.Stat(filepath.Join(r.dir, generationFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m.inode == 0
	}
	if err != nil || inode(info) != m.inode || !info.ModTime().Equal(m.modified) {
		return false
	}
	if time.Since(m.modified) > settle {
		return true
	}
	now, err := r.readMark()
	return err == nil && now.generation == m.generation
}

// readMark reads the generation file; a missing one is generation 0.
func (r *Register) readMark() (mark, error) {
	f, err := os.Open(filepath.Join(r.dir, generationFile))
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, nil
	}
	if err != nil {
		return mark{}, problem.Wrap(problem.Failed, err, "the register can't be read")
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return mark{}, problem.Wrap(problem.Failed, err, "the register can't be read")
	}
	body := make([]byte, 32)
	n, _ := f.Read(body)
	number := strings.TrimRight(string(body[:n]), "\n\x00")
	if number == "" { // what a power cut may leave
		return mark{0, inode(info), info.ModTime()}, nil
	}
	generation, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return mark{}, problem.New(problem.Failed, "the register's file %s does not hold a number", filepath.Join(r.dir, generationFile)).
			WithHint("remove it: it is made again with the next change")
	}
	return mark{generation, inode(info), info.ModTime()}, nil
}

// inode gives a file's inode number, 0 where there is none.
func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// lock takes the register's lock for this process, waiting for others.
func (r *Register) lock() (unlock func(), err error) { return r.flock(unix.LOCK_EX) }

// tryLock fails where another process has the lock.
func (r *Register) tryLock() (unlock func(), err error) { return r.flock(unix.LOCK_EX | unix.LOCK_NB) }

func (r *Register) flock(how int) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(r.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the register can't be locked")
	}
	for {
		if err = unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close() //nolint:errcheck // nothing was written
		return nil, problem.Wrap(problem.Failed, err, "the register can't be locked")
	}
	return func() { f.Close() }, nil //nolint:errcheck // closing unlocks
}

// editor changes files of the folder while the lock is held. Before the first one it
// makes the file changing, which goes when the generation is bumped: a writer that is
// killed in between leaves it behind for the next one.
type editor struct {
	dir   string
	state *state
	wrote bool
}

// begin says that a change is made.
func (e *editor) begin() error {
	if e.wrote {
		return nil
	}
	return os.WriteFile(filepath.Join(e.dir, changingFile), nil, 0o644)
}

// end says that it is made, and counted.
func (e *editor) end() { _ = os.Remove(filepath.Join(e.dir, changingFile)) } // or the next writer bumps once more

// cutOff reports whether a writer seems to have been killed before it bumped the
// generation, or is at work now: who has the lock knows.
func (r *Register) cutOff() bool {
	_, err := os.Stat(filepath.Join(r.dir, changingFile))
	return err == nil
}

// catchUp bumps the generation where a writer was killed before it did: other processes
// have not noticed what it changed. Called with the lock held; now is the present mark.
func (r *Register) catchUp(now mark) (mark, error) {
	if !r.cutOff() {
		return now, nil
	}
	e := &editor{dir: r.dir, state: &state{generation: now.generation}}
	if err := e.bump(); err != nil {
		return now, problem.Wrap(problem.Failed, err, "an earlier change could not be told to running processes; nothing of this one was made").
			WithHint("make room for it, and say this again")
	}
	e.end()
	return r.readMark()
}

// write puts a whole file into place: a temporary file, synced, renamed, and
// the folders that it changed synced. path is relative to the register.
func (e *editor) write(path string, body []byte) error {
	folder := filepath.Dir(filepath.Join(e.dir, path))
	fail := func(err error) error {
		return problem.Wrap(problem.Failed, err, "the register could not be written, nothing was changed")
	}
	if err := e.begin(); err != nil {
		return fail(err)
	}
	made := os.Mkdir(folder, 0o755)
	if made != nil && !errors.Is(made, fs.ErrExist) {
		return fail(made)
	}
	if err := e.place(path, body, true); err != nil {
		return fail(err)
	}
	e.wrote = true
	if made == nil {
		if err := syncDir(filepath.Dir(folder)); err != nil {
			return err
		}
	}
	return syncDir(folder)
}

// bump counts the change that was made. Nothing is synced: after a power cut
// every process reads the folder anew anyway.
func (e *editor) bump() error {
	if err := e.place(generationFile, fmt.Appendf(nil, "%d\n", e.state.generation+1), false); err != nil {
		return problem.Wrap(problem.Failed, err, "the change was made, but running processes can't notice it").
			WithHint("make room for it; they notice it with the next karaula command")
	}
	return nil
}

// place puts a file into place by a rename.
func (e *editor) place(path string, body []byte, sync bool) error {
	full := filepath.Join(e.dir, path)
	f, err := os.CreateTemp(filepath.Dir(full), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone already if all went well
	_, err = f.Write(body)
	err = errors.Join(err, f.Chmod(0o644))
	if sync {
		err = errors.Join(err, f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), full)
}

// remove deletes a file or a whole folder; one that is not there is no error.
func (e *editor) remove(path string) error {
	full := filepath.Join(e.dir, path)
	fail := func(err error) error {
		return problem.Wrap(problem.Failed, err, "a file of the register could not be removed")
	}
	if err := e.begin(); err != nil {
		return fail(err)
	}
	e.wrote = true
	if err := os.RemoveAll(full); err != nil {
		return fail(err)
	}
	return syncDir(filepath.Dir(full))
}

// syncDir makes renames in a folder durable.
func syncDir(dir string) error {
	if err := durable.SyncDir(dir); err != nil {
		return problem.Wrap(problem.Failed, err, "a folder of the register could not be synced")
	}
	return nil
}

// maxConflicts bounds the evidence that is kept: contradicting texts are rare,
// and nobody shall fill the disk with them.
const maxConflicts = 1000

// keepEvidence stores a contradicting signed text under conflicts. The first
// text of a name stays; beyond the bound nothing more is kept.
func (e *editor) keepEvidence(name string, body []byte) error {
	path := filepath.Join(conflictsDir, name)
	if _, err := os.Stat(filepath.Join(e.dir, path)); err == nil {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(e.dir, conflictsDir))
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the register can't be read")
	}
	if len(entries) >= maxConflicts {
		return nil
	}
	return e.write(path, body)
}
