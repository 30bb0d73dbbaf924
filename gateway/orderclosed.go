package gateway

import (
	"context"

	"karaula/gateway/book"
	"karaula/gateway/erase"
	"karaula/gateway/stream"
	"karaula/internal/agreement"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// closed erases for the desk where nothing can be said any more. A supervisor's
// order reaches the own copies there and nothing else: partners take no statement
// on such a channel, and must not.
type closed struct{ g *Gateway }

// Is reports whether nothing can be said on a channel any more.
func (c closed) Is(id string) bool {
	cv, ok := c.g.o.Register.View().Channel(id)
	return ok && c.is(cv)
}

func (c closed) is(cv *register.ChannelView) bool {
	now := c.g.o.Now()
	return contains(cv.Everyone, c.g.self) && !c.g.speaksOn(cv, now) && cv.PhaseAt(now) != agreement.NotYet
}

// Find gives the own versions of an alert whose content is on such channels, and
// the own acts about it; an empty list where all of it is erased.
func (c closed) Find(ctx context.Context, id [16]byte, channel string) (map[string][]book.Entry, error) {
	out := map[string][]book.Entry{}
	defer c.g.indexFile.Recall()()
	for _, cv := range c.g.o.Register.View().AllChannels() {
		if !c.is(cv) || channel != "" && cv.ID != channel {
			continue
		}
		shut := c.g.shut(cv)
		list, err := shut.ownAbout(ctx, id)
		erased := false
		if err == nil && len(list) == 0 {
			erased, err = shut.ownErased(ctx, id)
		}
		if err != nil {
			return nil, problem.Wrap(problem.Unreachable, err, "the own broker does not show what was said on %s; nothing was erased", cv.ID)
		}
		if erased || len(list) > 0 {
			out[cv.ID] = list
		}
	}
	return out, nil
}

// ownAbout gives the own statements with content that are versions of an alert or
// belong to its thread.
func (c *channel) ownAbout(ctx context.Context, id [16]byte) ([]book.Entry, error) {
	var said []book.Entry
	threads := map[string]bool{}
	err := c.out.Read(ctx, 1, "", func(m stream.Stored) error {
		p, err := envelope.Parse(m.Data)
		if err != nil || p.IsStub() || len(p.Statement.GetParts()) == 0 || !c.ownWord(p) {
			return nil //nolint:nilerr // not an own statement with content
		}
		e := c.entry(p, m.Seq)
		if p.Statement.GetKind() == karaulav1.Kind_KIND_ALERT {
			e.Readers = readers(p.Statement)
			if _, ok := c.opened(&e, p, nil); ok && e.ID == id {
				threads[string(e.Thread)] = true
			}
		}
		said = append(said, e)
		return nil
	})
	var out []book.Entry
	for _, e := range said {
		if threads[string(e.Thread)] {
			out = append(out, e)
		}
	}
	return out, ignoreMissing(err)
}

// ownErased reports whether a version of an alert was said here and is erased.
func (c *channel) ownErased(ctx context.Context, id [16]byte) (found bool, err error) {
	all, err := erase.ReadStubs(ctx, c.g.stubs, c.id, c.g.self)
	for _, list := range all {
		for _, s := range list {
			p, err := envelope.Parse(s.Raw)
			if err != nil || p.Statement.GetKind() != karaulav1.Kind_KIND_ALERT || !c.ownWord(p) {
				continue
			}
			r, known := c.g.indexFile.Known(p.Leaf)
			found = found || known && string(r.GetAlertId()) == string(id[:])
		}
	}
	return found, err //nolint:wrapcheck // the caller says what was read
}

// ownWord reports whether a stored statement is one of this party's ledger: whoever
// runs the broker can write into the stream.
func (c *channel) ownWord(p *envelope.Parsed) bool {
	led, st := c.ledger(c.g.self), p.Statement
	by, ok := c.g.o.Register.View().CardByDigest([32]byte(st.GetCard()))
	return ok && by.Party == c.g.self && string(st.GetLedger()) == string(led[:]) && p.VerifySignatures(by.StatementKey) == nil
}

// Erase erases content on a channel that is closed.
func (c closed) Erase(ctx context.Context, id string, said []book.Entry) error {
	cv, ok := c.g.o.Register.View().Channel(id)
	if !ok || !c.is(cv) || !c.g.sweep(id) {
		return notNow(id, nil)
	}
	defer c.g.swept(id)
	j, err := c.g.closedJournal(cv)
	if err != nil {
		return notNow(id, err)
	}
	if err := j.Close(); err != nil {
		return err
	}
	items := make([]erase.Item, len(said))
	for i, e := range said {
		items[i] = erase.Item{Position: border.Position{Epoch: e.Epoch, Seq: e.Seq}, Leaf: e.Leaf, StreamSeq: e.StreamSeq}
	}
	n, err := c.g.shut(cv).eraseShut(ctx, cv, c.g.self, items)
	if err != nil {
		return problem.Wrap(problem.Unreachable, err, "%d of %d statements on %s were erased, the rest was not", n, len(items), id).
			WithHint("give the same order again")
	}
	return nil
}

// notNow says that somebody else has a channel's streams or journal in hand.
func notNow(channel string, cause error) error {
	const text = "channel %s is being closed or cleared; nothing was erased there"
	p := problem.New(problem.Unreachable, text, channel)
	if cause != nil {
		p = problem.Wrap(problem.Unreachable, cause, text, channel)
	}
	return p.WithHint("try again in a moment")
}
