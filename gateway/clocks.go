package gateway

import (
	"fmt"
	"time"

	"karaula/gateway/bus"
	"karaula/gateway/desk"
	"karaula/internal/ledger"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// clockID names a clock from one look to the next.
type clockID struct {
	ledger     ledger.ID
	epoch, seq uint64
	kind       karaulav1.ClockKind
	party      string
}

// clocks is what the last look at the clocks found. Used by one goroutine.
type clocks struct {
	states map[clockID]karaulav1.ClockState
	looked bool
}

// watchClocks counts the clocks that run, and tells watchers of each once that
// has a quarter of its time left, and once when it is overdue.
func (g *Gateway) watchClocks(now time.Time) {
	if !g.complete() {
		return
	}
	states := map[clockID]karaulav1.ClockState{}
	counts := map[[3]string]float64{}
	for _, c := range g.book.Clocks(g.self, g.holidays, now) {
		state := c.State(now)
		if state == karaulav1.ClockState_CLOCK_STATE_MET {
			continue
		}
		id := clockID{c.Alert.Ledger, c.Alert.Epoch, c.Alert.Seq, c.Kind, c.Party}
		states[id] = state
		counts[[3]string{terms.ClockWord(c.Kind), terms.ClockStateWord(state), c.Party}]++
		if g.clocks.looked && state > karaulav1.ClockState_CLOCK_STATE_RUNNING && g.clocks.states[id] != state && g.bus.Heard() {
			name, text := bus.Due, "is due at "+c.Due.Format(time.RFC3339)
			if state == karaulav1.ClockState_CLOCK_STATE_OVERDUE {
				name, text = bus.Overdue, "was due at "+c.Due.Format(time.RFC3339)
			}
			g.tell(&karaulav1.WatchResponse{
				Event: name, Party: c.Party, Channel: c.Alert.Channel, Alert: g.book.Row(c.Alert),
				Text: fmt.Sprintf("%s: %s, number %d of %s on %s; it %s",
					c.Party, desk.ClockText(c), c.Alert.Seq, c.Alert.Origin, c.Alert.Channel, text),
			})
		}
	}
	g.clocks = clocks{states, true}
	g.metrics.clocks.Reset()
	for labels, n := range counts {
		g.metrics.clocks.WithLabelValues(labels[:]...).Set(n)
	}
}
