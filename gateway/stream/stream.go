// Package stream appends to one JetStream stream and reads it again, with the
// two promises that the rest of the gateway builds on:
//
//   - an append names the stream's last sequence, so that nothing gets in
//     between unseen, and several messages go in together or not at all;
//   - an append whose answer did not come is reported as [ErrUncertain], never
//     as failed: the caller looks before it says anything again.
//
// It must never append again by itself, never decide what bytes mean, and never
// create, change or purge a stream: the broker's keeper makes them.
package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// Limits of one atomic batch. The server's own limit is 1,000 messages.
const (
	MaxBatch      = 500
	MaxBatchBytes = 8 << 20
)

// ErrUncertain says that the messages may or may not be stored.
var ErrUncertain = errors.New("the broker did not answer; the messages may or may not be stored")

// ErrMoved says that the stream's end is not where the caller expected it;
// nothing was stored.
var ErrMoved = errors.New("the stream's end has moved; nothing was stored")

// ErrFull says that the stream's limit is reached; nothing was stored.
var ErrFull = errors.New("the stream is full; nothing was stored")

// API error codes of nats-server 2.15 (server/errors.json).
const (
	codeWrongLastSequence         = 10071
	codeWrongLastSequenceConstant = 10164
	codeStreamStoreFailed         = 10077
	codeResourcesExceeded         = 10002
	codeStorageExceeded           = 10047
	codeMaxBytes                  = 10122
)

// Msg is one message to append.
type Msg struct {
	Subject string
	Data    []byte
	Header  nats.Header // may be nil
}

// Stored is one message as the stream holds it.
type Stored struct {
	Seq     uint64
	Subject string
	Data    []byte
	Header  nats.Header
	Time    time.Time
}

// Log is one stream.
type Log struct {
	js     jetstream.JetStream
	name   string
	stall  time.Duration // [stallTimeout], but in tests
	cutOff time.Duration // [CutOffTime], but in tests

	mu    sync.Mutex
	early time.Time // since when the broker says that the stream ends too early; zero: it does not
}

// Open names a stream; it does not ask the broker anything.
func Open(js jetstream.JetStream, name string) *Log {
	return &Log{js: js, name: name, stall: stallTimeout, cutOff: CutOffTime}
}

// Name gives the stream's name.
func (l *Log) Name() string { return l.name }

// Append stores msgs behind the message with sequence expect, all or none, and
// gives the sequence of the last one. One message goes as an ordinary publish,
// several as one atomic batch (at most [MaxBatch]).
//
// Errors: [ErrMoved] and [ErrFull] mean that nothing was stored, [ErrUncertain]
// that the caller must look. Anything else: nothing was stored.
func (l *Log) Append(ctx context.Context, msgs []Msg, expect uint64) (uint64, error) {
	switch len(msgs) {
	case 0:
		return expect, nil
	case 1:
		return l.appendOne(ctx, msgs[0], expect)
	default:
		return l.appendBatch(ctx, msgs, expect)
	}
}

func (l *Log) appendOne(ctx context.Context, m Msg, expect uint64) (uint64, error) {
	ack, err := l.js.PublishMsg(ctx, natsMsg(m),
		jetstream.WithExpectStream(l.name),
		jetstream.WithExpectLastSequence(expect),
		jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, l.classify(err)
	}
	return ack.Sequence, nil
}

func (l *Log) appendBatch(ctx context.Context, msgs []Msg, expect uint64) (uint64, error) {
	if len(msgs) > MaxBatch {
		return 0, fmt.Errorf(
			"stream %s: batch of %d messages, limit is %d; nothing was stored",
			l.name,
			len(msgs),
			MaxBatch,
		)
	}
	batch := make([]*nats.Msg, len(msgs))
	for i, m := range msgs {
		batch[i] = natsMsg(m)
	}
	batch[0].Header.Set(jetstream.ExpectedStreamHeader, l.name)
	batch[0].Header.Set(jetstream.ExpectedLastSeqHeader, fmt.Sprint(expect))
	ack, err := jetstreamext.PublishMsgBatch(ctx, l.js, batch)
	if err != nil {
		return 0, l.classify(err)
	}
	return ack.Sequence, nil
}

// Add stores one message wherever the stream's end is. For streams without an
// order to keep (quarantine, desk).
func (l *Log) Add(ctx context.Context, m Msg) (uint64, error) {
	ack, err := l.js.PublishMsg(ctx, natsMsg(m), jetstream.WithExpectStream(l.name), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, l.classify(err)
	}
	return ack.Sequence, nil
}

func natsMsg(m Msg) *nats.Msg {
	h := nats.Header{}
	maps.Copy(h, m.Header)
	return &nats.Msg{Subject: m.Subject, Data: m.Data, Header: h}
}

// classify tells what the broker refused from what it did not answer.
func (l *Log) classify(err error) error {
	var api jetstream.JetStreamError
	if errors.As(err, &api) && api.APIError() != nil {
		switch int(api.APIError().ErrorCode) {
		case codeWrongLastSequence, codeWrongLastSequenceConstant:
			return fmt.Errorf("stream %s: %w", l.name, ErrMoved)
		case codeStreamStoreFailed, codeResourcesExceeded, codeStorageExceeded, codeMaxBytes:
			return fmt.Errorf("stream %s: %w (%s)", l.name, ErrFull, api.APIError().Description)
		default:
			return fmt.Errorf("stream %s: the broker refused: %w", l.name, err)
		}
	}
	return fmt.Errorf("stream %s: %w: %w", l.name, ErrUncertain, err)
}

// Look compares what stands behind the known end of the stream with the bytes
// that were to be appended there: it gives the sequences of those that are
// there, in order, and the new end. Anything else found there is shown to
// stranger, whose error stops it. Where the stream ends before the known end,
// nothing is compared: see [Log.State].
func (l *Log) Look(
	ctx context.Context, end uint64, want [][]byte, stranger func(Stored) error,
) (at []uint64, newEnd uint64, err error) {
	newEnd = end
	now, err := l.State(ctx, end)
	if err != nil {
		return nil, end, err
	}
	err = l.Read(ctx, end+1, "", func(m Stored) error {
		if len(at) < len(want) && bytes.Equal(m.Data, want[len(at)]) {
			at = append(at, m.Seq)
		} else if err := stranger(m); err != nil {
			return err
		}
		newEnd = m.Seq
		return nil
	})
	if err == nil {
		newEnd = max(newEnd, now.Last) // the last ones may be erased
	}
	return at, newEnd, err
}

// Erase overwrites one message and takes it out. One that is not there is no error.
// On several servers, each one's log of what it was told keeps the bytes until it
// is compacted.
func (l *Log) Erase(ctx context.Context, seq uint64) error {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return fmt.Errorf("stream %s: %w", l.name, err)
	}
	if err := s.SecureDeleteMsg(ctx, seq); err != nil && !gone(err) {
		return fmt.Errorf("stream %s: message %d was not erased: %w", l.name, seq, err)
	}
	return nil
}

// CanErase reports whether nothing that the broker began to erase in the stream can
// still be there. A broker that has failed to overwrite a message takes it for deleted
// all the same, and answers any later question about it so; but it erases nothing any
// more until it is started again, and overwrites before it starts what it left (package
// sweep). So it is asked to erase what can never be there.
//
// Of a cluster it is the leader that answers. An error means that it is not known.
func (l *Log) CanErase(ctx context.Context) error {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return fmt.Errorf("stream %s: %w", l.name, err)
	}
	err = s.SecureDeleteMsg(ctx, neverThere)
	if err == nil || gone(err) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && strings.HasSuffix(err.Error(), beyondEnd) {
		return nil
	}
	return fmt.Errorf("stream %s: the broker erases nothing, so what it was told to erase may still be there: %w", l.name, err)
}

// neverThere is a sequence that no stream comes to.
const neverThere = 1 << 60

// Answers of the broker where a message is not there, and where there are none so far.
// The client gives what was answered to a deletion as text only (nats.go, jetstream,
// deleteMsg).
const (
	notThere  = "err_code=10043 "
	beyondEnd = "err_code=10057 description=stream store EOF"
)

func gone(err error) bool {
	return errors.Is(err, jetstream.ErrMsgNotFound) ||
		errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && strings.Contains(err.Error(), notThere)
}
