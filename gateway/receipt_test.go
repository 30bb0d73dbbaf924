package gateway

import (
	"testing"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// A partner can answer only what was said: a receipt for numbers to come would
// show alerts as accepted that it never had.
func TestAReceiptIsAboutWhatWasSaid(t *testing.T) {
	t.Parallel()
	head := &karaulav1.Head{Epoch: 2, Size: 10}
	for _, c := range []struct {
		epoch, to uint64
		want      bool
	}{{2, 10, true}, {2, 0, true}, {1, 99, true}, {2, 11, false}, {2, 1 << 63, false}, {3, 1, false}} {
		if got := aboutSaid(&karaulav1.LedgerReceipt{Epoch: c.epoch, JudgedTo: c.to}, head); got != c.want {
			t.Errorf("epoch %d up to %d: %v", c.epoch, c.to, got)
		}
	}
}
