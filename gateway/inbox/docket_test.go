package inbox

import (
	"testing"
	"time"

	"karaula/internal/border"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Whether what a start has found without its content is erased is not known better
// because another epoch begins.
func TestANewEpochSettlesNoDoubt(t *testing.T) {
	t.Parallel()
	d := docket{doubtful: true}
	enter := func(epoch, seq uint64) {
		it := &item{placement: border.Placement{Position: border.Position{Epoch: epoch, Seq: seq}}}
		d.enter(it, Judged{Verdict: border.Verdict{Class: karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED}})
		d.erased(it.placement.Position, 1)
	}
	enter(1, 1)
	enter(2, 1)
	if out := d.tellable(time.Unix(1, 0), 1, 0); len(out) > 0 {
		t.Errorf("told: %v", out)
	}
	d.doubtful = false
	if out := d.tellable(time.Unix(1, 0), 1, 0); len(out) != 1 {
		t.Errorf("told: %v", out)
	}
}
