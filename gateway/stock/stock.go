// Package stock holds what the node's own broker says about a stream against
// what the gateway has stored there. Whoever has the broker's rights, or its
// disk, can delete, purge, put something in, or put back an older copy; none of
// that changes what is signed, and all of it should be seen.
//
// A look is one small question to the broker, whatever the stream holds: numbers
// are compared. Only where they do not agree is the list of holes asked for, once.
//
// It only counts and compares: it must never read content, never repair
// anything, and never decide what follows from a fault.
package stock

import (
	"context"
	"errors"
	"fmt"

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

// Codes are all of them.
func Codes() []Code { return []Code{Gone, SetBack, Anew, Strange} }

// Fault is something that was not wrong at the look before.
type Fault struct {
	Stream string
	Code   Code
	Count  uint64 // messages; 0 if they cannot be counted
	Text   string
}

// Shelf is one stream at which somebody looks again and again. Use one goroutine
// at a time.
type Shelf struct {
	log    *stream.Log
	stored *Stored

	before  *sight
	absent  bool   // at the look before
	based   bool   // base is counted
	base    uint64 // holes that are not of the gateway's making and were told, or there at the first look
	began   bool   // strange is counted
	strange uint64 // at the look before
}

// sight is what was to be seen at one look.
type sight struct {
	stream.State

	taken  uint64 // by the gateway, until then
	steady bool   // nothing was being taken out meanwhile
}

// NewShelf makes a shelf that nobody has looked at; log is nobody else's. Without
// stored, the stream is one from which nothing is ever taken, and what lies there
// is not compared.
func NewShelf(log *stream.Log, stored *Stored) *Shelf { return &Shelf{log: log, stored: stored} }

// Look asks the broker and gives what is newly wrong. Strangers and holes that are
// there at the first look are where the next ones begin: who reads the stream back
// has seen them.
func (s *Shelf) Look(ctx context.Context) ([]Fault, error) {
	known := counts{steady: true, whole: true}
	if s.stored != nil {
		known = s.stored.counts()
	}
	end := known.last
	if s.before != nil {
		end = max(end, s.before.Last)
	}
	now, err := s.log.State(ctx, end)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return s.lost(end), nil
	}
	if err != nil && !errors.Is(err, stream.ErrBack) {
		return nil, err
	}
	before := s.before
	s.before, s.absent = &sight{State: now, taken: known.taken, steady: known.steady}, false
	switch {
	case before != nil && !before.Made.Equal(now.Made):
		s.afresh()
		return []Fault{s.fault(Anew, 0, "was deleted and made again; it ends at %d", now.Last)}, nil
	case now.Last < end:
		s.afresh()
		return []Fault{s.fault(SetBack, 0, "ends at %d, but %d was stored there", now.Last, end)}, nil
	case s.stored == nil:
		return s.taken(before, now), nil
	default:
		return s.compare(ctx, before, known)
	}
}

// Excuse says that so many messages were taken from a stream from which otherwise
// nothing is.
func (s *Shelf) Excuse(n uint64) { s.base += n }

// taken tells of messages that were taken from a stream from which nothing ever is.
func (s *Shelf) taken(before *sight, now stream.State) []Fault {
	n := now.Holes() - min(now.Holes(), s.base)
	s.base = now.Holes()
	if n == 0 || before == nil {
		return nil
	}
	return []Fault{s.fault(Gone, n, "has lost %d messages that were stored there", n)}
}

// compare tells of known messages that are not there, and of others that are.
func (s *Shelf) compare(ctx context.Context, before *sight, known counts) ([]Fault, error) {
	var list []Fault
	now := s.before
	after := s.stored.counts()
	now.steady = now.steady && after.steady && now.taken == after.taken
	if s.short(after.taken) {
		gone, err := s.count(ctx)
		if err != nil {
			s.before = before
			return nil, err
		}
		if gone > 0 {
			list = append(list, s.fault(Gone, gone, "has lost %d messages that were stored there", gone))
		}
		return list, nil
	}
	if !s.based {
		s.base, s.based = now.Holes()-min(now.Holes(), after.taken), true
	}
	// What was on its way at the look before is known now, if anything behind it
	// is, or nothing is on its way any more.
	if before == nil || !before.steady || !known.whole && before.Last > known.last {
		return list, nil
	}
	ours := s.stored.upTo(before.Last)
	ours -= min(ours, before.taken)
	strange := before.Messages - min(before.Messages, ours)
	if n := strange - min(strange, s.strange); n > 0 && s.began {
		list = append(list, s.fault(Strange, n, "holds %d messages that nobody here has put there", n))
	}
	s.strange, s.began = strange, true
	return list, nil
}

// short reports whether the stream has more holes, or fewer messages, than the
// gateway has made.
func (s *Shelf) short(taken uint64) bool {
	now := s.before
	return s.based && now.Holes() > s.base+taken || now.Messages+taken < s.stored.upTo(now.Last)
}

// count asks for the holes and gives how many known messages are gone.
func (s *Shelf) count(ctx context.Context) (uint64, error) {
	first, absent, err := s.log.Missing(ctx)
	if err != nil {
		return 0, err
	}
	gone, own := s.stored.lose(first, absent)
	holes := max(first, 1) - 1 + uint64(len(absent))
	s.base, s.based = holes-min(holes, own), true
	s.before.steady = s.before.steady && holes == s.before.Holes()
	return gone, nil
}

func (s *Shelf) fault(code Code, count uint64, format string, args ...any) Fault {
	return Fault{s.log.Name(), code, count, fmt.Sprintf("the broker's stream %s "+format, append([]any{s.log.Name()}, args...)...)}
}

// afresh begins to count anew: nothing there is what was stored.
func (s *Shelf) afresh() {
	s.base, s.based, s.strange, s.began = 0, false, 0, false
	if s.stored != nil {
		s.stored.forget()
	}
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
	s.afresh()
	return []Fault{s.fault(SetBack, 0, "is gone; %d was stored there", end)}
}
