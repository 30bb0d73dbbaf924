package stock_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/stock"
	"karaula/gateway/stream"
	"karaula/internal/testbroker"
)

// shelf is a stream with five messages that are known, at which somebody has
// looked twice.
func shelf(t *testing.T) (*testbroker.Broker, *stock.Shelf, stock.Places) {
	t.Helper()
	b := testbroker.Start(t)
	b.Stream("S", "s.>")
	var known stock.Places
	for range 5 {
		known = append(known, add(t, b))
	}
	s := stock.NewShelf(stream.Open(b.JS, "S"))
	for range 3 {
		look(t, s, known, "")
	}
	return b, s, known
}

func add(t *testing.T, b *testbroker.Broker) uint64 {
	t.Helper()
	ack, err := b.JS.Publish(t.Context(), "s.x", []byte("a word"))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func look(t *testing.T, s *stock.Shelf, known stock.Places, want stock.Code) {
	t.Helper()
	var k *stock.Known
	if known != nil {
		k = &stock.Known{Places: known, Taken: func(seq uint64) bool { return seq == 4444 }}
	}
	list, err := s.Look(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case want == "" && len(list) > 0, want != "" && (len(list) != 1 || list[0].Code != want):
		t.Fatalf("found %v, want %q", list, want)
	}
}

func in(t *testing.T, b *testbroker.Broker) jetstream.Stream {
	t.Helper()
	s, err := b.JS.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scene is a test with its broker.
type scene struct {
	t *testing.T
	b *testbroker.Broker
}

// Every fault is found once, and what goes on as it should is none.
func TestLook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does func(scene)
		want []stock.Code // at the looks that follow
	}{
		"nothing": {func(scene) {}, []stock.Code{"", ""}},
		"a message deleted": {func(s scene) {
			check(s.t, in(s.t, s.b).DeleteMsg(s.t.Context(), 3))
		}, []stock.Code{stock.Gone, "", ""}},
		"the first deleted": {func(s scene) {
			check(s.t, in(s.t, s.b).SecureDeleteMsg(s.t.Context(), 1))
		}, []stock.Code{stock.Gone, ""}},
		"the last deleted": {func(s scene) {
			check(s.t, in(s.t, s.b).DeleteMsg(s.t.Context(), 5))
		}, []stock.Code{stock.Gone, ""}},
		"purged": {func(s scene) {
			check(s.t, in(s.t, s.b).Purge(s.t.Context()))
		}, []stock.Code{stock.Gone, ""}},
		"junk": {func(s scene) {
			add(s.t, s.b)
			add(s.t, s.b)
		}, []stock.Code{"", stock.Strange, ""}},
		"junk that was deleted again": {func(s scene) {
			check(s.t, in(s.t, s.b).DeleteMsg(s.t.Context(), add(s.t, s.b)))
		}, []stock.Code{"", ""}},
		"two in another order": {func(s scene) {
			check(s.t, in(s.t, s.b).DeleteMsg(s.t.Context(), 4))
			check(s.t, in(s.t, s.b).DeleteMsg(s.t.Context(), 5))
			add(s.t, s.b)
			add(s.t, s.b)
		}, []stock.Code{stock.Gone, stock.Strange, ""}},
		"made anew": {func(s scene) {
			check(s.t, s.b.JS.DeleteStream(s.t.Context(), "S"))
			s.b.Stream("S", "s.>")
		}, []stock.Code{stock.Anew}},
		"deleted": {func(s scene) {
			check(s.t, s.b.JS.DeleteStream(s.t.Context(), "S"))
		}, []stock.Code{"", stock.SetBack, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s, known := shelf(t)
			c.does(scene{t, b})
			for _, want := range c.want {
				look(t, s, known, want)
			}
		})
	}
}

// What the gateway stores between two looks, and has not noted yet at the
// first of them, is no stranger.
func TestWhatIsOnItsWayIsNoStranger(t *testing.T) {
	t.Parallel()
	b, s, known := shelf(t)
	for range 10 {
		seq := add(t, b)
		look(t, s, known, "")
		known = append(known, seq)
	}
	look(t, s, known, "")
}

// Where nothing is compared, whatever is taken away is found.
func TestNothingMayBeTaken(t *testing.T) {
	t.Parallel()
	b, s, _ := shelf(t)
	add(t, b)
	look(t, s, nil, "")
	check(t, in(t, b).DeleteMsg(t.Context(), 2))
	look(t, s, nil, stock.Gone)
	look(t, s, nil, "")
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
