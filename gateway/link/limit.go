package link

import "time"

// bucket is a token bucket. It is not safe for concurrent use.
type bucket struct {
	rate   float64 // tokens per second
	burst  float64
	tokens float64
	last   time.Time
}

// newBucket makes a full bucket.
func newBucket(rate float64, burst int, now time.Time) *bucket {
	return &bucket{rate: rate, burst: float64(burst), tokens: float64(burst), last: now}
}

// take takes a token if there is one.
func (b *bucket) take(now time.Time) bool {
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.burst, b.tokens+d.Seconds()*b.rate)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// spend takes tokens that were used without being there: nobody is admitted
// until they have come in.
func (b *bucket) spend(tokens float64) { b.tokens -= tokens }

// wait says how long it takes until there is a token.
func (b *bucket) wait() time.Duration {
	if b.tokens >= 1 {
		return 0
	}
	return time.Duration((1 - b.tokens) / b.rate * float64(time.Second))
}

// memory remembers the ids of requests for as long as their time of asking is
// within the skew, so that none is answered twice. It is bounded: when it is
// full, new requests are refused rather than old ids forgotten. It is not safe
// for concurrent use.
type memory struct {
	size  int
	seen  map[[idSize]byte]struct{}
	queue []remembered // in order of arrival
}

// remembered is an id and when it may be forgotten.
type remembered struct {
	id    [idSize]byte
	until time.Time
}

// newMemory makes a memory for size ids.
func newMemory(size int) *memory {
	return &memory{size: size, seen: make(map[[idSize]byte]struct{})}
}

// known reports whether an id has been remembered.
func (m *memory) known(id [idSize]byte) bool {
	_, ok := m.seen[id]
	return ok
}

// remember keeps an id until a time. It reports false when there is no room.
func (m *memory) remember(id [idSize]byte, until, now time.Time) bool {
	for len(m.queue) > 0 && (m.queue[0].until.Before(now) || m.queue[0].until.After(until)) {
		// Its time is over, or it was remembered by a clock that has been set back.
		delete(m.seen, m.queue[0].id)
		m.queue = m.queue[1:]
	}
	if len(m.queue) >= m.size {
		return false
	}
	m.seen[id] = struct{}{}
	m.queue = append(m.queue, remembered{id, until})
	return true
}
