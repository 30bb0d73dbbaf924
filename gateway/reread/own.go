package reread

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/stream"
	"karaula/internal/subject"
)

// Own is the store for the node itself, which may read every stream.
func Own(js jetstream.JetStream, channel, origin string) Store { return own{js, channel, origin} }

type own struct {
	js              jetstream.JetStream
	channel, origin string
}

func (o own) Messages(ctx context.Context, name string, fn func(stream.Stored) error) error {
	return o.read(ctx, name, "", fn)
}

func (o own) One(ctx context.Context, epoch, seq uint64) (data []byte, where string, err error) {
	name := subject.Stub(o.channel, o.origin, epoch, seq)
	err = o.read(ctx, subject.StubStream, name, func(m stream.Stored) error {
		data, where = m.Data, place(m)
		return nil
	})
	return data, where, err
}

func (o own) All(ctx context.Context, fn func(data []byte, where string) error) error {
	return o.read(ctx, subject.StubStream, subject.Stubs(o.channel, o.origin), func(m stream.Stored) error {
		return fn(m.Data, place(m))
	})
}

func (o own) read(ctx context.Context, name, subj string, fn func(stream.Stored) error) error {
	err := stream.Open(o.js, name).Read(ctx, 1, subj, fn)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err //nolint:wrapcheck // fn's own, or the stream's
}

// place says where a stub lies.
func place(m stream.Stored) string { return fmt.Sprintf("%s %d", subject.StubStream, m.Seq) }
