package gateway

import (
	"context"
	"fmt"

	"karaula/gateway/reread"
	"karaula/gateway/stream"
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
