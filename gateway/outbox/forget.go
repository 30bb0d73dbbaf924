package outbox

import "karaula/internal/problem"

// Forget sees to it that the signing journal does not hold the content of a
// statement any more. It fails while the broker has not confirmed the statement,
// and while the journal is damaged.
func (w *Writer) Forget(seq uint64) error {
	if w.journal == nil {
		return problem.New(problem.Failed, "the signing journal of channel %s is damaged, and may still hold what was erased", w.cfg.Channel).
			WithHint("karaula ledger repair --channel %s", w.cfg.Channel)
	}
	return w.journal.Forget(seq)
}
