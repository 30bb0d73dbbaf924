package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"karaula/internal/problem"
)

// Peek gives where the journal at path stands, and changes nothing: neither the
// file nor its lock, so that the gateway may be writing to it. What is being
// written at that moment counts once it is whole. No file: ok is false.
func Peek(path string) (st State, ok bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, problem.Wrap(problem.Failed, err, "the signing journal %s was not read", path)
	}
	defer f.Close() //nolint:errcheck // only read
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return State{}, false, problem.Wrap(problem.Failed, err, "the signing journal %s was not read", path)
	}
	if len(raw) > maxFile {
		return State{}, false, problem.New(problem.Verification, "the signing journal %s is longer than any journal gets", path)
	}
	c, err := replay(raw)
	if err != nil {
		return State{}, false, problem.Wrap(problem.Verification, err, "the signing journal %s is damaged", path).
			WithHint("karaula ledger repair")
	}
	return c.state, true, nil
}
