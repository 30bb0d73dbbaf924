package link

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// hostile answers me's requests on al's side with whatever reply makes of them.
func (n *node) hostile(reply func(*karaulav1.LinkRequest) []byte) {
	n.t.Helper()
	sub, err := n.own.Subscribe("k1.link.me", func(m *nats.Msg) {
		req := new(karaulav1.LinkRequest)
		if outer, err := unwrap(m.Data, subject.MaxLinkRequest); err != nil || proto.Unmarshal(outer.GetBody(), req) != nil {
			return
		}
		if raw := reply(req); raw != nil {
			_ = m.Respond(raw)
		}
	})
	must(n.t, err)
	n.t.Cleanup(func() { _ = sub.Unsubscribe() })
	must(n.t, n.own.Flush())
}

// answering makes al's valid hello reply to a request, spoilt by change.
func (n *node) answering(change func(*karaulav1.LinkReply)) func(*karaulav1.LinkRequest) []byte {
	return func(req *karaulav1.LinkRequest) []byte {
		r := &karaulav1.LinkReply{
			Format: Format, From: "al", To: "me", Id: req.GetId(), AnsweredAt: time.Now().UnixMicro(),
			Answer: &karaulav1.LinkReply_Hello{Hello: &karaulav1.HelloReply{Standing: standing(4)}},
		}
		change(r)
		raw, err := sign(ReplyType, r, n.al.gw.Link, subject.MaxPayload)
		must(n.t, err)
		return raw
	}
}

func TestAHostilePartnersAnswersAreErrors(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	nc, err := n.dial(nil)
	must(t, err)
	c := n.client(nc, nil)
	thief := newParty(t, "al", "127.0.0.1:9")
	getReply := func(g *karaulav1.GetReply) func(*karaulav1.LinkReply) {
		return func(r *karaulav1.LinkReply) { r.Answer = &karaulav1.LinkReply_Get{Get: g} }
	}
	spoilt := func(change func(*karaulav1.Standing)) func(*karaulav1.LinkRequest) []byte {
		return n.answering(func(r *karaulav1.LinkReply) { change(r.GetHello().GetStanding()) })
	}
	var reply func(*karaulav1.LinkRequest) []byte
	n.hostile(func(r *karaulav1.LinkRequest) []byte { return reply(r) })
	for name, answer := range map[string]func(*karaulav1.LinkRequest) []byte{
		"empty":               func(*karaulav1.LinkRequest) []byte { return []byte{} },
		"garbage":             func(*karaulav1.LinkRequest) []byte { return []byte("HTTP/1.1 200 OK") },
		"the request":         func(r *karaulav1.LinkRequest) []byte { return resign(t, n.al, ReplyType, mustMarshal(t, r)) },
		"oversized":           func(*karaulav1.LinkRequest) []byte { return make([]byte, subject.MaxLinkReply+1) },
		"signed junk":         func(*karaulav1.LinkRequest) []byte { return resign(t, n.al, ReplyType, []byte{0xff}) },
		"another id":          n.answering(func(r *karaulav1.LinkReply) { r.Id = make([]byte, idSize) }),
		"a short id":          n.answering(func(r *karaulav1.LinkReply) { r.Id = r.Id[:15] }),
		"from xk":             n.answering(func(r *karaulav1.LinkReply) { r.From = "xk" }),
		"to xk":               n.answering(func(r *karaulav1.LinkReply) { r.To = "xk" }),
		"format 2":            n.answering(func(r *karaulav1.LinkReply) { r.Format = 2 }),
		"no answer":           n.answering(func(r *karaulav1.LinkReply) { r.Answer = nil }),
		"of yesterday":        n.answering(func(r *karaulav1.LinkReply) { r.AnsweredAt -= 86_400_000_000 }),
		"of tomorrow":         n.answering(func(r *karaulav1.LinkReply) { r.AnsweredAt += 86_400_000_000 }),
		"short digest":        spoilt(func(s *karaulav1.Standing) { s.CardDigest = []byte{1} }),
		"a wild id":           spoilt(func(s *karaulav1.Standing) { s.Agreements[0].Id = "a.>" }),
		"a wild signer":       spoilt(func(s *karaulav1.Standing) { s.Agreements[0].SignedBy[0] = "A" }),
		"a short head":        spoilt(func(s *karaulav1.Standing) { s.OwnHeads[0].Root = nil }),
		"to another question": n.answering(getReply(&karaulav1.GetReply{Texts: [][]byte{[]byte("x")}})),
		"a short hash":        n.answering(getReply(&karaulav1.GetReply{Frontier: [][]byte{{1}}})),
		"an empty text":       n.answering(getReply(&karaulav1.GetReply{Texts: [][]byte{{}}})),
		"too many hashes":     n.answering(getReply(&karaulav1.GetReply{Frontier: make([][]byte, maxFrontier+1)})),
		"another's signature": func(*karaulav1.LinkRequest) []byte {
			raw, err := sign(ReplyType, &karaulav1.LinkReply{Format: 1}, thief.gw.Link, subject.MaxLinkReply)
			must(t, err)
			return raw
		},
	} {
		reply = answer
		if _, err := c.Hello(t.Context(), standing(1)); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: %v, want a verification problem", name, err)
		}
	}
	reply = n.answering(func(r *karaulav1.LinkReply) {
		r.Answer = &karaulav1.LinkReply_Refusal{Refusal: &karaulav1.LinkRefusal{Code: "\x1b[2Jpwned", RetryAfterMs: 7}}
	})
	var refused *Refused
	_, err = c.Hello(t.Context(), standing(1))
	if !errors.As(err, &refused) || refused.Code != CodeFailed || refused.RetryAfter != 7*time.Millisecond {
		t.Errorf("a wild code: %v", err)
	}
}

// mustMarshal writes a message.
func mustMarshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	must(t, err)
	return raw
}

func TestWrongKindOfAnswerToEachQuestion(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	nc, err := n.dial(nil)
	must(t, err)
	c, ctx := n.client(nc, nil), t.Context()
	n.hostile(n.answering(func(r *karaulav1.LinkReply) {
		r.Answer = &karaulav1.LinkReply_Get{Get: &karaulav1.GetReply{}}
	}))
	for name, ask := range map[string]func() error{
		"hello":      func() error { _, err := c.Hello(ctx, standing(1)); return err },
		"rewind":     func() error { _, err := c.Rewind(ctx, channel, 1, 1); return err },
		"card":       func() error { _, err := c.GetCard(ctx, 0); return err },
		"agreement":  func() error { _, err := c.GetAgreement(ctx, testLedger); return err },
		"stubs":      func() error { _, err := c.GetStubs(ctx, testLedger, 1, 1, 2); return err },
		"statements": func() error { _, err := c.GetStatements(ctx, testLedger, 1, 1, 2); return err },
	} {
		if err := ask(); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: %v, want a verification problem", name, err)
		}
	}
	if notices, err := c.GetNotices(ctx, 0); err != nil || len(notices) != 0 {
		t.Errorf("no notices is an answer: %v, %v", notices, err)
	}
}

func TestSilenceIsUnreachable(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	nc, err := n.dial(nil)
	must(t, err)
	c := n.client(nc, nil)
	if _, err := c.Hello(t.Context(), standing(1)); !problem.Is(err, problem.Unreachable) {
		t.Errorf("nobody subscribes: %v", err)
	}
	n.hostile(func(*karaulav1.LinkRequest) []byte { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Hello(ctx, standing(1)); !problem.Is(err, problem.Unreachable) {
		t.Errorf("nobody answers: %v", err)
	}
	nc.Close()
	if _, err := c.Hello(t.Context(), standing(1)); !problem.Is(err, problem.Unreachable) {
		t.Errorf("closed: %v", err)
	}
}

// TestARotatedCardComesWithoutACourier: al has rotated every online key; me
// knows only the old card.
func TestARotatedCardComesWithoutACourier(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	old := n.al.card
	must(t, n.al.gw.Rotate(time.Now().Add(-time.Minute)))
	n.al.card = n.al.issue(t, 2, old.Address[0])
	n.serve(new(testOwner), nil)
	nc, err := n.dial(nil)
	must(t, err)
	known := old
	c := n.client(nc, func(o *ClientOptions) { o.Card = func() (*card.Card, bool) { return known, known != nil } })

	_, err = c.Hello(t.Context(), standing(1))
	if !errors.Is(err, ErrUnknownKey) || !problem.Is(err, problem.Verification) {
		t.Fatalf("hello with an unknown key: %v", err)
	}
	file, err := c.GetCard(t.Context(), 0)
	must(t, err)
	known, err = card.Open(file)
	must(t, err)
	if known.Serial != 2 {
		t.Errorf("serial = %d", known.Serial)
	}
	if _, err := c.Hello(t.Context(), standing(1)); err != nil {
		t.Errorf("hello with the new card: %v", err)
	}

	newer := *old
	newer.Serial = 3 // me has seen a card that al no longer shows
	known = &newer
	if _, err := c.GetCard(t.Context(), 0); !problem.Is(err, problem.Verification) {
		t.Errorf("a card older than the one that is known: %v", err)
	}
	known = nil
	if _, err := c.GetCard(t.Context(), 0); !problem.Is(err, problem.NotFound) {
		t.Errorf("no card known: %v", err)
	}
}

func TestTheCardDoorOpensOnlyForTheRoot(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	nc, err := n.dial(nil)
	must(t, err)
	c := n.client(nc, nil)
	fake, other := newParty(t, "al", "127.0.0.1:9"), newParty(t, "rs", "127.0.0.1:9")
	for name, tc := range map[string]struct {
		signer *party
		text   []byte
	}{
		"a card by another root":         {fake, fake.card.Signed},
		"a card of another party":        {other, other.card.Signed},
		"the true card, another's words": {fake, n.al.card.Signed},
		"no card":                        {fake, []byte("karaula card v1\n")},
	} {
		sub, err := n.own.Subscribe("k1.link.me", func(m *nats.Msg) {
			outer, _ := unwrap(m.Data, subject.MaxLinkRequest)
			req := new(karaulav1.LinkRequest)
			_ = proto.Unmarshal(outer.GetBody(), req)
			raw, _ := sign(ReplyType, &karaulav1.LinkReply{
				Format: Format, From: "al", To: "me", Id: req.GetId(), AnsweredAt: time.Now().UnixMicro(),
				Answer: &karaulav1.LinkReply_Get{Get: &karaulav1.GetReply{Texts: [][]byte{tc.text}}},
			}, tc.signer.gw.Link, subject.MaxLinkReply)
			_ = m.Respond(raw)
		})
		must(t, err)
		must(t, n.own.Flush())
		if _, err := c.GetCard(t.Context(), 0); !problem.Is(err, problem.Verification) {
			t.Errorf("%s: %v, want a verification problem", name, err)
		}
		must(t, sub.Unsubscribe())
	}
}

func TestALinkKeyIsNeededToAsk(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	nc, err := n.dial(nil)
	must(t, err)
	for name, key := range map[string]keyring.SignKey{"none": {}, "a sign key": n.me.gw.Sign} {
		c := n.client(nc, func(o *ClientOptions) { o.Key = func() keyring.SignKey { return key } })
		if _, err := c.GetCard(t.Context(), 0); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v, want invalid and not sent", name, err)
		}
	}
}
