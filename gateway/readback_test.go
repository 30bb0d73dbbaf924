package gateway

import (
	"context"
	"strings"
	"testing"
	"time"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Who asks for a repair while the channel is being read back waits for it, and is told
// plainly if it takes too long.
func TestARepairWaitsForTheReadBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	c := h.gateway.channel(channelID)
	reading := func(now bool) {
		h.gateway.mu.Lock()
		defer h.gateway.mu.Unlock()
		if now {
			delete(h.gateway.channels, channelID)
			h.gateway.opening[channelID] = true
			return
		}
		h.gateway.channels[channelID] = c
		delete(h.gateway.opening, channelID)
	}
	ask := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(h.ctx, patience)
		defer cancel()
		_, err := h.gateway.repair(ctx, &karaulav1.RepairRequest{Channel: channelID, DryRun: true})
		return err
	}
	reading(true)
	err := ask(100 * time.Millisecond)
	if !problem.Is(err, problem.Unreachable) || !strings.Contains(err.Error(), "is being read back just now") ||
		!strings.Contains(problem.HintOf(err), "ask again") {
		t.Errorf("while it is read back: %v", err)
	}
	answer := make(chan error, 1)
	go func() { answer <- ask(time.Minute) }()
	select {
	case err := <-answer:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	reading(false)
	if err := <-answer; err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
