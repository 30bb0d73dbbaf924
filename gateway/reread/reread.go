// Package reread reads a ledger again from the streams of a broker, for an
// audit: everything that lies there, in its order, with the stubs of what was
// erased in the places where it lay.
//
// It works for the node itself and for an auditor who has nothing but a login.
// It must never judge what it reads, never change a stream, and never take a
// stream's short answer for its end.
package reread

import (
	"context"
	"fmt"

	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Source is where a ledger lies.
type Source struct {
	Self    string // whose broker it is
	Channel subject.Channel
	Origin  string
	Store   Store
}

// Store is what somebody may read of a broker about one ledger.
type Store interface {
	// Messages gives what a stream holds, in order; nothing if it is not there.
	Messages(ctx context.Context, stream string, fn func(stream.Stored) error) error
	Stubs
}

// Stubs gives the stubs of a ledger.
type Stubs interface {
	// One gives the stub of one number, and where it lies; nil if there is none.
	One(ctx context.Context, epoch, seq uint64) (data []byte, where string, err error)
	// All gives every stub that there is, in any order, if that can be asked.
	All(ctx context.Context, fn func(data []byte, where string) error) error
}

// stream is the name of the stream that holds the ledger.
func (s *Source) stream() string {
	if s.Origin == s.Self {
		return subject.Out(s.Channel)
	}
	return subject.InStream(s.Channel, s.Origin)
}

// Ledger gives everything that a broker holds of a ledger. Errors are those of fn,
// and of kind Unreachable where a stream cannot be read to its end.
func Ledger(ctx context.Context, s Source, fn func(*karaulav1.StoredPiece) error) error {
	r := &reader{s: s, fn: fn, next: border.Position{Epoch: 1, Seq: 1}}
	name := s.stream()
	err := s.Store.Messages(ctx, name, func(m stream.Stored) error { return r.take(ctx, name, m) })
	switch {
	case err == nil: // what is lost shows by what others have signed
		return r.rest(ctx)
	case problem.KindOf(err) == problem.Failed && ctx.Err() == nil:
		return problem.Wrap(problem.Unreachable, err, "stream %s cannot be read to its end", name)
	}
	return err //nolint:wrapcheck // fn's own
}

// reader puts the stubs of what was erased where its messages lay.
type reader struct {
	s    Source
	fn   func(*karaulav1.StoredPiece) error
	last uint64          // sequence of the last message
	next border.Position // number that follows it
}

// take passes a message on. Where sequences are missing before it, something was
// erased.
func (r *reader) take(ctx context.Context, name string, m stream.Stored) error {
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
func (r *reader) stubs(ctx context.Context, until border.Position) error {
	for r.next != until {
		data, where, err := r.s.Store.One(ctx, r.next.Epoch, r.next.Seq)
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
func (r *reader) rest(ctx context.Context) error {
	if err := r.stubs(ctx, border.Position{}); err != nil {
		return err
	}
	return r.s.Store.All(ctx, func(data []byte, where string) error {
		p, ok := envelope.Peek(data)
		if !ok || p.Said.GetEpoch() < r.next.Epoch || p.Said.GetEpoch() == r.next.Epoch && p.Said.GetSeq() < r.next.Seq {
			return nil
		}
		return r.fn(&karaulav1.StoredPiece{Data: data, Where: where})
	})
}
