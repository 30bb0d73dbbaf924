package imports

import (
	"context"
	"maps"
	"slices"
	"sync"

	"karaula/gateway/book"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// sendBatch sends what can be sent of a batch. A row that the node refuses is
// taken out, and those before and behind it are sent in smaller batches while
// refusals go on, so that a file of bad rows costs no more than its good ones
// would. An error is about all rows, and ends the import.
func (r *run) sendBatch(ctx context.Context, batch []*job) error {
	for size := len(batch); len(batch) > 0; {
		if ctx.Err() != nil {
			return stopped(ctx)
		}
		part := batch[:min(size, len(batch))]
		at, err := r.sendPart(ctx, part)
		switch {
		case err == nil:
			batch, size = batch[len(part):], size*2
		case ctx.Err() != nil:
			return stopped(ctx)
		case at == 0:
			return err
		case at > 1: // those before it can be sent
			size = at - 1
		default:
			if err := r.refused(ctx, part[0], err); err != nil {
				return err
			}
			batch, size = batch[1:], max(len(part)/2, 1)
		}
	}
	return nil
}

// stopped is the error of an import that was interrupted.
func stopped(ctx context.Context) error {
	return problem.Wrap(problem.Failed, ctx.Err(), "the import was stopped").
		WithHint("run the same command again: nothing is sent twice")
}

// sendPart sends all or nothing.
func (r *run) sendPart(ctx context.Context, part []*job) (at int, err error) {
	list := make([]*karaulav1.Alert, 0, len(part))
	for _, j := range part {
		list = append(list, j.alert)
	}
	at, warnings, err := r.node.send(ctx, list)
	if err != nil {
		return at, err
	}
	return 0, r.said(part, warnings)
}

// said records what the node has stored.
func (r *run) said(part []*job, warnings int) error {
	for _, j := range part {
		j.rec.Stage = Said
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range part {
		r.count(j)
	}
	r.counts.Warnings += warnings
	r.o.Progress(r.counts)
	return r.o.State.write(part)
}

// refused deals with an alert that the node does not take. Where its version was
// said before, by an import that was killed or by hand, the next one is said.
func (r *run) refused(ctx context.Context, j *job, why error) error {
	if problem.Is(why, problem.Conflict) {
		version, status, err := r.node.version(ctx, j.alert.GetId())
		switch {
		case problem.Is(err, problem.Unreachable):
			return err
		case err == nil && status != "withdrawn":
			j.rec.Version, j.rec.Stage, j.isNew = version+1, Intended, false
			j.stamp()
			r.mu.Lock()
			err = r.o.State.write([]*job{j})
			r.mu.Unlock()
			if err != nil {
				return err
			}
			at, err := r.sendPart(ctx, []*job{j})
			if err == nil || at == 0 {
				return err
			}
			why = err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad(*j.fault(why))
	return nil
}

// withdrawers is how many withdrawals are asked for at once.
const withdrawers = 16

// missing counts the alerts whose rows are gone, and takes them back if asked to.
func (r *run) missing(ctx context.Context) error {
	var gone []*job
	for _, key := range slices.SortedFunc(maps.Keys(r.o.State.rows), func(a, b hash) int { return slices.Compare(a[:], b[:]) }) {
		if k := r.o.State.rows[key]; k.line == 0 && k.Stage != Withdrawn {
			gone = append(gone, &job{key: key, rec: k.Record})
		}
	}
	r.counts.Missing = len(gone)
	if !r.o.Missing || r.o.DryRun || len(gone) == 0 {
		return nil
	}
	most := r.atMost(r.o.State.Standing())
	switch {
	case r.unread > 0:
		return problem.New(problem.Conflict, "%d rows could not be read, and may be the missing ones; nothing was withdrawn", r.unread).
			WithHint("mend the file, and run the same command again")
	case len(gone) > most:
		return problem.New(problem.Conflict, "%d rows are missing, more than %d; nothing was withdrawn", len(gone), most).
			WithHint("see that the file is whole; then allow it with --withdraw-at-most %d", len(gone))
	}
	return each(gone, func(j *job) error { return r.withdraw(ctx, j) })
}

// atMost is how many of the alerts that stand may be taken back.
func (r *run) atMost(standing int) int {
	if r.o.AtMost >= 0 {
		return r.o.AtMost
	}
	return max(standing/10, 1)
}

// each does something for all of a list, several at once. It ends with the first
// error of each that does it.
func each[T any](list []T, do func(T) error) error {
	work := make(chan T)
	errs := make([]error, withdrawers)
	var wg sync.WaitGroup
	for i := range withdrawers {
		wg.Go(func() {
			for x := range work {
				if errs[i] == nil {
					errs[i] = do(x)
				}
			}
		})
	}
	for _, x := range list {
		work <- x
	}
	close(work)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// takeBack has an alert withdrawn; one that was never sent needs nothing.
func (r *run) takeBack(ctx context.Context, id [16]byte) error {
	err := r.node.withdraw(ctx, book.IDText(id))
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	return err
}

// withdraw takes the alert of a row back.
func (r *run) withdraw(ctx context.Context, j *job) error {
	if err := r.takeBack(ctx, j.rec.ID); err != nil {
		return err
	}
	j.rec.Stage = Withdrawn
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.Missing--
	r.counts.Withdrawn++
	r.o.Progress(r.counts)
	return r.o.State.write([]*job{j})
}
