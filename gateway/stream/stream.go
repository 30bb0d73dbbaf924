// Package stream appends to one JetStream stream and reads it again, with the
// two promises that the rest of the gateway builds on:
//
//   - an append names the stream's last sequence, so that nothing gets in
//     between unseen, and several messages go in together or not at all;
//   - an append whose answer did not come is reported as [ErrUncertain], never
//     as failed: the caller looks before it says anything again.
//
// It must never retry by itself, never decide what bytes mean, and never
// create, change or purge a stream: the broker's keeper makes them.
package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
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

// ErrBack says that the stream ends before what is known to be stored there: it
// was lost, or set back to an older copy.
var ErrBack = errors.New("the stream ends before what was stored in it")

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
	js   jetstream.JetStream
	name string
}

// Open names a stream; it does not ask the broker anything.
func Open(js jetstream.JetStream, name string) *Log { return &Log{js: js, name: name} }

// Name gives the stream's name.
func (l *Log) Name() string { return l.name }

// End gives the sequence of the last message that was ever stored, and of the
// first that is still there.
func (l *Log) End(ctx context.Context) (first, last uint64, err error) {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return 0, 0, fmt.Errorf("stream %s: %w", l.name, err)
	}
	st := s.CachedInfo().State
	return st.FirstSeq, st.LastSeq, nil
}

// Size gives messages and bytes stored.
func (l *Log) Size(ctx context.Context) (msgs, bytes uint64, err error) {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return 0, 0, fmt.Errorf("stream %s: %w", l.name, err)
	}
	st := s.CachedInfo().State
	return st.Msgs, st.Bytes, nil
}

// Full gives the bytes stored and the bytes that the stream may hold.
func (l *Log) Full(ctx context.Context) (bytes, most uint64, err error) {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return 0, 0, fmt.Errorf("stream %s: %w", l.name, err)
	}
	info := s.CachedInfo()
	return info.State.Bytes, uint64(max(info.Config.MaxBytes, 0)), nil
}

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
// leader named: Read then asks again, and never takes a short answer for the
// whole.
func (l *Log) Read(ctx context.Context, from uint64, subject string, fn func(Stored) error) error {
	first, last, err := l.End(ctx)
	if err != nil {
		return err
	}
	next := max(from, first, 1)
	for tries := 1; next <= last; {
		seen, err := l.readFrom(ctx, next, last, subject, fn)
		if err != nil {
			return err
		}
		if seen > 0 {
			next, tries = seen+1, 1
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

var errLag = errors.New("the server that answered does not have all that the stream has")

// nothingIn asks the stream's leader whether the stream has nothing (more) in a
// range of sequences: everything there was erased, or is of another subject.
func (l *Log) nothingIn(ctx context.Context, subject string, from, to uint64) (bool, error) {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", l.name, err)
	}
	if s.CachedInfo().Config.Replicas <= 1 {
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

// readFrom reads one chunk and gives the sequence of its last message, 0 if there was none.
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
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	msgs, err := jetstreamext.GetBatch(ctx, l.js, l.name, readChunk, opts...)
	if err != nil {
		return 0, fmt.Errorf("stream %s: read from %d: %w", l.name, from, err)
	}
	var seen uint64
	for m, err := range msgs {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("stream %s: read from %d: %w", l.name, from, err)
		}
		if m.Sequence <= seen || m.Sequence > last {
			continue
		}
		seen = m.Sequence
		if err := fn(
			Stored{Seq: m.Sequence, Subject: m.Subject, Data: m.Data, Header: m.Header, Time: m.Time},
		); err != nil {
			return 0, err
		}
	}
	return seen, nil
}

// Get gives one message; false if it is not there (erased, or never was). What a
// server of a cluster does not have, because it lags behind, the leader is asked for.
func (l *Log) Get(ctx context.Context, seq uint64) (Stored, bool, error) {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return Stored{}, false, fmt.Errorf("stream %s: %w", l.name, err)
	}
	for tries := 1; ; tries++ {
		m, err := s.GetMsg(ctx, seq)
		if err == nil {
			return Stored{Seq: m.Sequence, Subject: m.Subject, Data: m.Data, Header: m.Header, Time: m.Time}, true, nil
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return Stored{}, false, fmt.Errorf("stream %s: message %d: %w", l.name, seq, err)
		}
		gone, err := l.nothingIn(ctx, "", seq, seq)
		if err != nil || gone {
			return Stored{}, false, err
		}
		if tries > lagTries {
			return Stored{}, false, fmt.Errorf("stream %s: message %d: %w", l.name, seq, errLag)
		}
		if err := l.lagged(ctx); err != nil {
			return Stored{}, false, err
		}
	}
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

// Look compares what stands behind the known end of the stream with the bytes
// that were to be appended there: it gives the sequences of those that are
// there, in order, and the new end. Anything else found there is shown to
// stranger, whose error stops it. Where the stream ends before the known end,
// nothing is compared: [ErrBack].
func (l *Log) Look(
	ctx context.Context, end uint64, want [][]byte, stranger func(Stored) error,
) (at []uint64, newEnd uint64, err error) {
	newEnd = end
	_, last, err := l.End(ctx)
	if err != nil {
		return nil, end, err
	}
	if last < end {
		return nil, end, fmt.Errorf("stream %s ends at %d instead of %d: %w", l.name, last, end, ErrBack)
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
		newEnd = max(newEnd, last) // the last ones may be erased
	}
	return at, newEnd, err
}

// Last gives the last message of a subject; false if there is none. A server of a
// cluster that lags behind may give an older one, but none only if the leader has none.
func (l *Log) Last(ctx context.Context, subject string) (Stored, bool, error) {
	s, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return Stored{}, false, fmt.Errorf("stream %s: %w", l.name, err)
	}
	for tries := 1; ; tries++ {
		m, err := s.GetLastMsgForSubject(ctx, subject)
		if err == nil {
			return Stored{Seq: m.Sequence, Subject: m.Subject, Data: m.Data, Header: m.Header, Time: m.Time}, true, nil
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return Stored{}, false, fmt.Errorf("stream %s: last of %s: %w", l.name, subject, err)
		}
		none, err := l.nothingIn(ctx, subject, 1, math.MaxUint64)
		if err != nil || none {
			return Stored{}, false, err
		}
		if tries > lagTries {
			return Stored{}, false, fmt.Errorf("stream %s: last of %s: %w", l.name, subject, errLag)
		}
		if err := l.lagged(ctx); err != nil {
			return Stored{}, false, err
		}
	}
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

// codeSequenceNotFound is the broker's answer where a message is not there.
const codeSequenceNotFound = 10043

func gone(err error) bool {
	var api jetstream.JetStreamError
	return errors.Is(err, jetstream.ErrMsgNotFound) ||
		errors.As(err, &api) && api.APIError() != nil && api.APIError().ErrorCode == codeSequenceNotFound
}
