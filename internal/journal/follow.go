package journal

import (
	"errors"
	"io/fs"
	"os"

	"karaula/internal/problem"
)

// Snapshot gives where the ledger stood at the last confirmed statement, and
// what was signed since, as of one moment.
func (j *Journal) Snapshot() (base State, since []Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	since = make([]Entry, len(j.pending))
	for i, p := range j.pending {
		since[i] = p.Entry
	}
	return j.base.clone(), since
}

// Begin opens a journal that begins at a state that the gateway which speaks has
// told. It is for a gateway that stands by, and for nobody else: the journal
// that was there is put aside, under its name with ".before" added, in the place
// of an earlier one. What it had beyond at was never published.
func Begin(path string, at State) (*Journal, error) {
	lock, err := acquire(path)
	if err != nil {
		return nil, err
	}
	err = os.Rename(path, path+".before")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, release(lock)); err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the signing journal %s was not put aside", path)
	}
	return Open(path, at)
}
