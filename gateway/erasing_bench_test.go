package gateway

import (
	"testing"
	"time"

	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// BenchmarkErase has a gateway with a real broker erase 1,000 and then 4,000 of its
// statements that come to their end in one moment: stub, overwriting, journal, index
// file and book. It reports the time of one statement of the larger number, and how
// many times that of the smaller one it is (1: in proportion).
func BenchmarkErase(b *testing.B) {
	h := newHouse(b)
	h.start()
	var each [2]time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		for i, n := range []int{1000, 4000} {
			each[i] += h.eraseAll(n) / time.Duration(n)
		}
	}
	b.ReportMetric(float64(each[1].Microseconds())/float64(rounds)/1000, "ms/statement")
	b.ReportMetric(float64(each[1])/float64(each[0]), "x-of-1000")
}

// eraseAll says alerts that end in a day, lets the day pass, and gives how long it
// takes until nothing of them is there.
func (h *house) eraseAll(n int) time.Duration {
	h.t.Helper()
	l := h.gateway.channel(channelID).lists["al"]
	for range n / 500 {
		alerts := make([]*karaulav1.Alert, 500)
		for i := range alerts {
			alerts[i] = testworld.Alert(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
			alerts[i].Id = book.IDText(desk.NewAlertID(h.now()))
			alerts[i].Expires = h.now().Add(24 * time.Hour).UnixMicro()
		}
		if _, err := h.send(h.ctx, alerts...); err != nil {
			h.t.Fatal(desk.FromConnect(err))
		}
	}
	if l.Holding() != n {
		h.t.Fatalf("%d contents are there, not %d", l.Holding(), n)
	}
	h.move(25 * time.Hour)
	begin := time.Now()
	h.gateway.channel(channelID).wakeErasing()
	for l.Holding() > 0 {
		time.Sleep(time.Millisecond)
	}
	return time.Since(begin)
}
