package outbox

import (
	"slices"

	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/ledger"
)

// What an own key has signed behind the last number that counts of it was said by
// this node, before the key was revoked, or by a thief who can write to the own
// broker. The bytes do not tell. Whether it is part of the ledger is for what
// follows to say: a statement of a good key stands over it or in its place, or
// the signing journal knows it.

// maxDoubtful bounds the bytes of what waits for that: who can write to the own
// broker can write much.
const maxDoubtful = 64 << 20

// found is a statement with our signature that was found in its place.
type found struct {
	Said

	stored  bool // its message is in the stream
	mayOpen bool // it may open an epoch
}

// doubtful is one that a revoked key has signed in vain.
type doubtful struct {
	found

	epoch uint64
}

// expects reports whether a statement continues the ledger, with or without what is
// doubtful, or may open its next epoch.
func (h *held) expects(p *envelope.Parsed, mayOpen bool) bool {
	epoch, tree := h.tip()
	return continues(p, h.epoch, h.tree) || continues(p, epoch, tree) || mayOpen && (opens(p, h.epoch) || opens(p, epoch))
}

// tip gives the end of the ledger with what is doubtful.
func (h *held) tip() (epoch uint64, tree *ledger.Tree) {
	if len(h.doubts) == 0 {
		return h.epoch, h.tree
	}
	return h.branchEpoch, h.branch
}

// doubt puts a statement behind the ledger that only a later one can confirm, and
// reports whether it has its place there.
func (h *held) doubt(f found) bool {
	epoch, tree := h.tip()
	next := continues(f.Parsed, epoch, tree)
	place := next || f.mayOpen && opens(f.Parsed, epoch)
	if !place || h.doubtSize+len(f.Parsed.Raw) > maxDoubtful {
		return false
	}
	switch {
	case !next:
		epoch, tree = epoch+1, new(ledger.Tree)
	case len(h.doubts) == 0:
		tree = tree.Clone()
	}
	tree.Append(f.Parsed.Leaf)
	h.doubts = append(h.doubts, doubtful{f, epoch})
	h.doubtSize += len(f.Parsed.Raw)
	h.branchEpoch, h.branch = epoch, tree
	return true
}

// settle enters the first n of what is doubtful, and gives the rest, which is none of ours.
func (w *Writer) settle(h *held, n int) (dropped []doubtful) {
	all := h.doubts
	h.doubts, h.branch, h.doubtSize = nil, nil, 0
	for _, d := range all[:n] {
		w.enter(h, d.found)
	}
	return all[n:]
}

// confirmed decides about what is doubtful before a statement of a good key: what it
// stands over is part of the ledger, what it stands in the place of is not. An
// epoch that opens says nothing of the one before: what may be ours stays visible.
func (w *Writer) confirmed(h *held, f found) {
	if len(h.doubts) == 0 {
		return
	}
	epoch, tree := h.tip()
	n := 0
	switch {
	case continues(f.Parsed, h.epoch, h.tree):
	case continues(f.Parsed, epoch, tree), f.mayOpen && opens(f.Parsed, epoch):
		n = len(h.doubts)
	default: // it opens the epoch behind that of the ledger
		for n < len(h.doubts) && h.doubts[n].epoch == h.epoch {
			n++
		}
	}
	for _, d := range w.settle(h, n) {
		w.cfg.Logger.Warn("stepped over a statement that a revoked own key has signed", "channel", w.cfg.Channel,
			"stream_seq", d.StreamSeq, "epoch", d.epoch, "seq", d.Parsed.Statement.GetSeq()) // told when it was seen first
	}
}

// settleByJournal decides about what is doubtful at the end of the stream: the
// journal has signed it, or it is somebody else's. Where the journal fits neither,
// nothing is left out: the channel is halted for that.
func (w *Writer) settleByJournal(h *held) {
	if len(h.doubts) == 0 {
		return
	}
	n := len(h.doubts)
	if w.journal != nil {
		if fits := h.fitting(w.journal.State(), w.journal.Pending()); fits >= 0 {
			n = fits
		}
	}
	for _, d := range w.settle(h, n) {
		w.tellRevoked(d.Parsed)
	}
}

// fitting gives how many of the doubtful the journal has signed; -1 if it has
// signed something else.
func (h *held) fitting(js journal.State, pending []journal.Entry) int {
	epoch, tree := h.epoch, h.tree.Clone()
	for n := 0; ; n++ {
		if epoch == js.Epoch && matches(tree, js, pending) {
			return n
		}
		if n == len(h.doubts) {
			return -1
		}
		if d := h.doubts[n]; d.epoch != epoch {
			epoch, tree = d.epoch, new(ledger.Tree)
		}
		tree.Append(h.doubts[n].Parsed.Leaf)
	}
}

// matches reports whether a tree, with what was not published yet, is the journal's.
func matches(tree *ledger.Tree, js journal.State, pending []journal.Entry) bool {
	i := slices.IndexFunc(pending, func(e journal.Entry) bool { return e.Seq > tree.Size() })
	if i < 0 {
		return tree.Size() == js.Tree.Size() && tree.Root() == js.Tree.Root()
	}
	if pending[i].Seq != tree.Size()+1 {
		return false
	}
	whole := tree.Clone()
	for _, e := range pending[i:] {
		whole.Append(e.Leaf)
	}
	return whole.Root() == js.Tree.Root()
}

// tellRevoked tells of a statement in the own stream that somebody else has signed.
func (w *Writer) tellRevoked(p *envelope.Parsed) {
	if w.cfg.OnRevoked != nil {
		w.cfg.OnRevoked(p.Statement)
	}
}

// inVain reports whether a key has signed behind the last number that counts of it.
func (w *Writer) inVain(p *envelope.Parsed) bool { return border.Repudiated(w.cfg.View(), p.Statement) }
