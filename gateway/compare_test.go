package gateway

import (
	"testing"
	"time"

	"karaula/gateway/desk"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// A gateway whose journal and streams are gone believes that it never said
// anything. It must not say number 1 again before a partner could object.
func TestNothingIsSaidFirstWithoutAPartner(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	h.gateway.alone = false
	_, err := h.send(h.ctx, route())
	if err := desk.FromConnect(err); !problem.Is(err, problem.Unreachable) {
		t.Fatalf("said without a comparison: %v", err)
	}
	if n := h.said(); n != 0 {
		t.Fatalf("%d alerts were said", n)
	}
	c := h.gateway.channel(channelID)
	p := &partner{g: h.gateway, code: "me"}
	own := c.writer.Head()
	p.compareOurs(t.Context(), &karaulav1.Head{Ledger: own.GetLedger(), Epoch: own.GetEpoch()})
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Errorf("not said after a comparison: %v", err)
	}
}

// A ledger with a history goes on alone when no partner is there, but not at once.
func TestAHistoryGoesOnAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	c := h.gateway.channel(channelID)
	h.gateway.alone = false
	if err := c.maySpeak(1); !problem.Is(err, problem.Unreachable) {
		t.Errorf("at once: %v", err)
	}
	c.mu.Lock()
	c.openedAt = c.openedAt.Add(-time.Hour)
	c.mu.Unlock()
	if err := c.maySpeak(1); err != nil {
		t.Errorf("after a while: %v", err)
	}
	if err := c.maySpeak(0); !problem.Is(err, problem.Unreachable) {
		t.Errorf("an empty ledger after a while: %v", err)
	}
}
