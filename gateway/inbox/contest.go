package inbox

import (
	"context"
	"slices"

	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxEvidence is how many bytes of both sides of a contradiction fit into one
// record; larger ones get a record each.
const maxEvidence = subject.MaxEnvelope / 2

// Contradiction is a contradiction of a ledger's origin, with both sides where they
// are known.
type Contradiction struct {
	// Epoch is where it is, and Contest says what was seen and what was said.
	Epoch   uint64
	Contest *karaulav1.Contest
	// First and Second are the envelopes, without their parts. If both have the same
	// number, they are two statements of one number; otherwise Second does not
	// continue what ended with First. First is nil if what contradicts is an own
	// receipt: what was received then is lost.
	First, Second []byte
}

// Contradictions gives the first contradiction of every epoch, ascending.
func (b *Inbox) Contradictions() []Contradiction {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.contests)
}

// contested gives the first contradiction of an epoch; nil if there is none. Called
// with b.mu held.
func (b *Inbox) contested(epoch uint64) *karaulav1.Contest {
	for i := range b.contests {
		if b.contests[i].Epoch == epoch {
			return b.contests[i].Contest
		}
	}
	return nil
}

// Contradicts reports whether bytes are a statement that the ledger's origin has
// signed and that cannot be true beside what is here. Nothing is kept.
func (b *Inbox) Contradicts(raw []byte) bool {
	return b.cfg.Checker.Place(raw, b.cfg.Register.View(), b.workingLedger(), b).Kind == border.Fork
}

// told is what own receipts have said about a ledger: the root at a size. What is
// delivered again after a loss must come to the same.
type told map[border.Position][32]byte

func (t told) add(r *karaulav1.LedgerReceipt) {
	if r.GetJudgedTo() > 0 && len(r.GetRoot()) == 32 {
		t[border.Position{Epoch: r.GetEpoch(), Seq: r.GetJudgedTo()}] = [32]byte(r.GetRoot())
	}
}

// unlike gives the contradiction if the ledger, as it is after a statement, has
// another root than an own receipt has named for its size; nil if it has not.
func (t told) unlike(led *border.Ledger, p border.Placement) *border.Placement {
	at := border.Position{Epoch: led.Epoch, Seq: led.Tree.Size()}
	was, ok := t[at]
	root := led.Tree.Root()
	if !ok || was == root || led.Contested != nil {
		return nil
	}
	p.Kind, p.Code = border.Fork, karaulav1.Code_CODE_FORK
	p.Detail = "an own receipt names another root for what was delivered again"
	p.Contest = &karaulav1.Contest{Size: at.Seq, Seen: was[:], Said: root[:]}
	return &p
}

// contest marks the ledger as contested and writes that down with both sides. It
// gives false if ctx ended before that was done.
func (b *Inbox) contest(ctx context.Context, work *border.Ledger, p *border.Placement, first, second []byte) bool {
	work.Contest(p)
	epoch := min(p.Position.Epoch, work.Epoch) // a false opening contradicts the epoch before
	b.mu.Lock()
	if epoch == b.led.Epoch { // otherwise it is marked when the epoch opens, or it is over
		b.led.Contest(p)
	}
	known := b.contested(epoch) != nil
	if !known {
		b.contests = append(b.contests, Contradiction{epoch, p.Contest, first, second})
	}
	b.mu.Unlock()
	if known {
		return true
	}
	sides := slices.DeleteFunc([][]byte{first, second}, func(s []byte) bool { return s == nil })
	records := [][][]byte{sides}
	if len(first)+len(second) > maxEvidence && len(sides) == 2 {
		records = [][][]byte{sides[:1], sides[1:]}
	}
	for _, evidence := range records {
		rec := &karaulav1.VerdictRecord{Ledger: work.ID[:], Epoch: epoch, Contested: p.Contest, Evidence: evidence}
		data, err := authentic(b.cfg.VerdictKey, rec)
		if err != nil {
			b.cfg.Logger.Error("a contradiction cannot be written down", "error", err.Error())
			return true
		}
		if !b.addVerdicts(ctx, data) {
			return false
		}
	}
	return true
}

// sides gives both sides of a contradiction: what has the place of the new one or,
// if that is free, what stands before it; and the new one.
func (b *Inbox) sides(ctx context.Context, p *border.Placement, data []byte, unstored []placed) (first, second []byte) {
	second, err := envelope.Stub(data)
	if err != nil {
		return nil, nil // nothing to show; the contest itself is written down
	}
	for _, at := range []border.Position{p.Position, {Epoch: p.Position.Epoch, Seq: p.Position.Seq - 1}} {
		raw := b.bytesAt(ctx, at, unstored)
		if raw == nil {
			continue
		}
		if first, err = envelope.Stub(raw); err == nil {
			return first, second
		}
	}
	return nil, second
}

// bytesAt gives the statement at a place, from the batch at hand or the IN stream;
// nil if it cannot be had now.
func (b *Inbox) bytesAt(ctx context.Context, at border.Position, unstored []placed) []byte {
	for i := range unstored {
		if unstored[i].placement.Position == at {
			return unstored[i].bytes()
		}
	}
	seq, ok := b.StreamSeq(at.Epoch, at.Seq)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	m, ok, err := b.cfg.In.Get(ctx, seq)
	if err != nil || !ok {
		return nil
	}
	return m.Data
}

// compareTold looks whether a statement that has its place makes the
// ledger another one than own receipts say.
func (b *Inbox) compareTold(ctx context.Context, work *border.Ledger, p border.Placement, data []byte) bool {
	b.mu.Lock()
	fork := b.told.unlike(work, p)
	b.mu.Unlock()
	if fork == nil {
		return true
	}
	second, err := envelope.Stub(data)
	if err != nil {
		second = nil
	}
	if !b.contest(ctx, work, fork, nil, second) {
		return false
	}
	b.cfg.OnTrouble(*fork)
	return true
}
