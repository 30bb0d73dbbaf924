package imports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/internal/alert"
	"karaula/internal/table"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// run is one import.
type run struct {
	o        Options
	node     node
	standing standing

	mu       sync.Mutex // of what follows, and of the state
	counts   Counts
	unread   int               // bad rows of which not even the key is known
	made     map[[16]byte]bool // ids of this run
	stopping error
}

// Run imports. The counts hold what was done also where an error comes back: it
// means that the import stopped, and that the same command goes on with it.
func Run(ctx context.Context, o Options) (Counts, error) {
	r := &run{
		o: o, node: &asker{client: o.Node, channel: o.Channel, wait: o.Wait, why: o.Assessment},
		made: map[[16]byte]bool{},
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !o.DryRun {
		if err := r.compare(ctx); err != nil {
			return r.counts, err
		}
	}
	callers := 2 * runtime.GOMAXPROCS(0)
	batches := make(chan []*job)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for batch := range batches {
				if err := r.sendBatch(ctx, batch); err != nil {
					r.stop(err)
					cancel()
				}
			}
		})
	}
	err := r.read(ctx, batches)
	close(batches)
	wg.Wait()
	if r.stopping != nil {
		err = r.stopping
	}
	if err == nil {
		err = r.missing(ctx)
	}
	if err == nil {
		err = r.replace(ctx)
	}
	return r.counts, err
}

// stop keeps the first error that ends the import.
func (r *run) stop(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping == nil {
		r.stopping = err
	}
}

// read reads all rows, and hands over what has to be sent.
func (r *run) read(ctx context.Context, batches chan<- []*job) error {
	var batch []*job
	hand := func() error {
		if len(batch) == 0 || r.o.DryRun {
			batch = nil
			return ctx.Err()
		}
		r.mu.Lock()
		err := r.o.State.write(batch)
		r.mu.Unlock()
		if err != nil {
			return err
		}
		select {
		case batches <- batch:
			batch = nil
			return nil
		case <-ctx.Done():
			return stopped(ctx)
		}
	}
	for {
		row, fault, err := r.o.Rows.Next()
		if errors.Is(err, io.EOF) {
			return hand()
		}
		if err != nil {
			return errors.Join(err, hand())
		}
		if j := r.plan(row, fault); j != nil {
			batch = append(batch, j)
		}
		if len(batch) == desk.MaxAlerts {
			if err := hand(); err != nil {
				return err
			}
		}
	}
}

// plan decides what a row needs; nil if nothing.
func (r *run) plan(row table.Row, fault *table.Fault) *job {
	var keyed bool
	var raw []byte
	if row.Cells != nil {
		raw, keyed = r.o.Rows.Key(row)
	}
	var a *karaulav1.Alert
	switch {
	case fault != nil:
	case !keyed:
		fault = &table.Fault{Line: row.Line, Row: row.Row, Why: "a column of the key is empty"}
	default:
		a, fault = r.o.Rows.Alert(row)
	}
	key := r.o.State.hashOf("row", raw)
	j := &job{row: row, key: key, alert: a}
	var content hash
	if a != nil {
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(a)
		if err != nil { // text that is not UTF-8 cannot come out of the decoder
			fault = &table.Fault{Line: row.Line, Row: row.Row, Why: "cannot be written as an alert"}
		}
		content = r.o.State.hashOf("content", body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.Rows++
	k := r.o.State.rows[key]
	if keyed && k != nil {
		switch {
		case k.line != 0 && fault == nil && k.now == content:
			r.counts.Repeated++
			return nil
		case k.line != 0 && fault == nil:
			fault = &table.Fault{
				Line: row.Line, Row: row.Row,
				Why: fmt.Sprintf("the row of line %d has the same key and another content", k.line),
			}
		case k.line == 0:
			k.line, k.now = int32(row.Line), content //nolint:gosec // no file has so many lines
		}
	}
	if fault != nil {
		if !keyed {
			r.unread++
		}
		r.bad(*fault)
		return nil
	}
	if k != nil && k.Stage == Said && k.Content == content {
		r.counts.Unchanged++
		if r.ended(k.ID) {
			r.counts.Ended++
		}
		return nil
	}
	if !r.next(j, k, content) {
		return nil
	}
	if k == nil {
		k = r.o.State.set(key, j.rec)
		k.line, k.now = int32(row.Line), content //nolint:gosec // no file has so many lines
	}
	return j
}

// next makes the version that the row's alert needs, and checks it.
func (r *run) next(j *job, k *known, content hash) bool {
	j.rec = Record{Content: content, Version: 1, Stage: Intended}
	if k == nil || k.Stage == Withdrawn {
		j.isNew = true
		j.rec.ID = r.newID()
	} else {
		j.rec.ID, j.rec.Version = k.ID, k.Version
		if k.Stage == Said {
			j.rec.Version++
		}
		j.isNew = j.rec.Version == 1
	}
	j.stamp()
	found := alert.Validate(j.alert, r.o.Now())
	if err := found.Err(); err != nil {
		r.bad(*j.fault(err))
		return false
	}
	if r.o.DryRun {
		r.counts.Warnings += len(found.Warnings())
		r.count(j)
	}
	return true
}

// stamp writes id and version into the alert.
func (j *job) stamp() {
	j.alert.Id, j.alert.Version, j.alert.Lifecycle = book.IDText(j.rec.ID), j.rec.Version, 0
	alert.Complete(j.alert)
}

// fault says why a row was not sent.
func (j *job) fault(err error) *table.Fault {
	text := strings.TrimSuffix(err.Error(), "; nothing was sent")
	if _, rest, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(text, "alert ") && strings.Contains(text, " of ") {
		text = rest
	}
	return &table.Fault{Line: j.row.Line, Row: j.row.Row, Why: text}
}

// bad counts and reports a bad row.
func (r *run) bad(f table.Fault) {
	r.counts.Bad++
	r.o.Fault(f)
}

// count counts what was sent.
func (r *run) count(j *job) {
	if j.isNew {
		r.counts.New++
	} else {
		r.counts.Updated++
	}
}
