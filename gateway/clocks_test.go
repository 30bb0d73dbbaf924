package gateway

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"karaula/gateway/book"
	"karaula/gateway/bus"
	"karaula/gateway/desk"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Watchers are told once when little time is left, and once when it is over.
func TestClocksAreTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	a := testworld.Alert(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
	a.Id = book.IDText(desk.NewAlertID(testworld.Start))
	a.ReplyDue = testworld.Start.Add(8 * time.Hour).UnixMicro()
	if _, err := h.send(h.ctx, a); err != nil {
		t.Fatal(desk.FromConnect(err))
	}
	h.until("completeness", h.gateway.complete)
	l := h.gateway.bus.Listen()
	defer l.Leave()
	for hours, want := range []string{6: bus.Due, 8: bus.Overdue, 10: ""} {
		h.gateway.watchClocks(testworld.Start.Add(time.Duration(hours) * time.Hour))
		got := ""
		for len(l.C) > 0 {
			for _, e := range <-l.C {
				if e.GetEvent() == bus.Due || e.GetEvent() == bus.Overdue {
					got += e.GetEvent()
				}
			}
		}
		if got != want {
			t.Errorf("after %d hours: %q, want %q", hours, got, want)
		}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(h.gateway.metrics.clocks)
	all, err := reg.Gather()
	must(t, err)
	overdue := 0.0
	for _, m := range all[0].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetValue() == "overdue" {
				overdue += m.GetGauge().GetValue()
			}
		}
	}
	if overdue != 1 {
		t.Errorf("%v clocks are overdue by the metric", overdue)
	}
}
