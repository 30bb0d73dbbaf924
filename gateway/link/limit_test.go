package link

import (
	"testing"
	"time"
)

func TestMemoryNeverForgetsEarlyAndNeverGrows(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	m := newMemory(2)
	id := func(b byte) [idSize]byte { return [idSize]byte{b} }
	if !m.remember(id(1), now.Add(time.Minute), now) || !m.remember(id(2), now.Add(2*time.Minute), now) {
		t.Fatal("no room")
	}
	if !m.known(id(1)) || m.known(id(3)) {
		t.Error("known is wrong")
	}
	if m.remember(id(3), now.Add(time.Minute), now) {
		t.Error("a third one was remembered instead of refused")
	}
	now = now.Add(61 * time.Second)
	if !m.remember(id(3), now.Add(time.Minute), now) {
		t.Error("the first one was not forgotten in time")
	}
	if m.known(id(1)) || !m.known(id(2)) || len(m.seen) != 2 {
		t.Errorf("seen = %v", m.seen)
	}
}

func TestBackoffStaysWithinBounds(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	b := &backoff{now: func() time.Time { return now }}
	ceiling := 2 * minBackoff
	for i := range 40 {
		d := b.next()
		if d < minBackoff || d >= ceiling {
			t.Fatalf("failure %d waits %s, want from %s to %s", i, d, minBackoff, ceiling)
		}
		ceiling = min(maxBackoff, 2*ceiling)
	}
	b.good()
	b.next()
	if b.failures < 2 {
		t.Error("a success that did not last ended the backoff")
	}
	b.good()
	now = now.Add(stableTime)
	if d := b.next(); d >= 2*minBackoff {
		t.Errorf("after a lasting success it waits %s", d)
	}
	b.next()
	b.reset()
	if d := b.next(); d >= 2*minBackoff {
		t.Errorf("after reset it waits %s", d)
	}
}

// A clock that was far ahead and is set back leaves ids behind whose time never
// comes. They must not keep the partner out for ever.
func TestMemoryForgetsWhatAWrongClockHasLeftBehind(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	m := newMemory(2)
	ahead := now.AddDate(10, 0, 0)
	for i := range byte(2) {
		m.remember([idSize]byte{i}, ahead.Add(time.Minute), ahead)
	}
	if !m.remember([idSize]byte{9}, now.Add(time.Minute), now) {
		t.Error("refused after the clock was set right")
	}
}
