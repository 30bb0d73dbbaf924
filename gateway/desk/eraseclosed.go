package desk

import (
	"context"

	"karaula/gateway/book"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Closed erases own statements on channels where nothing can be said any more,
// because the agreement is closed or this party has left it. No order can be given
// there: what is erased is erased at this node.
type Closed interface {
	// Is reports whether a channel is such a one.
	Is(channel string) bool
	// Find gives the own versions of an alert whose content is there, and the own
	// acts about it, by channel; channel may be empty, for all.
	Find(ctx context.Context, id [16]byte, channel string) (map[string][]book.Entry, error)
	// Erase erases their content.
	Erase(ctx context.Context, channel string, said []book.Entry) error
}

// eraseClosed has content erased here, on a channel that is closed.
func (d *Desk) eraseClosed(
	ctx context.Context, officer Officer, reason, channel string, said []book.Entry,
) (*karaulav1.EraseOrder, error) {
	order := &karaulav1.EraseOrder{Channel: channel, Closed: true, Statements: uint32(len(said))} //nolint:gosec // of one alert
	if len(said) == 0 {
		return order, nil
	}
	for _, e := range said {
		if len(e.Readers) > 0 {
			order.Readers = e.Readers
		}
	}
	if err := d.recordErase(ctx, officer, reason, said[0]); err != nil {
		return nil, err
	}
	return order, d.cfg.Closed.Erase(ctx, channel, said)
}

// recordErase writes down who has had an alert erased, and why.
func (d *Desk) recordErase(ctx context.Context, officer Officer, reason string, e book.Entry) error {
	return d.record(ctx, officer, "erase", &karaulav1.DeskEntry{
		Channel: e.Channel, Ledger: e.Ledger[:], Epoch: e.Epoch, Seq: e.Seq, Type: e.Type, Reason: reason,
	})
}
