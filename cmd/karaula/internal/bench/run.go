package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"connectrpc.com/connect"

	"karaula/cmd/karaula/internal/nodes"
	"karaula/gateway/bus"
	"karaula/gateway/desk"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Sizes of the parts beside the end-to-end part, and the pause at light load.
const (
	warmUp     = 200
	maxSamples = 200
	minSamples = 10
	interval   = 20 * time.Millisecond
)

// Run makes two nodes, measures, and stops them.
func Run(ctx context.Context, o Options) (res *Result, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	dir, remove, err := folder(o.Dir)
	if err != nil {
		return nil, err
	}
	defer remove()
	o.Progress("making two nodes")
	s, err := build(o, dir)
	if err != nil {
		return nil, err
	}
	res = &Result{}
	if err := s.measureFloor(res); err != nil {
		return nil, err
	}
	o.Progress("starting the nodes")
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	for _, part := range []func(context.Context, *Result) error{
		s.warm, s.measureLatency, s.measureLoop, s.measureLoad, s.measureImport, s.measureFloorAgain,
	} {
		if err := part(ctx, res); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// measureFloor says what is measured on, and does the floor.
func (s *stage) measureFloor(res *Result) error {
	list, err := alerts(1, s.o.Size)
	if err != nil {
		return err
	}
	if s.op, err = s.newOperation(list[0]); err != nil {
		return err
	}
	sealed, err := s.op.once()
	if err != nil {
		return err
	}
	perSync, err := syncTime(s.dir)
	if err != nil {
		return err
	}
	res.Setting = Setting{
		Cores: runtime.GOMAXPROCS(0), Go: runtime.Version(), Size: s.o.Size, Sealed: sealed,
		Filesystem: filesystem(s.dir), SyncMillis: millis(perSync),
	}
	s.o.Progress(fmt.Sprintf("floor: %d times seal, sign, verify and open", s.o.Alerts))
	res.Floor, err = s.op.floor(s.o.Alerts)
	return err
}

// measureFloorAgain does the floor once more, lets the better round count, and
// compares: what else the machine did in one of them must not flatter us.
func (s *stage) measureFloorAgain(_ context.Context, res *Result) error {
	s.o.Progress("floor: the same once more")
	again, err := s.op.floor(s.o.Alerts)
	if err != nil {
		return err
	}
	if again.PerSecond > res.Floor.PerSecond {
		res.Floor = again
	}
	e := &res.EndToEnd
	e.OfFloor, e.OfFloorCPU = e.PerSecond/res.Floor.PerSecond, res.Floor.CPUMicros/e.CPUMicros
	res.Loop.Times, res.Loop.AcceptedTimes = e.PerSecond/res.Loop.PerSecond, e.PerSecond/res.Loop.AcceptedPerSecond
	return nil
}

// warm sends a batch and waits for its receipts: connections are up, rules
// compiled. A node speaks only after its partner has said what it holds, so the
// first tries may be too early.
func (s *stage) warm(ctx context.Context, _ *Result) error {
	list, err := alerts(warmUp, s.o.Size)
	if err != nil {
		return err
	}
	last, err := s.send(ctx, list...)
	until := time.Now().Add(readyTimeout)
	for problem.Is(err, problem.Unreachable) && time.Now().Before(until) && ctx.Err() == nil {
		time.Sleep(interval)
		last, err = s.send(ctx, list...)
	}
	if err != nil {
		return err
	}
	return s.awaitReceipts(ctx, last)
}

// samples is how many alerts the parts at light load take.
func (s *stage) samples() int { return min(max(s.o.Alerts/10, minSamples), maxSamples) }

// measureLatency says one alert at a time, with a pause, and waits for none.
func (s *stage) measureLatency(ctx context.Context, res *Result) error {
	list, err := alerts(s.samples(), s.o.Size)
	if err != nil {
		return err
	}
	s.o.Progress(fmt.Sprintf("latency: %d alerts, one every %s", len(list), interval))
	w := watchFor(s.to, bus.Accepted)
	defer w.leave()
	began := make([]time.Time, len(list))
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for i, a := range list {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return problem.Wrap(problem.Failed, ctx.Err(), "stopped")
		}
		began[i] = time.Now()
		if _, err := s.send(ctx, a); err != nil {
			return err
		}
	}
	var took []time.Duration
	for i, a := range list {
		at, err := w.wait(ctx, a.GetId())
		if err != nil {
			return err
		}
		took = append(took, at.Sub(began[i]))
	}
	res.Latency = Latency{
		Alerts: len(list), IntervalMillis: millis(interval),
		P50Millis: millis(quantile(took, .5)), P99Millis: millis(quantile(took, .99)),
	}
	return nil
}

// measureLoop says one alert, waits until it is accepted and receipted, and says the next.
func (s *stage) measureLoop(ctx context.Context, res *Result) error {
	list, err := alerts(s.samples(), s.o.Size)
	if err != nil {
		return err
	}
	s.o.Progress(fmt.Sprintf("loop: %d alerts, each waits for its receipt", len(list)))
	accepted, delivered := watchFor(s.to, bus.Accepted), watchFor(s.from, bus.Delivered)
	defer accepted.leave()
	defer delivered.leave()
	var there, back []time.Duration
	began := time.Now()
	for _, a := range list {
		said := time.Now()
		if _, err := s.send(ctx, a); err != nil {
			return err
		}
		at, err := accepted.wait(ctx, a.GetId())
		if err != nil {
			return err
		}
		there = append(there, at.Sub(said))
		if at, err = delivered.wait(ctx, a.GetId()); err != nil {
			return err
		}
		back = append(back, at.Sub(said))
	}
	took := time.Since(began).Seconds()
	var accepting time.Duration
	for _, d := range there {
		accepting += d
	}
	res.Loop = Loop{
		AcceptedPerSecond: float64(len(list)) / accepting.Seconds(),
		Alerts:            len(list), Seconds: took, PerSecond: float64(len(list)) / took,
		AcceptedMillis: millis(quantile(there, .5)), ReceiptMillis: millis(quantile(back, .5)),
	}
	return nil
}

// send hands alerts to the sender's desk and gives the last one's number.
func (s *stage) send(ctx context.Context, list ...*karaulav1.Alert) (uint64, error) {
	resp, err := s.from.Gateway.Desk().Send(officer(ctx), connect.NewRequest(&karaulav1.SendRequest{
		Channel: channel, Alerts: list,
	}))
	if err != nil {
		return 0, desk.FromConnect(err)
	}
	var last uint64
	for _, sent := range resp.Msg.GetSent() {
		last = max(last, sent.GetSeq())
	}
	return last, nil
}

// officer is who acts at both nodes.
func officer(ctx context.Context) context.Context {
	return desk.AsOfficer(ctx, desk.Officer{ID: "bench", Role: "supervisor"})
}

// receiptsPoll is the pause between two looks at the receipts.
const receiptsPoll = 2 * time.Millisecond

// awaitReceipts waits until the recipient's receipts cover a number, and fails
// if they stop coming.
func (s *stage) awaitReceipts(ctx context.Context, number uint64) error {
	var have uint64
	news := time.Now()
	for {
		own, err := status(ctx, s.from)
		if err != nil {
			return err
		}
		if to := own.GetPartners()[0].GetJudgedTo(); to > have {
			have, news = to, time.Now()
		}
		switch {
		case have >= number:
			return nil
		case ctx.Err() != nil:
			return problem.Wrap(problem.Failed, ctx.Err(), "stopped")
		case time.Since(news) > patience:
			return problem.New(problem.Failed, "the receipts stop at number %d of %d", have, number)
		}
		time.Sleep(receiptsPoll)
	}
}

// status gives the state of the channel at a node.
func status(ctx context.Context, n *nodes.Node) (*karaulav1.ChannelStatus, error) {
	resp, err := n.Gateway.Desk().Status(officer(ctx), connect.NewRequest(&karaulav1.StatusRequest{}))
	if err != nil {
		return nil, desk.FromConnect(err)
	}
	for _, c := range resp.Msg.GetChannels() {
		if c.GetChannel() == channel && len(c.GetPartners()) == 1 {
			return c, nil
		}
	}
	return nil, problem.New(problem.NotFound, "node %s has no channel %s", n.Config.Party, channel)
}

// quantile gives the smallest value that is not below a share q of all.
func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
