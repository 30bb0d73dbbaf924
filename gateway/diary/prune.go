package diary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/stream"
	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxPrune bounds what one call of [Diary.Prune] takes out.
const maxPrune = 100

var errEnough = errors.New("enough")

// Prune takes out the oldest records that are from before a moment, as far as
// they follow each other, and gives how many it has tried to: fewer than
// [Full] means that nothing more is due. A record's place stays, as a stub with
// its number, the link before it and its commitment, so that the ledger is as
// whole as before: who, what and why are gone. The stub is stored first, so a
// record that was being taken out when the gateway died is due as before. The
// newest record always stays: it is the head.
func (d *Diary) Prune(ctx context.Context, before time.Time) (tried int, err error) {
	head := d.Head()
	var due []stream.Stored
	err = d.cfg.Log.Read(ctx, 1, "", func(m stream.Stored) error {
		rec, err := d.cfg.Records.Parse(m.Data)
		if err != nil {
			return nil //nolint:nilerr // not of this ledger: the check tells of it
		}
		at, err := d.when(rec, m)
		if err != nil {
			return err
		}
		if rec.GetNumber() >= head.Number || !at.Before(before) || len(due) == maxPrune {
			return errEnough
		}
		due = append(due, m)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return 0, err
	}
	for _, m := range due {
		if err := d.keepStub(ctx, m); err != nil {
			return tried, err
		}
		tried++
		if err := d.cfg.Log.Erase(ctx, m.Seq); err != nil {
			return tried, err
		}
	}
	return tried, nil
}

// Full reports whether a call of [Diary.Prune] has left something to do.
func Full(tried int) bool { return tried == maxPrune }

// when is when a record was made: as it says, or where nothing here opens it any
// more, when the broker stored it.
func (d *Diary) when(rec *karaulav1.DeskRecord, m stream.Stored) (time.Time, error) {
	_, e, err := d.cfg.Records.open(rec)
	if problem.Is(err, problem.Locked) || problem.Is(err, problem.Verification) {
		return m.Time, nil
	}
	return time.UnixMicro(e.GetAt()), err
}

// keepStub stores what stays of a record, unless it is there already.
func (d *Diary) keepStub(ctx context.Context, m stream.Stored) error {
	rec, err := d.cfg.Records.Parse(m.Data)
	if err != nil {
		return err
	}
	name := subject.DeskStub(rec.GetNumber())
	if old, ok, err := d.cfg.Stubs.Last(ctx, name); err != nil {
		return err
	} else if ok {
		if stub, err := d.cfg.Records.Parse(old.Data); err == nil && placeOf(stub) == placeOf(rec) {
			return nil
		}
	}
	data, err := d.cfg.Records.stub(rec)
	if err != nil {
		return err
	}
	_, err = d.cfg.Stubs.Add(ctx, stream.Msg{Subject: name, Data: data})
	return err
}

// stub is a record without what it holds.
func (r *Records) stub(rec *karaulav1.DeskRecord) ([]byte, error) {
	data, err := wire.Marshal(&karaulav1.DeskRecord{
		Number: rec.GetNumber(), Previous: rec.GetPrevious(), Commitment: rec.GetCommitment(),
	}, MaxRecord)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the stub of a desk record cannot be written; nothing was taken out")
	}
	return deskMark.Add(r.mark, data), nil
}

// pruned follows the stubs from number 1 on, each once, and shows them to fn.
func (d *Diary) pruned(ctx context.Context, fn func(*karaulav1.DeskRecord) error) (Place, error) {
	at := Place{}
	if d.cfg.Stubs == nil {
		return at, nil
	}
	err := d.cfg.Stubs.Read(ctx, 1, subject.DeskStubs, func(m stream.Stored) error {
		rec, err := d.cfg.Records.Parse(m.Data)
		if err != nil || rec.GetNumber() != at.Number+1 || [32]byte(rec.GetPrevious()) != at.Link {
			return nil //nolint:nilerr // strange or repeated: if one is missing, the record behind it shows that
		}
		at = placeOf(rec)
		return fn(rec)
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return at, nil
	}
	if err != nil {
		return at, fmt.Errorf("the stubs of the desk cannot be read: %w", err)
	}
	return at, nil
}
