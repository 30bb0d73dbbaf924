package link

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Bounds of the wait between two attempts at anything on a link.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	stableTime = 10 * time.Second // a success that lasted this long ends the backoff
)

// backoff counts failures in a row and says how long to wait: a random time
// between minBackoff and a ceiling that doubles with every failure up to
// maxBackoff. Random, so that the gateways of five neighbours do not all come
// back in the same moment.
type backoff struct {
	now func() time.Time

	mu       sync.Mutex
	failures int
	since    time.Time // of the newest success; zero if there was none since the last failure
}

// good notes a success. It ends the backoff only when it has lasted: a
// partner that accepts every connection and cuts it at once is waited for
// like one that refuses.
func (b *backoff) good() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.since = b.now()
}

// reset ends the backoff at once.
func (b *backoff) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.since = 0, time.Time{}
}

// next notes a failure and gives the time to wait.
func (b *backoff) next() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.since.IsZero() && b.now().Sub(b.since) >= stableTime {
		b.failures = 0
	}
	b.since = time.Time{}
	ceiling := maxBackoff
	if b.failures < 6 {
		ceiling = min(maxBackoff, minBackoff<<(b.failures+1))
	}
	b.failures++
	return minBackoff + rand.N(ceiling-minBackoff) //nolint:gosec // spreads load, guards nothing
}
