package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/erase"
	"karaula/gateway/stream"
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

// mindClosed erases once an hour what has come to its end where nobody minds it
// all the time: on channels that are not open, and of parties that have left one
// that is.
func (g *Gateway) mindClosed(ctx context.Context) {
	now := g.o.Now()
	if now.Before(g.closedAt) && now.After(g.closedAt.Add(-2*closedEvery)) {
		return
	}
	g.closedAt = now.Add(closedEvery)
	for _, cv := range g.o.Register.View().AllChannels() {
		if !contains(cv.Everyone, g.self) {
			continue
		}
		origins, done := cv.Everyone, func() { g.swept(cv.ID) }
		switch {
		case g.speaksOn(cv, now):
			origins = slices.DeleteFunc(slices.Clone(origins), func(p string) bool { return contains(cv.Parties, p) })
			done = func() {}
		case !g.sweep(cv.ID):
			continue
		}
		g.work.Go(func() {
			defer done()
			if err := g.eraseClosed(ctx, cv, origins, now); err != nil && ctx.Err() == nil {
				g.log.Warn("content that must be erased is still there, will try again in an hour", "channel", cv.ID, "why", err.Error())
			}
		})
	}
}

// speaksOn reports whether this party speaks and hears on a channel.
func (g *Gateway) speaksOn(cv *register.ChannelView, now time.Time) bool {
	return phaseSpeaks(cv, now) && contains(cv.Parties, g.self)
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

// shut gives a channel that is not open, as far as erasing needs it.
func (g *Gateway) shut(cv *register.ChannelView) *channel {
	return &channel{
		g: g, id: cv.ID, mode: cv.Channel.Mode, first: cv.First, book: g.bookOf(cv.Channel.Mode), out: stream.Open(g.js, subject.Out(cv.Subject())),
	}
}

// eraseClosed erases what of some parties has come to its end.
func (g *Gateway) eraseClosed(ctx context.Context, cv *register.ChannelView, origins []string, now time.Time) error {
	c := g.shut(cv)
	var failed []error
	for _, origin := range origins {
		items, err := lapsed(ctx, c.log(origin), now)
		gone, eraseErr := c.eraseShut(ctx, cv, origin, items)
		failed = append(failed, err, eraseErr)
		if gone > 0 {
			g.log.Info("content that nobody minds any more was erased at its end", "channel", cv.ID, "origin", origin, "statements", gone)
		}
	}
	return errors.Join(failed...)
}

// eraseShut erases statements of a party on a channel that is not open, and says
// of how many the content is gone. What fails does not hold up the rest.
func (c *channel) eraseShut(ctx context.Context, cv *register.ChannelView, origin string, items []erase.Item) (int, error) {
	e := c.eraser(origin)
	var failed []error
	leaves := map[[32]byte]bool{}
	var places []border.Position
	var last uint64
	for _, it := range items {
		if err := e.Erase(ctx, it); err != nil {
			failed = append(failed, err)
			continue
		}
		leaves[it.Leaf], last = true, max(last, it.Position.Seq)
		places = append(places, it.Position)
	}
	if len(places) == 0 {
		return 0, errors.Join(failed...)
	}
	if origin == c.g.self {
		failed = append(failed, c.g.forgetClosed(cv, last))
	}
	failed = append(failed, c.g.indexFile.Forget(leaves))
	c.noteErased(origin, c.g.o.Now().UnixMicro(), places)
	return len(places), errors.Join(failed...)
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
	return items, ignoreMissing(err)
}

// ignoreMissing passes over that a stream was never made: nothing was said there.
func ignoreMissing(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}

// forgetClosed sees to the signing journal of a channel that is not open. One that
// somebody holds is being opened: who opens it sees to it.
func (g *Gateway) forgetClosed(cv *register.ChannelView, seq uint64) error {
	j, err := g.closedJournal(cv)
	if err != nil {
		if problem.Is(err, problem.Conflict) {
			return nil
		}
		return err
	}
	return errors.Join(j.Forget(min(seq, j.Confirmed())), j.Close())
}

// closedJournal opens the signing journal of a channel that is not open; a Conflict
// if somebody holds it.
func (g *Gateway) closedJournal(cv *register.ChannelView) (*journal.Journal, error) {
	state := journal.State{Ledger: cv.Ledger(g.self), Channel: cv.ID, Epoch: 1, Tree: new(ledger.Tree)}
	return journal.Open(g.o.Layout.Journal(cv.Subject()), state)
}
