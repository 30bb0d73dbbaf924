package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// State is what the broker says about a stream.
type State struct {
	First, Last uint64 // sequences of the first message and of the last that was ever stored
	Messages    uint64
	Deleted     uint64    // sequences between First and Last that have no message
	Made        time.Time // when the stream was made
}

// Holes counts the sequences up to the last that have no message.
func (s State) Holes() uint64 { return max(s.First, 1) - 1 + s.Deleted }

// State asks the broker about the stream.
func (l *Log) State(ctx context.Context) (State, error) {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return State{}, fmt.Errorf("stream %s: %w", l.name, err)
	}
	info := s.CachedInfo()
	st := info.State
	return State{
		First: st.FirstSeq, Last: st.LastSeq, Messages: st.Msgs,
		Deleted: uint64(max(st.NumDeleted, 0)), Made: info.Created,
	}, nil
}

// Missing gives the sequences between the first message and the last that have
// no message, ascending.
func (l *Log) Missing(ctx context.Context) (first uint64, missing []uint64, err error) {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return 0, nil, fmt.Errorf("stream %s: %w", l.name, err)
	}
	info, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return 0, nil, fmt.Errorf("stream %s: %w", l.name, err)
	}
	return info.State.FirstSeq, info.State.Deleted, nil
}
