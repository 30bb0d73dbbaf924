package gateway

import (
	"context"
	"fmt"

	"karaula/gateway/reread"
	"karaula/gateway/stream"
	"karaula/internal/evidence"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// readLedger gives everything that the streams hold of a ledger, in their order,
// to an audit. It judges nothing.
func (g *Gateway) readLedger(
	ctx context.Context, on subject.Channel, origin string, fn func(*karaulav1.StoredPiece) error,
) error {
	return reread.Ledger(ctx, reread.Source{ //nolint:wrapcheck // fn's own, or says which stream
		Self: g.self, Channel: on, Origin: origin, Store: reread.Own(g.js, on.ID, origin),
	}, fn)
}

// proveFact makes a proof about a ledger of an open channel, from memory and some
// statements of the streams. Errors are of kind NotFound where that is not enough.
func (g *Gateway) proveFact(ctx context.Context, channel, origin string, ask evidence.Ask) (*evidence.Proof, error) {
	c := g.channel(channel)
	var head *karaulav1.Head
	if c != nil {
		head = c.headOf(origin)
	}
	if head == nil {
		return nil, problem.New(problem.NotFound, "%s of %s is not open here", channel, origin)
	}
	if ask.Epoch == 0 {
		ask.Epoch = head.GetEpoch()
	}
	size := uint64(0)
	err := c.withHistory(origin, ask.Epoch, func(h *ledger.History) error { size = h.Size(); return nil })
	if err != nil {
		return nil, err
	}
	needs, err := ask.Needs(size)
	if err != nil {
		return nil, err
	}
	statements := make([][]byte, len(needs))
	for i, n := range needs {
		if statements[i], err = c.statement(ctx, origin, ask.Epoch, n); err != nil {
			return nil, err
		}
		if statements[i] == nil {
			return nil, problem.New(problem.NotFound, "number %d of %s on %s is not here", n, origin, channel)
		}
	}
	var proof *evidence.Proof
	err = c.withHistory(origin, ask.Epoch, func(h *ledger.History) error {
		var err error
		proof, err = ask.Make(g.o.Register.View(), h, statements)
		return err
	})
	return proof, err
}

// withHistory gives the leaves of an epoch to a function that must not keep them.
func (c *channel) withHistory(origin string, epoch uint64, f func(*ledger.History) error) error {
	if origin != c.g.self {
		return c.ear(origin).WithHistory(epoch, f)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return f(&c.numbers.of(epoch).leaves)
}

// readAside gives what was put aside as no part of a ledger.
func (g *Gateway) readAside(
	ctx context.Context, on subject.Channel, origin string, fn func(*karaulav1.StoredPiece) error,
) error {
	err := g.quarantine.Read(ctx, 1, subject.Quarantine(on.ID, origin), func(m stream.Stored) error {
		return fn(&karaulav1.StoredPiece{Data: m.Data, Where: fmt.Sprintf("%s %d", subject.QuarantineStream, m.Seq)})
	})
	if err != nil && problem.KindOf(err) == problem.Failed && ctx.Err() == nil {
		return problem.Wrap(problem.Unreachable, err, "what was put aside cannot be read")
	}
	return err //nolint:wrapcheck // fn's own
}
