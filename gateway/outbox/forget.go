package outbox

// Forget sees to it that the signing journal does not hold the content of a
// statement any more. It fails while the broker has not confirmed the statement.
func (w *Writer) Forget(seq uint64) error { return w.journal.Forget(seq) }
