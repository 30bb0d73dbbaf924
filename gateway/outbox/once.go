package outbox

import (
	"sync"

	"karaula/internal/problem"
)

// underway are the drafts that must be said once only and are on their way:
// queued, or journalled and not confirmed. Whoever brings one of them again
// cannot yet see in any list that it was said.
type underway struct {
	mu   sync.Mutex
	keys map[string]bool
}

func newUnderway() *underway { return &underway{keys: map[string]bool{}} }

// enter takes in all drafts or none. It refuses one that is on its way, one that
// stands twice in the request, and one that its owner knows as said by now.
func (u *underway) enter(drafts []Draft) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	fresh := map[string]bool{}
	for _, d := range drafts {
		switch {
		case d.Once == "":
		case fresh[d.Once]:
			return problem.New(problem.Conflict, "the same alert stands twice in one request; nothing was sent")
		case u.keys[d.Once]:
			return problem.New(problem.Unreachable, "the same alert is being said right now; nothing was said twice").
				WithHint("try again in a moment: the answer will be that of the first request")
		}
		if d.Once != "" {
			fresh[d.Once] = true
		}
		if d.Still != nil {
			if err := d.Still(); err != nil {
				return err
			}
		}
	}
	for key := range fresh {
		u.keys[key] = true
	}
	return nil
}

// leave forgets drafts.
func (u *underway) leave(drafts ...Draft) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, d := range drafts {
		delete(u.keys, d.Once)
	}
}

// answer gives a ticket its outcome. What was said has been told to OnSaid by then.
func (w *Writer) answer(t *ticket, err error) {
	w.underway.leave(t.draft)
	t.result <- err
}
