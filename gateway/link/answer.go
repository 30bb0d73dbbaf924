package link

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/internal/bucket"
	"karaula/internal/card"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// refusalsPerSecond limits the refusals that one partner gets for asking too
// often; what goes beyond is dropped unread.
const refusalsPerSecond = 1

// costShare bounds what dear questions may cost: a request that took long counts
// as so many more that one partner's keep us busy for at most 1/(1+costShare) of
// the time.
const costShare = 4

// peer answers one partner. Its methods run in one goroutine, that of its
// subscription.
type peer struct {
	s       *Server
	name    string
	sub     *nats.Subscription
	asks    *bucket.Bucket // requests
	refuses *bucket.Bucket // refusals "too-often"
	ids     *memory
}

// newPeer makes the state of one partner.
func newPeer(s *Server, name string) *peer {
	now := s.o.Now()
	return &peer{
		s: s, name: name,
		asks:    bucket.New(s.o.Rate, s.o.Burst, now),
		refuses: bucket.New(refusalsPerSecond, 1, now),
		// As many as the rate admits for as long as an id has to be remembered.
		ids: newMemory(s.o.Burst + int(s.o.Rate*2*s.o.Skew.Seconds()) + 1),
	}
}

// receive answers one message.
func (p *peer) receive(m *nats.Msg) {
	if p.s.ctx.Err() != nil {
		return
	}
	if m.Reply == "" {
		p.s.o.OnRequest(p.name, outcomeNoReply)
		return
	}
	raw, outcome := p.answer(m.Data)
	if raw != nil {
		_ = m.Respond(raw) // the asker asks again; a lost answer changes nothing here
	}
	p.s.o.OnRequest(p.name, outcome)
}

// answer turns a request's bytes into a reply's bytes, nil for none.
func (p *peer) answer(raw []byte) ([]byte, Code) {
	now := p.s.o.Now()
	often := !p.asks.Take(now)
	if often && !p.refuses.Take(now) {
		return nil, outcomeDropped
	}
	body, drop := p.open(raw, now)
	if drop != "" {
		return nil, drop
	}
	req, code := parseRequest(body)
	if req == nil {
		return nil, code
	}
	if req.GetFrom() != p.name || req.GetTo() != p.s.o.Self {
		return nil, outcomeWrongParty
	}
	var retry time.Duration
	switch {
	case often:
		code, retry = CodeTooOften, max(time.Second, p.asks.Wait())
	case code != "":
	case !fresh(req.GetAskedAt(), now, p.s.o.Skew):
		code = CodeTooOld
	case p.ids.known([idSize]byte(req.GetId())):
		code = CodeReplayed
	case !p.ids.remember([idSize]byte(req.GetId()), now.Add(2*p.s.o.Skew), now):
		code, retry = CodeTooOften, p.s.o.Skew
	}
	if code != "" {
		return p.refuse(req, code, retry)
	}
	reply, outcome := p.do(req)
	if took := p.s.o.Now().Sub(now); took > 0 {
		p.asks.Spend(took.Seconds() * p.s.o.Rate * costShare)
	}
	return reply, outcome
}

// open checks size, form and signature of a request. It says why there must
// be no reply.
func (p *peer) open(raw []byte, now time.Time) ([]byte, Code) {
	m, err := unwrap(raw, subject.MaxLinkRequest)
	switch {
	case errors.Is(err, errOversized):
		return nil, outcomeOversized
	case err != nil:
		return nil, outcomeNotMessage
	}
	c, ok := p.s.o.Card(p.name)
	if !ok {
		return nil, outcomeUnknownKey
	}
	err = verify(RequestType, m, cardKeys(c, now))
	if errors.Is(err, ErrUnknownKey) {
		err = p.verifyByOffer(m, c, now)
	}
	switch {
	case errors.Is(err, ErrUnknownKey):
		return nil, outcomeUnknownKey
	case err != nil:
		return nil, outcomeBadSignature
	}
	return m.GetBody(), ""
}

// verifyByOffer verifies a request that offers a card with the link key of that card,
// as [Client.verifyByNewCard] does with an answer: whoever has renewed what links are
// made with, and rotated its link key besides, could neither be reached nor understood.
func (p *peer) verifyByOffer(m *karaulav1.LinkMessage, known *card.Card, now time.Time) error {
	r, code := parseRequest(m.GetBody())
	if code != "" || r.GetOffer() == nil {
		return ErrUnknownKey
	}
	next, err := card.Open(r.GetOffer().GetCard())
	if err != nil || next.Party != p.name || next.Root != known.Root || next.Serial < known.Serial {
		return ErrUnknownKey
	}
	return verify(RequestType, m, cardKeys(next, now))
}

// do answers a request that may be answered.
func (p *peer) do(req *karaulav1.LinkRequest) ([]byte, Code) {
	ctx, cancel := context.WithTimeout(p.s.ctx, p.s.o.Timeout)
	defer cancel()
	reply := new(karaulav1.LinkReply)
	var err error
	switch ask := req.GetAsk().(type) {
	case *karaulav1.LinkRequest_Hello:
		p.s.o.OnHello(p.name, ask.Hello.GetStanding())
		standing := p.s.o.Owner.Standing(p.name)
		reply.Answer = &karaulav1.LinkReply_Hello{Hello: &karaulav1.HelloReply{Standing: standing}}
	case *karaulav1.LinkRequest_Rewind:
		var r *karaulav1.RewindReply
		r, err = p.s.o.Owner.Rewind(ctx, p.name, ask.Rewind.GetChannel(), ask.Rewind.GetEpoch(), ask.Rewind.GetFromSeq())
		reply.Answer = &karaulav1.LinkReply_Rewind{Rewind: r}
	case *karaulav1.LinkRequest_Get:
		var r *karaulav1.GetReply
		r, err = p.get(ctx, ask.Get)
		reply.Answer = &karaulav1.LinkReply_Get{Get: r}
	case *karaulav1.LinkRequest_Offer:
		var serial uint64
		serial, err = p.s.o.Owner.TakeCard(p.name, ask.Offer.GetCard())
		reply.Answer = &karaulav1.LinkReply_Offer{Offer: &karaulav1.OfferReply{CardSerial: serial}}
	}
	if err != nil {
		code, retry := codeOf(err)
		return p.refuse(req, code, retry)
	}
	raw, err := p.sign(req, reply)
	if err != nil {
		return p.refuse(req, CodeTooLarge, 0)
	}
	return raw, outcomeDone
}

// refuse answers with a code.
func (p *peer) refuse(req *karaulav1.LinkRequest, code Code, retry time.Duration) ([]byte, Code) {
	raw, err := p.sign(req, &karaulav1.LinkReply{Answer: &karaulav1.LinkReply_Refusal{Refusal: &karaulav1.LinkRefusal{
		Code: string(code), RetryAfterMs: uint32(retry.Milliseconds()), //nolint:gosec // at most the skew
	}}})
	if err != nil {
		return nil, CodeFailed // no key to sign with
	}
	return raw, code
}

// sign fills in the head of a reply and signs it.
func (p *peer) sign(req *karaulav1.LinkRequest, reply *karaulav1.LinkReply) ([]byte, error) {
	reply.Format = Format
	reply.From, reply.To = p.s.o.Self, p.name
	reply.Id = req.GetId()
	reply.AnsweredAt = p.s.o.Now().UnixMicro()
	return sign(ReplyType, reply, p.s.o.Key(), subject.MaxLinkReply)
}

// codeOf turns an Owner's error into what the partner is told.
func codeOf(err error) (Code, time.Duration) {
	var too *tooLarge
	switch {
	case errors.As(err, &too):
		return CodeTooLarge, 0
	case problem.Is(err, problem.NotFound):
		return CodeNotFound, 0
	case problem.Is(err, problem.NotAllowed):
		return CodeNotAParty, 0
	case problem.Is(err, problem.Invalid):
		return CodeMalformed, 0
	}
	return CodeFailed, 5 * time.Second
}
