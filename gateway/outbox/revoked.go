package outbox

import (
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/terms"
)

// replaced reports whether the own card has begun to rule by itself: it revokes
// the key of the card at the ledger's edge with exactly what was signed last as
// the last good statement. Then nothing more is signed with that key, a CARD
// statement neither. If it draws the line elsewhere, partners will never take
// anything here that the node could say: the channel is halted.
func (w *Writer) replaced(view *register.View, own *card.Card) (bool, error) {
	before, ok := view.CardByDigest(w.edge.card)
	if !ok || before.Digest == own.Digest {
		return false, nil
	}
	use, _ := terms.KeyUses(w.cfg.Mode)
	key, ok := before.Current(use)
	if !ok {
		return false, nil
	}
	epoch, seq, revoked := view.LastGood(w.cfg.Self, w.cfg.Ledger, key.ID)
	if !revoked {
		return false, nil
	}
	st := w.journal.State()
	if epoch == st.Epoch && seq == st.Tree.Size() {
		return true, nil
	}
	err := problem.New(problem.Verification,
		"the own card revokes the key of channel %s after number %d of epoch %d, but %d of epoch %d was signed; nothing more is said there",
		w.cfg.Channel, seq, epoch, st.Tree.Size(), st.Epoch).
		WithHint("karaula ledger repair --channel %s", w.cfg.Channel)
	w.halt(err)
	return false, err
}

// revoked refuses to sign with a key that does not count at the next number.
func (w *Writer) revoked(view *register.View, next *state, by envelope.Signer) error {
	epoch, seq, revoked := view.LastGood(w.cfg.Self, w.cfg.Ledger, by.KeyID)
	if !revoked || next.epoch < epoch || next.epoch == epoch && next.tree.Size() < seq {
		return nil
	}
	return problem.New(problem.Locked, "the signing key of channel %s has been revoked; nothing was said", w.cfg.Channel).
		WithHint("try again in a moment: the new card takes over")
}
