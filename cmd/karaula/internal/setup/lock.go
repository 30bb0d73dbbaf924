package setup

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"karaula/internal/node"
	"karaula/internal/problem"
)

// cardPatience is how long a command waits for another one that changes the card of
// the same folder; it may be waiting for a person's passphrase.
const cardPatience = 30 * time.Second

// lockCard keeps other commands from changing the card of a node, from before the present
// one is read until the next one is taken in: otherwise each of two would forget what the
// other one has added to it, a revocation or a key. It waits for them as long as patience; undone
// says what was not done where that is not enough.
func lockCard(l node.Layout, party, undone string, patience time.Duration) (release func(), err error) {
	f, err := os.OpenFile(l.Card(party)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the card cannot be locked; %s", undone)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil // closing unlocks
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, errors.Join(problem.Wrap(problem.Failed, err, "the card cannot be locked; %s", undone), f.Close())
		case time.Now().After(deadline):
			return nil, errors.Join(
				problem.New(problem.Conflict, "another command is changing the card of %s in %s; %s", party, l.Dir, undone).
					WithHint("wait until it has ended, and say this again"),
				f.Close(),
			)
		}
	}
}
