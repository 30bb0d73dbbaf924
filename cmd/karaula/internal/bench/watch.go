package bench

import (
	"context"
	"sync"
	"time"

	"karaula/cmd/karaula/internal/nodes"
	"karaula/gateway/bus"
	"karaula/internal/problem"
)

// patience is how long one alert may be on its way.
const patience = 30 * time.Second

// watch notes when a node tells of an event about an alert, as a console does.
type watch struct {
	event    string
	listener *bus.Listener
	done     chan struct{}

	mu      sync.Mutex
	seen    map[string]time.Time // by alert id
	waiting map[string]chan time.Time
}

// watchFor listens at a node for one kind of event.
func watchFor(n *nodes.Node, event string) *watch {
	w := &watch{
		event: event, listener: n.Gateway.Listen(), done: make(chan struct{}),
		seen: map[string]time.Time{}, waiting: map[string]chan time.Time{},
	}
	go w.run()
	return w
}

func (w *watch) run() {
	defer close(w.done)
	for told := range w.listener.C {
		for _, e := range told {
			if e.GetEvent() == w.event {
				w.note(e.GetAlert().GetAlertId(), time.Now())
			}
		}
	}
}

func (w *watch) note(id string, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[id] = now
	if c := w.waiting[id]; c != nil {
		delete(w.waiting, id)
		c <- now
	}
}

// leave ends it.
func (w *watch) leave() {
	w.listener.Leave()
	<-w.done
}

// wait gives when the event about an alert was seen.
func (w *watch) wait(ctx context.Context, id string) (time.Time, error) {
	w.mu.Lock()
	at, ok := w.seen[id]
	c := make(chan time.Time, 1)
	if !ok {
		w.waiting[id] = c
	}
	w.mu.Unlock()
	if ok {
		return at, nil
	}
	select {
	case at := <-c:
		return at, nil
	case <-ctx.Done():
		return at, problem.Wrap(problem.Failed, ctx.Err(), "stopped")
	case <-time.After(patience):
		return at, problem.New(problem.Failed, "an alert was not %s within %s", w.event, patience)
	}
}
