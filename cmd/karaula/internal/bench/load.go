package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"karaula/cmd/karaula/internal/nodes"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxBatch is how many alerts the desk takes in one request.
const maxBatch = 1000

// measureLoad sends everything, from several callers, and waits for the last receipt.
func (s *stage) measureLoad(ctx context.Context, res *Result) error {
	list, err := alerts(s.o.Alerts, s.o.Size)
	if err != nil {
		return err
	}
	before, err := s.look(ctx)
	if err != nil {
		return err
	}
	e := EndToEnd{Alerts: len(list), Callers: 2 * runtime.GOMAXPROCS(0)}
	e.Batch = min(maxBatch, (len(list)+e.Callers-1)/e.Callers)
	s.o.Progress(fmt.Sprintf("end to end: %d alerts, %d callers, %d in a request", e.Alerts, e.Callers, e.Batch))
	runtime.GC() // what the parts before left behind is theirs
	done := s.o.Loaded()
	began, cpu := time.Now(), cpuTime()
	last, err := s.sendAll(ctx, list, e.Callers, e.Batch)
	if err == nil {
		err = s.awaitReceipts(ctx, last)
	}
	took, spent := time.Since(began).Seconds(), cpuTime()-cpu
	done()
	if err != nil {
		return err
	}
	after, err := s.look(ctx)
	if err != nil {
		return err
	}
	if err := before.complete(after, len(list)); err != nil {
		return err
	}
	n := int64(len(list))
	e.Seconds, e.PerSecond = took, float64(n)/took
	e.CPUMicros = micros(spent, len(list))
	e.Receipts = after.said - before.said
	e.Share = float64(e.Receipts) / float64(n)
	e.SenderDisk, e.OtherDisk = (after.senderDisk-before.senderDisk)/n, (after.recipientDisk-before.recipientDisk)/n
	res.EndToEnd = e
	return nil
}

// sendAll lets several callers send in batches, and gives the highest number.
func (s *stage) sendAll(ctx context.Context, list []*karaulav1.Alert, callers, batch int) (uint64, error) {
	var next atomic.Int64
	lasts, errs := make([]uint64, callers), make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for errs[c] == nil {
				from := int(next.Add(int64(batch))) - batch
				if from >= len(list) {
					return
				}
				var last uint64
				last, errs[c] = s.send(ctx, list[from:min(from+batch, len(list))]...)
				lasts[c] = max(lasts[c], last)
			}
		})
	}
	wg.Wait()
	var last uint64
	for _, n := range lasts {
		last = max(last, n)
	}
	return last, errors.Join(errs...)
}

// counts is what both nodes say of themselves at one moment.
type counts struct {
	accepted, judged          uint64 // of the sender's statements, at the recipient
	said                      uint64 // statements that the recipient said
	senderDisk, recipientDisk int64
}

// look asks both nodes.
func (s *stage) look(ctx context.Context) (counts, error) {
	var c counts
	at, err := status(ctx, s.to)
	if err != nil {
		return c, err
	}
	c.said = at.GetSaid()
	if c.accepted, c.judged, err = verdicts(s.to); err != nil {
		return c, err
	}
	if c.senderDisk, err = size(s.from.Layout.Dir); err != nil {
		return c, err
	}
	c.recipientDisk, err = size(s.to.Layout.Dir)
	return c, err
}

// complete holds against each other what was sent and what the recipient has accepted.
func (c counts) complete(after counts, sent int) error {
	accepted, judged := after.accepted-c.accepted, after.judged-c.judged
	if accepted < uint64(sent) || accepted != judged { //nolint:gosec // a count
		return problem.New(
			problem.Failed,
			"%d alerts were sent, but of %d statements %d were accepted",
			sent,
			judged,
			accepted,
		)
	}
	return nil
}

// verdicts reads a node's own metric of verdicts on the channel: how many
// statements it has accepted, and how many it has judged.
func verdicts(n *nodes.Node) (accepted, judged uint64, err error) {
	families, err := n.Metrics().Gather()
	if err != nil {
		return 0, 0, problem.Wrap(problem.Failed, err, "the metrics of node %s cannot be read", n.Config.Party)
	}
	word := terms.ClassWord(karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED)
	for _, f := range families {
		if f.GetName() != "karaula_statements_judged_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			count := uint64(m.GetCounter().GetValue())
			judged += count
			for _, l := range m.GetLabel() {
				if l.GetName() == "class" && l.GetValue() == word {
					accepted += count
				}
			}
		}
	}
	return accepted, judged, nil
}
