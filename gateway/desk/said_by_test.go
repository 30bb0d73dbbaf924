package desk

import (
	"testing"

	"karaula/gateway/book"
	"karaula/internal/problem"
)

// A partner that has read an alert can say another one with the same id and a
// higher version. It must not be shown in the first one's place.
func TestAnotherPartysAlertDoesNotHideTheFirst(t *testing.T) {
	t.Parallel()
	al, xk := book.Entry{Origin: "al", Version: 1}, book.Entry{Origin: "xk", Version: 99}
	me := book.Entry{Origin: "me", Version: 2}
	for name, c := range map[string]struct {
		found  []book.Entry
		origin string
		want   string // party; empty for an error
		kind   problem.Kind
	}{
		"one":                      {found: []book.Entry{al}, want: "al"},
		"two":                      {found: []book.Entry{al, xk}, kind: problem.Conflict},
		"two, one asked for":       {found: []book.Entry{al, xk}, origin: "al", want: "al"},
		"the own one comes first":  {found: []book.Entry{xk, me}, want: "me"},
		"the own one, not meant":   {found: []book.Entry{xk, me}, origin: "xk", want: "xk"},
		"nobody of those is meant": {found: []book.Entry{al}, origin: "rs", kind: problem.NotFound},
	} {
		got, err := saidBy(c.found, c.origin, "me")
		switch {
		case c.want == "" && !problem.Is(err, c.kind):
			t.Errorf("%s: got %v, %v", name, got, err)
		case c.want != "" && (err != nil || len(got) != 1 || newest(got).Origin != c.want):
			t.Errorf("%s: got %v, %v; want that of %s", name, got, err, c.want)
		}
	}
}
