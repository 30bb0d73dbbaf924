package journal

import (
	"errors"
	"io/fs"
	"os"

	"karaula/internal/problem"
)

// Rebuild puts a fresh journal in the place of the one at path, if there is
// one: it begins at st, with first signed and not confirmed. The old file stays
// under the name keep, unread and unchanged; it is never without one of its two
// names. Nothing may hold the journal.
//
// The caller answers for st: every number up to its size is in the own stream,
// and no other number was ever signed.
func Rebuild(path string, st State, first []Entry, keep string) error {
	lock, err := acquire(path)
	if err != nil {
		return err
	}
	defer release(lock) //nolint:errcheck // the lock ends with the process at the latest
	next, batch := st.clone(), make([]pending, len(first))
	for i, e := range first {
		saidAt, err := admit(&next, e)
		if err != nil {
			return problem.Wrap(problem.KindOf(err), err, "no fresh signing journal was written")
		}
		batch[i] = pending{Entry: e, saidAt: saidAt}
	}
	if err := os.Link(path, keep); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(problem.Failed, err, "the old signing journal cannot be kept as %s; nothing was changed", keep)
	}
	f, _, err := writeFile(path, st, batch, next.Tree)
	if err != nil {
		return problem.Wrap(problem.Failed, err, "a fresh signing journal %s was not written", path)
	}
	return f.Close()
}
