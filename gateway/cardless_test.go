package gateway

import (
	"context"
	"testing"
	"time"

	"karaula/gateway/inbox"
	"karaula/gateway/stream"
	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// A partner's card is gone when the node starts, and is taken in again while it runs:
// what is here is read back under it. Nothing is asked for again, stored or judged a
// second time, and receipts go on where they were.
func TestACardThatComesBack(t *testing.T) {
	t.Parallel()
	i := newInsider(t)
	in := stream.Open(i.broker.JS, subject.InStream(subject.Actual(channelID), "me"))
	_, stored, err := in.End(t.Context())
	must(t, err)
	before, rows := len(i.receipts()), i.book()

	i.stop()
	i.w.Parties["al"].Lose("parties/me/1.card")
	i.start()
	if _, judged, _, _, _ := i.gateway.channel(channelID).ear("me").Status(); judged != 0 {
		t.Fatalf("%d statements are read back without a card", judged)
	}
	_, err = i.gateway.o.Register.AddCard(i.w.Parties["me"].Card.Signed, register.AddCardOptions{})
	must(t, err)
	i.until("what is here is read back", func() bool {
		c := i.gateway.channel(channelID)
		if c == nil || c.ear("me") == nil {
			return false
		}
		_, judged, _, _, _ := c.ear("me").Status()
		return judged == uint64(len(i.heard))
	})
	i.receiptsGoOn(before)
	if _, now, err := in.End(t.Context()); err != nil || now != stored+1 {
		t.Errorf("%d messages of me are stored instead of %d: %v", now, stored+1, err)
	}
	if now := i.book(); len(now) <= len(rows) || now[:len(rows)] != rows {
		t.Errorf("officers see\n%s\nand saw\n%s", now, rows)
	}
}

// What was received is lost, and comes again: it was receipted already.
func TestReceiptsGoOnAfterALoss(t *testing.T) {
	t.Parallel()
	i := newInsider(t)
	before := len(i.receipts())
	i.must(i.open(subject.InStream(subject.Actual(channelID), "me")).Purge(t.Context()))
	i.reopen()
	i.deliver()
	i.receiptsGoOn(before)
}

// receiptsGoOn has me say one more, and checks that receipts of al behind the first ones
// speak of what was not receipted before.
func (i *insider) receiptsGoOn(before int) {
	i.t.Helper()
	i.heard = append(i.heard, i.voice.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_ALERT,
		Type: karaulav1.AlertType_ALERT_TYPE_ROUTE, Alert: testworld.Alert(karaulav1.AlertType_ALERT_TYPE_ROUTE),
	}))
	i.until("one more is taken in", func() bool {
		ctx, cancel := context.WithTimeout(i.ctx, time.Second)
		defer cancel()
		n := len(i.heard)
		c := i.gateway.channel(channelID)
		return c != nil && c.ear("me") != nil && c.ear("me").Deliver(ctx, inbox.Delivery{
			Data: i.heard[n-1], StreamSeq: uint64(n), Ack: func() error { return nil },
		}) == nil
	})
	i.until("a receipt of it", func() bool {
		all := i.receipts()
		return all[len(all)-1].GetJudgedTo() == uint64(len(i.heard))
	})
	judged := i.receipts()[before-1].GetJudgedTo()
	for _, r := range i.receipts()[before:] {
		if r.GetSince() < judged || r.GetJudgedTo() < judged {
			i.t.Errorf("a receipt tells again what follows number %d: up to %d", r.GetSince(), r.GetJudgedTo())
		}
	}
}
