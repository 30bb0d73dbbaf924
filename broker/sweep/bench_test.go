package sweep

import (
	"crypto/rand"
	"testing"

	"github.com/nats-io/nats.go"
)

// BenchmarkStore sweeps a store of 100 MiB that a real server wrote: what a start of
// the broker costs, with the files in memory. Large messages are alerts, small ones
// receipts and verdicts.
func BenchmarkStore(b *testing.B) {
	for name, size := range map[string]int{"4KiB": 4096, "300B": 300} {
		b.Run(name, func(b *testing.B) {
			h := newHouseOf(b, 1<<30)
			content := make([]byte, size)
			_, _ = rand.Read(content)
			for range (100 << 20) / size {
				_, err := h.js.PublishMsgAsync(&nats.Msg{Subject: "out.x", Data: content})
				must(b, err)
			}
			<-h.js.PublishAsyncComplete()
			h.stop()
			for b.Loop() {
				r, err := Store(h.dir)
				must(b, err)
				b.SetBytes(r.Bytes)
			}
		})
	}
}
