package gateway

import (
	"context"
	"fmt"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// The states of a ledger, as people are told.
const (
	ledgerOpen      = "open"
	ledgerHalted    = "halted"
	ledgerContested = "contested"
	ledgerNotOpen   = "not open"
	ledgerEnded     = "ended"
)

// epochReasons are the codes of docs/spec/ledger.md.
var epochReasons = map[string]bool{"journal-lost": true, "stream-lost": true, "contested": true}

// reasonWord gives a partner's reason if it is one of the codes: nothing else of
// what it writes there is shown.
func reasonWord(reason string) string {
	if epochReasons[reason] {
		return reason
	}
	return "other"
}

func epochText(party, channel string, epoch, size uint64, reason string, void int) string {
	return fmt.Sprintf("%s goes on in epoch %d on %s (%s): numbers of epoch %d beyond %d are void, %d alerts among them here",
		party, epoch, channel, reasonWord(reason), epoch-1, size, void)
}

// ledgers gives the heads of all ledgers of a channel, or of every channel, also of
// those that are over.
func (g *Gateway) ledgers(ctx context.Context, id string) (*karaulav1.LedgersResponse, error) {
	out := &karaulav1.LedgersResponse{}
	found := false
	for _, cv := range g.o.Register.View().AllChannels() {
		over := closed{g}.is(cv)
		if !over && !g.speaksOn(cv, g.o.Now()) || id != "" && cv.ID != id {
			continue
		}
		found = true
		g.mu.Lock()
		c, trouble := g.channels[cv.ID], g.troubles[cv.ID]
		g.mu.Unlock()
		if c == nil && over {
			out.Ledgers = append(out.Ledgers, g.endedLedgers(ctx, cv)...)
			continue
		}
		if c == nil {
			out.Ledgers = append(out.Ledgers, &karaulav1.LedgerState{
				Channel: cv.ID, Origin: g.self, State: ledgerNotOpen, Why: trouble,
			})
			continue
		}
		out.Ledgers = append(out.Ledgers, c.ownLedger())
		for _, p := range c.partners() {
			out.Ledgers = append(out.Ledgers, c.theirLedger(p))
		}
	}
	if id != "" && !found {
		return nil, problem.New(problem.NotFound, "there is no channel %q at this node", id).
			WithHint("karaula ledger list --dir DIR")
	}
	return out, nil
}

func (c *channel) ownLedger() *karaulav1.LedgerState {
	h := c.writer.Head()
	s := &karaulav1.LedgerState{
		Channel: c.id, Origin: c.g.self, Ledger: h.GetLedger(), Epoch: h.GetEpoch(), Size: h.GetSize(), Root: h.GetRoot(),
		State: ledgerOpen,
	}
	if c.isContested() {
		s.State, s.Why = ledgerContested, "a partner has said that it holds two histories of it"
	}
	if err := c.writer.Halted(); err != nil {
		s.State, s.Why = ledgerHalted, err.Error()
	}
	signed := c.signedHeads()
	for _, p := range c.partners() {
		if k := signed[p]; k != nil {
			s.Known = append(s.Known, &karaulav1.KnownHead{
				Party: p, Epoch: k.GetEpoch(), Size: k.GetSize(), Root: k.GetRoot(), By: "signed",
			})
		}
	}
	s.Epochs, s.Differing = c.epochEnds(c.g.self), c.differing(c.g.self)
	return s
}

func (c *channel) theirLedger(party string) *karaulav1.LedgerState {
	ear := c.ear(party)
	h := ear.Head()
	s := &karaulav1.LedgerState{
		Channel: c.id, Origin: party, Ledger: h.GetLedger(), Epoch: h.GetEpoch(), Size: h.GetSize(), Root: h.GetRoot(),
		State: ledgerOpen, Epochs: c.epochEnds(party), Differing: c.differing(party),
	}
	if _, _, _, _, contested := ear.Status(); contested {
		s.State, s.Why = ledgerContested, "its origin has contradicted itself; what follows is held until it opens a new epoch"
	}
	for _, k := range ear.Contradictions() {
		s.Contradictions = append(s.Contradictions, &karaulav1.Contradiction{
			Epoch: k.Epoch, Contest: k.Contest, First: k.First, Second: k.Second,
		})
	}
	return s
}

// differing gives what partners have signed of a ledger and is not so here.
func (c *channel) differing(of string) []*karaulav1.DifferingHead {
	var out []*karaulav1.DifferingHead
	for _, d := range c.differences() {
		if d.of != of {
			continue
		}
		h := d.head
		row := &karaulav1.DifferingHead{
			Party: d.by, Epoch: h.GetEpoch(), Size: h.GetSize(), Root: h.GetRoot(),
			StatementEpoch: d.epoch, StatementSeq: d.seq, SaidAt: d.at,
			Proven: d.proven, Text: c.unlikeText(d.witness, &d.unlike), Next: c.unlikeNext(&d),
		}
		if root, ok := c.rootOf(of, h.GetEpoch(), h.GetSize()); ok {
			row.Here = root[:]
		}
		out = append(out, row)
	}
	return out
}

// unlikeNext says what people do about a difference.
func (c *channel) unlikeNext(d *difference) string {
	switch {
	case d.proven && d.of == c.g.self:
		return "karaula ledger repair --channel " + c.id + " --dir DIR"
	case d.proven:
		return "keep everything; call " + d.of + "'s duty desk: it must begin a new epoch"
	default:
		return "keep everything; call all parties' duty desks and compare karaula ledger show --channel " + c.id + " --dir DIR"
	}
}

func (c *channel) epochEnds(party string) []*karaulav1.EpochEnd {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*karaulav1.EpochEnd(nil), c.epochs[party]...)
}
