package inbox

import (
	"context"
	"sync/atomic"
	"time"
)

// What lies in a partner's stream is for the partner to decide; what of it lies
// in this node's memory, quarantine and logs is not.
const (
	mailBytes   = 16 << 20 // that may wait for their place
	judgeLength = 4        // batches that may wait for their verdicts

	allowanceBurst = 100              // pieces without a place that are kept at once
	allowanceEvery = time.Second      // one more
	allowancePause = time.Millisecond // for each one above, so that it costs no more than this
	asidePause     = time.Minute      // between two receipts about nothing but such pieces
)

// load bounds how many bytes wait. The last message may exceed it.
type load struct {
	bytes *atomic.Int64
	eased chan struct{} // has an element when there is less of it
}

func newLoad() load { return load{new(atomic.Int64), make(chan struct{}, 1)} }

// add waits until there is room.
func (l load) add(ctx context.Context, n int) error {
	for l.bytes.Load() >= mailBytes {
		select {
		case <-l.eased:
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the caller's own context
		}
	}
	if l.bytes.Add(int64(n)) < mailBytes {
		l.wake() // perhaps there is room for another one who waits
	}
	return nil
}

// less makes room.
func (l load) less(n int) {
	l.bytes.Add(-int64(n))
	l.wake()
}

func (l load) wake() {
	select {
	case l.eased <- struct{}{}:
	default:
	}
}

// allowance is a token bucket for one goroutine.
type allowance struct {
	left int
	last time.Time
}

func newAllowance(now time.Time) allowance { return allowance{left: allowanceBurst, last: now} }

// take reports whether one more piece may be kept. If not, it takes its time.
func (a *allowance) take(ctx context.Context, now time.Time) bool {
	if n := now.Sub(a.last) / allowanceEvery; n > 0 {
		a.left, a.last = min(allowanceBurst, a.left+int(min(n, allowanceBurst))), now
	} else if n < 0 {
		a.last = now // the clock was set back
	}
	if a.left > 0 {
		a.left--
		return true
	}
	select {
	case <-ctx.Done():
	case <-time.After(allowancePause):
	}
	return false
}
