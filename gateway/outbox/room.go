package outbox

import (
	"context"

	"karaula/internal/problem"
)

const (
	// maxWaiting is how many drafts may wait for their number.
	maxWaiting = 4096
	// maxChanges is how many changes of text or card may wait beside them; they
	// have to wait for no draft.
	maxChanges = 2 * maxAmendments
	// queueLength holds both.
	queueLength = maxWaiting + maxChanges
)

// room bounds how many drafts wait. It is taken before the writer is locked:
// who waited with the lock held for the queue to empty would keep the one who
// empties it from doing so.
type room struct {
	turn  chan struct{} // has an element while somebody waits
	taken chan struct{} // has an element for each draft that waits
}

func newRoom() *room {
	return &room{turn: make(chan struct{}, 1), taken: make(chan struct{}, maxWaiting)}
}

// take waits until there is room for n. Those who wait are served in turn, each
// with all that he needs. If ctx ends first, nothing is taken.
func (r *room) take(ctx context.Context, n int) error {
	if n > maxWaiting {
		return problem.New(problem.Invalid, "%d statements at once, at most %d are taken", n, maxWaiting)
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return problem.Wrap(problem.Unreachable, ctx.Err(), "no room in time")
	}
	for i := range n {
		select {
		case r.taken <- struct{}{}:
		case <-ctx.Done():
			r.giveBack(i)
			return problem.Wrap(problem.Unreachable, ctx.Err(), "no room in time")
		}
	}
	return nil
}

// giveBack makes room for n.
func (r *room) giveBack(n int) {
	for range n {
		<-r.taken
	}
}

// push puts a ticket into the order, and among those to be sealed; behind it
// the ledger's edge is next. Called with w.mu held. It never waits: both queues
// hold all drafts for which there is room, and all changes that are admitted.
func (w *Writer) push(t *ticket, next edge) {
	next.saidAt, next.fresh, next.exercise = t.st.GetSaidAt(), false, next.exercise.After(t.st)
	t.after, w.edge = next, next
	if !t.room {
		w.changes.Add(1)
	}
	if t.seal == nil {
		t.sealed <- nil
	} else {
		w.sealing <- t
	}
	w.queue <- t
}

// taken makes room behind a ticket that was taken from the queue; nil is none.
func (w *Writer) taken(t *ticket) *ticket {
	switch {
	case t == nil:
	case t.room:
		w.room.giveBack(1)
	default:
		w.changes.Add(-1)
	}
	return t
}

// seal has tickets sealed in their order, as many at once as there are seats,
// so that the next ones to be numbered are the first to be ready.
func (w *Writer) seal() {
	for t := range w.sealing {
		w.cfg.Seats <- struct{}{}
		go func() {
			defer func() { <-w.cfg.Seats }()
			t.sealed <- t.seal()
		}()
	}
}
