package inbox

import (
	"cmp"
	"slices"
	"time"

	"karaula/internal/border"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// docket is what has been judged of one ledger, and what of that the partner
// has been told.
type docket struct {
	epoch      uint64
	last       uint64 // last number with a verdict, held included
	held       []heldItem
	roots      []rootAt // ascending, since the last receipt
	exceptions []*karaulav1.ReceiptException

	telling                // of the epoch
	toldAside    uint64    // quarantine count said last
	asideAt      time.Time // when
	toldContest  bool
	worthTelling bool // something other than a receipt or heartbeat was judged

	doubtful bool                // what a start has found erased may still be there
	over     map[uint64]*telling // by epoch that is over
	said     map[uint64]said     // by epoch, of those that have not begun here, or not again
}

// telling is what the partner was told of one epoch, and what of erasures it was not.
type telling struct {
	receipted uint64   // last number that a receipt of ours covers
	toldRoot  [32]byte // the root it named

	erasures []*karaulav1.Erasure // not told yet, in the order they were done
	untold   map[uint64]bool      // the numbers of these
}

// of gives the telling of the epoch that goes on, or of one that is over.
func (d *docket) of(epoch uint64) *telling {
	if epoch >= max(d.epoch, 1) {
		return &d.telling
	}
	if d.over == nil {
		d.over = map[uint64]*telling{}
	}
	if d.over[epoch] == nil {
		d.over[epoch] = &telling{}
	}
	return d.over[epoch]
}

type heldItem struct {
	item  *item
	until time.Time
	code  karaulav1.Code
}

type rootAt struct {
	seq  uint64
	root [32]byte
}

// judgedTo is the last number up to which every verdict is final.
func (d *docket) judgedTo() uint64 {
	if len(d.held) > 0 {
		return d.held[0].item.placement.Position.Seq - 1
	}
	return d.last
}

// begin has the docket begin behind a size: what was said before is not this
// party's, and no receipt of it speaks of that.
func (d *docket) begin(epoch, size uint64, root [32]byte) {
	if size == 0 {
		return
	}
	d.epoch, d.last = epoch, size
	if size > d.receipted {
		d.receipted, d.toldRoot = size, root
	}
	d.recall(epoch)
}

// enter takes in one verdict.
func (d *docket) enter(it *item, j Judged) {
	pos := it.placement.Position
	if pos.Epoch > max(d.epoch, 1) { // what was told of the first is no news when it comes again
		ended, was := d.telling, max(d.epoch, 1)
		*d = docket{epoch: pos.Epoch, toldAside: d.toldAside, asideAt: d.asideAt, doubtful: d.doubtful, over: d.over, said: d.said}
		*d.of(was) = ended
		d.recall(pos.Epoch)
	}
	d.epoch = max(d.epoch, pos.Epoch)
	at, held := d.findHeld(pos)
	if held {
		d.held = slices.Delete(d.held, at, at+1)
	}
	if pos.Seq > d.last {
		d.last = pos.Seq
		d.roots = append(d.roots, rootAt{pos.Seq, it.root})
	}
	switch j.Verdict.Class {
	case karaulav1.VerdictClass_VERDICT_CLASS_HELD:
		d.held = slices.Insert(d.held, at, heldItem{it, j.Verdict.Until, j.Verdict.Code})
		return
	case karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED:
	default:
		if pos.Seq > d.receipted {
			d.except(it, j)
		}
	}
	if pos.Seq > d.receipted && answerable(it) {
		d.worthTelling = true
	}
}

// except notes a statement that was not accepted.
func (d *docket) except(it *item, j Judged) {
	seq := it.placement.Position.Seq
	at, _ := slices.BinarySearchFunc(d.exceptions, seq, func(x *karaulav1.ReceiptException, want uint64) int {
		return cmp.Compare(x.GetSeq(), want)
	})
	d.exceptions = slices.Insert(d.exceptions, at, &karaulav1.ReceiptException{
		Seq: seq, Digest: it.placement.Leaf[:], Class: j.Verdict.Class, Code: j.Verdict.Code,
		JudgedAt: j.Judgement.GetJudgedAt(),
	})
}

// findHeld gives the place of a held statement, or where it would be.
func (d *docket) findHeld(pos border.Position) (at int, held bool) {
	at, held = slices.BinarySearchFunc(d.held, pos.Seq, func(h heldItem, want uint64) int {
		return cmp.Compare(h.item.placement.Position.Seq, want)
	})
	return at, held && d.held[at].item.placement.Position == pos
}

// answerable reports whether a statement by itself calls for a receipt: receipts
// and heartbeats do not, or two gateways would answer each other for ever.
func answerable(it *item) bool {
	if it.placement.Parsed == nil {
		return true
	}
	switch it.placement.Parsed.Statement.GetKind() {
	case karaulav1.Kind_KIND_RECEIPT, karaulav1.Kind_KIND_HEARTBEAT:
		return false
	default:
		return true
	}
}

// maxExceptions is how many exceptions one receipt may hold.
const maxExceptions = 200

// Receipt gives what the partner has not been told yet. Without force it gives
// nil unless something calls for an answer.
func (b *Inbox) Receipt(force bool) *karaulav1.LedgerReceipt {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := &b.docket
	erasures := b.tellable(&d.telling, d.judgedTo())
	aside := b.quarantined > d.toldAside && b.cfg.Now().Sub(d.asideAt) >= asidePause
	news := d.judgedTo() > d.receipted && d.worthTelling || aside || len(erasures) > 0 ||
		b.led.Contested != nil && !d.toldContest
	if !news && (!force || d.judgedTo() <= d.receipted) {
		return b.receiptOfOver()
	}
	to := max(d.judgedTo(), d.receipted) // what was lost here and asked for again is told already
	r := &karaulav1.LedgerReceipt{
		Ledger:      b.led.ID[:],
		Epoch:       max(d.epoch, 1),
		Since:       d.receipted,
		Quarantined: b.quarantined,
		Contested:   b.led.Contested,
	}
	for _, x := range d.exceptions {
		if x.GetSeq() > to {
			break
		}
		if len(r.GetExceptions()) == maxExceptions {
			to = x.GetSeq() - 1
			break
		}
		r.Exceptions = append(r.Exceptions, x)
	}
	r.JudgedTo = to
	for _, e := range erasures {
		if e.GetSeq() <= to {
			r.Erasures = append(r.Erasures, e)
		}
	}
	root := b.rootLocked(to)
	r.Root = root[:]
	return r
}

// rootLocked gives the root over the first seq statements. Called with b.mu held.
func (b *Inbox) rootLocked(seq uint64) [32]byte {
	for _, r := range b.docket.roots {
		if r.seq == seq {
			return r.root
		}
	}
	if seq == 0 {
		return border.NewLedger(b.led.ID, "", "", 0).Tree.Root()
	}
	return b.docket.toldRoot // nothing was judged since the last receipt
}

// Receipted notes that a receipt was said.
func (b *Inbox) Receipted(r *karaulav1.LedgerReceipt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := &b.docket
	if r.GetQuarantined() > d.toldAside {
		d.toldAside, d.asideAt = r.GetQuarantined(), b.cfg.Now()
	}
	b.told.add(r)
	switch epoch := max(d.epoch, 1); {
	case r.GetEpoch() > epoch:
		d.saidOf(r)
		return
	case r.GetEpoch() < epoch:
		d.of(r.GetEpoch()).note(r)
		return
	}
	d.toldContest = d.toldContest || r.GetContested() != nil
	if !d.note(r) {
		return
	}
	d.roots = slices.DeleteFunc(d.roots, func(x rootAt) bool { return x.seq <= d.receipted })
	d.exceptions = slices.DeleteFunc(
		d.exceptions,
		func(x *karaulav1.ReceiptException) bool { return x.GetSeq() <= d.receipted },
	)
	d.worthTelling = d.judgedTo() > d.receipted && d.worthTelling
}
