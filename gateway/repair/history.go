package repair

import (
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// history is the own ledger as it comes together, checked as a partner checks
// it. It implements [border.History].
type history struct {
	cfg    *Config
	led    *border.Ledger
	leaves map[uint64][][32]byte // by epoch
	ends   map[uint64]uint64     // by epoch that is over, the last number that counts
	denied uint64                // first number of those at the end that a revoked key has signed in vain
}

func newHistory(cfg *Config) *history {
	return &history{
		cfg: cfg, led: border.NewLedger(cfg.Ledger, cfg.Channel, cfg.Self, cfg.Mode),
		leaves: map[uint64][][32]byte{}, ends: map[uint64]uint64{},
	}
}

// LeafAt implements [border.History].
func (h *history) LeafAt(epoch, seq uint64) ([32]byte, bool) {
	if seq == 0 || seq > uint64(len(h.leaves[epoch])) {
		return [32]byte{}, false
	}
	return h.leaves[epoch][seq-1], true
}

// RootAt implements [border.History].
func (h *history) RootAt(epoch, size uint64) ([32]byte, bool) {
	if size > uint64(len(h.leaves[epoch])) {
		return [32]byte{}, false
	}
	return h.tree(epoch, size).Root(), true
}

// tree builds the tree over the first statements of an epoch.
func (h *history) tree(epoch, size uint64) *ledger.Tree {
	tree := &ledger.Tree{}
	for _, leaf := range h.leaves[epoch][:size] {
		tree.Append(leaf)
	}
	return tree
}

// Accepted implements [border.History]; nothing here is judged.
func (h *history) Accepted([16]byte, uint32) (border.Position, bool) { return border.Position{}, false }

// Before implements [border.History]; nothing here is judged.
func (h *history) Before([16]byte, uint32) (border.Earlier, bool) { return border.Earlier{}, false }

// last is the place of the last statement; its number is 0 in an empty ledger.
func (h *history) last() border.Position {
	return border.Position{Epoch: h.led.Epoch, Seq: h.led.Tree.Size()}
}

// take places bytes, and adds them if they continue the ledger. What the journal
// has signed keeps its place against a key that was revoked later.
func (h *history) take(raw []byte) border.Placement {
	h.led.Settled = 0
	if j := h.cfg.Journal; j != nil {
		switch {
		case h.led.Epoch < j.Epoch:
			h.led.Settled = ledger.MaxSize
		case h.led.Epoch == j.Epoch:
			h.led.Settled = j.Tree.Size()
		}
	}
	before := h.last()
	p := h.cfg.Checker.Place(raw, h.cfg.View(), h.led, h)
	if p.Kind == border.Next {
		h.led.Advance(&p)
		h.leaves[p.Position.Epoch] = append(h.leaves[p.Position.Epoch], p.Leaf)
		if p.OpensEpoch() {
			h.ends[before.Epoch] = continued(&p, before.Seq)
		}
		h.deny(&p)
	}
	return p
}

// deny notes whether a statement is signed with a key that the own cards revoke
// from an earlier number on: partners that have not taken it yet never will.
func (h *history) deny(p *border.Placement) {
	use, _ := terms.KeyUses(h.cfg.Mode)
	key, ok := p.Card.Current(use)
	epoch, seq, revoked := h.cfg.View().LastGood(h.cfg.Self, h.cfg.Ledger, key.ID)
	switch last := (border.Position{Epoch: epoch, Seq: seq}); {
	case !ok || !revoked || last.Covers(p.Position):
		h.denied = 0
	case h.denied == 0 || p.OpensEpoch():
		h.denied = p.Position.Seq
	}
}

// continued gives the last number that counts of the epoch before an opening one.
func continued(p *border.Placement, otherwise uint64) uint64 {
	if p.Parsed == nil {
		return otherwise
	}
	body, err := p.Parsed.Body()
	if b, ok := body.(*karaulav1.EpochBody); ok && err == nil {
		return b.GetContinues().GetSize()
	}
	return otherwise
}

// ours reads a statement of the ledger that one of the own cards' keys has
// signed, whatever its place.
func (h *history) ours(raw []byte) (*envelope.Parsed, bool) {
	p, err := envelope.ParseOuter(raw)
	if err != nil || p.Statement.GetOrigin() != h.cfg.Self ||
		string(p.Statement.GetLedger()) != string(h.cfg.Ledger[:]) || len(p.Statement.GetCard()) != 32 {
		return nil, false
	}
	card, ok := h.cfg.View().CardByDigest([32]byte(p.Statement.GetCard()))
	if !ok || card.Party != h.cfg.Self || p.VerifySignatures(card.StatementKey) != nil {
		return nil, false
	}
	return p, true
}
