package link

import (
	"sync"

	"github.com/nats-io/nats.go"
)

// queue holds what has arrived and not been handled. It is bounded by number
// and bytes: what a partner sends beyond what was asked for is dropped, and
// comes again because it is never acknowledged.
type queue struct {
	maxMsgs, maxBytes int
	ready             chan struct{} // has an element when there may be something to take

	mu      sync.Mutex
	msgs    []*nats.Msg
	bytes   int
	dropped bool // since the last take
}

// newQueue makes an empty queue.
func newQueue(maxMsgs, maxBytes int) *queue {
	return &queue{maxMsgs: maxMsgs, maxBytes: maxBytes, ready: make(chan struct{}, 1)}
}

// put adds a message or drops it. It is the handler of the subscription.
func (q *queue) put(m *nats.Msg) {
	q.mu.Lock()
	if len(q.msgs) >= q.maxMsgs || q.bytes+len(m.Data) > q.maxBytes {
		q.dropped = true
	} else {
		q.msgs = append(q.msgs, m)
		q.bytes += len(m.Data)
	}
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take removes up to n messages of up to size bytes in sum (but at least one
// if there is one), and reports whether any was dropped since the last take.
func (q *queue) take(n, size int) (msgs []*nats.Msg, dropped bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := 0
	for i < len(q.msgs) && i < n {
		size -= len(q.msgs[i].Data)
		if size < 0 && i > 0 {
			break
		}
		q.bytes -= len(q.msgs[i].Data)
		i++
	}
	msgs, dropped = q.msgs[:i:i], q.dropped
	q.msgs, q.dropped = q.msgs[i:], false
	if len(q.msgs) == 0 {
		q.msgs = nil // lets the memory go
	}
	return msgs, dropped
}

// size says how much waits.
func (q *queue) size() (msgs, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.msgs), q.bytes
}
