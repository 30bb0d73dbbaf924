package desk

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"karaula/internal/alert"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Change extends or withdraws an own alert, as its next version.
func (d *Desk) Change(
	ctx context.Context, req *connect.Request[karaulav1.ChangeRequest],
) (*connect.Response[karaulav1.ChangeResponse], error) {
	resp, err := d.change(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) change(ctx context.Context, req *karaulav1.ChangeRequest) (*karaulav1.ChangeResponse, error) {
	if _, err := who(ctx, "officer", "supervisor", "system"); err != nil {
		return nil, err
	}
	id, err := parseID(req.GetAlertId())
	if err != nil {
		return nil, err
	}
	e, err := d.find(id, d.cfg.Self, req.GetChannel())
	if err != nil {
		return nil, err
	}
	if err := d.onlyChannel(id, e, req.GetChannel()); err != nil {
		return nil, err
	}
	before, err := d.cfg.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	a := before.Inner.GetAlert()
	var next *karaulav1.Alert
	switch req.GetLifecycle() {
	case karaulav1.Lifecycle_LIFECYCLE_WITHDRAW:
		if a.GetLifecycle() == req.GetLifecycle() {
			next = a // said before: the answer is the same
			break
		}
		next = alert.Withdraw(a, time.UnixMicro(e.EraseAfter), req.GetAssessment())
	case karaulav1.Lifecycle_LIFECYCLE_EXTEND:
		next = alert.Extend(a, time.UnixMicro(req.GetExpires()), req.GetAssessment())
	default:
		return nil, problem.New(problem.Invalid, "an alert is extended or withdrawn; nothing was sent").
			WithHint("send the corrected alert with the next version to update it")
	}
	sent, err := d.send(ctx, &karaulav1.SendRequest{Channel: e.Channel, Alerts: []*karaulav1.Alert{next}, Exercise: e.Exercise})
	if err != nil {
		return nil, err
	}
	return &karaulav1.ChangeResponse{Channel: e.Channel, Sent: sent.GetSent()[0], Readers: sent.GetReaders()}, nil
}
