package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// readLedger gives everything that the streams hold of a ledger, in their order,
// to an audit. It judges nothing.
func (g *Gateway) readLedger(
	ctx context.Context, on subject.Channel, origin string, fn func(*karaulav1.StoredPiece) error,
) error {
	r := &ledgerReader{g: g, channel: on.ID, origin: origin, fn: fn, next: border.Position{Epoch: 1, Seq: 1}}
	name := subject.Out(on)
	if origin != g.self {
		name = subject.InStream(on, origin)
	}
	err := stream.Open(g.js, name).Read(ctx, 1, "", func(m stream.Stored) error { return r.take(ctx, name, m) })
	switch {
	case err == nil || errors.Is(err, jetstream.ErrStreamNotFound): // what is lost shows by what others have signed
		return r.rest(ctx)
	case problem.KindOf(err) == problem.Failed && ctx.Err() == nil:
		return problem.Wrap(problem.Unreachable, err, "stream %s cannot be read to its end", name)
	}
	return err //nolint:wrapcheck // fn's own
}

// readAside gives what was put aside as no part of a ledger.
func (g *Gateway) readAside(
	ctx context.Context, on subject.Channel, origin string, fn func(*karaulav1.StoredPiece) error,
) error {
	err := g.quarantine.Read(ctx, 1, subject.Quarantine(on.ID, origin), func(m stream.Stored) error {
		return fn(&karaulav1.StoredPiece{Data: m.Data, Where: fmt.Sprintf("%s %d", subject.QuarantineStream, m.Seq)})
	})
	if err != nil && problem.KindOf(err) == problem.Failed && ctx.Err() == nil {
		return problem.Wrap(problem.Unreachable, err, "what was put aside cannot be read")
	}
	return err //nolint:wrapcheck // fn's own
}

// ledgerReader puts the stubs of what was erased where its messages lay.
type ledgerReader struct {
	g               *Gateway
	channel, origin string
	fn              func(*karaulav1.StoredPiece) error
	last            uint64          // sequence of the last message
	next            border.Position // number that follows it
}

// take passes a message on. Where sequences are missing before it, something was
// erased.
func (r *ledgerReader) take(ctx context.Context, name string, m stream.Stored) error {
	var said *karaulav1.Statement
	p, ok := envelope.Peek(m.Data)
	if ok {
		said = p.Said
	}
	at := border.Position{Epoch: said.GetEpoch(), Seq: said.GetSeq()}
	if ok && m.Seq != r.last+1 {
		if err := r.stubs(ctx, at); err != nil {
			return err
		}
	}
	r.last = m.Seq
	if ok && (at == r.next || at.Epoch > r.next.Epoch) {
		r.next = border.Position{Epoch: at.Epoch, Seq: at.Seq + 1}
	}
	return r.fn(&karaulav1.StoredPiece{Data: m.Data, Where: fmt.Sprintf("%s %d", name, m.Seq)})
}

// stubs passes on the stubs that are there of the numbers from the next one on, up
// to a number; the zero position for all.
func (r *ledgerReader) stubs(ctx context.Context, until border.Position) error {
	for r.next != until {
		data, where, err := r.stub(ctx)
		if err != nil {
			return err
		}
		switch {
		case data != nil:
			if err := r.fn(&karaulav1.StoredPiece{Data: data, Where: where}); err != nil {
				return err
			}
			r.next.Seq++
		case until.Epoch > r.next.Epoch:
			r.next = border.Position{Epoch: r.next.Epoch + 1, Seq: 1}
		default:
			return nil
		}
	}
	return nil
}

// rest passes on the stubs behind the last message: those that follow, and then
// whatever else there is, so that a gap before it shows.
func (r *ledgerReader) rest(ctx context.Context) error {
	if err := r.stubs(ctx, border.Position{}); err != nil {
		return err
	}
	all := subject.Stubs(r.channel, r.origin)
	err := stream.Open(r.g.js, subject.StubStream).Read(ctx, 1, all, func(m stream.Stored) error {
		p, ok := envelope.Peek(m.Data)
		if !ok || p.Said.GetEpoch() < r.next.Epoch || p.Said.GetEpoch() == r.next.Epoch && p.Said.GetSeq() < r.next.Seq {
			return nil
		}
		return r.fn(&karaulav1.StoredPiece{Data: m.Data, Where: fmt.Sprintf("%s %d", subject.StubStream, m.Seq)})
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err //nolint:wrapcheck // fn's own, or the stream's
}

// stub reads the stub of the next number, nil if there is none.
func (r *ledgerReader) stub(ctx context.Context) (data []byte, where string, err error) {
	name := subject.Stub(r.channel, r.origin, r.next.Epoch, r.next.Seq)
	err = stream.Open(r.g.js, subject.StubStream).Read(ctx, 1, name, func(m stream.Stored) error {
		data, where = m.Data, fmt.Sprintf("%s %d", subject.StubStream, m.Seq)
		return nil
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, "", nil
	}
	return data, where, err
}
