package journal

import (
	"karaula/internal/problem"
)

// Forget sees to it that the file does not hold the envelope of a number any
// more: its content is erased. The file is replaced by one that begins behind
// everything that the broker has confirmed. What is not confirmed is still to be
// published; to forget it is a Conflict, and nothing is changed.
//
// The old file's blocks are free then, and hold what they held until the file
// system uses them again.
func (j *Journal) Forget(seq uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.broken != nil:
		return j.broken
	case seq <= j.opened:
		return nil
	case seq > j.base.Tree.Size():
		return problem.New(problem.Conflict, "number %d of channel %s is not confirmed yet; it was not forgotten", seq, j.state.Channel)
	}
	if err := j.replace(); err != nil {
		return j.poison(err, "replaced by a fresh one")
	}
	return nil
}
