package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/erase"
	"karaula/gateway/stream"
	"karaula/internal/agreement"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
)

// closedEvery is how often the streams of channels that are not open are read for
// content that has come to its end: nobody hears or speaks there, so nothing but
// time can end it.
const closedEvery = time.Hour

// mindClosed erases once an hour what has come to its end on channels that are not
// open: suspended, or closed for good.
func (g *Gateway) mindClosed(ctx context.Context) {
	now := g.o.Now()
	if now.Before(g.closedAt) && now.After(g.closedAt.Add(-2*closedEvery)) {
		return
	}
	g.closedAt = now.Add(closedEvery)
	for _, cv := range g.o.Register.View().Channels() {
		phase := cv.PhaseAt(now)
		if phase == agreement.InForce || phase == agreement.WindingDown || !contains(cv.Parties, g.self) || !g.sweep(cv.ID) {
			continue
		}
		g.work.Go(func() {
			defer g.swept(cv.ID)
			if err := g.eraseClosed(ctx, cv, now); err != nil && ctx.Err() == nil {
				g.log.Warn("content that must be erased is still there, will try again in an hour", "channel", cv.ID, "why", err.Error())
			}
		})
	}
}

// sweep keeps a channel that is not open closed, until it is swept; false if it is
// open, or being opened or swept.
func (g *Gateway) sweep(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.channels[id] != nil || g.opening[id] || g.sweeping[id] {
		return false
	}
	g.sweeping[id] = true
	return true
}

func (g *Gateway) swept(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sweeping, id)
}

// eraseClosed erases what has come to its end on a channel that is not open.
func (g *Gateway) eraseClosed(ctx context.Context, cv *register.ChannelView, now time.Time) error {
	c := &channel{g: g, id: cv.ID, mode: cv.Channel.Mode, book: g.bookOf(cv.Channel.Mode), out: stream.Open(g.js, subject.Out(cv.Subject()))}
	var failed []error
	for _, origin := range cv.Parties {
		e := c.eraser(origin)
		items, err := lapsed(ctx, e.Log, now)
		if err != nil {
			failed = append(failed, err)
		}
		leaves := map[[32]byte]bool{}
		var last uint64
		for _, it := range items {
			if err := e.Erase(ctx, it); err != nil {
				failed = append(failed, err)
				continue
			}
			leaves[it.Leaf], last = true, max(last, it.Position.Seq)
		}
		if origin == g.self && last > 0 {
			failed = append(failed, g.forgetClosed(cv, last))
		}
		failed = append(failed, g.indexFile.Forget(leaves))
		if len(leaves) > 0 {
			g.metrics.erased.WithLabelValues(c.label(), origin).Add(float64(len(leaves)))
			g.log.Info("content on a channel that is not open was erased at its end", "channel", cv.ID, "origin", origin,
				"statements", len(leaves))
		}
	}
	return errors.Join(failed...)
}

// lapsed gives what a stream holds that has come to its end. What says nothing of
// its end has a year from when it was stored.
func lapsed(ctx context.Context, log *stream.Log, now time.Time) (items []erase.Item, err error) {
	err = log.Read(ctx, 1, "", func(m stream.Stored) error {
		p, ok := envelope.Peek(m.Data)
		if !ok {
			return nil
		}
		whole, parseErr := envelope.ParseOuter(m.Data)
		if parseErr == nil && len(whole.Envelope.GetParts()) == 0 {
			return nil
		}
		end := m.Time.Add(heldKept)
		if at := p.Said.GetEraseAfter(); at > 0 {
			end = time.UnixMicro(at)
		}
		if !end.After(now) {
			at := border.Position{Epoch: p.Said.GetEpoch(), Seq: p.Said.GetSeq()}
			items = append(items, erase.Item{Position: at, Leaf: p.Leaf, StreamSeq: m.Seq})
		}
		return nil
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	return items, err
}

// forgetClosed sees to the signing journal of a channel that is not open. One that
// somebody holds is being opened: who opens it sees to it.
func (g *Gateway) forgetClosed(cv *register.ChannelView, seq uint64) error {
	id := ledger.NewID(cv.ID, g.self, cv.Channel.Mode, cv.First)
	j, err := journal.Open(g.o.Layout.Journal(cv.Subject()), journal.State{Ledger: id, Channel: cv.ID, Epoch: 1, Tree: new(ledger.Tree)})
	if err != nil {
		if problem.Is(err, problem.Conflict) {
			return nil
		}
		return err
	}
	return errors.Join(j.Forget(min(seq, j.Confirmed())), j.Close())
}
