package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// readChunk is how many messages one read asks for, and readBytes how much.
const (
	readChunk = 1000
	readBytes = 16 << 20
)

// Read calls fn for every message from sequence from (1 is the first) to the
// end as it was when Read began, in order. Sequences may be missing where
// content was erased. fn's error stops it and is returned as it is. An empty
// subject reads everything.
//
// In a cluster any server answers, also one that lags behind the end that the
// leader named, and an answer may get lost with a server: Read then asks again, and
// never takes a short answer for the whole.
func (l *Log) Read(ctx context.Context, from uint64, subject string, fn func(Stored) error) error {
	first, last, err := l.End(ctx)
	if err != nil {
		return err
	}
	next := max(from, first, 1)
	for tries, stalls := 1, 0; next <= last; {
		seen, err := l.readFrom(ctx, next, last, subject, fn)
		if seen > 0 {
			next, tries, stalls = seen+1, 1, 0
		}
		if errors.Is(err, errStalled) {
			if stalls++; stalls < stallTries {
				continue
			}
		}
		if err != nil {
			return err
		}
		if seen > 0 {
			continue
		}
		whole, err := l.nothingIn(ctx, subject, next, last)
		if err != nil || whole {
			return err
		}
		if tries++; tries > lagTries {
			return fmt.Errorf("stream %s: read from %d to %d: %w", l.name, next, last, errLag)
		}
		if err := l.lagged(ctx); err != nil {
			return err
		}
	}
	return nil
}

// How often a read is repeated that ended early, and how long after.
const (
	lagTries = 100
	lagPause = 50 * time.Millisecond
)

// How long a read waits for the next message before it asks again, and how often
// it does so in vain.
const (
	stallTimeout = 3 * time.Second
	stallTries   = 20
)

// errStalled says that an answer has not come, or has stopped in the middle: the
// server that was to give it is cut off, or the answer got lost when a server went.
var errStalled = errors.New("the broker has stopped answering")

var errLag = errors.New("the server that answered does not have all that the stream has")

// nothingIn asks the stream's leader whether the stream has nothing (more) in a
// range of sequences: everything there was erased, or is of another subject.
func (l *Log) nothingIn(ctx context.Context, subject string, from, to uint64) (bool, error) {
	info, err := l.info(ctx)
	if err != nil {
		return false, err
	}
	if info.Config.Replicas <= 1 {
		return true, nil // there is one copy, and it has answered
	}
	if subject == "" {
		subject = ">"
	}
	ask, err := json.Marshal(map[string]any{"seq": from, "next_by_subj": subject})
	if err != nil {
		return false, err
	}
	msg, err := l.js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+l.name, ask) // never a direct get
	if err != nil {
		return false, fmt.Errorf("stream %s: message from %d: %w", l.name, from, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Seq uint64 `json:"seq"`
		} `json:"message"`
	}
	switch err := json.Unmarshal(msg.Data, &answer); {
	case err != nil:
		return false, fmt.Errorf("stream %s: message from %d: %w", l.name, from, err)
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return true, nil
	case answer.Error != nil:
		return false, fmt.Errorf("stream %s: message from %d: %w", l.name, from, answer.Error)
	default:
		return answer.Message.Seq > to, nil
	}
}

// readFrom reads one chunk and gives the sequence of its last message, 0 if there
// was none; with [errStalled] of the last one that came.
func (l *Log) readFrom(
	ctx context.Context,
	from, last uint64,
	subject string,
	fn func(Stored) error,
) (uint64, error) {
	opts := []jetstreamext.GetBatchOpt{jetstreamext.GetBatchSeq(from), jetstreamext.GetBatchMaxBytes(readBytes)}
	if subject != "" {
		opts = append(opts, jetstreamext.GetBatchSubject(subject))
	}
	asking, cancel := context.WithTimeout(ctx, time.Hour) // without any end, the library sets one for the whole chunk
	defer cancel()
	msgs, err := jetstreamext.GetBatch(asking, l.js, l.name, readChunk, opts...)
	if err != nil {
		return 0, fmt.Errorf("stream %s: read from %d: %w", l.name, from, err)
	}
	var seen uint64
	stall := time.AfterFunc(l.stall, cancel)
	defer stall.Stop()
	for m, err := range msgs { // the end of asking may end it without an error
		stall.Stop()
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return 0, nil
		}
		if err != nil && asking.Err() != nil {
			break
		}
		if err != nil {
			return seen, fmt.Errorf("stream %s: read from %d: %w", l.name, from, err)
		}
		if m.Sequence > seen && m.Sequence <= last {
			if err := fn(stored(m)); err != nil {
				return seen, err
			}
			seen = m.Sequence
		}
		stall.Reset(l.stall)
	}
	switch {
	case ctx.Err() != nil:
		return seen, fmt.Errorf("stream %s: read from %d: %w", l.name, from, ctx.Err())
	case asking.Err() != nil:
		return seen, fmt.Errorf("stream %s: read from %d: %w", l.name, from, errStalled)
	default:
		return seen, nil
	}
}

// Get gives one message; false if it is not there (erased, or never was). What a
// server of a cluster does not have, because it lags behind, the leader is asked for.
func (l *Log) Get(ctx context.Context, seq uint64) (Stored, bool, error) {
	return l.one(ctx, fmt.Sprintf("message %d", seq),
		func(s jetstream.Stream) (*jetstream.RawStreamMsg, error) { return s.GetMsg(ctx, seq) },
		func() (bool, error) { return l.nothingIn(ctx, "", seq, seq) })
}

// Last gives the last message of a subject; false if there is none. A server of a
// cluster that lags behind may give an older one, but none only if the leader has none.
func (l *Log) Last(ctx context.Context, subject string) (Stored, bool, error) {
	return l.one(ctx, "last of "+subject,
		func(s jetstream.Stream) (*jetstream.RawStreamMsg, error) { return s.GetLastMsgForSubject(ctx, subject) },
		func() (bool, error) { return l.nothingIn(ctx, subject, 1, math.MaxUint64) })
}

// one asks for one message, and again while a server that lags behind does not have
// it and nothing does not say that there is none.
func (l *Log) one(
	ctx context.Context, what string,
	ask func(jetstream.Stream) (*jetstream.RawStreamMsg, error), nothing func() (bool, error),
) (Stored, bool, error) {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return Stored{}, false, fmt.Errorf("stream %s: %w", l.name, err)
	}
	for tries := 1; ; tries++ {
		m, err := ask(s)
		if err == nil {
			return stored(m), true, nil
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return Stored{}, false, fmt.Errorf("stream %s: %s: %w", l.name, what, err)
		}
		none, err := nothing()
		if err != nil || none {
			return Stored{}, false, err
		}
		if tries > lagTries {
			return Stored{}, false, fmt.Errorf("stream %s: %s: %w", l.name, what, errLag)
		}
		if err := l.lagged(ctx); err != nil {
			return Stored{}, false, err
		}
	}
}

func stored(m *jetstream.RawStreamMsg) Stored {
	return Stored{Seq: m.Sequence, Subject: m.Subject, Data: m.Data, Header: m.Header, Time: m.Time}
}

// lagged waits for a server that lags behind.
func (l *Log) lagged(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("stream %s: %w: %w", l.name, errLag, ctx.Err())
	case <-time.After(lagPause):
		return nil
	}
}
