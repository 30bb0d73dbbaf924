package desk

import (
	"context"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Limits of a list of clocks.
const defaultClocks = 1000

// Due gives the clocks that run; the look is recorded like that at a list.
func (d *Desk) Due(ctx context.Context, req *connect.Request[karaulav1.DueRequest]) (*connect.Response[karaulav1.DueResponse], error) {
	officer, err := who(ctx, "officer", "supervisor", "auditor", "system")
	if err != nil {
		return nil, d.toConnect(err)
	}
	m := req.Msg
	if err := d.record(ctx, officer, "due", &karaulav1.DeskEntry{Channel: m.GetChannel(), Exercise: m.GetExercise()}); err != nil {
		return nil, d.toConnect(err)
	}
	limit := int(m.GetLimit())
	if limit == 0 {
		limit = defaultClocks
	}
	limit = min(limit, maxRows)
	now := d.cfg.Now()
	resp := &karaulav1.DueResponse{Complete: d.cfg.Complete()}
	in := d.bookFor(m.GetExercise())
	for _, c := range in.Clocks(d.cfg.Self, d.cfg.Holidays, now) {
		if !during(m.GetExercise(), c.Alert.Exercise) {
			continue
		}
		if m.GetChannel() != "" && c.Alert.Channel != m.GetChannel() || !c.Met.IsZero() && !m.GetMet() ||
			m.GetBefore() != 0 && c.Due.UnixMicro() >= m.GetBefore() {
			continue
		}
		if len(resp.GetClocks()) == limit {
			resp.More = true
			break
		}
		row := &karaulav1.ClockRow{
			Kind: c.Kind, State: c.State(now), Party: c.Party, Due: c.Due.UnixMicro(), Since: c.Since.UnixMicro(),
			Alert: in.Row(c.Alert),
		}
		if !c.Met.IsZero() {
			row.Met = c.Met.UnixMicro()
		}
		resp.Clocks = append(resp.Clocks, row)
	}
	return connect.NewResponse(resp), nil
}

// ClockText says in a few words what is owed. It names no person and no content.
func ClockText(c book.Clock) string {
	switch c.Kind {
	case karaulav1.ClockKind_CLOCK_KIND_HIT:
		return "take up a hit"
	case karaulav1.ClockKind_CLOCK_KIND_ERROR_NOTICE:
		return "tell of an error"
	case karaulav1.ClockKind_CLOCK_KIND_REVIEW:
		return "review an alert"
	case karaulav1.ClockKind_CLOCK_KIND_ONWARD:
		return "renew what was passed on, or take it back"
	default:
		return "answer"
	}
}
