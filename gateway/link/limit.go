package link

import "time"

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
