package gateway

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestWhatAlarmsWaitForBeginsAtZero: a counter that appears with 1 has not
// increased for Prometheus, and the first refusal would raise no alarm.
func TestWhatAlarmsWaitForBeginsAtZero(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m, err := newMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	count := func() map[string]int {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]int{}
		for _, f := range families {
			out[f.GetName()] = len(f.GetMetric())
		}
		return out
	}
	m.begin("b01-al-me", "me")
	before := count()
	if len(before) != 3 {
		t.Errorf("counters before anything happened: %v", before)
	}
	m.judged.WithLabelValues("b01-al-me", "refused", "wrong-root").Inc()
	m.quarantined.WithLabelValues("b01-al-me", "me", "malformed").Inc()
	m.impostors.WithLabelValues("b01-al-me", "me").Inc()
	for name, n := range count() {
		if n != before[name] {
			t.Errorf("%s: %d counters, %d before the first refusal", name, n, before[name])
		}
	}
}
