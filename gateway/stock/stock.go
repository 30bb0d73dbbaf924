// Package stock holds what the node's own broker says about a stream against
// what the gateway has stored there. Whoever has the broker's rights, or its
// disk, can delete, purge, put something in, or put back an older copy; none of
// that changes what is signed, and all of it should be seen.
//
// It only counts and compares: it must never read content, never repair
// anything, and never decide what follows from a fault.
package stock

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/stream"
)

// Code says what is wrong with a stream; a stable word for logs and metrics.
type Code string

// The codes.
const (
	Gone    Code = "gone"      // messages that were stored are no longer there
	SetBack Code = "set-back"  // the stream ends before what was stored
	Anew    Code = "made-anew" // the stream was deleted and made again
	Strange Code = "strange"   // messages are there that the gateway has not put there
)

// Fault is something that was not wrong at the look before.
type Fault struct {
	Stream string
	Code   Code
	Count  uint64 // messages; 0 if they cannot be counted
	Text   string
}

// Known is what the gateway has stored in a stream.
type Known struct {
	Places Places
	// Taken reports whether the gateway itself has taken a message out; nil: none.
	Taken func(seq uint64) bool
}

// Shelf is one stream at which somebody looks again and again. Use one
// goroutine.
type Shelf struct {
	log     *stream.Log
	before  *stream.State // at the look before
	absent  bool          // at the look before
	missing Places        // known messages that were not there at the look before
	strange uint64        // at the look before
	began   bool          // strange is counted
}

// NewShelf makes a shelf that nobody has looked at.
func NewShelf(log *stream.Log) *Shelf { return &Shelf{log: log} }

// Look asks the broker and gives what is newly wrong. What is missing or strange
// at the first look is where the next ones begin: who reads the stream back has
// seen it. Without known, the stream is one from which nothing is ever taken, and
// what lies there is not compared.
func (s *Shelf) Look(ctx context.Context, known *Known) ([]Fault, error) {
	end := uint64(0)
	if known != nil {
		end = known.Places.Last()
	}
	now, err := s.log.State(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return s.lost(end), nil
	}
	if err != nil {
		return nil, err
	}
	before := s.before
	s.before, s.absent = &now, false
	switch {
	case before != nil && !before.Made.Equal(now.Made):
		s.missing, s.strange, s.began = nil, 0, false
		return []Fault{s.fault(Anew, 0, "was deleted and made again; it ends at %d", now.Last)}, nil
	case before != nil:
		end = max(end, before.Last)
	}
	if now.Last < end {
		return []Fault{s.fault(SetBack, 0, "ends at %d, but %d was stored there", now.Last, end)}, nil
	}
	if known == nil {
		return s.taken(before, now), nil
	}
	return s.compare(ctx, before, now, known)
}

// taken tells of messages that were taken from a stream from which nothing ever is.
func (s *Shelf) taken(before *stream.State, now stream.State) []Fault {
	n := now.Holes()
	if before != nil {
		n -= min(n, before.Holes())
	}
	if n == 0 {
		return nil
	}
	return []Fault{s.fault(Gone, n, "has lost %d messages that were stored there", n)}
}

// compare tells of known messages that are not there, and of others that are.
func (s *Shelf) compare(ctx context.Context, before *stream.State, now stream.State, known *Known) ([]Fault, error) {
	strange := s.strangers(before, known)
	var list []Fault
	if before == nil || before.Holes() != now.Holes() {
		missing, err := s.notThere(ctx, now, known.Places)
		if err != nil {
			s.before = before
			return nil, err
		}
		n := uint64(0)
		for _, seq := range missing {
			if !s.missing.Has(seq) && (known.Taken == nil || !known.Taken(seq)) {
				n++
			}
		}
		if n > 0 && before != nil {
			list = append(list, s.fault(Gone, n, "has lost %d messages that were stored there", n))
		}
		s.missing = missing
	}
	if n := strange - min(strange, s.strange); n > 0 && s.began {
		list = append(list, s.fault(Strange, n, "holds %d messages that nobody here has put there", n))
	}
	s.strange, s.began = strange, before != nil
	return list, nil
}

func (s *Shelf) fault(code Code, count uint64, format string, args ...any) Fault {
	return Fault{s.log.Name(), code, count, fmt.Sprintf("the broker's stream %s "+format, append([]any{s.log.Name()}, args...)...)}
}

// lost tells of a stream that is not there, once it is not there at two looks: a
// broker that is starting may not know it yet.
func (s *Shelf) lost(end uint64) []Fault {
	first := !s.absent
	s.absent = true
	if first || s.before == nil {
		return nil
	}
	s.before = nil
	return []Fault{s.fault(SetBack, 0, "is gone; %d was stored there", end)}
}

// notThere gives the known messages that are not there.
func (s *Shelf) notThere(ctx context.Context, now stream.State, known Places) (Places, error) {
	if now.Holes() == 0 {
		return nil, nil
	}
	first, list, err := s.log.Missing(ctx)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(known[:known.To(max(first, 1)-1)])
	for _, seq := range list {
		if known.Has(seq) {
			out = append(out, seq)
		}
	}
	return out, nil
}

// strangers counts what was there at the look before and is not known yet now.
func (s *Shelf) strangers(before *stream.State, known *Known) uint64 {
	if before == nil {
		return 0
	}
	ours := known.Places.To(before.Last)
	ours -= min(ours, s.missing.To(before.Last))
	return before.Messages - min(before.Messages, ours)
}

// PlacesOf gives sequences in order, each once; zero is none.
func PlacesOf(lists ...[]uint64) Places {
	out := slices.Concat(lists...)
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > 0 && out[0] == 0 {
		out = out[1:]
	}
	return out
}

// Places are ascending sequences.
type Places []uint64

// Last is the highest one, 0 if there is none.
func (p Places) Last() uint64 {
	if len(p) == 0 {
		return 0
	}
	return p[len(p)-1]
}

// To counts those up to a sequence.
func (p Places) To(seq uint64) uint64 {
	n, found := slices.BinarySearch(p, seq)
	if found {
		n++
	}
	return uint64(n) //nolint:gosec // a length
}

// Has reports whether a sequence is one of them.
func (p Places) Has(seq uint64) bool {
	_, found := slices.BinarySearch(p, seq)
	return found
}
