package outbox_test

import (
	"strconv"
	"testing"

	"karaula/gateway/outbox"
)

// BenchmarkSay is what one alert costs its sender behind the desk: sealed to
// two, numbered, signed, journalled and stored, everything synced. The batch is
// what one caller hands over at once.
func BenchmarkSay(b *testing.B) {
	for _, batch := range []int{1, 10, 100, 500} {
		b.Run("batch="+strconv.Itoa(batch), func(b *testing.B) {
			p := newPost(b)
			drafts := make([]outbox.Draft, batch)
			for i := range drafts {
				drafts[i] = vehicle()
			}
			b.ReportAllocs()
			for b.Loop() {
				p.say(drafts...)
			}
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "alerts/s")
		})
	}
}
