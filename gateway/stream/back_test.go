package stream_test

import (
	"errors"
	"testing"

	"karaula/gateway/stream"
)

// A stream that ends before what was stored in it has been lost or set back:
// there is nothing to compare, and nobody may take it for an empty answer.
func TestLookNoticesAStreamThatWentBack(t *testing.T) {
	t.Parallel()
	_, log := open(t)
	if _, err := log.Append(t.Context(), msgs(1, 3), 0); err != nil {
		t.Fatal(err)
	}
	nobody := func(m stream.Stored) error { t.Errorf("a stranger at %d", m.Seq); return nil }
	if at, end, err := log.Look(t.Context(), 3, nil, nobody); err != nil || len(at) > 0 || end != 3 {
		t.Errorf("at its end: %v, %d, %v", at, end, err)
	}
	if at, end, err := log.Look(t.Context(), 4, nil, nobody); !errors.Is(err, stream.ErrBack) || len(at) > 0 || end != 4 {
		t.Errorf("behind its end: %v, %d, %v", at, end, err)
	}
}
