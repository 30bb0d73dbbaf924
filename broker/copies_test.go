package broker

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/subject"
)

func TestACopyThatHoldsLessThanAllOthersIsDamaged(t *testing.T) {
	t.Parallel()
	at := func(last, msgs uint64) map[string]held { return map[string]held{"AL > OUT": {last, msgs}} }
	for name, c := range map[string]struct {
		own    map[string]held
		others []map[string]held
		want   bool
	}{
		"the same":                       {at(9, 9), []map[string]held{at(9, 9), at(9, 9)}, false},
		"less than both":                 {at(9, 8), []map[string]held{at(9, 9), at(9, 9)}, true},
		"less than the one that answers": {at(9, 8), []map[string]held{at(9, 9)}, true},
		"less than one":                  {at(9, 8), []map[string]held{at(9, 9), at(9, 8)}, false},
		"more: another one is damaged":   {at(9, 9), []map[string]held{at(9, 8), at(9, 9)}, false},
		"all others are further":         {at(9, 9), []map[string]held{at(10, 10), at(11, 11)}, true},
		"one other is further":           {at(9, 9), []map[string]held{at(10, 10), at(9, 9)}, false},
		"less, and one is further":       {at(9, 8), []map[string]held{at(10, 10), at(9, 9)}, true},
		"nobody answers":                 {at(9, 8), nil, false},
		"nobody else has it":             {at(9, 8), []map[string]held{{}}, false},
	} {
		if got := len(fewer(c.own, c.others)) > 0; got != c.want {
			t.Errorf("%s: damaged %v", name, got)
		}
	}
}

// What differs for a moment, because something is being stored or erased, is no damage.
func TestOneLookAtTheCopiesIsNoProof(t *testing.T) {
	t.Parallel()
	var c comparison
	var now []string
	copies := func() []string { return slices.Clone(now) }
	next := func(want bool, sure bool) {
		t.Helper()
		if damaged, ok := c.next(copies); ok != sure || len(damaged) > 0 && ok != want {
			t.Errorf("damaged %v, sure %v", damaged, ok)
		}
	}
	now = []string{"A"}
	next(false, false)
	now = []string{"B"}
	next(false, true) // another one: nothing has stayed
	for range copiesEvery - 2 {
		next(false, true) // not looked at
	}
	for range lackLooks - 1 {
		next(false, false)
	}
	next(true, true)
	now = nil
	next(false, true)
}

// A server that is whole and erases much says for moments that it is behind: that is no
// news. That it is so for long is, and so is anything else that it says, and what it says
// right after its start.
func TestABusyServerIsNotBehind(t *testing.T) {
	t.Parallel()
	const busy = "JetStream stream 'AL > STUB' is not current: group node unhealthy"
	var b business
	for i := range 3 * lackLooks {
		if i%lackLooks == lackLooks-1 {
			if b.passing(whole, whole) {
				t.Fatal("a look at a whole server does not count")
			}
		} else if !b.passing(whole, busy) {
			t.Fatalf("look %d: a moment is news", i)
		}
	}
	for i := range lackLooks {
		if got := b.passing(whole, busy); got != (i < lackLooks-1) {
			t.Errorf("look %d in a row: passing %v", i, got)
		}
	}
	for _, last := range []string{"", "JetStream is not current with the meta leader"} {
		if new(business).passing(last, busy) {
			t.Errorf("behind %q it counts as a moment", last)
		}
	}
	if new(business).passing(whole, "JetStream has not established contact with a meta leader") {
		t.Error("anything else counts as a moment")
	}
}

// A copy that cannot be opened is one when the server says so for long, and not where the
// word stands in the name of a stream.
func TestACopyThatCannotBeOpenedIsDamaged(t *testing.T) {
	t.Parallel()
	says := []string{
		"JetStream stream 'AL > REGISTER' is not current: stream assignment error: raft: snapshot corrupt",
		"JetStream consumer 'AL > OUT_b01-al-me > me' is not current: consumer assignment error: error creating store for consumer",
	}
	var b business
	for i := range 2 * lackLooks {
		if got := b.corrupt(says[i%2]); got != (i >= lackLooks-1) {
			t.Errorf("look %d: %v", i, got)
		}
	}
	for _, other := range []string{
		whole, "JetStream stream 'AL > IN_b07-anticorruption_me' is not current: group node unhealthy",
		"JetStream stream 'AL > X' is not current: stream assignment error: insufficient resources",
		"JetStream consumer 'AL > X > me' is not current: consumer not found",
	} {
		for range 2 * lackLooks {
			if b.corrupt(other) {
				t.Fatalf("%q counts as damaged", other)
			}
		}
	}
}

// Of all that a server says at once it is the lasting one that counts, in whatever order.
func TestTheWorstIsSaid(t *testing.T) {
	t.Parallel()
	var all []server.HealthzError
	is := func(want string) {
		t.Helper()
		for range 2 {
			if got := worst(server.HealthStatus{StatusCode: http.StatusServiceUnavailable, Status: "error", Errors: all}); got != want {
				t.Errorf("of %v it is %q", all, got)
			}
			slices.Reverse(all)
		}
	}
	if got := worst(server.HealthStatus{StatusCode: http.StatusOK}); got != whole {
		t.Errorf("it lacks %q", got)
	}
	is("error")
	for _, says := range []string{ // each is worse than the ones before
		"JetStream stream 'AL > STUB' is not current: group node unhealthy",
		"JetStream stream 'AL > DESK' is not current: group node unhealthy",
		"JetStream stream 'AL > VERDICT' is not current: stream catching up",
		"JetStream stream 'AL > REGISTER' is not current: stream assignment error: raft: snapshot corrupt",
		"JetStream consumer 'AL > OUT_b01-al-me > me' is not current: consumer assignment error: error creating store for consumer",
	} {
		all = append(all, server.HealthzError{Error: says})
		is(says)
	}
}

// That a server has held streams is noted when it has some, and noted again where the note
// was removed; it is not where it has none, or where it cannot be written.
func TestThatAServerHeldStreamsIsNoted(t *testing.T) {
	t.Parallel()
	c := newTrio(t)
	path := filepath.Join(t.TempDir(), "store-held")
	r := c.remote(0)
	r.o.Held = path
	for range 2 {
		eventually(t, "it is not noted", r.hold)
		if text, err := os.ReadFile(path); err != nil || string(text) != heldText {
			t.Errorf("%q, %v", text, err)
		}
		must(t, os.Remove(path))
	}
	r.o.Held = filepath.Join(t.TempDir(), "not", "there")
	if r.hold() {
		t.Error("what could not be written counts as noted")
	}
	r.o.Held = path
	for _, name := range []string{inStream, subject.StubStream} {
		eventually(t, "a stream stays", func() bool {
			err := c.js.DeleteStream(t.Context(), name)
			return err == nil || errors.Is(err, jetstream.ErrStreamNotFound)
		})
	}
	eventually(t, "it has streams", func() bool {
		info, err := r.streamsOf(r.o.Name)
		return err == nil && !slices.ContainsFunc(info.AccountDetails, func(a *server.AccountDetail) bool { return len(a.Streams) > 0 })
	})
	if r.hold() {
		t.Error("a server without streams is noted")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it is noted")
	}
}
