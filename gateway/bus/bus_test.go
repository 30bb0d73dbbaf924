package bus_test

import (
	"testing"

	"karaula/gateway/bus"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func TestEveryListenerHearsEverythingInOrder(t *testing.T) {
	t.Parallel()
	var b bus.Bus
	one, two := b.Listen(), b.Listen()
	for i := range int64(100) {
		b.Tell(&karaulav1.WatchResponse{At: i})
	}
	one.Leave()
	two.Leave()
	for _, l := range []*bus.Listener{one, two} {
		want := int64(0)
		for told := range l.C {
			for _, e := range told {
				if e.GetAt() != want {
					t.Fatalf("event %d, want %d", e.GetAt(), want)
				}
				want++
			}
		}
		if want != 100 || l.Behind() {
			t.Errorf("heard %d events, behind %v", want, l.Behind())
		}
	}
}

func TestASlowListenerIsCutOffAndTheTellerDoesNotWait(t *testing.T) {
	t.Parallel()
	var b bus.Bus
	slow := b.Listen()
	for range bus.Buffer + 1 {
		b.Tell(&karaulav1.WatchResponse{})
	}
	n := 0
	for range slow.C {
		n++
	}
	if n != bus.Buffer || !slow.Behind() {
		t.Errorf("heard %d, behind %v; want %d, true", n, slow.Behind(), bus.Buffer)
	}
	slow.Leave() // must not panic
}

// One receipt may answer any number of alerts: who reads slowly hears of all.
func TestManyEventsAtOnceCutNobodyOff(t *testing.T) {
	t.Parallel()
	var b bus.Bus
	slow := b.Listen()
	b.Tell(make([]*karaulav1.WatchResponse, 3*bus.Buffer)...)
	b.Tell(&karaulav1.WatchResponse{})
	b.Tell()
	slow.Leave()
	n := 0
	for told := range slow.C {
		n += len(told)
	}
	if n != 3*bus.Buffer+1 || slow.Behind() {
		t.Errorf("heard %d, behind %v; want %d, false", n, slow.Behind(), 3*bus.Buffer+1)
	}
}
