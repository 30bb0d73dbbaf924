package link

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// ClientOptions says who asks whom.
type ClientOptions struct {
	// Self is our own party code.
	Self string
	// Partner is the party code of who is asked.
	Partner string
	// Key gives our link key, asked for every request so that it may be rotated.
	Key func() keyring.SignKey
	// Card gives the partner's card as it is known here.
	Card func() (*card.Card, bool)
	// Skew is how far the partner's clock may differ; zero is [DefaultSkew].
	Skew time.Duration
	// Timeout is for one question when the context has no deadline; zero is [DefaultTimeout].
	Timeout time.Duration
	// OnClock is told how far the partner's clock is ahead of ours, by every answer
	// with its signature, also one that is too far off to be accepted; may be nil.
	OnClock func(ahead time.Duration)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Client asks a partner's gateway over the connection to its broker. It may be
// used by several goroutines.
//
// Errors: [problem.Unreachable] when nobody answers (safe to retry),
// [*Refused] when the partner says no, [problem.Verification] when what came
// back is not a valid answer of the partner to this question. An answer proves
// only that the partner gave it: cards, notices, agreements and envelopes
// carry their own signatures, which the caller verifies.
type Client struct {
	nc *nats.Conn
	o  ClientOptions
}

// New makes a client over a connection that [Dial] made.
func New(nc *nats.Conn, o ClientOptions) *Client {
	if o.Skew == 0 {
		o.Skew = DefaultSkew
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{nc: nc, o: o}
}

// Hello tells the partner what we have and gives what it has.
func (c *Client) Hello(ctx context.Context, mine *karaulav1.Standing) (*karaulav1.Standing, error) {
	r, err := c.ask(ctx, &karaulav1.LinkRequest{
		Ask: &karaulav1.LinkRequest_Hello{Hello: &karaulav1.Hello{Standing: mine}},
	})
	if err != nil {
		return nil, err
	}
	if r.GetHello() == nil {
		return nil, c.wrongAnswer()
	}
	return r.GetHello().GetStanding(), nil
}

// Rewind asks for redelivery of a channel from a number on, and says from
// where it will come.
func (c *Client) Rewind(ctx context.Context, channel string, epoch, from uint64) (*karaulav1.RewindReply, error) {
	r, err := c.ask(ctx, &karaulav1.LinkRequest{Ask: &karaulav1.LinkRequest_Rewind{Rewind: &karaulav1.Rewind{
		Channel: channel, Epoch: epoch, FromSeq: from,
	}}})
	if err != nil {
		return nil, err
	}
	if r.GetRewind() == nil {
		return nil, c.wrongAnswer()
	}
	return r.GetRewind(), nil
}

// GetNotices gives the partner's signed notices with a greater serial, as many as fit.
func (c *Client) GetNotices(ctx context.Context, after uint64) ([][]byte, error) {
	r, err := c.get(ctx, &karaulav1.Get{What: &karaulav1.Get_Notices{
		Notices: &karaulav1.GetNotices{AfterSerial: after},
	}})
	return r.GetTexts(), err
}

// GetAgreement gives the signed text with this digest.
func (c *Client) GetAgreement(ctx context.Context, digest [32]byte) ([]byte, error) {
	r, err := c.get(ctx, &karaulav1.Get{What: &karaulav1.Get_Agreement{
		Agreement: &karaulav1.GetAgreement{Digest: digest[:]},
	}})
	return c.oneText(r, err)
}

// GetStubs gives statements with their signatures and without content,
// ascending from number from; there may be fewer than asked for, never none.
func (c *Client) GetStubs(ctx context.Context, ledger [32]byte, epoch, from, to uint64) ([][]byte, error) {
	r, err := c.get(ctx, &karaulav1.Get{What: &karaulav1.Get_Stubs{Stubs: span(ledger, epoch, from, to)}})
	return c.some(r, err)
}

// GetStatements gives whole envelopes, as GetStubs does. An envelope that does
// not fit into a reply is refused with [CodeTooLarge]; a rewind brings it.
func (c *Client) GetStatements(ctx context.Context, ledger [32]byte, epoch, from, to uint64) ([][]byte, error) {
	r, err := c.get(ctx, &karaulav1.Get{What: &karaulav1.Get_Statements{Statements: span(ledger, epoch, from, to)}})
	return c.some(r, err)
}

// GetFrontier gives the right edge of a ledger's tree at a size, from the
// largest subtree to the smallest. It must hash to a root that somebody signed.
func (c *Client) GetFrontier(ctx context.Context, ledger [32]byte, epoch, size uint64) ([][32]byte, error) {
	r, err := c.get(ctx, &karaulav1.Get{What: &karaulav1.Get_Frontier{Frontier: &karaulav1.GetFrontier{
		Ledger: ledger[:], Epoch: epoch, Size: size,
	}}})
	if err != nil {
		return nil, err
	}
	out := make([][32]byte, 0, len(r.GetFrontier()))
	for _, h := range r.GetFrontier() {
		out = append(out, [32]byte(h)) // checkGetReply has seen its length
	}
	return out, nil
}

// span names a range of a ledger.
func span(ledger [32]byte, epoch, from, to uint64) *karaulav1.GetStatements {
	return &karaulav1.GetStatements{Ledger: ledger[:], Epoch: epoch, FromSeq: from, ToSeq: to}
}

// get asks for something by name.
func (c *Client) get(ctx context.Context, g *karaulav1.Get) (*karaulav1.GetReply, error) {
	r, err := c.ask(ctx, &karaulav1.LinkRequest{Ask: &karaulav1.LinkRequest_Get{Get: g}})
	if err != nil {
		return nil, err
	}
	if r.GetGet() == nil {
		return nil, c.wrongAnswer()
	}
	return r.GetGet(), nil
}

// oneText wants exactly one text in an answer.
func (c *Client) oneText(r *karaulav1.GetReply, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if len(r.GetTexts()) != 1 {
		return nil, c.wrongAnswer()
	}
	return r.GetTexts()[0], nil
}

// some wants at least one envelope in an answer.
func (c *Client) some(r *karaulav1.GetReply, err error) ([][]byte, error) {
	if err != nil {
		return nil, err
	}
	if len(r.GetEnvelopes()) == 0 {
		return nil, c.wrongAnswer()
	}
	return r.GetEnvelopes(), nil
}

// ask makes one request and verifies its reply with the card that is known.
func (c *Client) ask(ctx context.Context, req *karaulav1.LinkRequest) (*karaulav1.LinkReply, error) {
	m, err := c.exchange(ctx, req)
	if err != nil {
		return nil, err
	}
	known, ok := c.o.Card()
	if !ok {
		return nil, problem.New(problem.NotFound, "no card of %q is known; its answer was not read", c.o.Partner)
	}
	if err := verify(ReplyType, m, cardKeys(known, c.o.Now())); err != nil {
		return nil, c.untrusted(err)
	}
	return c.read(m, req)
}

// exchange sends a request and gives the LinkMessage that came back, which is
// well-formed and not yet verified.
func (c *Client) exchange(ctx context.Context, req *karaulav1.LinkRequest) (*karaulav1.LinkMessage, error) {
	req.Format = Format
	req.From, req.To = c.o.Self, c.o.Partner
	req.Id = make([]byte, idSize)
	_, _ = rand.Read(req.GetId()) // never fails (Go 1.24)
	req.AskedAt = c.o.Now().UnixMicro()
	if err := checkRequest(req); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the request to %q was not sent", c.o.Partner)
	}
	raw, err := sign(RequestType, req, c.o.Key(), subject.MaxLinkRequest)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the request to %q was not sent", c.o.Partner)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.o.Timeout)
		defer cancel()
	}
	msg, err := c.nc.RequestWithContext(ctx, subject.Link(c.o.Self), raw)
	if err != nil {
		return nil, c.unanswered(err)
	}
	m, err := unwrap(msg.Data, subject.MaxLinkReply)
	if err != nil {
		return nil, c.untrusted(err)
	}
	return m, nil
}

// read checks that a verified reply answers the request.
func (c *Client) read(m *karaulav1.LinkMessage, req *karaulav1.LinkRequest) (*karaulav1.LinkReply, error) {
	r, err := parseReply(m.GetBody())
	if err != nil {
		return nil, c.untrusted(err)
	}
	if r.GetFrom() != c.o.Partner || r.GetTo() != c.o.Self || [idSize]byte(r.GetId()) != [idSize]byte(req.GetId()) {
		return nil, c.untrusted(errors.New("it answers another request"))
	}
	now := c.o.Now()
	if c.o.OnClock != nil { // the answer was given about half-way between the question and now
		asked := time.UnixMicro(req.GetAskedAt())
		c.o.OnClock(time.UnixMicro(r.GetAnsweredAt()).Sub(asked.Add(now.Sub(asked) / 2)))
	}
	if !fresh(r.GetAnsweredAt(), now, c.o.Skew) {
		return nil, problem.New(problem.Verification, "the clocks of this node and of %q differ too much", c.o.Partner).
			WithHint("compare both clocks; at most %s are tolerated", c.o.Skew)
	}
	if f := r.GetRefusal(); f != nil {
		return nil, &Refused{
			Partner: c.o.Partner, Code: knownCode(f.GetCode()),
			RetryAfter: time.Duration(f.GetRetryAfterMs()) * time.Millisecond,
		}
	}
	return r, nil
}

// unanswered words that nothing came back.
func (c *Client) unanswered(err error) error {
	text := "the gateway of %q did not answer"
	if errors.Is(err, nats.ErrNoResponders) {
		text = "the gateway of %q is not connected to its broker"
	}
	return problem.Wrap(problem.Unreachable, err, text, c.o.Partner).WithHint("safe to retry")
}

// untrusted words that what came back cannot be believed.
func (c *Client) untrusted(err error) error {
	return problem.Wrap(problem.Verification, err, "the answer from %q was not accepted", c.o.Partner)
}

// wrongAnswer words that the answer is to another question.
func (c *Client) wrongAnswer() error {
	return c.untrusted(fmt.Errorf("it is not an answer to what was asked"))
}
