package gateway

import (
	"context"
	"fmt"

	"karaula/gateway/erase"
	"karaula/gateway/inbox"
	"karaula/internal/border"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// endedHead is what was read of a stored ledger, and of what: if nothing of that has
// changed, it is not read again.
type endedHead struct {
	first, last uint64 // of the stream
	generation  uint64 // of the register
	stored      *inbox.Stored
}

// endedLedgers gives the heads of the ledgers of a channel that is over for this
// party, as the streams hold them: nothing of them is in memory.
func (g *Gateway) endedLedgers(ctx context.Context, cv *register.ChannelView) []*karaulav1.LedgerState {
	c := g.shut(cv)
	out := make([]*karaulav1.LedgerState, 0, len(cv.Everyone))
	for _, origin := range cv.Everyone {
		state := &karaulav1.LedgerState{Channel: c.id, Origin: origin, State: ledgerEnded, Why: endedWhy(cv, g.self)}
		out = append(out, state)
		s, err := c.storedHead(ctx, cv, origin)
		if err != nil {
			state.Why += "; the own broker does not show it now: " + err.Error()
			continue
		}
		state.Ledger, state.Epoch, state.Size, state.Root = s.Head.GetLedger(), s.Head.GetEpoch(), s.Head.GetSize(), s.Head.GetRoot()
		if s.Astray > 0 {
			state.Why += fmt.Sprintf("; %d stored messages have no place in it: karaula audit replay", s.Astray)
		}
	}
	return out
}

// storedHead reads a ledger of a channel that is over.
func (c *channel) storedHead(ctx context.Context, cv *register.ChannelView, origin string) (*inbox.Stored, error) {
	g, log, view, led := c.g, c.log(origin), c.g.o.Register.View(), c.ledger(origin)
	first, last, err := log.End(ctx)
	if ignoreMissing(err) != nil {
		return nil, problem.Wrap(problem.Unreachable, err, "stream %s", log.Name())
	}
	now := endedHead{first: first, last: last, generation: view.Generation()}
	g.mu.Lock()
	was, ok := g.ended[led]
	g.mu.Unlock()
	if now.stored = was.stored; ok && now == was {
		return was.stored, nil
	}
	fresh := border.NewLedger(led, c.id, origin, c.mode)
	if origin != g.self {
		fresh.Joined = cv.Joined
	}
	stubs, err := erase.ReadStubs(ctx, g.stubs, c.id, origin)
	if err != nil {
		return nil, problem.Wrap(problem.Unreachable, err, "what was erased")
	}
	if now.stored, err = inbox.ReadStored(ctx, fresh, view, log, stubs); err != nil {
		return nil, problem.Wrap(problem.Unreachable, err, "its stream cannot be read to its end")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended[led] = now
	return now.stored, nil
}

func endedWhy(cv *register.ChannelView, self string) string {
	if !contains(cv.Parties, self) {
		return self + " is no party of it any more"
	}
	return "closed since " + cv.ClosesAt.UTC().Format("2006-01-02")
}
