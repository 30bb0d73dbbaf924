package outbox

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/erase"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Open reads the own stream and the signing journal of a channel, compares
// them, and starts the writer. What the journal holds and the stream does not
// is published again, with the same bytes. A contradiction does not fail, nor
// does a journal that is damaged: the writer is there, but halted (see
// [Writer.Halted]).
func Open(ctx context.Context, cfg Config) (*Writer, error) {
	j, damage := journal.Open(cfg.JournalPath, journal.State{
		Ledger: cfg.Ledger, Channel: cfg.Channel, Epoch: 1, Tree: new(ledger.Tree),
	})
	if damage != nil && !problem.Is(damage, problem.Verification) {
		return nil, damage
	}
	w := &Writer{
		cfg: cfg, journal: j, done: make(chan struct{}), room: newRoom(), underway: newUnderway(),
		queue: make(chan *ticket, queueLength), sealing: make(chan *ticket, queueLength),
	}
	w.stop, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	h, err := w.readBack(ctx)
	if err != nil {
		return nil, errors.Join(err, w.closeJournal())
	}
	if damage != nil {
		w.state.epoch, w.state.tree = h.epoch, h.tree
		w.unread = w.head(h.epoch, h.tree)
		w.Halt(problem.Wrap(problem.Verification, damage, "nothing is said on channel %s", cfg.Channel).
			WithHint("karaula ledger repair --channel %s", cfg.Channel))
	} else {
		js := j.State()
		w.state.epoch, w.state.tree = js.Epoch, js.Tree
		if err := w.compare(h); err != nil {
			w.Halt(err)
		}
		if j.Copied() {
			w.Halt(problem.New(problem.Verification,
				"the signing journal of channel %s is a copy of another file: more may have been signed than it knows; nothing is said there",
				cfg.Channel).WithHint("karaula ledger repair --channel %s", cfg.Channel))
		}
	}
	w.edge = w.state.edge
	if err := w.replicate(); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if err := w.publishPending(ctx); err != nil {
		return nil, errors.Join(err, w.closeJournal())
	}
	go w.seal()
	go w.run()
	return w, nil
}

// held is how far the own stream goes.
type held struct {
	epoch uint64
	tree  *ledger.Tree // of that epoch

	doubts      []doubtful // behind that, what a later statement has to confirm
	branchEpoch uint64     // with them
	branch      *ledger.Tree
	doubtSize   int // bytes of them
}

// takes enters a statement if it is the next one, or may open the next epoch, and
// reports whether it was.
type takes func(raw []byte, streamSeq uint64, erasedAt int64, mayOpen bool) bool

// readBack replays the own stream, epoch after epoch: every statement that
// continues the ledger is told to OnSaid, everything else is junk.
func (w *Writer) readBack(ctx context.Context) (*held, error) {
	h := &held{epoch: 1, tree: new(ledger.Tree)}
	w.state.edge.fresh = true
	take := func(raw []byte, streamSeq uint64, erasedAt int64, mayOpen bool) bool {
		p, err := envelope.Parse(raw)
		if err != nil || string(p.Statement.GetLedger()) != string(w.cfg.Ledger[:]) {
			return false // the broker may hold what it wants: only what we have signed is ours
		}
		if !h.expects(p, mayOpen) || !w.ownSignature(p) {
			return false
		}
		f := found{Said{Parsed: p, StreamSeq: streamSeq, ErasedAt: erasedAt}, erasedAt == 0, mayOpen}
		if erasedAt == 0 && p.IsStub() {
			f.ErasedAt = p.Statement.GetSaidAt() // put back without content, which was erased everywhere
		}
		if w.inVain(p) {
			return h.doubt(f)
		}
		w.confirmed(h, f)
		w.enter(h, f)
		return true
	}
	err := w.cfg.Log.Read(ctx, 1, "", func(m stream.Stored) error {
		before := w.state.streamEnd
		w.state.streamEnd = m.Seq
		if take(m.Data, m.Seq, 0, false) {
			return nil
		}
		w.fill(h, before+1, take) // before an epoch opens, too: the last numbers of the one before may be erased
		if !take(m.Data, m.Seq, 0, true) {
			w.noteCopy(m, h)
		}
		return nil
	})
	w.fill(h, w.state.streamEnd+1, take)
	w.settleByJournal(h)
	if err != nil {
		return h, problem.Wrap(problem.Unreachable, err, "the own stream of channel %s cannot be read", w.cfg.Channel)
	}
	_, last, err := w.cfg.Log.End(ctx)
	if err != nil {
		return h, problem.Wrap(problem.Unreachable, err, "the own stream of channel %s cannot be read", w.cfg.Channel)
	}
	w.state.streamEnd = max(w.state.streamEnd, last)
	return h, nil
}

// fill puts stubs where the stream has no statement any more, as many as follow
// each other.
func (w *Writer) fill(h *held, streamSeq uint64, take takes) {
	stub := func(epoch uint64, tree *ledger.Tree) bool {
		return slices.ContainsFunc(w.cfg.Stubs[border.Position{Epoch: epoch, Seq: tree.Size() + 1}], func(s erase.Stub) bool {
			return take(s.Raw, streamSeq, s.At, false)
		})
	}
	for more := true; more; {
		more = stub(h.epoch, h.tree) || stub(h.tip())
	}
}

// enter puts a statement that was found behind the ledger.
func (w *Writer) enter(h *held, f found) {
	if !continues(f.Parsed, h.epoch, h.tree) {
		h.epoch, h.tree = h.epoch+1, new(ledger.Tree)
	}
	if f.stored {
		w.cfg.Stored.Put(f.StreamSeq)
	}
	h.tree.Append(f.Parsed.Leaf)
	w.state.edge = behind(f.Parsed, w.state.edge)
	w.cfg.OnSaid(f.Said)
}

// noteCopy tells of a message with the content of a statement that is known.
func (w *Writer) noteCopy(m stream.Stored, h *held) {
	p, err := envelope.ParseOuter(m.Data)
	if err != nil || w.cfg.OnCopy == nil || len(p.Envelope.GetParts()) == 0 ||
		string(p.Statement.GetLedger()) != string(w.cfg.Ledger[:]) ||
		p.Statement.GetEpoch() > h.epoch || p.Statement.GetEpoch() == h.epoch && p.Statement.GetSeq() > h.tree.Size() {
		return
	}
	w.cfg.OnCopy(border.Position{Epoch: p.Statement.GetEpoch(), Seq: p.Statement.GetSeq()}, p.Leaf, m.Seq)
}

// continues reports whether a statement of the ledger is its next one.
func continues(p *envelope.Parsed, epoch uint64, tree *ledger.Tree) bool {
	root := tree.Root()
	st := p.Statement
	return st.GetEpoch() == epoch && st.GetSeq() == tree.Size()+1 && string(st.GetPrevRoot()) == string(root[:])
}

// opens reports whether a statement of the ledger begins the epoch after this one.
func opens(p *envelope.Parsed, epoch uint64) bool {
	root := ledger.EmptyRoot()
	st := p.Statement
	return st.GetKind() == karaulav1.Kind_KIND_EPOCH && st.GetEpoch() == epoch+1 && st.GetSeq() == 1 &&
		string(st.GetPrevRoot()) == string(root[:])
}

// behind gives the edge of the ledger behind a statement.
func behind(p *envelope.Parsed, e edge) edge {
	st := p.Statement
	e.saidAt, e.fresh, e.exercise = st.GetSaidAt(), false, e.exercise.After(st)
	e.card, e.agreement = [32]byte(st.GetCard()), [32]byte(st.GetAgreement())
	switch st.GetKind() {
	case karaulav1.Kind_KIND_CARD:
		var body karaulav1.CardBody
		if proto.Unmarshal(st.GetBody(), &body) == nil {
			e.card = textDigest(body.GetCard())
		}
	case karaulav1.Kind_KIND_AGREEMENT:
		var body karaulav1.AgreementBody
		if proto.Unmarshal(st.GetBody(), &body) == nil {
			e.agreement = textDigest(body.GetAgreement())
		}
	default:
	}
	return e
}

// textDigest gives the digest of a signed text's text.
func textDigest(file []byte) [32]byte {
	text, _, err := signedtext.Split(file)
	if err != nil {
		return [32]byte{}
	}
	return signedtext.Digest(text)
}

// compare holds what the stream has against what the journal has signed.
func (w *Writer) compare(h *held) error {
	js, pending := w.journal.State(), w.journal.Pending()
	signed := js.Tree
	repair := func(format string, args ...any) error {
		return problem.New(problem.Verification, format, args...).
			WithHint("karaula ledger repair --channel %s", w.cfg.Channel)
	}
	switch {
	case h.epoch > js.Epoch:
		return repair("the stream of channel %s holds epoch %d, the signing journal only epoch %d; nothing is said there",
			w.cfg.Channel, h.epoch, js.Epoch)
	case h.epoch+1 == js.Epoch && len(pending) > 0 && pending[0].Seq == 1:
		h = &held{epoch: js.Epoch, tree: new(ledger.Tree)} // the new epoch has not been published yet
	case h.epoch < js.Epoch:
		return repair("the stream of channel %s ends in epoch %d, but epoch %d was confirmed; nothing is said there",
			w.cfg.Channel, h.epoch, js.Epoch)
	}
	switch {
	case h.tree.Size() > signed.Size():
		return repair("the stream of channel %s holds %d statements, the signing journal only %d; nothing is said there",
			w.cfg.Channel, h.tree.Size(), signed.Size())
	case h.tree.Size() < signed.Size() && (len(pending) == 0 || pending[0].Seq > h.tree.Size()+1):
		return repair("the stream of channel %s holds %d statements, but %d were confirmed; nothing is said there",
			w.cfg.Channel, h.tree.Size(), signed.Size()-uint64(len(pending)))
	}
	whole := h.tree.Clone()
	for _, e := range pending {
		if e.Seq == whole.Size()+1 {
			whole.Append(e.Leaf)
			if p, err := envelope.Parse(e.Envelope); err == nil {
				w.state.edge = behind(p, w.state.edge)
			}
		}
	}
	if whole.Size() != signed.Size() || whole.Root() != signed.Root() {
		return repair("the stream and the signing journal of channel %s tell different histories; nothing is said there",
			w.cfg.Channel)
	}
	if len(pending) > 0 && pending[0].Seq <= h.tree.Size() {
		return w.journal.Confirm(h.tree.Size(), int64(w.state.streamEnd)-int64(h.tree.Size())) //nolint:gosec // sequences fit
	}
	return nil
}

// Books is what a halted writer knows from the signing journal.
type Books struct {
	// Journal is where the journal stands; nil if it cannot be read.
	Journal *journal.State
	// Pending is what it has signed and not seen confirmed.
	Pending []journal.Entry
	// Copied is set if it is a copy of the file that was written here.
	Copied bool
}

// Books gives what the signing journal says.
func (w *Writer) Books() Books {
	if w.journal == nil {
		return Books{}
	}
	js := w.journal.State()
	return Books{Journal: &js, Pending: w.journal.Pending(), Copied: w.journal.Copied()}
}
