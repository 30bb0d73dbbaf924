package diary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"karaula/gateway/stream"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Check reads the whole ledger again without opening it, and remembers what it
// misses first: see [Diary.Trouble].
func (d *Diary) Check(ctx context.Context) error {
	_, err := d.Read(ctx, time.Time{}, time.Time{}, nil)
	return err
}

// Slice says where an export lies.
type Slice struct {
	Before, Last Place // before the first record, and of the last one
	Head         Place
}

// Read gives the pieces of an export: the records from the first one at or after
// from to before the first one at or after to, where zero times mean all. The
// whole ledger is checked in any case; what does not verify is a piece too,
// wherever it is. Without put nothing is opened.
func (d *Diary) Read(
	ctx context.Context, from, to time.Time, put func(*karaulav1.DeskPiece) error,
) (Slice, error) {
	r := &reader{d: d, from: from, to: to, put: put, until: d.Head()}
	var err error
	if r.pruned, err = d.pruned(ctx, r.follow); err != nil {
		return Slice{}, err
	}
	if err := d.cfg.Log.Read(ctx, 1, "", r.take); err != nil {
		if problem.KindOf(err) == problem.Failed && ctx.Err() == nil {
			err = problem.Wrap(problem.Unreachable, err, "the desk stream cannot be read to its end")
		}
		return Slice{}, err
	}
	if err := r.finish(); err != nil {
		return Slice{}, err
	}
	return Slice{r.before, r.last, r.until}, nil
}

// reader follows the ledger.
type reader struct {
	d        *Diary
	from, to time.Time
	put      func(*karaulav1.DeskPiece) error
	until    Place // the head when it began

	at, pruned   Place // pruned: of the last record of which only the stub is there
	begun, ended bool  // pieces were given; no more are
	before, last Place
}

func (r *reader) take(m stream.Stored) error {
	rec, err := r.d.cfg.Records.Parse(m.Data)
	switch {
	case err != nil:
		return r.find("message %d of the stream was not written by this gateway", m.Seq)
	case rec.GetNumber() <= r.pruned.Number:
		if r.at == r.pruned {
			return nil // it was being taken out when the gateway died
		}
		return r.find("message %d of the stream is record %d, which was taken out at its end", m.Seq, rec.GetNumber())
	case rec.GetNumber() <= r.at.Number:
		return r.find("message %d of the stream is record %d, for a second time or out of its order", m.Seq, rec.GetNumber())
	case r.at.Number >= r.until.Number:
		return nil // written since
	}
	return r.follow(rec)
}

// follow takes the next record, or what is left of it.
func (r *reader) follow(rec *karaulav1.DeskRecord) error {
	previous := Place{rec.GetNumber() - 1, [32]byte(rec.GetPrevious())}
	jump := previous != r.at
	if jump {
		text := fmt.Sprintf("records %d to %d are missing", r.at.Number+1, previous.Number)
		if previous.Number == r.at.Number {
			text = fmt.Sprintf("record %d does not follow the one before it", rec.GetNumber())
		}
		if err := r.find("%s", text); err != nil {
			return err
		}
	}
	if err := r.give(rec, previous, jump); err != nil {
		return err
	}
	r.at = placeOf(rec)
	return nil
}

// give puts a record, if it is one of the slice.
func (r *reader) give(rec *karaulav1.DeskRecord, previous Place, jump bool) error {
	if r.put == nil || r.ended {
		return nil
	}
	frame, e, err := r.d.cfg.Records.open(rec)
	if len(rec.GetSealed()) == 0 { // a stub
		err = problem.New(problem.Locked, "it was taken out at its end")
	}
	if problem.Is(err, problem.Verification) {
		if err := r.find("record %d was changed: it does not hold what it commits to", rec.GetNumber()); err != nil {
			return err
		}
	} else if err != nil && !problem.Is(err, problem.Locked) {
		return err
	}
	known := err == nil
	at := time.UnixMicro(e.GetAt())
	if !r.begun && !r.from.IsZero() && (!known || at.Before(r.from)) {
		return nil
	}
	if known && !r.to.IsZero() && !at.Before(r.to) {
		r.ended = true
		return nil
	}
	if !r.begun || jump {
		if !r.begun {
			r.begun, r.before = true, previous
		}
		if err := r.put(&karaulav1.DeskPiece{Piece: &karaulav1.DeskPiece_Begin{Begin: previous.Proto()}}); err != nil {
			return err
		}
	}
	r.last = placeOf(rec)
	if known {
		return r.put(&karaulav1.DeskPiece{Piece: &karaulav1.DeskPiece_Frame{Frame: frame}})
	}
	return r.put(&karaulav1.DeskPiece{Piece: &karaulav1.DeskPiece_Commitment{Commitment: rec.GetCommitment()}})
}

// finish looks whether the ledger has come to the head.
func (r *reader) finish() error {
	if r.at != r.until {
		text := fmt.Sprintf("records %d to %d are missing", r.at.Number+1, r.until.Number)
		if r.at.Number >= r.until.Number {
			text = fmt.Sprintf("record %d is not the one that the gateway has kept", r.until.Number)
		}
		if err := r.find("%s", text); err != nil {
			return err
		}
	}
	if r.begun || r.put == nil {
		return nil
	}
	r.before, r.last = r.until, r.until // nothing of the slice
	return r.put(&karaulav1.DeskPiece{Piece: &karaulav1.DeskPiece_Begin{Begin: r.until.Proto()}})
}

// find remembers what does not verify, and puts it where it was found.
func (r *reader) find(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	r.d.miss(text)
	if r.put == nil {
		return nil
	}
	return r.put(&karaulav1.DeskPiece{Piece: &karaulav1.DeskPiece_Finding{Finding: text}})
}

// Holds reports whether a record that the broker stored at or after a time, and that can
// be opened here, is one that is looked for. What does not verify counts for nothing.
func (d *Diary) Holds(ctx context.Context, since time.Time, is func(*karaulav1.DeskEntry) bool) (bool, error) {
	err := d.cfg.Log.Read(ctx, 1, "", func(m stream.Stored) error {
		if m.Time.Before(since) {
			return nil
		}
		if e, err := d.cfg.Records.Open(m.Data); err == nil && is(e) {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

var errFound = errors.New("it is there")
