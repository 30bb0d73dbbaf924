package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errLeaderless says that nobody leads the stream at this moment. A server that is
// cut off from the others then answers with what it happens to know.
var errLeaderless = errors.New("nobody leads it now")

// info asks the stream's leader about the stream.
func (l *Log) info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", l.name, err)
	}
	info := s.CachedInfo()
	if len(opts) > 0 {
		if info, err = s.Info(ctx, opts...); err != nil {
			return nil, fmt.Errorf("stream %s: %w", l.name, err)
		}
	}
	if info.Cluster != nil && info.Cluster.Leader == "" {
		return nil, fmt.Errorf("stream %s: %w", l.name, errLeaderless)
	}
	return info, nil
}

// End gives the sequence of the last message that was ever stored, and of the
// first that is still there.
func (l *Log) End(ctx context.Context) (first, last uint64, err error) {
	info, err := l.info(ctx)
	if err != nil {
		return 0, 0, err
	}
	return info.State.FirstSeq, info.State.LastSeq, nil
}

// Size gives messages and bytes stored.
func (l *Log) Size(ctx context.Context) (msgs, bytes uint64, err error) {
	info, err := l.info(ctx)
	if err != nil {
		return 0, 0, err
	}
	return info.State.Msgs, info.State.Bytes, nil
}

// Servers gives the names of the servers of a cluster that have a copy of the stream, its
// leader first; none where the broker is alone.
func (l *Log) Servers(ctx context.Context) ([]string, error) {
	info, err := l.info(ctx)
	if err != nil || info.Cluster == nil || info.Cluster.Name == "" {
		return nil, err
	}
	names := []string{info.Cluster.Leader}
	for _, r := range info.Cluster.Replicas {
		names = append(names, r.Name)
	}
	return names, nil
}

// Full gives the bytes stored and the bytes that the stream may hold.
func (l *Log) Full(ctx context.Context) (bytes, most uint64, err error) {
	info, err := l.info(ctx)
	if err != nil {
		return 0, 0, err
	}
	return info.State.Bytes, uint64(max(info.Config.MaxBytes, 0)), nil
}

// State is what the broker says about a stream.
type State struct {
	First, Last uint64 // sequences of the first message and of the last that was ever stored
	Messages    uint64
	Deleted     uint64    // sequences between First and Last that have no message
	Made        time.Time // when the stream was made
}

// Holes counts the sequences up to the last that have no message.
func (s State) Holes() uint64 { return max(s.First, 1) - 1 + s.Deleted }

func stateOf(info *jetstream.StreamInfo) State {
	st := info.State
	return State{
		First: st.FirstSeq, Last: st.LastSeq, Messages: st.Msgs,
		Deleted: uint64(max(st.NumDeleted, 0)), Made: info.Created,
	}
}

// Missing gives the sequences between the first message and the last that have
// no message, ascending.
func (l *Log) Missing(ctx context.Context) (first uint64, missing []uint64, err error) {
	info, err := l.info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return 0, nil, err
	}
	return info.State.FirstSeq, info.State.Deleted, nil
}
