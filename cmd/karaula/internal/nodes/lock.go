package nodes

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"karaula/internal/problem"
)

// lock keeps a second broker or gateway off a node's folder for as long as the
// file is open. The lock goes with the process, however it ends.
func lock(dir, part string) (*os.File, error) {
	path := filepath.Join(dir, part, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the lock of the %s cannot be opened; it does not start", part)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(
			problem.New(problem.Conflict, "a %s already runs in %s; no second one was started", part, dir).
				WithHint("stop the other process first, or look with: karaula status --dir %s", dir),
			f.Close(),
		)
	}
	if err != nil {
		return nil, errors.Join(problem.Wrap(problem.Failed, err, "the lock of the %s cannot be taken", part), f.Close())
	}
	return f, nil
}
