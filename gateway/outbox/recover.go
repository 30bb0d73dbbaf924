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
// is published again, with the same bytes. A contradiction does not fail: the
// writer is there, but halted (see [Writer.Halted]).
func Open(ctx context.Context, cfg Config) (*Writer, error) {
	j, err := journal.Open(cfg.JournalPath, journal.State{
		Ledger: cfg.Ledger, Channel: cfg.Channel, Epoch: 1, Tree: new(ledger.Tree),
	})
	if err != nil {
		return nil, err
	}
	w := &Writer{
		cfg: cfg, journal: j, done: make(chan struct{}), room: newRoom(), underway: newUnderway(),
		queue: make(chan *ticket, queueLength), sealing: make(chan *ticket, queueLength),
	}
	w.stop, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	js := j.State()
	w.state = state{epoch: js.Epoch, tree: js.Tree, edge: edge{saidAt: js.SaidAt, fresh: js.Tree.Size() == 0}}

	held, err := w.readBack(ctx)
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if err := w.compare(held); err != nil {
		w.Halt(err)
	}
	w.edge = w.state.edge
	if err := w.replicate(); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if err := w.publishPending(ctx); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	go w.seal()
	go w.run()
	return w, nil
}

// readBack replays the own stream: every statement that continues the ledger is
// told to OnSaid, everything else is junk. It gives the tree of what is there.
func (w *Writer) readBack(ctx context.Context) (*ledger.Tree, error) {
	tree := new(ledger.Tree)
	take := func(raw []byte, streamSeq uint64, erasedAt int64) bool {
		p, err := envelope.Parse(raw)
		if err != nil || !continues(p, w.cfg.Ledger, w.state.epoch, tree) || !w.ownSignature(p) {
			return false // the broker may hold what it wants: only what we have signed is ours
		}
		tree.Append(p.Leaf)
		w.state.edge = behind(p, w.state.edge)
		w.cfg.OnSaid(Said{Parsed: p, StreamSeq: streamSeq, ErasedAt: erasedAt})
		return true
	}
	err := w.cfg.Log.Read(ctx, 1, "", func(m stream.Stored) error {
		before := w.state.streamEnd
		w.state.streamEnd = m.Seq
		if !take(m.Data, m.Seq, 0) && (!w.fill(tree, before+1, take) || !take(m.Data, m.Seq, 0)) {
			w.noteCopy(m, tree)
		}
		return nil
	})
	w.fill(tree, w.state.streamEnd+1, take)
	if err != nil {
		return nil, problem.Wrap(problem.Unreachable, err, "the own stream of channel %s cannot be read", w.cfg.Channel)
	}
	_, last, err := w.cfg.Log.End(ctx)
	if err != nil {
		return nil, problem.Wrap(problem.Unreachable, err, "the own stream of channel %s cannot be read", w.cfg.Channel)
	}
	w.state.streamEnd = max(w.state.streamEnd, last)
	return tree, nil
}

// fill puts stubs where the stream has no statement any more, as many as follow
// each other, and reports whether there was any.
func (w *Writer) fill(tree *ledger.Tree, streamSeq uint64, take func([]byte, uint64, int64) bool) (found bool) {
	for {
		stubs := w.cfg.Stubs[border.Position{Epoch: w.state.epoch, Seq: tree.Size() + 1}]
		if !slices.ContainsFunc(stubs, func(s erase.Stub) bool { return take(s.Raw, streamSeq, s.At) }) {
			return found
		}
		found = true
	}
}

// noteCopy tells of a message with the content of a statement that is known.
func (w *Writer) noteCopy(m stream.Stored, tree *ledger.Tree) {
	p, err := envelope.ParseOuter(m.Data)
	if err != nil || w.cfg.OnCopy == nil || len(p.Envelope.GetParts()) == 0 ||
		string(p.Statement.GetLedger()) != string(w.cfg.Ledger[:]) || p.Statement.GetSeq() > tree.Size() {
		return
	}
	w.cfg.OnCopy(border.Position{Epoch: p.Statement.GetEpoch(), Seq: p.Statement.GetSeq()}, p.Leaf, m.Seq)
}

// continues reports whether a statement is the next of the ledger.
func continues(p *envelope.Parsed, id ledger.ID, epoch uint64, tree *ledger.Tree) bool {
	root := tree.Root()
	st := p.Statement
	return string(st.GetLedger()) == string(id[:]) && st.GetEpoch() == epoch &&
		st.GetSeq() == tree.Size()+1 && string(st.GetPrevRoot()) == string(root[:])
}

// behind gives the edge of the ledger behind a statement.
func behind(p *envelope.Parsed, e edge) edge {
	st := p.Statement
	e.saidAt, e.fresh = st.GetSaidAt(), false
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
func (w *Writer) compare(held *ledger.Tree) error {
	signed := w.journal.State().Tree
	pending := w.journal.Pending()
	repair := func(format string, args ...any) error {
		return problem.New(problem.Verification, format, args...).
			WithHint("karaula ledger repair --channel %s", w.cfg.Channel)
	}
	switch {
	case held.Size() > signed.Size():
		return repair("the stream of channel %s holds %d statements, the signing journal only %d; nothing is said there",
			w.cfg.Channel, held.Size(), signed.Size())
	case held.Size() < signed.Size() && (len(pending) == 0 || pending[0].Seq > held.Size()+1):
		return repair("the stream of channel %s holds %d statements, but %d were confirmed; nothing is said there",
			w.cfg.Channel, held.Size(), signed.Size()-uint64(len(pending)))
	}
	whole := held.Clone()
	for _, e := range pending {
		if e.Seq == whole.Size()+1 {
			whole.Append(e.Leaf)
			if p, err := envelope.Parse(e.Envelope); err == nil {
				w.state.edge = behind(p, w.state.edge)
			}
		}
	}
	if whole.Size() != signed.Size() || whole.Root() != signed.Root() {
		return repair("the stream of channel %s and the signing journal tell different histories; nothing is said there",
			w.cfg.Channel)
	}
	if len(pending) > 0 && pending[0].Seq <= held.Size() {
		return w.journal.Confirm(held.Size(), int64(w.state.streamEnd)-int64(held.Size())) //nolint:gosec // sequences fit
	}
	return nil
}
