package outbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"karaula/gateway/stream"
	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times of one publish, and between two tries. The first tries give up early,
// because a broker that has just taken over, or has not yet been told of a new
// right, never answers; a late answer to an early try is found by looking.
const (
	firstTimeout   = 500 * time.Millisecond
	smallBatch     = 20 // statements
	publishTimeout = 5 * time.Second
	pendingTimeout = 10 * time.Second // for all that an earlier life left behind
	retryPause     = 100 * time.Millisecond
)

// run takes tickets in order and says them in batches until the queue is closed.
func (w *Writer) run() {
	defer close(w.done)
	for {
		first := w.next
		if w.next = nil; first == nil {
			if first = w.taken(<-w.queue); first == nil {
				return
			}
		}
		w.sayBatch(w.collect(first))
	}
}

// collect waits until first is sealed, with all that the same call has brought,
// and takes what is sealed behind it, up to the limits of one batch. What is
// still being sealed for others is left for the next one: while this one is on
// its way to the disk, more is sealed.
func (w *Writer) collect(first *ticket) []*ticket {
	var batch []*ticket
	size := 0
	outcome := <-first.sealed
	for t := first; ; {
		if outcome != nil {
			w.answer(t, outcome)
		} else {
			batch = append(batch, t)
			size += len(t.part) + subject.MaxStreamMsg - subject.MaxEnvelope
		}
		if len(batch) >= stream.MaxBatch || size >= stream.MaxBatchBytes {
			return batch
		}
		if t.more {
			t = w.taken(<-w.queue)
			outcome = <-t.sealed
			continue
		}
		if t = w.waiting(); t == nil {
			return batch
		}
		select {
		case outcome = <-t.sealed:
		default:
			w.next = t
			return batch
		}
	}
}

// waiting gives the next ticket if there is one now.
func (w *Writer) waiting() *ticket {
	select {
	case t := <-w.queue:
		return w.taken(t)
	default:
		return nil
	}
}

// numbered is a ticket with its number, ready for journal and stream.
type numbered struct {
	ticket *ticket
	parsed *envelope.Parsed
	token  string
}

// sayBatch numbers, signs, journals and publishes tickets, and answers them.
func (w *Writer) sayBatch(batch []*ticket) {
	batch = w.current(batch)
	if len(batch) == 0 {
		return
	}
	if !w.cfg.Connected() {
		w.fail(batch, problem.New(problem.Unreachable, "the own broker does not answer; nothing was said").
			WithHint("start it with: karaula run --dir DIR (or broker run), then try again"))
		return
	}
	next := w.state
	next.tree = w.state.tree.Clone()
	nums, err := w.number(batch, &next)
	if err != nil {
		w.fail(batch, err)
		return
	}
	entries := make([]journal.Entry, len(nums))
	for i, n := range nums {
		entries[i] = journal.Entry{
			Seq: n.parsed.Statement.GetSeq(), Envelope: n.parsed.Raw, Token: n.token, Leaf: n.parsed.Leaf,
		}
	}
	if err := w.journal.Append(entries); err != nil {
		err = problem.Wrap(problem.Failed, err,
			"the signing journal of channel %s cannot be written; nothing was said", w.cfg.Channel).
			WithHint("look at the disk, then: karaula ledger repair --channel %s", w.cfg.Channel)
		w.Halt(err)
		w.fail(batch, err)
		return
	}
	if err := w.replicate(); err != nil {
		w.Halt(err)
		w.fail(batch, err)
		return
	}
	w.state = next
	w.publish(nums)
}

// replicate lets the journal be copied to where it has to be before anything of
// it is published.
func (w *Writer) replicate() error {
	if w.cfg.Replicate == nil {
		return nil
	}
	if err := w.cfg.Replicate(w.stop, w.journal); err != nil {
		return problem.Wrap(problem.Unreachable, err, "what was journalled on channel %s was not published", w.cfg.Channel).
			WithHint("send the same alert with the same id again, at the gateway that speaks: it is never said twice")
	}
	return nil
}

// current drops tickets that were queued before the edge was reset.
func (w *Writer) current(batch []*ticket) []*ticket {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*ticket
	for _, t := range batch {
		switch {
		case w.halted != nil:
			w.answer(t, w.halted)
		case t.gen != w.gen:
			w.answer(t, problem.New(problem.Unreachable, "what had to be said before this could not be said; this was not said").
				WithHint("try again"))
		default:
			out = append(out, t)
		}
	}
	return out
}

// fail answers tickets that got no number, and takes the edge back.
func (w *Writer) fail(batch []*ticket, err error) {
	w.mu.Lock()
	w.gen++
	w.edge = w.state.edge
	w.mu.Unlock()
	for _, t := range batch {
		w.answer(t, err)
	}
}

// number gives each ticket its number, root and signature. It changes next, never w.state.
func (w *Writer) number(batch []*ticket, next *state) ([]numbered, error) {
	heads, view := w.cfg.Heads(), w.cfg.View()
	out := make([]numbered, 0, len(batch))
	for i, t := range batch {
		signer, err := w.cfg.Signer([32]byte(t.st.GetCard()))
		if err != nil {
			return nil, err
		}
		if err := w.revoked(view, next, signer); err != nil {
			return nil, err
		}
		st := t.st
		root := next.tree.Root()
		st.Epoch, st.Seq, st.PrevRoot = next.epoch, next.tree.Size()+1, root[:]
		st.Signers = []*karaulav1.Signer{{Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: signer.KeyID[:]}}
		if i == 0 {
			st.Heads = next.newHeads(heads)
		}
		p, err := write(st, signer, t.part)
		if err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "the statement does not keep the format's limits; nothing was said")
		}
		next.tree.Append(p.Leaf)
		next.edge = t.after
		out = append(out, numbered{ticket: t, parsed: p, token: subject.Token(st.GetKind(), st.GetType())})
	}
	return out, nil
}

// newHeads gives heads if they differ from those said last.
func (s *state) newHeads(heads []*karaulav1.Head) []*karaulav1.Head {
	h := sha256.New()
	for _, head := range heads {
		_, _ = fmt.Fprintf(h, "%x/%d/%d/%x;", head.GetLedger(), head.GetEpoch(), head.GetSize(), head.GetRoot())
	}
	sum := string(h.Sum(nil))
	if sum == s.heads {
		return nil
	}
	s.heads = sum
	return heads
}

// write writes a statement down, signs it and puts the envelope together, and
// reads it again as a partner will: what does not pass is never journalled.
func write(st *karaulav1.Statement, signer envelope.Signer, part []byte) (*envelope.Parsed, error) {
	bytes, err := envelope.Build(st)
	if err != nil {
		return nil, err
	}
	var parts [][]byte
	if part != nil {
		parts = [][]byte{part}
	}
	sigs, err := envelope.Sign(bytes, []envelope.Signer{signer})
	if err != nil {
		return nil, err
	}
	raw, err := envelope.Assemble(bytes, sigs, parts)
	if err != nil {
		return nil, err
	}
	return envelope.Parse(raw)
}

// publish puts a journalled batch into the stream, and answers its tickets. It
// does not give up before the writer is stopped.
func (w *Writer) publish(nums []numbered) {
	entries := make([]journal.Entry, len(nums))
	for i, n := range nums {
		entries[i] = journal.Entry{
			Seq: n.parsed.Statement.GetSeq(), Envelope: n.parsed.Raw, Token: n.token, Leaf: n.parsed.Leaf,
		}
	}
	at, err := w.publishEntries(entries)
	for i, n := range nums {
		if i >= len(at) {
			w.answer(n.ticket, err)
			continue
		}
		n.ticket.said.Parsed, n.ticket.said.StreamSeq = n.parsed, at[i]
		w.cfg.OnSaid(n.ticket.said)
		w.answer(n.ticket, nil)
	}
}

// publishPending publishes what an earlier life of this gateway has journalled
// but may not have published. Nothing can be asked of the writer before that:
// who sends the same alert again must find that it was said. An error means
// that the broker did not take all of it in time.
func (w *Writer) publishPending(ctx context.Context) error {
	if w.Halted() != nil {
		return nil
	}
	pending := w.journal.Pending()
	if len(pending) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pendingTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, w.cancel)()
	at, err := w.publishEntries(pending)
	for i, seq := range at {
		if p, err := envelope.Parse(pending[i].Envelope); err == nil {
			w.cfg.OnSaid(Said{Parsed: p, StreamSeq: seq})
		}
	}
	if w.Halted() != nil {
		return nil // the writer is there to say so
	}
	if err != nil || w.stop.Err() != nil {
		return problem.New(problem.Unreachable,
			"what was journalled on channel %s could not be published; nothing else is said before it", w.cfg.Channel)
	}
	return nil
}

// publishEntries gives the stream sequence of each entry that the stream holds,
// in order; fewer than entries only with an error.
func (w *Writer) publishEntries(entries []journal.Entry) (at []uint64, err error) {
	noted := w.cfg.Stored.Coming()
	defer func() {
		for _, seq := range at {
			w.cfg.Stored.Put(seq)
		}
		noted()
	}()
	timeout := firstTimeout
	if len(entries) > smallBatch { // megabytes take their time on a busy machine
		timeout = publishTimeout
	}
	for len(at) < len(entries) {
		rest := entries[len(at):]
		rest = rest[:min(len(rest), stream.MaxBatch)]
		got, err := w.tryPublish(rest, timeout)
		timeout = min(2*timeout, publishTimeout)
		if err == nil && len(got) == 0 {
			continue
		}
		at = append(at, got...)
		if err == nil {
			continue
		}
		if w.Halted() != nil {
			return at, w.Halted()
		}
		select {
		case <-w.stop.Done():
			return at, errPending
		case <-time.After(retryPause):
		}
	}
	return at, nil
}

// tryPublish tries once, and looks where the answer leaves a doubt.
func (w *Writer) tryPublish(entries []journal.Entry, timeout time.Duration) ([]uint64, error) {
	ctx, cancel := context.WithTimeout(w.stop, timeout)
	defer cancel()
	msgs := make([]stream.Msg, len(entries))
	for i, e := range entries {
		msgs[i] = stream.Msg{Subject: subject.Say(subject.On(w.cfg.Channel, w.cfg.Mode), w.cfg.Self, e.Token), Data: e.Envelope}
	}
	last, err := w.cfg.Log.Append(ctx, msgs, w.state.streamEnd)
	if err == nil {
		at := make([]uint64, len(entries))
		for i := range entries {
			at[i] = last - uint64(len(entries[i+1:]))
		}
		w.confirm(entries[len(entries)-1].Seq, last)
		return at, nil
	}
	if !errors.Is(err, stream.ErrMoved) && !errors.Is(err, stream.ErrUncertain) {
		w.cfg.Logger.Warn("publishing failed, will try again", "channel", w.cfg.Channel, "why", err.Error())
		return nil, err
	}
	return w.look(entries)
}

func (w *Writer) confirm(seq, streamSeq uint64) {
	w.state.streamEnd = streamSeq
	if err := w.journal.Confirm(seq, int64(streamSeq)-int64(seq)); err != nil { //nolint:gosec // sequences fit
		w.Halt(problem.Wrap(problem.Failed, err, "the signing journal of channel %s cannot be written", w.cfg.Channel).
			WithHint("look at the disk, then: karaula ledger repair --channel %s", w.cfg.Channel))
	}
}

// look compares what stands behind the known end of the stream with the entries
// that should: bytes of ours are confirmed, junk is stepped over, and a
// statement of ours that the journal does not know halts the channel.
func (w *Writer) look(entries []journal.Entry) ([]uint64, error) {
	ctx, cancel := context.WithTimeout(w.stop, publishTimeout)
	defer cancel()
	want := make([][]byte, len(entries))
	for i, e := range entries {
		want[i] = e.Envelope
	}
	at, end, err := w.cfg.Log.Look(ctx, w.state.streamEnd, want, w.stranger)
	if errors.Is(err, stream.ErrBack) {
		w.Halt(problem.Wrap(problem.Verification, err, "nothing more is said on channel %s", w.cfg.Channel).
			WithHint("karaula ledger repair --channel %s", w.cfg.Channel))
		return nil, w.Halted()
	}
	for i, seq := range at {
		w.confirm(entries[i].Seq, seq)
	}
	w.state.streamEnd = max(w.state.streamEnd, end)
	return at, err
}

// stranger judges a message in the own stream that the journal did not put
// there. Junk, a copy of something said before, and what a revoked key has signed is
// stepped over; a new statement with our valid signature means that somebody else speaks for us.
func (w *Writer) stranger(m stream.Stored) error {
	p, err := envelope.Parse(m.Data)
	if err != nil || string(p.Statement.GetLedger()) != string(w.cfg.Ledger[:]) || !w.ownSignature(p) {
		w.cfg.Logger.Warn("stepped over bytes that are not a statement of ours",
			"channel", w.cfg.Channel, "stream_seq", m.Seq)
		return nil
	}
	if w.inVain(p) {
		w.tellRevoked(p)
		return nil
	}
	if p.Statement.GetSeq() <= w.state.tree.Size() {
		w.cfg.Logger.Warn("stepped over a copy of a statement", "channel", w.cfg.Channel, "stream_seq", m.Seq)
		return nil
	}
	w.Halt(problem.New(
		problem.Verification,
		"the stream of channel %s holds statement %d with our signature, which the journal does not know; "+
			"nothing more is said there",
		w.cfg.Channel,
		p.Statement.GetSeq(),
	).WithHint("karaula ledger repair --channel %s", w.cfg.Channel))
	return w.Halted()
}

// ownSignature reports whether a statement is validly signed by us, with the
// keys of the own card that it names.
func (w *Writer) ownSignature(p *envelope.Parsed) bool {
	c, ok := w.cfg.View().CardByDigest([32]byte(p.Statement.GetCard()))
	return ok && c.Party == w.cfg.Self && p.VerifySignatures(c.StatementKey) == nil
}
