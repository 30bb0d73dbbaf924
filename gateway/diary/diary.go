// Package diary keeps what officers of a node did as a ledger of its own: every
// record in the desk stream carries a number and the link of the record before,
// and the newest place is kept in a file that the broker does not reach. So a
// record that the broker drops, repeats, moves or forgets is missed
// (docs/spec/desk.md).
//
// Records that come at the same time go to the broker in one batch, and the head
// to the disk once for all of them. The package must never let a deed be done
// whose record and head are not both stored, never take a record out but the
// oldest at their end, never without its stub, and never put what an officer did into a log or an error.
package diary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"karaula/gateway/stream"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const (
	maxBatch   = 100              // records of one batch
	commitTime = 10 * time.Second // for one batch
)

// Config is what a diary needs.
type Config struct {
	Log     *stream.Log
	Stubs   *stream.Log // of what was taken out at its end; nil: nothing ever is
	Records *Records
	Path    string // of the file of the head
	Now     func() time.Time
	Logger  *slog.Logger
}

// Missing begins what a node's status warns of while [Diary.Trouble] gives something.
const Missing = "the own broker does not show what officers did as it was kept"

// Diary writes the ledger of the desk. It is safe for concurrent use.
type Diary struct {
	cfg  Config
	file *headFile

	mu      sync.Mutex // of what follows
	waiting []*waiting
	trouble string // what was missed first, empty if nothing was

	turn   sync.Mutex // held by whoever writes; of what follows
	head   head
	end    uint64 // last sequence of the stream
	writes uint64 // of the head
	unsure bool   // what the stream holds must be looked at before the next batch
	lost   bool   // the head was not here at the start
}

// waiting is a record that waits for its place.
type waiting struct {
	deed string
	rec  *karaulav1.DeskRecord
	done bool
	err  error
}

// Open takes up the ledger where the head's file says that it is, and looks
// whether the broker still shows it. What it misses becomes a record of deed gap
// and a warning: work goes on, because a node that falls silent whenever its
// broker wants it to protects nobody.
func Open(ctx context.Context, cfg Config) (*Diary, error) {
	file, err := openHead(cfg.Path, cfg.Records.mark)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the head of the desk's ledger cannot be used; the gateway does not start").
			WithHint("check the disk and the rights of %s", cfg.Path)
	}
	d := &Diary{cfg: cfg, file: file, unsure: true}
	at, ok, err := file.read()
	if err != nil {
		return nil, errors.Join(problem.Wrap(problem.Failed, err, "the head of the desk's ledger cannot be read"), file.f.Close())
	}
	d.head, d.lost, d.writes = at, !ok, file.older(at)
	if err := d.look(ctx); err != nil {
		cfg.Logger.Warn("the desk stream cannot be looked at yet", "why", err.Error())
	}
	return d, nil
}

// Close closes the file of the head.
func (d *Diary) Close() error {
	d.turn.Lock()
	defer d.turn.Unlock()
	return d.file.f.Close()
}

// Head gives the newest place.
func (d *Diary) Head() Place {
	d.turn.Lock()
	defer d.turn.Unlock()
	return d.head.Place
}

// Trouble says what was missed first; empty if nothing was.
func (d *Diary) Trouble() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trouble
}

// miss remembers what is missed, and logs the first of it.
func (d *Diary) miss(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trouble == "" {
		d.trouble = text
		d.cfg.Logger.Error("the broker does not show the desk's ledger as it was kept", "what", text)
	}
}

// Append writes an entry down. When it returns without an error, the record is
// stored at the broker and its place on the own disk.
func (d *Diary) Append(ctx context.Context, e *karaulav1.DeskEntry) error {
	rec, err := d.cfg.Records.Seal(e) // the costly part, by everybody at once
	if err != nil {
		return err
	}
	w := &waiting{deed: e.GetDeed(), rec: rec}
	d.mu.Lock()
	d.waiting = append(d.waiting, w)
	d.mu.Unlock()

	d.turn.Lock()
	defer d.turn.Unlock()
	for !w.done { // somebody else may have written it meanwhile
		d.mu.Lock()
		n := min(len(d.waiting), maxBatch)
		batch := d.waiting[:n:n]
		d.waiting = d.waiting[n:]
		d.mu.Unlock()
		// Others wait for this batch too: that one officer gives up must not stop it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
		err := d.commit(ctx, batch)
		cancel()
		for _, w := range batch {
			w.done, w.err = true, err
		}
	}
	if w.err != nil {
		return problem.Wrap(problem.Unreachable, w.err, "it cannot be recorded who did this, so it was not done").
			WithHint("karaula status --dir DIR shows whether the broker answers")
	}
	return nil
}

// commit stores a batch behind the head, and the new head.
func (d *Diary) commit(ctx context.Context, batch []*waiting) error {
	for tries := 0; ; tries++ {
		if d.unsure {
			if err := d.look(ctx); err != nil {
				return err
			}
		}
		err := d.store(ctx, batch)
		if errors.Is(err, stream.ErrMoved) && tries < 3 {
			d.unsure = true
			continue
		}
		return err
	}
}

func (d *Diary) store(ctx context.Context, batch []*waiting) error {
	at := d.head.Place
	msgs := make([]stream.Msg, len(batch))
	for i, w := range batch {
		var data []byte
		var err error
		if data, at, err = d.cfg.Records.Place(w.rec, at); err != nil {
			return err
		}
		msgs[i] = stream.Msg{Subject: subject.Desk(w.deed), Data: data}
	}
	end, err := d.cfg.Log.Append(ctx, msgs, d.end)
	if err != nil {
		d.unsure = d.unsure || !errors.Is(err, stream.ErrFull)
		return err
	}
	d.end = end
	return d.keep(head{at, end})
}

// keep puts a head on disk, and counts on it only then.
func (d *Diary) keep(at head) error {
	if err := d.file.write(at, d.writes); err != nil {
		d.unsure = true
		return fmt.Errorf("the head of the desk's ledger cannot be kept: %w", err)
	}
	d.writes++
	d.head = at
	return nil
}

// look holds the end of the stream against the head. Records that follow it are
// taken up: they were stored and their answer was lost, or the other gateway of
// the pair has written them. The caller has the turn, or is alone.
func (d *Diary) look(ctx context.Context) error {
	_, last, err := d.cfg.Log.End(ctx)
	if err != nil {
		return err
	}
	gap, err := d.headIsThere(ctx, last)
	if err != nil {
		return err
	}
	at := d.head
	if d.lost && at == (head{}) {
		if at.Place, err = d.pruned(ctx, func(*karaulav1.DeskRecord) error { return nil }); err != nil {
			return err
		}
	}
	strangers := 0
	err = d.cfg.Log.Read(ctx, d.head.seq+1, "", func(m stream.Stored) error {
		rec, err := d.cfg.Records.Parse(m.Data)
		switch {
		case err == nil && rec.GetNumber() == at.Number+1 && [32]byte(rec.GetPrevious()) == at.Link:
			at = head{placeOf(rec), m.Seq}
		case err == nil && d.lost && at == (head{}): // the oldest ones are gone, or it would be number 1
			gap = fmt.Sprintf("records 1 to %d are missing", rec.GetNumber()-1)
			at = head{placeOf(rec), m.Seq}
		default:
			strangers++
		}
		last = max(last, m.Seq)
		return nil
	})
	if err != nil {
		return err
	}
	d.end = last
	if strangers > 0 {
		gap = join(gap, fmt.Sprintf("behind record %d lie %d messages that do not follow it", at.Number, strangers))
	}
	if d.lost && at.Number > 0 {
		gap = join(gap, fmt.Sprintf("the file of the head was not here; the ledger was taken up at record %d, as the broker shows it", at.Number))
	}
	if at != d.head {
		if err := d.keep(at); err != nil {
			return err
		}
	}
	d.unsure, d.lost = false, false
	if gap == "" {
		return nil
	}
	d.miss(gap)
	return d.note(ctx, gap)
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// headIsThere says what is wrong if the stream does not show the head.
func (d *Diary) headIsThere(ctx context.Context, last uint64) (gap string, err error) {
	if d.head.Number == 0 {
		return "", nil
	}
	if last < d.head.seq {
		return fmt.Sprintf("the stream ends before record %d: it was lost or set back", d.head.Number), nil
	}
	m, ok, err := d.cfg.Log.Get(ctx, d.head.seq)
	if err != nil {
		return "", err
	}
	if rec, err := d.cfg.Records.Parse(m.Data); !ok || err != nil || placeOf(rec) != d.head.Place {
		return fmt.Sprintf("record %d is not where it was stored", d.head.Number), nil
	}
	return "", nil
}

// note records by itself what was missed.
func (d *Diary) note(ctx context.Context, text string) error {
	rec, err := d.cfg.Records.Seal(&karaulav1.DeskEntry{
		At: d.cfg.Now().UnixMicro(), Officer: "gateway", Role: "system", Deed: "gap", Reason: text,
	})
	if err != nil {
		return err
	}
	return d.store(ctx, []*waiting{{deed: "gap", rec: rec}})
}
