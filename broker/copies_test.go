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
