package desk

import (
	"context"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	"karaula/gateway/bus"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Limits of lists.
const (
	defaultRows = 100
	maxRows     = 10_000
	maxReason   = 500
)

// List gives alerts without content, newest first.
func (d *Desk) List(
	ctx context.Context, req *connect.Request[karaulav1.ListRequest],
) (*connect.Response[karaulav1.ListResponse], error) {
	officer, err := who(ctx, "officer", "supervisor", "auditor", "system")
	if err != nil {
		return nil, d.toConnect(err)
	}
	m := req.Msg
	limit := int(m.GetLimit())
	if limit == 0 {
		limit = defaultRows
	}
	filter := book.Filter{Channel: m.GetChannel(), Type: m.GetType(), Since: m.GetSince(), Limit: min(limit, maxRows), Exercise: m.GetExercise()}
	if err := d.record(
		ctx,
		officer,
		"list",
		&karaulav1.DeskEntry{Channel: m.GetChannel(), Type: m.GetType(), Exercise: m.GetExercise()},
	); err != nil {
		return nil, d.toConnect(err)
	}
	resp := &karaulav1.ListResponse{Complete: d.cfg.Complete()}
	in := d.bookFor(m.GetExercise())
	for _, e := range in.List(filter) {
		resp.Alerts = append(resp.Alerts, in.Row(e))
	}
	return connect.NewResponse(resp), nil
}

// Show opens one alert; the look is recorded before anything is shown.
func (d *Desk) Show(
	ctx context.Context, req *connect.Request[karaulav1.ShowRequest],
) (*connect.Response[karaulav1.ShowResponse], error) {
	resp, err := d.show(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) show(ctx context.Context, req *karaulav1.ShowRequest) (*karaulav1.ShowResponse, error) {
	officer, err := who(ctx, "officer", "supervisor", "system")
	if err != nil {
		return nil, err
	}
	if len(req.GetReason()) > maxReason {
		return nil, problem.New(problem.Invalid, "the reason is longer than %d bytes; nothing was shown", maxReason)
	}
	id, err := parseID(req.GetAlertId())
	if err != nil {
		return nil, err
	}
	e, err := d.find(id, req.GetOrigin(), "")
	if err != nil {
		return nil, err
	}
	if err := d.record(ctx, officer, "show", &karaulav1.DeskEntry{
		Channel: e.Channel, Ledger: e.Ledger[:], Epoch: e.Epoch, Seq: e.Seq, Type: e.Type, Reason: req.GetReason(), Exercise: practised(e),
	}); err != nil {
		return nil, err
	}
	opened, err := d.cfg.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	d.seen(ctx, e, officer)
	resp := &karaulav1.ShowResponse{Row: d.bookOf(e).Row(e), Alert: opened.Inner.GetAlert(), Clause: opened.Clause}
	if e.Origin == d.cfg.Self {
		resp.Outdated = d.bookOf(e).Outdated(e)
	}
	return resp, nil
}

// parseID reads an alert's id.
func parseID(text string) ([16]byte, error) {
	id, ok := book.ParseID(text)
	if !ok {
		return id, problem.New(problem.Invalid, "%q is no alert id (a UUID of version 7)", text).
			WithHint("karaula alert list --dir DIR")
	}
	return id, nil
}

// find gives the version of an alert that counts; origin and channel may be
// empty where that leaves one.
func (d *Desk) find(id [16]byte, origin, channel string) (book.Entry, error) {
	found := d.said(id, channel)
	if channel != "" {
		found = slices.DeleteFunc(found, func(e book.Entry) bool { return e.Channel != channel })
	}
	if len(found) == 0 {
		err := problem.New(problem.NotFound, "no alert %s at this node", book.IDText(id))
		if channel != "" {
			err = problem.New(problem.NotFound, "no alert %s on channel %s at this node", book.IDText(id), channel)
		}
		if !d.cfg.Complete() {
			err = problem.New(problem.Unreachable, "no alert %s yet: the gateway is still reading its history after a start",
				book.IDText(id))
		}
		return book.Entry{}, err.WithHint("karaula alert list --dir DIR")
	}
	found, err := saidBy(found, origin, d.cfg.Self)
	if err != nil {
		return book.Entry{}, err
	}
	return newest(found), nil
}

// saidBy leaves those who said the alert: the one asked for, else the own party,
// else the only one. Whoever has read an alert can use its id for another one of
// its own; nothing of that may stand in front of the first.
func saidBy(found []book.Entry, origin, self string) ([]book.Entry, error) {
	by := map[string][]book.Entry{}
	for _, e := range found {
		by[e.Origin] = append(by[e.Origin], e)
	}
	if origin == "" && by[self] != nil {
		origin = self
	}
	switch {
	case origin != "" && by[origin] == nil:
		return nil, problem.New(problem.NotFound, "%s said no alert with this id", origin)
	case origin != "":
		return by[origin], nil
	case len(by) > 1:
		return nil, problem.New(problem.Conflict, "%s have used the same alert id; nothing was shown",
			strings.Join(slices.Sorted(maps.Keys(by)), " and ")).WithHint("say whose is meant: --from PARTY")
	default:
		return found, nil
	}
}

// newest gives the highest accepted version, and of several the first that came.
func newest(found []book.Entry) book.Entry {
	best := found[0]
	for _, e := range found[1:] {
		better := e.Version > best.Version
		if refused(best) && !refused(e) {
			better = true
		}
		if better && (!refused(e) || refused(best)) {
			best = e
		}
	}
	return best
}

func refused(e book.Entry) bool { return e.Refused() }

// Watch streams events until the caller leaves.
func (d *Desk) Watch(
	ctx context.Context,
	req *connect.Request[karaulav1.WatchRequest],
	out *connect.ServerStream[karaulav1.WatchResponse],
) error {
	return d.toConnect(d.watch(ctx, req.Msg, out.Send))
}

func (d *Desk) watch(
	ctx context.Context, req *karaulav1.WatchRequest, send func(*karaulav1.WatchResponse) error,
) error {
	officer, err := who(ctx, "officer", "supervisor", "auditor", "system")
	if err != nil {
		return err
	}
	if err := d.record(
		ctx,
		officer,
		"watch",
		&karaulav1.DeskEntry{Channel: req.GetChannel(), Type: req.GetType(), Exercise: req.GetExercise()},
	); err != nil {
		return err
	}
	l := d.cfg.Bus.Listen()
	defer l.Leave()
	if err := d.watchPast(req, send); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case told, ok := <-l.C:
			if !ok {
				return problem.New(problem.Failed, "the watcher fell behind and was cut off; events were missed").
					WithHint("watch again with --since and the time of the last event")
			}
			for _, e := range told {
				if !wanted(req, e) {
					continue
				}
				if err := send(e); err != nil {
					return err //nolint:wrapcheck // the stream's own error
				}
			}
		}
	}
}

// watchPast sends what happened since the time asked for, oldest first.
func (d *Desk) watchPast(req *karaulav1.WatchRequest, send func(*karaulav1.WatchResponse) error) error {
	if req.GetSince() == 0 {
		return nil
	}
	past := d.bookFor(req.GetExercise()).List(book.Filter{
		Channel: req.GetChannel(), Type: req.GetType(), Since: req.GetSince(), Limit: maxRows, Exercise: req.GetExercise(),
	})
	for _, e := range slices.Backward(past) {
		if err := send(d.Event(e)); err != nil {
			return err
		}
	}
	return nil
}

func wanted(req *karaulav1.WatchRequest, e *karaulav1.WatchResponse) bool {
	if e.GetEvent() == bus.Exercise {
		return true // whoever watches must know what is practised beside it
	}
	if c := req.GetChannel(); c != "" && e.GetChannel() != c {
		return false
	}
	if e.GetDrill() != (req.GetExercise() != "") || !during(req.GetExercise(), e.GetExercise()) && e.GetExercise() != "" {
		return false
	}
	if t := req.GetType(); t != 0 && e.GetAlert().GetType() != t {
		return false
	}
	return true
}

// Status gives the node's state; every role may see it, for it holds no content.
func (d *Desk) Status(
	ctx context.Context, _ *connect.Request[karaulav1.StatusRequest],
) (*connect.Response[karaulav1.StatusResponse], error) {
	if _, err := who(ctx, "officer", "supervisor", "auditor", "system", "admin"); err != nil {
		return nil, d.toConnect(err)
	}
	return connect.NewResponse(d.cfg.Status(ctx)), nil
}

// Checkup makes the node's checks; whoever may see the state may ask.
func (d *Desk) Checkup(
	ctx context.Context, req *connect.Request[karaulav1.CheckupRequest],
) (*connect.Response[karaulav1.CheckupResponse], error) {
	if _, err := who(ctx, "officer", "supervisor", "auditor", "system", "admin"); err != nil {
		return nil, d.toConnect(err)
	}
	return connect.NewResponse(&karaulav1.CheckupResponse{Checks: d.cfg.Checkup(ctx, req.Msg.GetRoundTrips())}), nil
}

// TestLink makes a round trip to a partner; whoever may see the state may ask.
func (d *Desk) TestLink(
	ctx context.Context, req *connect.Request[karaulav1.TestLinkRequest],
) (*connect.Response[karaulav1.TestLinkResponse], error) {
	if _, err := who(ctx, "officer", "supervisor", "auditor", "system", "admin"); err != nil {
		return nil, d.toConnect(err)
	}
	resp, err := d.cfg.TestLink(ctx, req.Msg.GetParty())
	if err != nil {
		return nil, d.toConnect(err)
	}
	return connect.NewResponse(resp), nil
}
