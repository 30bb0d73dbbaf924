package gateway

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/link"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// owner answers partners' link requests from what this gateway has.
type owner struct{ g *Gateway }

var _ link.Owner = owner{}

// serveLink starts to answer the link service on the own broker.
func (g *Gateway) serveLink(ctx context.Context) (*link.Server, error) {
	return link.Serve(context.WithoutCancel(ctx), g.nc, nil, link.ServeOptions{
		Self: g.self, Key: g.linkKey, Owner: owner{g}, Skew: g.o.Config.ClockSkew, Now: g.o.Now,
		Card:    func(p string) (*card.Card, bool) { return g.o.Register.View().Card(p) },
		OnHello: g.heard,
		OnRequest: func(p string, outcome link.Code) {
			g.metrics.requests.WithLabelValues(p, string(outcome)).Inc()
		},
	})
}

// Standing implements link.Owner.
func (o owner) Standing(partner string) *karaulav1.Standing {
	return o.g.standing(o.g.o.Register.View(), partner)
}

// heard sees to it that a partner that has more than we know of is greeted back
// at once, and what is lacking here fetched.
func (g *Gateway) heard(partner string, theirs *karaulav1.Standing) {
	p := g.partner(partner)
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	view := g.o.Register.View()
	news := theirs.GetNoticeSerial() > lastNotice(view, partner)
	if c, ok := view.Card(partner); ok {
		news = news || theirs.GetCardSerial() > c.Serial
	}
	for _, a := range theirs.GetAgreements() {
		news = news || len(a.GetDigest()) == 32 && p.hasMore(view, a)
	}
	if news {
		p.told = 0
	}
}

// CardFile implements link.Owner.
func (o owner) CardFile(serial uint64) ([]byte, bool) {
	view := o.g.o.Register.View()
	if serial == 0 {
		c, ok := view.Card(o.g.self)
		if !ok {
			return nil, false
		}
		return c.Signed, true
	}
	for _, c := range view.Cards(o.g.self) {
		if c.Serial == serial {
			return c.Signed, true
		}
	}
	return nil, false
}

// TakeCard implements link.Owner.
func (o owner) TakeCard(partner string, file []byte) (uint64, error) {
	c, err := card.Open(file)
	if err != nil {
		return 0, problem.New(problem.Invalid, "%s brought something that is no card of its own; it was not taken in", partner)
	}
	if c.Party != partner {
		return 0, problem.New(problem.Invalid, "%s brought a card of %s; it was not taken in", partner, c.Party)
	}
	if _, err := o.g.o.Register.AddCard(file, register.AddCardOptions{}); err != nil {
		return 0, err //nolint:wrapcheck // told as a code
	}
	newest, ok := o.g.o.Register.View().Card(partner)
	if !ok {
		return 0, problem.New(problem.NotFound, "no card of %s is here", partner)
	}
	return newest.Serial, nil
}

// NoticeFiles implements link.Owner. Changes of the root are always among them,
// and come first: a thief of the replaced one may have used any serial.
func (o owner) NoticeFiles(partner string, after uint64) [][]byte {
	view := o.g.o.Register.View()
	var out [][]byte
	for _, n := range view.RootChanges(o.g.self) {
		out = append(out, n.Signed)
	}
	for _, n := range view.Notices(o.g.self) {
		if n.Act == notice.AcceptRoot && n.Serial > after {
			out = append(out, n.Signed)
		}
		e, ok := view.AgreementByDigest(n.Digest)
		if n.Serial > after && ok && isParty(e, partner) {
			out = append(out, n.Signed)
		}
	}
	return out
}

// AgreementFile implements link.Owner.
func (o owner) AgreementFile(partner string, digest [32]byte) ([]byte, bool) {
	e, ok := o.g.o.Register.View().AgreementByDigest(digest)
	if !ok || !isParty(e, partner) {
		return nil, false
	}
	return e.File, true
}

// Rewind implements link.Owner: the partner's consumer is set back to the
// statement's place in the stream, or to where the partner came in if that is
// later; a pull that waits goes on from there.
func (o owner) Rewind(
	ctx context.Context,
	partner, channel string,
	epoch, from uint64,
) (*karaulav1.RewindReply, error) {
	c, err := o.common(partner, channel)
	if err != nil {
		return nil, err
	}
	head := c.writer.Head()
	if epoch > head.GetEpoch() {
		return nil, problem.New(problem.NotFound, "epoch %d has not begun", epoch)
	}
	view := o.g.o.Register.View()
	if epoch == head.GetEpoch() {
		from = max(from, c.readsFrom(view, partner, head))
	}
	first := c.firstPlace(view, partner)
	if err := o.setBack(ctx, c, partner, first, max(first, c.resumeAt(epoch, from))); err != nil {
		o.g.log.Warn("redelivery is not possible now", "party", partner, "channel", channel, "why", err.Error())
		return nil, fmt.Errorf("consumer of %s on channel %s: %w", partner, channel, err)
	}
	o.g.log.Info("redelivery asked for", "party", partner, "channel", channel, "from", from)
	return &karaulav1.RewindReply{Epoch: epoch, FromSeq: from, LastSeq: head.GetSize()}, nil
}

// setBack has a partner's consumer deliver from a place in the stream on. first
// is the first place that is the partner's to read. The consumer of who came in
// later was made before anybody knew that place: it is made anew from there, so
// that it can never give anything from before.
func (o owner) setBack(ctx context.Context, c *channel, partner string, first, at uint64) error {
	name, durable := subject.Out(c.subject()), subject.Consumer(partner)
	have, err := o.g.js.Consumer(ctx, name, durable)
	if err != nil {
		return err
	}
	cfg := have.CachedInfo().Config
	bound := cfg.DeliverPolicy == jetstream.DeliverAllPolicy ||
		cfg.DeliverPolicy == jetstream.DeliverByStartSequencePolicy && cfg.OptStartSeq == first
	if !bound {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartSequencePolicy, first, nil
		if err := o.g.js.DeleteConsumer(ctx, name, durable); err != nil {
			return err
		}
		if _, err := o.g.js.CreateConsumer(ctx, name, cfg); err != nil {
			return err // the keeper makes it again
		}
	}
	_, err = o.g.js.ResetConsumerToSequence(ctx, name, durable, at)
	return err
}

// common finds an open channel that the partner is a party to.
func (o owner) common(partner, channel string) (*channel, error) {
	c := o.g.channel(channel)
	if c == nil || !contains(c.parties, partner) {
		return nil, problem.New(problem.NotFound, "no such channel between us")
	}
	return c, nil
}

// Envelopes implements link.Owner.
func (o owner) Envelopes(
	ctx context.Context, partner string, led [32]byte, epoch, from, to uint64, maxBytes int, stub bool,
) ([][]byte, error) {
	c, origin, err := o.ledgerOf(partner, led)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	size := 0
	view, reigns := o.g.o.Register.View(), c.reigns(origin)
	for seq := from; seq <= to && view.MayRead(reigns, partner, epoch, seq); seq++ {
		raw, err := c.statement(ctx, origin, epoch, seq)
		if err == nil && raw != nil && stub {
			raw, err = envelope.Stub(raw)
		}
		if err != nil && len(out) == 0 {
			return nil, fmt.Errorf("number %d: %w", seq, err)
		}
		if err != nil || raw == nil {
			break // what was found is an answer
		}
		if size += len(raw); size > maxBytes && len(out) > 0 {
			break
		}
		out = append(out, raw)
	}
	return out, nil
}

// Frontier implements link.Owner.
func (o owner) Frontier(_ context.Context, partner string, led [32]byte, epoch, size uint64) ([][]byte, error) {
	c, origin, err := o.ledgerOf(partner, led)
	if err != nil {
		return nil, err
	}
	view, reigns := o.g.o.Register.View(), c.reigns(origin)
	edge, ok := c.edge(origin, epoch, size)
	if !ok || !view.MayRead(reigns, partner, epoch, size) && !view.MayRead(reigns, partner, epoch, size+1) {
		return nil, problem.New(problem.NotFound, "no right edge of %d statements is here for %s", size, partner)
	}
	var out [][]byte
	for _, h := range edge {
		out = append(out, h[:])
	}
	return out, nil
}

// ledgerOf finds the open channel and origin of a ledger that the partner may read.
func (o owner) ledgerOf(partner string, led [32]byte) (*channel, string, error) {
	for _, c := range o.g.openChannels() {
		if !contains(c.parties, partner) {
			continue
		}
		for _, origin := range c.parties {
			if c.ledger(origin) == ledger.ID(led) {
				return c, origin, nil
			}
		}
	}
	return nil, "", problem.New(problem.NotFound, "no such ledger between us")
}

// statement reads the exact bytes of a statement; nil if it is not there.
func (c *channel) statement(ctx context.Context, origin string, epoch, seq uint64) ([]byte, error) {
	log := c.out
	var at uint64
	var ok bool
	if origin == c.g.self {
		at, ok = c.streamSeq(epoch, seq)
	} else {
		log = stream.Open(c.g.js, subject.InStream(c.subject(), origin))
		at, ok = c.ear(origin).StreamSeq(epoch, seq)
	}
	if !ok {
		return nil, nil
	}
	place := border.Position{Epoch: epoch, Seq: seq}
	leaf, erased := c.lists[origin].Erased(place)
	if erased {
		if stub, ok, err := c.eraser(origin).Stub(ctx, place, leaf); ok || err != nil {
			return stub.Raw, err
		}
	}
	m, ok, err := log.Get(ctx, at)
	if err != nil || !ok {
		return nil, err
	}
	if erased { // it came without its content, and lies in the stream so
		return envelope.Stub(m.Data)
	}
	return m.Data, nil
}
