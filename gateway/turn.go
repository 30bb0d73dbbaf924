package gateway

import (
	"context"

	"karaula/gateway/pair"
	"karaula/internal/journal"
	"karaula/internal/subject"
)

// awaitTurn returns when this gateway may speak: at once where it is alone, and
// otherwise when it is the one of the two. False: ctx has ended before.
func (g *Gateway) awaitTurn(ctx context.Context) (bool, error) {
	p := &g.o.Config.Pair
	if !p.On() {
		return true, nil
	}
	var err error
	g.speaker, err = pair.Await(ctx, &pair.Config{
		Self: p.Gateway, Other: p.Other(), First: p.Gateway == p.Gateways[0],
		Automatic: p.Automatic(), Restored: g.restored != nil, Lease: p.Lease, Key: pairKey(g.o.Keys.Keys()), Conn: g.nc, JS: g.js,
		JournalPath: g.journalOf, TermFile: g.o.Layout.PairTerm(), WishFile: g.o.Layout.PairWish(),
		Whole: g.isWhole, OnStep: func() { g.readyOnce.Do(func() { close(g.ready) }) }, Logger: g.log,
	})
	return g.speaker != nil, err
}

// journalOf gives the file of a channel's signing journal, as the register knows
// the channel.
func (g *Gateway) journalOf(channel string) string {
	for _, cv := range g.o.Register.View().AllChannels() {
		if cv.ID == channel {
			return g.o.Layout.Journal(cv.Subject())
		}
	}
	return g.o.Layout.Journal(subject.Actual(channel))
}

// holdTurn keeps the right to speak until end is called, which gives it to the
// other gateway.
func (g *Gateway) holdTurn(ctx context.Context) (end func()) {
	if g.speaker == nil {
		return func() {}
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.speaker.Run(run); err != nil {
			g.log.Error("this gateway does not speak any more", "why", err.Error())
		}
	}()
	return func() {
		cancel()
		<-done
		if g.speaker.Err() != nil {
			return
		}
		bye, stop := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer stop()
		if err := g.speaker.HandOver(bye); err != nil {
			g.log.Warn("the right to speak was not handed over", "why", err.Error())
		}
	}
}

// lost is closed when the other gateway speaks; nil where there is none.
func (g *Gateway) lost() <-chan struct{} {
	if g.speaker == nil {
		return nil
	}
	return g.speaker.Lost()
}

// whileHeld gives a context that ends with the right to speak: what is read before the
// loop runs must not go on at a server that is cut off.
func (g *Gateway) whileHeld(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if g.speaker != nil {
		go func() {
			select {
			case <-ctx.Done():
			case <-g.lost():
				cancel()
			}
		}()
	}
	return ctx, cancel
}

// replicate gives what an outbox calls before it publishes; nil where this gateway
// is alone.
func (g *Gateway) replicate() func(context.Context, *journal.Journal) error {
	if g.speaker == nil {
		return nil
	}
	return g.speaker.Replicate
}

// maySend reports whether anything can be said at this moment.
func (g *Gateway) maySend() bool { return g.connected() && (g.speaker == nil || g.speaker.Holds()) }

func (g *Gateway) isWhole() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.whole
}
