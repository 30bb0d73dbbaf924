package stream

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A server that was cut off from the others still takes itself for the leader, and
// names an end before what is known to be stored. That is no word of a stream that
// was set back until it has stayed so for longer than such a server leads on.
func TestAnEarlyEndIsBelievedOnlyWhenItStays(t *testing.T) {
	t.Parallel()
	nc := fill(t, 3).JS.Conn()
	const led = "LED"
	var last, copies atomic.Int64
	_, err := nc.Subscribe(led+".STREAM.INFO.*", func(m *nats.Msg) {
		_ = m.Respond(fmt.Appendf(nil, `{"type":"io.nats.jetstream.api.v1.stream_info_response","config":{"name":"OUT_lost","num_replicas":%d},`+
			`"state":{"messages":1,"first_seq":1,"last_seq":%d},"cluster":{"name":"al","leader":"al-1"}}`, copies.Load(), last.Load()))
	})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, led)
	if err != nil {
		t.Fatal(err)
	}
	log := Open(js, "OUT_lost")
	asks := func(what string, want error) {
		t.Helper()
		if _, err := log.State(t.Context(), 3); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	copies.Store(3)
	last.Store(2)
	asks("an early end", errCutOff)
	last.Store(3)
	asks("the right one", nil)
	last.Store(2)
	log.cutOff = time.Nanosecond
	asks("the early one again, and it stays", ErrBack)
	copies.Store(1)
	log.cutOff = CutOffTime
	asks("the early end of the only copy", ErrBack)
}
