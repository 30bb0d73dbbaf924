package gateway

import (
	"strings"
	"testing"
	"time"

	"karaula/gateway/desk"
	"karaula/internal/problem"
)

// A clock that was far ahead and is set back leaves a ledger whose time lies in
// the future. What is said then would be held by every partner until that time
// has come, and nobody here would know.
func TestAClockThatWasAheadIsNoticed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	h.move(2 * time.Hour)
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Fatal(err)
	}
	h.move(-2 * time.Minute) // partners tolerate that
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Fatalf("a small correction of the clock: %v", err)
	}
	h.move(-118 * time.Minute)
	_, err := h.send(h.ctx, route())
	if err := desk.FromConnect(err); !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), "clock") {
		t.Errorf("said two hours ahead of time: %v", err)
	}
	warned := strings.Join(h.gateway.status(t.Context()).GetWarnings(), "; ")
	if !strings.Contains(warned, "ahead of the clock") {
		t.Errorf("status warns of: %q", warned)
	}
	h.move(2 * time.Hour)
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Errorf("when the time has come: %v", err)
	}
}

// move moves the clock.
func (h *house) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock = h.clock.Add(d)
}
