package link

import (
	"context"
	"errors"

	"karaula/internal/card"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// GetCard gives the partner's signed card; serial 0 asks for the one in force.
//
// It is the one question whose answer may be signed with a link key that is
// not yet known here, because it is how a new link key becomes known. Then the
// card in the answer must be of the same party, signed by the same root and
// not older than the card that is known, and the answer must be signed with a
// link key of that very card. So a partner that has rotated everything but its
// root is understood again without a courier, and nobody without the root can
// use this door.
func (c *Client) GetCard(ctx context.Context, serial uint64) ([]byte, error) {
	req := &karaulav1.LinkRequest{Ask: &karaulav1.LinkRequest_Get{Get: &karaulav1.Get{
		What: &karaulav1.Get_Card{Card: &karaulav1.GetCard{Serial: serial}},
	}}}
	m, err := c.exchange(ctx, req)
	if err != nil {
		return nil, err
	}
	known, ok := c.o.Card()
	if !ok {
		return nil, problem.New(problem.NotFound, "no card of %q is known; its answer was not read", c.o.Partner)
	}
	err = verify(ReplyType, m, cardKeys(known, c.o.Now()))
	if errors.Is(err, ErrUnknownKey) {
		err = c.verifyByNewCard(m, known)
	}
	if err != nil {
		return nil, c.untrusted(err)
	}
	r, err := c.read(m, req)
	if err != nil {
		return nil, err
	}
	if r.GetGet() == nil {
		return nil, c.wrongAnswer()
	}
	return c.oneText(r.GetGet(), nil)
}

// Offer brings our newest card to the partner, and gives the serial of the newest
// one that it has then. It is for a partner that knows an older one only, and may
// not be able to fetch this one: the key that our broker shows now, or the way to
// it, may stand in no card that it has.
func (c *Client) Offer(ctx context.Context, file []byte) (uint64, error) {
	r, err := c.ask(ctx, &karaulav1.LinkRequest{Ask: &karaulav1.LinkRequest_Offer{Offer: &karaulav1.Offer{Card: file}}})
	if err != nil {
		return 0, err
	}
	if r.GetOffer() == nil {
		return 0, c.wrongAnswer()
	}
	return r.GetOffer().GetCardSerial(), nil
}

// verifyByNewCard verifies an answer with the link key of the card inside it.
func (c *Client) verifyByNewCard(m *karaulav1.LinkMessage, known *card.Card) error {
	r, err := parseReply(m.GetBody())
	if err != nil {
		return err
	}
	texts := r.GetGet().GetTexts()
	if len(texts) != 1 {
		return ErrUnknownKey
	}
	next, err := card.Open(texts[0])
	if err != nil || next.Party != c.o.Partner || next.Root != known.Root || next.Serial < known.Serial {
		return ErrUnknownKey
	}
	return verify(ReplyType, m, cardKeys(next, c.o.Now()))
}
