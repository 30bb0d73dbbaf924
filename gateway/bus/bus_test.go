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
		for e := range l.C {
			if e.GetAt() != want {
				t.Fatalf("event %d, want %d", e.GetAt(), want)
			}
			want++
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
