package inbox

import (
	"errors"
	"sync"
	"time"

	"karaula/gateway/stream"
)

// logEvery is how often the same trouble with the own broker is logged again.
const logEvery = time.Minute

// stuck is why something cannot be stored in the own broker now. Storing is tried
// again until it succeeds, and nothing is acknowledged or receipted meanwhile: the
// sender keeps what waits. What does not need that store goes on.
type stuck struct {
	mu     sync.Mutex
	why    string
	logged time.Time
}

// set notes a failure, and reports whether it is worth a line in the log.
func (s *stuck) set(what string, err error, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	why := what + ": the own broker does not take it"
	if errors.Is(err, stream.ErrFull) {
		why = what + ": the stream is full; give it room with store.quota"
	}
	if s.why == why && now.Sub(s.logged) < logEvery && !now.Before(s.logged) {
		return false
	}
	s.why, s.logged = why, now
	return true
}

func (s *stuck) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = ""
}

func (s *stuck) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// Stuck says what of this ledger cannot be stored now, and why; nothing if all is well.
func (b *Inbox) Stuck() []string {
	var out []string
	for _, s := range []*stuck{&b.unstored, &b.unjudged} {
		if why := s.text(); why != "" {
			out = append(out, why)
		}
	}
	return out
}
