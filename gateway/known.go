package gateway

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/bus"
	"karaula/internal/envelope"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// known is what partners have signed of the own ledger of a channel. Guarded by
// the channel's mu.
type known struct {
	signed    map[string]*karaulav1.Head // by party, the furthest
	contested map[string]uint64          // by party, the epoch in which it sees a contradiction
}

// hearHeads notes what a partner's accepted statement says about the own ledger,
// and compares what it says about every other one.
func (c *channel) hearHeads(st *karaulav1.Statement, replayed bool) {
	own := c.ledger(c.g.self)
	for _, h := range st.GetHeads() {
		c.sighted(st, h, replayed)
		if string(h.GetLedger()) == string(own[:]) {
			c.noteSigned(st.GetOrigin(), h)
		}
	}
	if st.GetKind() != karaulav1.Kind_KIND_RECEIPT {
		return
	}
	var r karaulav1.Receipt
	if proto.Unmarshal(st.GetBody(), &r) != nil {
		return
	}
	for _, l := range r.GetLedgers() {
		h := &karaulav1.Head{Ledger: l.GetLedger(), Epoch: l.GetEpoch(), Size: l.GetJudgedTo(), Root: l.GetRoot()}
		c.sighted(st, h, replayed)
		if string(l.GetLedger()) != string(own[:]) {
			continue
		}
		c.noteSigned(st.GetOrigin(), h)
		if l.GetContested() != nil {
			c.mu.Lock()
			c.known.contested[st.GetOrigin()] = max(c.known.contested[st.GetOrigin()], l.GetEpoch())
			c.mu.Unlock()
		}
	}
}

func (c *channel) noteSigned(party string, h *karaulav1.Head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.known.signed[party]
	if old == nil || h.GetEpoch() > old.GetEpoch() || h.GetEpoch() == old.GetEpoch() && h.GetSize() > old.GetSize() {
		c.known.signed[party] = h
	}
}

// signedHeads gives the furthest head of the own ledger that each partner has signed.
func (c *channel) signedHeads() map[string]*karaulav1.Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.known.signed)
}

// isContested reports whether a partner has said that it holds two histories of
// the own epoch.
func (c *channel) isContested() bool {
	epoch := c.writer.Head().GetEpoch()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(slices.Collect(maps.Values(c.known.contested)), epoch)
}

// endEpoch notes that a ledger goes on in a new epoch: what was said beyond the
// head that it continues is void.
func (c *channel) endEpoch(p *envelope.Parsed, news bool) {
	body, err := p.Body()
	b, ok := body.(*karaulav1.EpochBody)
	if err != nil || !ok {
		return
	}
	st, head := p.Statement, b.GetContinues()
	void := c.book.End(c.ledger(st.GetOrigin()), head.GetEpoch(), head.GetSize())
	text := epochText(st.GetOrigin(), c.id, st.GetEpoch(), head.GetSize(), b.GetReason(), void)
	c.mu.Lock()
	c.epochs[st.GetOrigin()] = append(c.epochs[st.GetOrigin()], &karaulav1.EpochEnd{
		Epoch: head.GetEpoch(), Size: head.GetSize(), Void: uint64(void), Reason: reasonWord(b.GetReason()), //nolint:gosec // a count
	})
	c.mu.Unlock()
	if !news {
		return
	}
	c.g.log.Warn("a new epoch", "channel", c.id, "party", st.GetOrigin(), "epoch", st.GetEpoch(), "void", void)
	c.g.tell(&karaulav1.WatchResponse{Event: bus.Epoch, Party: st.GetOrigin(), Channel: c.id, Text: text})
}
