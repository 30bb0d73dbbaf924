package gateway

import (
	"testing"
	"time"

	"karaula/internal/subject"
)

// A gateway may be stopped at any moment of its start, and lets go of
// everything: the next one can open the same journals.
func TestAStopInTheMiddleOfAStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Fatal(err)
	}
	h.stop()
	for i := range 20 {
		h.launch()
		time.Sleep(time.Duration(i) * 2 * time.Millisecond)
		g := h.gateway
		h.stop()
		g.mu.Lock()
		if len(g.channels)+len(g.opening) > 0 {
			t.Errorf("try %d: %d channels are open and %d being opened after the stop", i, len(g.channels), len(g.opening))
		}
		g.mu.Unlock()
	}
	h.start()
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Error(err)
	}
}

// A gateway that cannot store what it has journalled can be stopped all the same.
func TestAStopWhileTheBrokerTakesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Fatal(err)
	}
	h.broker.Full(subject.Out(subject.Actual(channelID)), true)
	a := route()
	go h.send(h.ctx, a) //nolint:errcheck // it gets no answer before the stop
	c := h.gateway.channel(channelID)
	h.until("the journal", func() bool { return c.writer.Head().GetSize() == 2 })
	h.stop()
	h.launch()
	time.Sleep(100 * time.Millisecond)
	before := time.Now()
	h.stop()
	if took := time.Since(before); took > 8*time.Second {
		t.Errorf("the stop took %s", took)
	}
	h.broker.Full(subject.Out(subject.Actual(channelID)), false)
	h.start()
	h.sendAtLast(a)
	if n := h.said(); n != 2 {
		t.Errorf("%d alerts were said, want 2", n)
	}
}
