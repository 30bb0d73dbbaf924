package inbox

import (
	"context"
	"encoding/base64"

	"github.com/nats-io/nats.go"

	"karaula/internal/border"
	"karaula/internal/ledger"
	"karaula/internal/problem"
)

// Who came into a channel by a later version of its agreement has none of what
// was said before. A ledger begins there with the statement that brings the
// version, behind a right edge that somebody gives. It is stored as a header of
// that statement, in the same append, and checked against the root that the
// statement carries whenever it is read: nobody is trusted for it.

// edgeName is the header of the first statement's message in the IN stream.
const edgeName = "Karaula-Edge"

// edgeHeader writes down the right edge behind which a ledger begins; nothing where
// it goes on.
func edgeHeader(p *border.Placement) nats.Header {
	h := nats.Header{}
	t := p.Begins()
	if t == nil {
		return h
	}
	var all []byte
	for _, h := range t.Frontier() {
		all = append(all, h[:]...)
	}
	h.Set(edgeName, base64.StdEncoding.EncodeToString(all))
	return h
}

// edgeOf reads what edgeHeader wrote; nil if there is none.
func edgeOf(h nats.Header) [][32]byte {
	const most = 64 // hashes in the largest edge
	text := h.Get(edgeName)
	all, err := base64.StdEncoding.DecodeString(text[:min(len(text), base64.StdEncoding.EncodedLen(most*32))])
	if err != nil || len(all)%32 != 0 {
		return nil
	}
	var out [][32]byte
	for ; len(all) > 0; all = all[32:] {
		out = append(out, [32]byte(all[:32]))
	}
	return out
}

// placeBehind places the statement with which the ledger begins, once somebody
// has given the right edge. Until then it is one ahead of what is here: it comes
// again with the next redelivery.
func (b *Inbox) placeBehind(
	ctx context.Context, d Delivery, p border.Placement, work *border.Ledger, hist border.History,
) border.Placement {
	size, root := p.Behind()
	edge, err := b.cfg.Partner.FetchEdge(ctx, work.Channel, work.ID, p.Position.Epoch, size, root)
	if err == nil {
		_, err = ledger.FromFrontier(size, edge, root)
	}
	if err == nil {
		work.Edge = edge
		again := b.cfg.Checker.Place(d.Data, b.cfg.Register.View(), work, hist)
		if again.Kind != border.NeedEdge {
			return again
		}
		err = problem.New(problem.Verification, "the right edge of %d statements does not fit", size)
	}
	b.mu.Lock()
	news := b.edgeTrouble != err.Error()
	b.edgeTrouble = err.Error()
	b.mu.Unlock()
	if news && ctx.Err() == nil {
		b.cfg.Logger.Warn("a ledger cannot begin here yet; will ask again", "channel", work.Channel, "origin", work.Origin,
			"behind", size, "why", err.Error())
	}
	p.Kind = border.Ahead
	return p
}

// Unbegun says why the ledger has not begun here, if something keeps it from that.
func (b *Inbox) Unbegun() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.edgeTrouble
}
