package broker

import (
	"slices"
	"testing"
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
