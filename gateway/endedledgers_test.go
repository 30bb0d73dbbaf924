package gateway

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/stream"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// heads gives the ledgers of the house's channel as they are listed, by origin.
func (h *house) heads() map[string]*karaulav1.LedgerState {
	h.t.Helper()
	all, err := h.desk.Ledgers(h.ctx, connect.NewRequest(&karaulav1.LedgersRequest{Channel: channelID}))
	must(h.t, err)
	out := map[string]*karaulav1.LedgerState{}
	for _, l := range all.Msg.GetLedgers() {
		if l.GetChannel() != channelID || out[l.GetOrigin()] != nil {
			h.t.Errorf("%v", l)
		}
		out[l.GetOrigin()] = l
	}
	return out
}

// The ledgers of a channel that is over stay to be seen with the heads that they had,
// also where content in them is erased, and what was written into their streams is named.
func TestLedgersOfAClosedChannelAreListed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	raw, _, _ := meSays(h.w.Voice("me", h.text, channelID))
	h.deliver(raw)
	a := route()
	for _, alert := range []*karaulav1.Alert{route(), a, route()} {
		_, err := h.send(h.ctx, alert)
		must(t, err)
	}
	c := h.gateway.channel(channelID)
	h.w.Give(h.w.RootNotice("me", h.text, notice.Withdraw), "al")
	h.stop()
	was := map[string]*karaulav1.Head{}
	for _, p := range []string{"al", "me"} {
		was[p] = c.headOf(p)
	}
	h.move(40 * 24 * time.Hour)
	h.w.Now = h.now()
	h.launch()
	h.until("completeness", h.gateway.complete)
	check := func(astray string) {
		t.Helper()
		now := h.heads()
		for p, head := range was {
			l := now[p]
			if !proto.Equal(&karaulav1.Head{Ledger: l.GetLedger(), Epoch: l.GetEpoch(), Size: l.GetSize(), Root: l.GetRoot()}, head) ||
				l.GetState() != "ended" || !strings.HasPrefix(l.GetWhy(), "closed since 20") ||
				strings.Contains(l.GetWhy(), "no place") != (p == astray) {
				t.Errorf("%s: %v, was %v", p, l, head)
			}
		}
		if len(now) != len(was) {
			t.Errorf("%d ledgers", len(now))
		}
	}
	check("")
	h.until("the order", func() bool { // the hourly look may have the channel in hand
		_, err := h.erase(a.GetId())
		return !problem.Is(err, problem.Unreachable)
	})
	check("")
	h.stop()
	h.launch()
	h.until("completeness", h.gateway.complete)
	check("")
	in := stream.Open(h.broker.JS, subject.InStream(subject.Actual(channelID), "me"))
	_, err := in.Add(t.Context(), stream.Msg{Subject: subject.In(subject.Actual(channelID), "me"), Data: []byte("junk")})
	must(t, err)
	check("me")
}
