package desk

import (
	"context"
	"runtime"
	"sync"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// alertExport is the deed of an export of alerts.
const alertExport = "alert-export"

// exportChunk is how many alerts are recorded, opened and sent at a time.
const exportChunk = 200

// Export gives the content of alerts in bulk. Nobody has read them by that, so the
// originators are told nothing; which they were is recorded before they are opened.
func (d *Desk) Export(
	ctx context.Context, req *connect.Request[karaulav1.ExportRequest], out *connect.ServerStream[karaulav1.ExportResponse],
) error {
	return d.toConnect(d.export(ctx, req.Msg, out.Send))
}

func (d *Desk) export(ctx context.Context, m *karaulav1.ExportRequest, send func(*karaulav1.ExportResponse) error) error {
	const free = karaulav1.Handling_HANDLING_H1 // what is passed on to nobody needs no question
	upTo := max(m.GetHandling(), free)
	if m.GetHandling() != 0 {
		upTo = m.GetHandling()
	}
	roles := []string{"supervisor", "system"}
	if upTo > free {
		roles = roles[:1]
	}
	officer, err := who(ctx, roles...)
	if err != nil {
		return err
	}
	if err := d.checkExport(m); err != nil {
		return err
	}
	list, withheld := d.exported(m, upTo)
	sum := &karaulav1.ExportSummary{Withheld: uint32(withheld)} //nolint:gosec // alerts are fewer
	entry := func() *karaulav1.DeskEntry {
		return &karaulav1.DeskEntry{Channel: m.GetChannel(), Type: m.GetType(), Reason: m.GetReason(), Purpose: m.GetPurpose()}
	}
	first := entry()
	first.Matched = []uint32{uint32(len(list)), uint32(withheld)} //nolint:gosec // likewise
	if err := d.record(ctx, officer, alertExport, first); err != nil {
		return err
	}
	for len(list) > 0 {
		part := list[:min(len(list), exportChunk)]
		list = list[len(part):]
		next := entry()
		for _, e := range part {
			next.Leaves = append(next.Leaves, e.Leaf[:])
		}
		if err := d.record(ctx, officer, alertExport, next); err != nil {
			return err
		}
		resp, err := d.openAll(ctx, part)
		if err != nil {
			return err
		}
		sum.Given += uint32(len(resp.GetAlerts()))              //nolint:gosec // at most a chunk
		sum.Erased += uint32(len(part) - len(resp.GetAlerts())) //nolint:gosec // likewise
		if err := send(resp); err != nil {
			return err
		}
	}
	return send(&karaulav1.ExportResponse{Summary: sum})
}

// checkExport refuses a request that says too little.
func (d *Desk) checkExport(m *karaulav1.ExportRequest) error {
	switch {
	case karaulav1.Purpose_name[int32(m.GetPurpose())] == "" || m.GetPurpose() == 0:
		return problem.New(problem.Invalid, "an export needs a purpose; nothing was exported").
			WithHint("--purpose prevention, detection, investigation, prosecution or public-security")
	case m.GetReason() == "" || len(m.GetReason()) > maxReason:
		return problem.New(problem.Invalid, "an export needs a reason, of at most %d bytes; nothing was exported", maxReason).
			WithHint(`--reason "nightly copy to the national register"`)
	case karaulav1.Handling_name[int32(m.GetHandling())] == "":
		return problem.New(problem.Invalid, "that is no handling code; nothing was exported")
	case !d.cfg.Complete():
		return problem.New(problem.Unreachable, "history is still being read, alerts could be missing; nothing was exported").
			WithHint("try again in a moment; karaula status --dir DIR shows why")
	}
	if m.GetChannel() == "" {
		return nil
	}
	switch mode, known := d.modes()[m.GetChannel()]; {
	case !known:
		return problem.New(problem.NotFound, "there is no channel %q at this node; nothing was exported", m.GetChannel()).
			WithHint("karaula agreement list --dir DIR")
	case mode != karaulav1.Mode_MODE_ACTUAL:
		return problem.New(problem.NotAllowed, "what is said on channel %s is not meant and goes into no register; nothing was exported",
			m.GetChannel())
	}
	return nil
}

// modes gives the mode of each channel, closed ones included.
func (d *Desk) modes() map[string]karaulav1.Mode {
	out := map[string]karaulav1.Mode{}
	for _, cv := range d.cfg.Register().AllChannels() {
		out[cv.ID] = cv.Channel.Mode
	}
	return out
}

// exported chooses the alerts. The handling code of an own alert binds its readers,
// not the party itself.
func (d *Desk) exported(m *karaulav1.ExportRequest, upTo karaulav1.Handling) (list []book.Entry, withheld int) {
	f := book.Filter{Channel: m.GetChannel(), Type: m.GetType(), Since: m.GetFrom()}
	for _, e := range d.cfg.Book.Standing(f, m.GetTo(), d.cfg.Now()) {
		own := e.Origin == d.cfg.Self && e.Descent == nil
		switch {
		case e.Origin == d.cfg.Self && !m.GetOwn():
		case !own && (e.Handling > upTo || e.Handling == 0):
			withheld++
		default:
			list = append(list, e)
		}
	}
	return list, withheld
}

// openAll opens alerts side by side; what has been erased meanwhile is left out.
func (d *Desk) openAll(ctx context.Context, list []book.Entry) (*karaulav1.ExportResponse, error) {
	out := make([]*karaulav1.Exported, len(list))
	errs := make([]error, len(list))
	seats := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, e := range list {
		seats <- struct{}{}
		wg.Go(func() {
			defer func() { <-seats }()
			opened, err := d.cfg.Open(ctx, e)
			if err != nil {
				errs[i] = err
				return
			}
			out[i] = &karaulav1.Exported{Row: d.cfg.Book.Row(e), Alert: opened.Inner.GetAlert()}
		})
	}
	wg.Wait()
	resp := &karaulav1.ExportResponse{}
	for i := range out {
		switch {
		case out[i] != nil:
			resp.Alerts = append(resp.Alerts, out[i])
		case !problem.Is(errs[i], problem.NotFound):
			return nil, problem.Wrap(problem.KindOf(errs[i]), errs[i], "number %d of %s on %s cannot be exported",
				list[i].Seq, list[i].Origin, list[i].Channel)
		}
	}
	return resp, nil
}
