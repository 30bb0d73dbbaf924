package inbox_test

import (
	"testing"

	"karaula/internal/border"
	"karaula/internal/subject"
)

// The other gateway of a pair has sent statements to the broker that arrive there
// after this one has taken over: they are copies of what this one stores, and are
// erased with it. Junk beside them is none.
func TestWhatTheOtherGatewayStoredIsACopy(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	beats := d.beats(5)
	d.deliver(1, beats[0])
	d.settled(1)
	in := subject.In(subject.Actual(channel), "al")
	for _, raw := range [][]byte{[]byte("junk"), beats[0], beats[2], beats[3]} {
		if _, err := d.broker.JS.Publish(t.Context(), in, raw); err != nil {
			t.Fatal(err)
		}
	}
	for i, raw := range beats[1:] {
		d.deliver(uint64(i+2), raw)
	}
	d.settled(5)
	d.with(func() {
		want := map[uint64]border.Position{3: {Epoch: 1, Seq: 1}, 4: {Epoch: 1, Seq: 3}, 5: {Epoch: 1, Seq: 4}}
		for at, place := range want {
			if d.copies[at] != place {
				t.Errorf("the message at %d is a copy of %v, want %v", at, d.copies[at], place)
			}
		}
		if len(d.copies) != len(want) {
			t.Errorf("copies %v", d.copies)
		}
	})
}
