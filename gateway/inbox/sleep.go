package inbox

import (
	"context"
	"errors"
	"time"

	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const (
	textPause = 30 * time.Second // between two questions for the same text
	maxAsked  = 1000             // texts that are remembered for that
)

// sleep lets go of the statement's bytes: those that wait for a verdict are as
// many and as large as the partner wants, and lie in the IN stream.
func (it *item) sleep() {
	if p := it.placement.Parsed; p != nil {
		it.asleep, it.placement.Parsed = len(p.Raw), nil
	}
}

// judgeAll judges in batches that fit into memory and into one record.
func (b *Inbox) judgeAll(ctx context.Context, items []*item) {
	for len(items) > 0 && ctx.Err() == nil {
		n, size := 0, 0
		for n < len(items) && n < stream.MaxBatch && (n == 0 || size < stream.MaxBatchBytes) {
			size += items[n].asleep
			n++
		}
		b.judgeItems(ctx, b.wake(ctx, items[:n]))
		items = items[n:]
	}
}

var errEnough = errors.New("everything that was wanted is read")

// wake reads again what sleeps. What cannot be read is left out, and held.
func (b *Inbox) wake(ctx context.Context, items []*item) []*item {
	err := errors.Join(b.rouse(ctx, items), b.rouseStubs(ctx, items))
	if err != nil && ctx.Err() == nil {
		b.cfg.Logger.Warn("statements that wait for a verdict cannot be read", "stream", b.cfg.In.Name(), "why", err.Error())
	}
	out := make([]*item, 0, len(items))
	for _, it := range items {
		if it.asleep == 0 {
			out = append(out, it)
		}
	}
	return out
}

// rouse wakes what lies in the IN stream.
func (b *Inbox) rouse(ctx context.Context, items []*item) error {
	asleep := map[uint64]*item{}
	var first, last uint64
	for _, it := range items {
		if it.asleep > 0 && it.streamSeq > 0 {
			asleep[it.streamSeq], last = it, it.streamSeq
			if first == 0 {
				first = it.streamSeq
			}
		}
	}
	if len(asleep) == 0 {
		return nil
	}
	rouse := func(m stream.Stored) {
		if it := asleep[m.Seq]; it != nil {
			if p, err := envelope.ParseOuter(m.Data); err == nil && p.Leaf == it.placement.Leaf {
				it.asleep, it.placement.Parsed = 0, p
			}
		}
	}
	if last-first < 4*uint64(len(asleep)) {
		err := b.cfg.In.Read(ctx, first, "", func(m stream.Stored) error {
			if rouse(m); m.Seq >= last {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	}
	var err error
	for seq := range asleep {
		m, ok, getErr := b.cfg.In.Get(ctx, seq)
		if ok {
			rouse(m)
		}
		err = errors.Join(err, getErr)
	}
	return err
}

// rouseStubs wakes those whose content was erased while they slept.
func (b *Inbox) rouseStubs(ctx context.Context, items []*item) (err error) {
	for _, it := range items {
		if it.asleep == 0 || b.cfg.Eraser == nil {
			continue
		}
		stub, ok, stubErr := b.cfg.Eraser.Stub(ctx, it.placement.Position, it.placement.Leaf)
		if p, parseErr := envelope.ParseOuter(stub.Raw); ok && parseErr == nil {
			it.asleep, it.placement.Parsed = 0, p
		}
		err = errors.Join(err, stubErr)
	}
	return err
}

// news leaves out what is held as before: who may change the register could
// otherwise fill the verdict stream, which all partners share.
func (b *Inbox) news(items []*item, verdicts []border.Verdict) ([]*item, []border.Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var fresh []*item
	var found []border.Verdict
	for i, it := range items {
		at, held := b.docket.findHeld(it.placement.Position)
		v := verdicts[i]
		if held && v.Class == karaulav1.VerdictClass_VERDICT_CLASS_HELD && v.Code == b.docket.held[at].code {
			b.docket.held[at].until = v.Until
			it.sleep()
			continue
		}
		fresh, found = append(fresh, it), append(found, v)
	}
	return fresh, found
}
