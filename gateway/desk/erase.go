package desk

import (
	"context"
	"maps"
	"slices"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	"karaula/gateway/outbox"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Erase orders the content of an own alert to be erased, here and by every
// recipient.
func (d *Desk) Erase(
	ctx context.Context, req *connect.Request[karaulav1.EraseRequest],
) (*connect.Response[karaulav1.EraseResponse], error) {
	resp, err := d.erase(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) erase(ctx context.Context, req *karaulav1.EraseRequest) (*karaulav1.EraseResponse, error) {
	officer, err := who(ctx, "supervisor")
	if err != nil {
		return nil, err
	}
	id, err := parseID(req.GetAlertId())
	if err != nil {
		return nil, err
	}
	switch {
	case req.GetReason() == "":
		return nil, problem.New(problem.Invalid, "an erasure needs a reason; nothing was erased").
			WithHint(`--reason "claim granted, case 12"`)
	case len(req.GetReason()) > maxReason:
		return nil, problem.New(problem.Invalid, "the reason is longer than %d bytes; nothing was erased", maxReason)
	case !d.cfg.Complete():
		return nil, problem.New(problem.Unreachable, "history is still being read, a version could be missed; nothing was erased").
			WithHint("try again in a moment; karaula status --dir DIR shows why")
	}
	said, channels, err := d.ownVersions(ctx, id, req.GetChannel())
	if err != nil {
		return nil, err
	}
	resp := &karaulav1.EraseResponse{}
	for _, channel := range channels {
		order := d.orderErase
		if d.cfg.Closed.Is(channel) {
			order = d.eraseClosed
		}
		done, err := order(ctx, officer, req.GetReason(), channel, said[channel])
		if err != nil {
			return nil, err
		}
		resp.Orders = append(resp.Orders, done)
	}
	return resp, nil
}

// ownVersions gives what this party has said of an alert, by channel. Of a channel
// that is closed it gives what is not erased there yet.
func (d *Desk) ownVersions(ctx context.Context, id [16]byte, channel string) (map[string][]book.Entry, []string, error) {
	found := d.said(id, channel)
	said, err := d.cfg.Closed.Find(ctx, id, channel)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range found {
		if e.Origin != d.cfg.Self || channel != "" && e.Channel != channel {
			continue
		}
		if list := said[e.Channel]; d.cfg.Closed.Is(e.Channel) {
			said[e.Channel] = list // known, and perhaps erased
		} else {
			said[e.Channel] = append(list, e)
		}
	}
	channels := slices.Sorted(maps.Keys(said))
	switch {
	case len(channels) > 0:
		return said, channels, nil
	case len(found) > 0 && found[0].Origin != d.cfg.Self:
		return nil, nil, problem.New(problem.NotAllowed, "the alert is %s's: only who said it can have it erased; nothing was erased",
			found[0].Origin).WithHint("ask %s, or say that it is wrong: karaula alert act ID --deed error", found[0].Origin)
	case channel != "":
		return nil, nil, problem.New(problem.NotFound, "no own alert %s on %s; nothing was erased", book.IDText(id), channel)
	default:
		return nil, nil, problem.New(problem.NotFound, "no own alert %s at this node; nothing was erased", book.IDText(id))
	}
}

// orderErase says one order on a channel. What was ordered or erased before is left out.
func (d *Desk) orderErase(
	ctx context.Context, officer Officer, reason, channel string, said []book.Entry,
) (*karaulav1.EraseOrder, error) {
	order := &karaulav1.EraseOrder{Channel: channel}
	draft := outbox.Draft{Kind: karaulav1.Kind_KIND_ERASE}
	for _, e := range said {
		if d.mustOrder(e) {
			draft.Refs = append(draft.Refs, e.Ref())
			order.Readers = e.Readers
		}
	}
	if len(draft.Refs) == 0 {
		return order, nil
	}
	w, ok := d.cfg.Writer(channel)
	if !ok {
		return nil, problem.New(problem.Unreachable, "channel %s is not ready; nothing was erased there", channel).
			WithHint("try again in a moment; karaula status --dir DIR shows why")
	}
	if err := d.recordErase(ctx, officer, reason, said[0]); err != nil {
		return nil, err
	}
	draft.Refs = draft.Refs[:min(len(draft.Refs), envelope.MaxRefs)] // the rest with the next one
	out, err := w.Say(ctx, draft)
	if err != nil {
		return nil, err
	}
	st := out[0].Parsed.Statement
	order.Epoch, order.Seq, order.Statements = st.GetEpoch(), st.GetSeq(), uint32(len(draft.Refs)) //nolint:gosec // at most MaxRefs
	return order, nil
}

// mustOrder reports whether readers may still hold a version that they were never
// asked to erase. It may be erased here already: on a channel that was closed then
// and is open again.
func (d *Desk) mustOrder(e book.Entry) bool {
	b := d.bookOf(e)
	return !b.Ordered(e) && (b.ErasedAt(e) == 0 || e.EraseAfter > d.cfg.Now().UnixMicro())
}
