package stream

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/testbroker"
)

// losing stands between a log and a broker, and loses what comes after some
// messages of each answer to a read: as happens when the server that answers is cut
// off in the middle, or at once.
func losing(t *testing.T, b *testbroker.Broker, messages func(read int) int) *Log {
	t.Helper()
	const between = "BETWEEN"
	nc := b.JS.Conn()
	var reads atomic.Int64
	_, err := nc.Subscribe(between+".>", func(m *nats.Msg) {
		to := "$JS.API" + strings.TrimPrefix(m.Subject, between)
		if !strings.Contains(to, ".DIRECT.GET.") {
			_ = nc.PublishRequest(to, m.Reply, m.Data)
			return
		}
		left := messages(int(reads.Add(1)))
		inbox := nc.NewRespInbox()
		_, _ = nc.Subscribe(inbox, func(a *nats.Msg) {
			if left--; left >= 0 {
				_ = nc.PublishMsg(&nats.Msg{Subject: m.Reply, Header: a.Header, Data: a.Data})
			}
		})
		_ = nc.PublishRequest(to, inbox, m.Data)
	})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, between)
	if err != nil {
		t.Fatal(err)
	}
	log := Open(js, "OUT_lost")
	log.stall = 50 * time.Millisecond
	return log
}

func fill(t *testing.T, n int) *testbroker.Broker {
	t.Helper()
	b := testbroker.Start(t)
	b.Stream("OUT_lost", "k1.lost.>")
	for i := range n {
		if _, err := Open(b.JS, "OUT_lost").Append(t.Context(),
			[]Msg{{Subject: "k1.lost.al.vehicle", Data: fmt.Append(nil, i)}}, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// An answer that stops in the middle, or never comes, is asked for again where it
// stopped, and nothing is missing or read twice.
func TestAReadGoesOnWhereAnAnswerWasLost(t *testing.T) {
	t.Parallel()
	const all = 1 << 20
	log := losing(t, fill(t, 5), func(read int) int { return []int{2, 0, 1, all}[min(read-1, 3)] })
	var seen []uint64
	err := log.Read(t.Context(), 1, "", func(m Stored) error { seen = append(seen, m.Seq); return nil })
	if err != nil || !slices.Equal(seen, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("read %v: %v", seen, err)
	}
}

// A broker with one copy that does not answer is no empty stream.
func TestNoAnswerIsNoEnd(t *testing.T) {
	t.Parallel()
	log := losing(t, fill(t, 3), func(int) int { return 0 })
	log.stall = time.Millisecond
	err := log.Read(t.Context(), 1, "", func(Stored) error { t.Error("nothing was answered"); return nil })
	if !errors.Is(err, errStalled) {
		t.Errorf("read: %v, want that the broker has stopped answering", err)
	}
}

// A server that is cut off from the others answers with what it happens to know,
// and names no leader: that is no answer.
func TestNobodyIsBelievedWhoIsNotLed(t *testing.T) {
	t.Parallel()
	b := fill(t, 3)
	nc := b.JS.Conn()
	const alone = "ALONE"
	_, err := nc.Subscribe(alone+".STREAM.INFO.*", func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"type":"io.nats.jetstream.api.v1.stream_info_response","config":{"name":"OUT_lost","num_replicas":3},` +
			`"state":{"messages":1,"first_seq":1,"last_seq":1},"cluster":{"name":"al"}}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, alone)
	if err != nil {
		t.Fatal(err)
	}
	log := Open(js, "OUT_lost")
	if _, last, err := log.End(t.Context()); !errors.Is(err, errLeaderless) {
		t.Errorf("the end is %d: %v", last, err)
	}
	if _, _, err := log.Look(t.Context(), 3, nil, func(Stored) error { return nil }); !errors.Is(err, errLeaderless) {
		t.Errorf("look: %v, want no word of a stream that was set back", err)
	}
}
