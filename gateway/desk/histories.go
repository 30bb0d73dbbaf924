package desk

import (
	"context"
	"fmt"
	"strings"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// RecordHistories records that the gateway has found by itself that a partner has
// signed another history of a ledger than the one that is here: once, also over
// restarts. said is when the partner signed it; text begins with the partner's code.
func (d *Desk) RecordHistories(ctx context.Context, channel, partner string, h *karaulav1.Head, said time.Time, text string) error {
	const deed = "two-histories"
	root := fmt.Sprintf("; the root that it has signed: %x", h.GetRoot())
	known, err := d.cfg.Diary.Holds(ctx, said.Add(-d.cfg.Skew-recordMargin), func(e *karaulav1.DeskEntry) bool {
		return e.GetDeed() == deed && e.GetChannel() == channel && string(e.GetLedger()) == string(h.GetLedger()) &&
			e.GetEpoch() == h.GetEpoch() && e.GetSeq() == h.GetSize() &&
			strings.HasPrefix(e.GetReason(), partner+" ") && strings.HasSuffix(e.GetReason(), root)
	})
	if err != nil || known {
		return err
	}
	return d.record(ctx, Officer{ID: "gateway", Role: "system"}, deed, &karaulav1.DeskEntry{
		Channel: channel, Ledger: h.GetLedger(), Epoch: h.GetEpoch(), Seq: h.GetSize(), Reason: text + root,
	})
}

// recordMargin is how long before something was said, by clocks that are right enough
// for the border check, no record of it can have been stored.
const recordMargin = time.Minute
