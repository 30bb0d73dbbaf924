package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"karaula/internal/durable"
	"karaula/internal/ledger"
	"karaula/internal/problem"
)

// Open opens the journal at path, or creates it at init where there is none.
//
// An existing file tells where the ledger stands and init only which ledger it
// must be: another ledger or channel, or an epoch before that of init, is a
// Conflict, and so is a journal that another process holds. A torn last record
// is cut off: nothing of it was ever published. A record that was changed
// after it was written is a problem of kind Verification, and the file is left
// as it is.
func Open(path string, init State) (*Journal, error) { return open(path, init, rotateAt) }

func open(path string, init State, rotate int64) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the folder of the signing journal was not made")
	}
	lock, err := acquire(path)
	if err != nil {
		return nil, err
	}
	j := &Journal{path: path, lock: lock, rotate: rotate}
	err = j.load()
	if errors.Is(err, fs.ErrNotExist) {
		err = j.create(init)
	}
	if err == nil {
		err = j.belongsTo(init)
	}
	if err != nil {
		if j.file != nil {
			_ = j.file.Close() // the error that counts is err
		}
		_ = release(lock) // likewise
		return nil, err
	}
	return j, nil
}

// acquire takes the lock that keeps a second process out.
func acquire(path string) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the signing journal %s was not opened", path)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close() // the error that counts is err
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, problem.New(problem.Conflict, "the signing journal %s is held by another process", path).
				WithHint("one gateway at a time says something on a channel; stop the other one first")
		}
		return nil, problem.Wrap(problem.Failed, err, "the signing journal %s was not locked", path)
	}
	return lock, nil
}

// release gives up the lock. It unlocks before it closes, because a process
// that is just being started may hold a copy of the descriptor for a moment.
func release(lock *os.File) error {
	return errors.Join(unix.Flock(int(lock.Fd()), unix.LOCK_UN), lock.Close())
}

// load reads an existing file and cuts off a torn tail.
func (j *Journal) load() error {
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_APPEND, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the signing journal %s was not opened", j.path)
	}
	j.file = f
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the signing journal %s was not read", j.path)
	}
	if len(raw) > maxFile {
		return j.corrupt(errors.New("it is longer than any journal gets"))
	}
	c, err := replay(raw)
	if err != nil {
		return j.corrupt(err)
	}
	if c.size < int64(len(raw)) {
		if err := f.Truncate(c.size); err != nil {
			return problem.Wrap(problem.Failed, err, "the torn end of the signing journal %s was not cut off", j.path)
		}
		if err := f.Sync(); err != nil {
			return problem.Wrap(problem.Failed, err, "the torn end of the signing journal %s was not cut off", j.path)
		}
	}
	j.size, j.opened, j.state, j.base, j.pending = c.size, c.opened, c.state, c.base, c.pending
	j.written = j.base.clone()
	j.copied = isCopy(c.place, f) && (j.state.Epoch > 1 || j.state.Tree.Size() > 0)
	return nil
}

// corrupt says that the file cannot be relied on.
func (j *Journal) corrupt(cause error) error {
	return problem.Wrap(problem.Verification, cause, "the signing journal %s is damaged; nothing is signed", j.path).
		WithHint("karaula ledger repair: it fetches what the partners hold and keeps the damaged file")
}

// create makes a file that begins at init.
func (j *Journal) create(init State) error {
	if init.Tree == nil {
		init.Tree = &ledger.Tree{}
	}
	if init.Channel == "" || init.Epoch == 0 {
		return problem.New(problem.Failed, "a signing journal needs a channel and an epoch; none was made")
	}
	j.state, j.base = init.clone(), init.clone()
	return j.replace()
}

// replace puts a fresh file in the place of the old one, if any: an open
// record at the last confirmed statement, and what is pending. The old file
// stays in force until the new one is whole and on disk.
func (j *Journal) replace() error {
	f, size, err := writeFile(j.path, j.base, j.pending, j.state.Tree)
	if err != nil {
		return problem.Wrap(problem.Failed, err, "a fresh signing journal %s was not written", j.path)
	}
	if j.file != nil {
		_ = j.file.Close() // everything in it is synced, and it has no name any more
	}
	j.file, j.size, j.opened = f, size, j.base.Tree.Size()
	j.written, j.unwritten = j.base.clone(), 0
	return nil
}

// contentsOf gives the bytes of a fresh file: where the ledger stands, and one
// batch with what is signed behind that, up to and with the tree.
func contentsOf(base State, place []byte, batch []pending, tree *ledger.Tree) ([]byte, error) {
	fresh, err := encode(openRecord(base, place))
	if err != nil || len(batch) == 0 {
		return fresh, err
	}
	signed, err := encode(signedRecord(batch, tree.Root()))
	return append(fresh, signed...), err
}

// writeFile writes a whole file beside path, syncs it, gives it its name and
// syncs the folder. The file stays open for appending; size is its length.
func writeFile(path string, base State, batch []pending, tree *ledger.Tree) (f *os.File, size int64, err error) {
	temp := path + ".new"
	f, err = os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // the error that counts is err
		}
	}()
	content, err := contentsOf(base, fileID(f), batch, tree)
	if err != nil {
		return nil, 0, err
	}
	if _, err = f.Write(content); err != nil {
		return nil, 0, err
	}
	if err = f.Sync(); err != nil {
		return nil, 0, err
	}
	if err = os.Rename(temp, path); err != nil {
		return nil, 0, err
	}
	return f, int64(len(content)), durable.SyncDir(filepath.Dir(path))
}

// belongsTo checks that the journal is that of the wanted ledger.
func (j *Journal) belongsTo(want State) error {
	switch {
	case j.state.Ledger != want.Ledger || j.state.Channel != want.Channel:
		return problem.New(problem.Conflict, "the signing journal %s belongs to ledger %s of channel %s, not to %s of %s",
			j.path, j.state.Ledger, j.state.Channel, want.Ledger, want.Channel)
	case j.state.Epoch < want.Epoch:
		return problem.New(problem.Conflict, "the signing journal %s is of epoch %d, epoch %d was asked for",
			j.path, j.state.Epoch, want.Epoch).
			WithHint("karaula ledger repair: it keeps the old journal and begins the new epoch")
	default:
		return nil
	}
}

// rotateIfLarge replaces a large file by one that begins at the last confirmed
// statement, if little is pending. A failure before the new file has its name
// leaves the old one in force; it is reported as any failed write is.
func (j *Journal) rotateIfLarge() error {
	if j.size <= j.rotate {
		return nil
	}
	carry := 0
	for _, p := range j.pending {
		carry += len(p.Envelope)
	}
	if carry > carryMax {
		return nil
	}
	if err := j.replace(); err != nil {
		return j.poison(err, "replaced by a fresh one")
	}
	return nil
}
