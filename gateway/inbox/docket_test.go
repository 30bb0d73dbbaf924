package inbox

import (
	"testing"
	"time"

	"karaula/internal/border"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// readBackOf gives an inbox that has read back one erased statement in each of two epochs.
func readBackOf() *Inbox {
	b := &Inbox{
		cfg: Config{Now: func() time.Time { return time.Unix(1, 0) }}, told: told{},
		led: border.NewLedger(ledger.ID{1}, "b01-al-me", "al", karaulav1.Mode_MODE_ACTUAL), docket: docket{doubtful: true},
	}
	for epoch := range uint64(2) {
		it := &item{placement: border.Placement{Position: border.Position{Epoch: epoch + 1, Seq: 1}}}
		b.docket.enter(it, Judged{Verdict: border.Verdict{Class: karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED}})
		b.docket.erased(it.placement.Position, 1)
		b.docket.erased(it.placement.Position, 2)
	}
	return b
}

func receiptOf(epoch uint64, erased ...uint64) *karaulav1.LedgerReceipt {
	r := &karaulav1.LedgerReceipt{Epoch: epoch, JudgedTo: 1, Root: make([]byte, 32)}
	for _, seq := range erased {
		r.Erasures = append(r.Erasures, &karaulav1.Erasure{Seq: seq, DoneAt: 1})
	}
	return r
}

// Whether what a start has found without its content is erased is not known better
// because another epoch begins.
func TestANewEpochSettlesNoDoubt(t *testing.T) {
	t.Parallel()
	b := readBackOf()
	b.Receipted(receiptOf(1))
	b.Receipted(receiptOf(2))
	if r := b.Receipt(false); r != nil {
		t.Errorf("told: %v", r)
	}
	b.docket.doubtful = false
	if r := b.Receipt(false); r.GetEpoch() != 2 || len(r.GetErasures()) != 1 {
		t.Errorf("told: %v", r)
	}
}

// What was not told of an epoch that is over is told after a start, and what was is not.
func TestErasuresOfAnEpochThatIsOverAreToldOnce(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		b := readBackOf()
		b.docket.doubtful = false
		b.Receipted(receiptOf(2, 1))
		if r := b.Receipt(false); r != nil {
			t.Errorf("told of a number that was never receipted: %v", r)
		}
		b.Receipted(receiptOf(1))
		if told {
			b.Receipted(receiptOf(1, 1))
		}
		r := b.Receipt(false)
		if (r == nil) != told || !told && (r.GetEpoch() != 1 || r.GetSince() != 1 || r.GetJudgedTo() != 1 || len(r.GetErasures()) != 1) {
			t.Errorf("told before %v: %v", told, r)
		}
	}
}
