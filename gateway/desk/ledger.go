package desk

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Ledgers gives the heads of the node's ledgers; every role may see them, for
// they hold no content.
func (d *Desk) Ledgers(
	ctx context.Context, req *connect.Request[karaulav1.LedgersRequest],
) (*connect.Response[karaulav1.LedgersResponse], error) {
	if _, err := who(ctx, "officer", "supervisor", "auditor", "system", "admin"); err != nil {
		return nil, d.toConnect(err)
	}
	resp, err := d.cfg.Ledgers(ctx, req.Msg.GetChannel())
	if err != nil {
		return nil, d.toConnect(err)
	}
	return connect.NewResponse(resp), nil
}

// Repair mends the own ledger of a channel. Who asked for it is recorded before
// anything is done.
func (d *Desk) Repair(
	ctx context.Context, req *connect.Request[karaulav1.RepairRequest],
) (*connect.Response[karaulav1.RepairResponse], error) {
	resp, err := d.repair(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) repair(ctx context.Context, req *karaulav1.RepairRequest) (*karaulav1.RepairResponse, error) {
	officer, err := who(ctx, "supervisor", "admin")
	if err != nil {
		return nil, err
	}
	switch req.GetReason() {
	case "", "journal-lost", "stream-lost", "contested":
	default:
		return nil, problem.New(problem.Invalid, "%q is no reason of a new epoch; nothing was done", req.GetReason()).
			WithHint("journal-lost, stream-lost or contested")
	}
	if len(req.GetWithout()) > 0 && !req.GetNewEpoch() {
		return nil, problem.New(problem.Invalid, "a partner is left out only where a new epoch is opened; nothing was done")
	}
	deed := "repair"
	if req.GetNewEpoch() {
		deed = "new-epoch"
	}
	if err := d.record(ctx, officer, deed, &karaulav1.DeskEntry{
		Channel: req.GetChannel(), Reason: fmt.Sprintf("dry run %v, reason %q, without %v",
			req.GetDryRun(), req.GetReason(), req.GetWithout()),
	}); err != nil {
		return nil, err
	}
	return d.cfg.Repair(ctx, req)
}
