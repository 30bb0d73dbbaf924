package stock_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/stock"
	"karaula/gateway/stream"
	"karaula/internal/problem"
	"karaula/internal/testbroker"
)

// shelf is a stream with five messages that are known, at which somebody has
// looked twice.
func shelf(t testing.TB) (*testbroker.Broker, *stock.Shelf, *stock.Stored) {
	t.Helper()
	b := testbroker.Start(t)
	b.Stream("S", "s.>")
	known := stock.NewStored()
	for range 5 {
		known.Put(add(t, b))
	}
	s := stock.NewShelf(stream.Open(b.JS, "S"), known)
	for range 3 {
		look(t, s, "")
	}
	return b, s, known
}

func add(t testing.TB, b *testbroker.Broker) uint64 {
	t.Helper()
	ack, err := b.JS.Publish(t.Context(), "s.x", []byte("a word"))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func look(t testing.TB, s *stock.Shelf, want stock.Code) {
	t.Helper()
	list, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case want == "" && len(list) > 0, want != "" && (len(list) != 1 || list[0].Code != want):
		t.Fatalf("found %v, want %q", list, want)
	}
}

func in(t testing.TB, b *testbroker.Broker) jetstream.Stream {
	t.Helper()
	s, err := b.JS.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scene is a test with its broker.
type scene struct {
	t testing.TB
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
			b, s, _ := shelf(t)
			c.does(scene{t, b})
			for _, want := range c.want {
				look(t, s, want)
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
		noted := known.Coming()
		seq := add(t, b)
		look(t, s, "") // however long it takes
		look(t, s, "")
		known.Put(seq)
		noted()
	}
	look(t, s, "")
}

// Where nothing is compared, whatever is taken away is found.
func TestNothingMayBeTaken(t *testing.T) {
	t.Parallel()
	b, _, _ := shelf(t)
	s := stock.NewShelf(stream.Open(b.JS, "S"), nil)
	look(t, s, "")
	add(t, b)
	look(t, s, "")
	check(t, in(t, b).DeleteMsg(t.Context(), 2))
	look(t, s, stock.Gone)
	look(t, s, "")
}

// What the gateway takes out itself is no fault, before, between and after what
// somebody else takes; nor is what it tried to take out and could not.
func TestWhatIsTakenOut(t *testing.T) {
	t.Parallel()
	b, s, known := shelf(t)
	for range 20 {
		known.Put(add(t, b))
	}
	take := func(seq uint64) {
		t.Helper()
		check(t, known.Take(seq, func() error { return in(t, b).SecureDeleteMsg(t.Context(), seq) }))
	}
	for seq := uint64(1); seq < 9; seq++ {
		take(seq)
		look(t, s, "")
	}
	check(t, in(t, b).DeleteMsg(t.Context(), 9))
	take(11)
	look(t, s, stock.Gone)
	look(t, s, "")
	take(12)
	if known.Take(13, func() error { return problem.New(problem.Verification, "another message") }) == nil {
		t.Fatal("no error")
	}
	if known.Take(14, func() error { return context.DeadlineExceeded }) == nil { // perhaps it is gone, perhaps not
		t.Fatal("no error")
	}
	for range 3 {
		look(t, s, "")
	}
	take(14)
	look(t, s, "")
	check(t, in(t, b).DeleteMsg(t.Context(), 13))
	look(t, s, stock.Gone)
	look(t, s, "")
	add(t, b)
	look(t, s, "")
	look(t, s, stock.Strange)
}

// A message that lies there twice from the beginning is no stranger, nor is it a
// fault when the gateway takes out the copy.
func TestACopyThatWasThere(t *testing.T) {
	t.Parallel()
	b, _, known := shelf(t)
	copied := add(t, b)
	s := stock.NewShelf(stream.Open(b.JS, "S"), known)
	for range 3 {
		look(t, s, "")
	}
	check(t, known.Take(copied, func() error { return in(t, b).SecureDeleteMsg(t.Context(), copied) }))
	for range 3 {
		look(t, s, "")
	}
}

// A look costs one question, whatever the stream holds and however much of it was
// erased.
func BenchmarkLook(b *testing.B) {
	broker, s, known := shelf(b)
	for range 2000 {
		known.Put(add(b, broker))
	}
	for seq := uint64(100); seq < 1900; seq += 2 {
		check(b, known.Take(seq, func() error { return in(b, broker).DeleteMsg(b.Context(), seq) }))
	}
	for b.Loop() {
		look(b, s, "")
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
