package imports

import (
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/desk"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

// asker asks the node, and again while it does not answer.
type asker struct {
	client  karaulav1connect.NodeServiceClient
	channel string
	wait    time.Duration
	why     string // of withdrawals
}

// pause is between two tries.
const pause = 300 * time.Millisecond

// again repeats what the node could not do just now.
func (a *asker) again(ctx context.Context, try func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, a.wait)
	defer cancel()
	for {
		err := try(ctx)
		if !problem.Is(desk.FromConnect(err), problem.Unreachable) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// send sends all alerts or none; at names the one that cannot be sent, from 1, and
// is 0 if the error is not about one.
func (a *asker) send(ctx context.Context, list []*karaulav1.Alert) (at, warnings int, err error) {
	var resp *connect.Response[karaulav1.SendResponse]
	err = a.again(ctx, func(ctx context.Context) (err error) {
		resp, err = a.client.Send(ctx, connect.NewRequest(&karaulav1.SendRequest{Channel: a.channel, Alerts: list}))
		return err
	})
	if err != nil {
		if n, ok := desk.AlertOf(err); ok && n <= len(list) && !problem.Is(desk.FromConnect(err), problem.Unreachable) {
			at = n
		}
		return at, 0, desk.FromConnect(err)
	}
	for _, s := range resp.Msg.GetSent() {
		warnings += len(s.GetWarnings())
	}
	return 0, warnings, nil
}

func (a *asker) withdraw(ctx context.Context, id string) error {
	return desk.FromConnect(a.again(ctx, func(ctx context.Context) error {
		_, err := a.client.Change(ctx, connect.NewRequest(&karaulav1.ChangeRequest{
			AlertId: id, Channel: a.channel, Lifecycle: karaulav1.Lifecycle_LIFECYCLE_WITHDRAW, Assessment: a.why,
		}))
		return err
	}))
}

func (a *asker) version(ctx context.Context, id string) (version uint32, status string, err error) {
	err = a.again(ctx, func(ctx context.Context) error {
		resp, err := a.client.History(ctx, connect.NewRequest(&karaulav1.HistoryRequest{AlertId: id}))
		if err == nil {
			version, status = resp.Msg.GetState().GetVersion(), resp.Msg.GetState().GetStatus()
		}
		return err
	})
	return version, status, desk.FromConnect(err)
}

// imported gives what the ids of the register's alerts end with, and those that stand.
func (a *asker) imported(ctx context.Context, register string) (mark desk.Mark, standing [][16]byte, err error) {
	err = a.again(ctx, func(ctx context.Context) error {
		standing = nil
		stream, err := a.client.Imported(ctx, connect.NewRequest(&karaulav1.ImportedRequest{Channel: a.channel, Register: register}))
		if err != nil {
			return err
		}
		defer stream.Close() //nolint:errcheck // read to its end
		for stream.Receive() {
			if m := stream.Msg().GetMark(); len(m) == len(mark) {
				mark = desk.Mark(m)
			}
			for id := range slices.Chunk(stream.Msg().GetAlertIds(), 16) {
				if len(id) == 16 {
					standing = append(standing, [16]byte(id))
				}
			}
		}
		return stream.Err()
	})
	if err == nil && mark == (desk.Mark{}) {
		return mark, nil, problem.New(problem.Verification, "the node has not said which alerts are the register's; nothing was sent")
	}
	return mark, standing, desk.FromConnect(err)
}
