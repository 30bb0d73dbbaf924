package link

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/card"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// A partner's card comes with its question, and nobody else's does.
func TestACardIsOffered(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.serve(&testOwner{}, nil)
	nc, err := n.dial(nil)
	must(t, err)
	c := n.client(nc, nil)
	next := n.me.issue(t, 2, "127.0.0.1:9")
	if serial, err := c.Offer(t.Context(), next.Signed); err != nil || serial != 2 {
		t.Errorf("serial %d, %v", serial, err)
	}
	var refused *Refused
	for what, file := range map[string][]byte{"another party's card": n.al.card.Signed, "no card": []byte("card")} {
		if _, err := c.Offer(t.Context(), file); !errors.As(err, &refused) || refused.Code != CodeMalformed {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.Offer(t.Context(), nil); err == nil {
		t.Error("nothing was offered, and taken")
	}
}

// The link key was rotated besides, so the owner knows it from the offered card alone.
// That opens the door for the card's own party, root and newer cards, and for nothing
// but an offer.
func TestAnOfferIsUnderstoodByTheCardInIt(t *testing.T) {
	t.Parallel()
	al, me := newParty(t, "al", "127.0.0.1:9"), newParty(t, "me", "127.0.0.1:9")
	known := me.issue(t, 5, "127.0.0.1:9")
	now := time.Now()
	p := deskPeer(al, me, &now, func(o *ServeOptions) {
		o.Card = func(string) (*card.Card, bool) { return known, true }
	})
	id := byte(0)
	ask := func(signer *party, payloadType string, change func(*karaulav1.LinkRequest)) Code {
		t.Helper()
		id++
		r := &karaulav1.LinkRequest{
			Format: Format, From: "me", To: "al", Id: append(make([]byte, idSize-1), id), AskedAt: now.UnixMicro(),
		}
		change(r)
		raw, err := sign(payloadType, r, signer.gw.Link, subject.MaxLinkRequest)
		must(t, err)
		_, outcome := p.answer(raw)
		return outcome
	}
	offering := func(c *card.Card) func(*karaulav1.LinkRequest) {
		return func(r *karaulav1.LinkRequest) {
			r.Ask = &karaulav1.LinkRequest_Offer{Offer: &karaulav1.Offer{Card: c.Signed}}
		}
	}
	must(t, me.gw.Rotate(now.Add(-time.Second), karaulav1.KeyUse_KEY_USE_LINK))
	older, next := me.issue(t, 4, "127.0.0.1:9"), me.issue(t, 6, "127.0.0.1:9")
	fake, other := newParty(t, "me", "127.0.0.1:9"), newParty(t, "rs", "127.0.0.1:9")
	fake.card = fake.issue(t, 7, "127.0.0.1:9")
	for name, c := range map[string]struct {
		signer *party
		typ    string
		change func(*karaulav1.LinkRequest)
		want   Code
	}{
		"the newer card":                      {me, RequestType, offering(next), outcomeDone},
		"an older card":                       {me, RequestType, offering(older), outcomeUnknownKey},
		"a card by another root":              {fake, RequestType, offering(fake.card), outcomeUnknownKey},
		"another party's card":                {other, RequestType, offering(other.card), outcomeUnknownKey},
		"the newer card, another's words":     {fake, RequestType, offering(next), outcomeUnknownKey},
		"the newer card, signed as an answer": {me, ReplyType, offering(next), outcomeBadSignature},
		"the newer card, for somebody else": {me, RequestType, func(r *karaulav1.LinkRequest) {
			offering(next)(r)
			r.To = "rs"
		}, outcomeWrongParty},
		"another question": {me, RequestType, func(r *karaulav1.LinkRequest) {
			r.Ask = &karaulav1.LinkRequest_Hello{Hello: &karaulav1.Hello{Standing: standing(1)}}
		}, outcomeUnknownKey},
	} {
		if got := ask(c.signer, c.typ, c.change); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// offer is the body of a request that offers a card.
func offer(t testing.TB, file []byte) []byte {
	t.Helper()
	raw, err := proto.Marshal(&karaulav1.LinkRequest{
		Format: 1, From: "me", To: "al", Id: make([]byte, idSize), AskedAt: 1,
		Ask: &karaulav1.LinkRequest_Offer{Offer: &karaulav1.Offer{Card: file}},
	})
	must(t, err)
	return raw
}
