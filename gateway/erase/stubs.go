package erase

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/subject"
)

// Stub is a statement without its content.
type Stub struct {
	Raw    []byte
	Header nats.Header // of the message that it stands for
	At     int64       // when it was kept, microseconds since 1970 UTC
}

// Stubs are those of one ledger, by place. Whoever can write to the broker can
// have put others among them, so nothing counts before it is placed.
type Stubs map[border.Position][]Stub

// ReadStubs reads the stubs of what a party said on a channel.
func ReadStubs(ctx context.Context, log *stream.Log, channel, origin string) (Stubs, error) {
	out := Stubs{}
	err := log.Read(ctx, 1, subject.Stubs(channel, origin), func(m stream.Stored) error {
		if p, ok := envelope.Peek(m.Data); ok {
			at := border.Position{Epoch: p.Said.GetEpoch(), Seq: p.Said.GetSeq()}
			out[at] = append(out[at], Stub{m.Data, m.Header, m.Time.UnixMicro()})
		}
		return nil
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return out, nil
	}
	return out, err
}

// First gives those of the first place.
func (s Stubs) First() []Stub {
	var first border.Position
	for at := range s {
		if first == (border.Position{}) || at.Epoch < first.Epoch || at.Epoch == first.Epoch && at.Seq < first.Seq {
			first = at
		}
	}
	return s[first]
}

// headerPrefix begins the names of headers that a gateway has set.
const headerPrefix = "Karaula-"

// own gives the headers that are not the broker's.
func own(h nats.Header) nats.Header {
	out := nats.Header{}
	for name, values := range h {
		if strings.HasPrefix(name, headerPrefix) {
			out[name] = values
		}
	}
	return out
}

// Eraser erases what a party said on a channel.
type Eraser struct {
	Channel, Origin string
	Log             *stream.Log // OUT or IN
	Stubs           *stream.Log
}

// Stub gives the kept stub of a statement; false if there is none.
func (e *Eraser) Stub(ctx context.Context, at border.Position, leaf [32]byte) (Stub, bool, error) {
	m, ok, err := e.Stubs.Last(ctx, subject.Stub(e.Channel, e.Origin, at.Epoch, at.Seq))
	if err != nil || !ok || !is(m.Data, leaf) {
		return Stub{}, false, err
	}
	return Stub{m.Data, m.Header, m.Time.UnixMicro()}, true, nil
}

func is(raw []byte, leaf [32]byte) bool {
	p, ok := envelope.Peek(raw)
	return ok && p.Leaf == leaf
}

// Erase keeps the stub of a statement and then overwrites its message. It may be
// repeated at will, and goes on where it was interrupted.
func (e *Eraser) Erase(ctx context.Context, it Item) error {
	m, there, err := e.Log.Get(ctx, it.StreamSeq)
	switch {
	case err != nil:
		return err
	case !there: // overwritten before, or taken away by the broker, or it has failed to overwrite it
		return e.Log.CanErase(ctx)
	}
	if !is(m.Data, it.Leaf) {
		return problem.New(problem.Verification, "message %d of %s is not number %d; it was not touched",
			it.StreamSeq, e.Log.Name(), it.Position.Seq)
	}
	if err := e.keep(ctx, it, m); err != nil {
		return err
	}
	return e.Log.Erase(ctx, it.StreamSeq)
}

// keep stores the stub of a statement that lies in a message, unless there is one; where
// that has not the message's tag, another one with it.
func (e *Eraser) keep(ctx context.Context, it Item, m stream.Stored) error {
	stub, kept, err := e.Stub(ctx, it.Position, it.Leaf)
	if err != nil {
		return err
	}
	msg := stream.Msg{Subject: subject.Stub(e.Channel, e.Origin, it.Position.Epoch, it.Position.Seq)}
	if kept {
		h, news := withTags(stub.Header, m.Header)
		if !news {
			return nil
		}
		msg.Data, msg.Header = stub.Raw, h
	} else {
		raw, err := envelope.Stub(m.Data)
		if err != nil {
			return fmt.Errorf("number %d: %w", it.Position.Seq, err)
		}
		msg.Data, msg.Header = raw, own(m.Header)
	}
	_, err = e.Stubs.Add(ctx, msg)
	return err
}
