package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrBack says that the stream ends before what is known to be stored there: it
// was lost, or set back to an older copy.
var ErrBack = errors.New("the stream ends before what was stored in it")

// CutOffTime is how long the leader of one of several copies of a stream must say
// that it ends too early until it is believed. A server that was cut off from the
// others leads on until it looks whether it has heard from them, and answers with
// what it has: at most 20 s (lostQuorumCheck and lostQuorumInterval,
// nats-server/server/raft.go). What was set back stays so.
const CutOffTime = 30 * time.Second

// errCutOff says that the server which answered may be cut off from the others.
var errCutOff = errors.New("the server that answered does not have all that was stored; it may have been cut off from the others")

// State asks the broker about a stream in which a sequence is known to be
// stored. Where the stream ends before it the error is [ErrBack], with the state;
// of several copies only after some time, and until then another one, without.
func (l *Log) State(ctx context.Context, known uint64) (State, error) {
	info, err := l.info(ctx)
	if err != nil {
		return State{}, err
	}
	err = l.back(info, known)
	if errors.Is(err, errCutOff) {
		return State{}, err
	}
	return stateOf(info), err
}

// back judges an end that lies before what is known.
func (l *Log) back(info *jetstream.StreamInfo, known uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := info.State.LastSeq
	if last >= known {
		l.early = time.Time{}
		return nil
	}
	if l.early.IsZero() {
		l.early = time.Now()
	}
	if info.Config.Replicas > 1 && time.Since(l.early) < l.cutOff {
		return fmt.Errorf("stream %s ends at %d instead of %d: %w", l.name, last, known, errCutOff)
	}
	return fmt.Errorf("stream %s ends at %d instead of %d: %w", l.name, last, known, ErrBack)
}
