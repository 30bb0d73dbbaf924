package inbox

import (
	"context"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/erase"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Open reads back what the node holds of a partner's ledger, and starts to take
// in, judge and answer. receipts are the own receipts about this ledger, oldest
// first. Statements without a final verdict are judged again.
func Open(ctx context.Context, cfg Config, receipts []*karaulav1.LedgerReceipt) (*Inbox, error) {
	b := &Inbox{
		cfg:        cfg,
		mail:       make(chan Delivery, mailLength),
		led:        cfg.Ledger,
		leaves:     leaves{},
		streamSeqs: map[uint64][]uint64{},
		ahead:      map[border.Position]Delivery{},
		acks:       make(chan Delivery, 1),
		told:       told{},
		strays:     strays{at: map[[32]byte][]uint64{}},
		judge:      make(chan []*item, judgeLength), load: newLoad(), aside: newAllowance(cfg.Now()),
	}
	if len(cfg.VerdictKey) != VerdictKeySize {
		return nil, problem.New(problem.Locked, "the key that authenticates verdicts is missing; nothing is received")
	}
	for _, r := range receipts {
		b.told.add(r)
	}
	verdicts, err := b.readVerdicts(ctx)
	if err != nil {
		return nil, problem.Wrap(
			problem.Unreachable,
			err,
			"the verdicts about %s on %s cannot be read",
			b.led.Origin,
			b.led.Channel,
		)
	}
	open, err := b.readBack(ctx, verdicts)
	if err != nil {
		return nil, problem.Wrap(problem.Unreachable, err, "what %s said on %s cannot be read", b.led.Origin, b.led.Channel)
	}
	for _, r := range receipts {
		b.Receipted(r)
	}
	b.done.Add(3)
	go b.intake(ctx)
	go b.acknowledging(ctx)
	go b.judging(ctx)
	if len(open) > 0 {
		b.judge <- open
	}
	return b, nil
}

// Wait returns when the inbox has stopped, after its context ended.
func (b *Inbox) Wait() { b.done.Wait() }

// past is what this gateway has decided about a ledger before this start.
type past struct {
	judged  map[border.Position]*karaulav1.Judgement // the final verdict, or the last one
	settled map[uint64]uint64                        // by epoch, the last number with a verdict
	contest map[uint64]*Contradiction                // by epoch, the first
}

// first gives the first epoch that has a verdict; 1 if none has.
func (p *past) first() uint64 {
	first := uint64(1)
	for i, epoch := range slices.Sorted(maps.Keys(p.settled)) {
		if i == 0 {
			first = max(epoch, 1)
		}
	}
	return first
}

// readVerdicts reads the verdict stream. Records that this gateway has not made
// count for nothing.
func (b *Inbox) readVerdicts(ctx context.Context) (*past, error) {
	out := &past{
		judged:  map[border.Position]*karaulav1.Judgement{},
		settled: map[uint64]uint64{},
		contest: map[uint64]*Contradiction{},
	}
	err := b.cfg.Verdicts.Read(ctx, 1, subject.Verdict(b.led.Channel, b.led.Origin), func(m stream.Stored) error {
		rec, ok := authenticated(b.cfg.VerdictKey, m.Data)
		if !ok || string(rec.GetLedger()) != string(b.led.ID[:]) {
			b.cfg.Logger.Warn("stepped over a record that is no verdict of this gateway", "stream_seq", m.Seq)
			return nil
		}
		out.add(rec)
		return nil
	})
	return out, err
}

// add takes in one record. A verdict that is final stays.
func (p *past) add(rec *karaulav1.VerdictRecord) {
	epoch := rec.GetEpoch()
	for _, j := range rec.GetJudgements() {
		at := border.Position{Epoch: epoch, Seq: j.GetSeq()}
		if old := p.judged[at]; old == nil || old.GetClass() == karaulav1.VerdictClass_VERDICT_CLASS_HELD {
			p.judged[at] = j
		}
		p.settled[epoch] = max(p.settled[epoch], j.GetSeq())
	}
	c := rec.GetContested()
	if c == nil {
		return
	}
	known := p.contest[epoch]
	if known == nil {
		known = &Contradiction{Epoch: epoch, Contest: c}
		p.contest[epoch] = known
	} else if !proto.Equal(known.Contest, c) {
		return
	}
	for _, raw := range rec.GetEvidence() { // the second side comes last, and may be alone
		if known.Second != nil {
			known.First = known.Second
		}
		known.Second = raw
	}
}

// contested gives the first contradiction of an epoch; nil if there is none.
func (p *past) contested(epoch uint64) *karaulav1.Contest {
	if c := p.contest[epoch]; c != nil {
		return c.Contest
	}
	return nil
}

// readBack replays the IN stream. It gives the statements that need a verdict.
func (b *Inbox) readBack(ctx context.Context, before *past) ([]*item, error) {
	r := &reading{Inbox: b, view: b.cfg.Register.View(), before: before}
	var err error
	if e := b.cfg.Eraser; e != nil {
		if r.stubs, err = erase.ReadStubs(ctx, e.Stubs, e.Channel, e.Origin); err != nil {
			return nil, err
		}
		b.docket.doubtful = len(r.stubs) > 0
	}
	if b.led.Joined != ([32]byte{}) {
		b.led.Epoch = before.first()
	}
	b.led.Contested = before.contested(b.led.Epoch)
	err = b.cfg.In.Read(ctx, 1, "", func(m stream.Stored) error {
		b.inEnd = m.Seq
		p := r.take(m.Data, m.Header, m.Seq, 0)
		if p.Kind != border.Next && p.Kind != border.Known && r.fill() {
			p = r.take(m.Data, m.Header, m.Seq, 0)
		}
		if p.Kind == border.NeedCard {
			b.lack(p.Want.Digest)
		}
		if p.Kind != border.Next {
			b.cfg.Logger.Warn("stepped over stored bytes without a place", "stream", b.cfg.In.Name(),
				"stream_seq", m.Seq, "place", p.Kind.String())
		}
		if again, ok := envelope.Peek(m.Data); ok && p.Kind == border.Known && b.cfg.OnCopy != nil {
			at := border.Position{Epoch: again.Said.GetEpoch(), Seq: again.Said.GetSeq()}
			b.cfg.OnCopy(at, again.Leaf, m.Seq)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.fill()
	_, last, err := b.cfg.In.End(ctx) // behind the last message there may be erased ones
	b.inEnd = max(b.inEnd, last)
	b.led.Settled, b.led.Edge = 0, nil
	for _, epoch := range slices.Sorted(maps.Keys(before.contest)) {
		b.contests = append(b.contests, *before.contest[epoch])
	}
	b.before = before.judged
	return r.open, err
}

// reading is a read-back that is going on.
type reading struct {
	*Inbox
	view   *register.View
	before *past
	stubs  erase.Stubs
	open   []*item // without a final verdict
}

// take gives stored bytes their place, and enters them if it is the next one.
func (r *reading) take(raw []byte, h nats.Header, streamSeq uint64, erasedAt int64) border.Placement {
	r.led.Settled = r.before.settled[r.led.Epoch] // what has its place only because it lies here, has none
	r.led.Edge = edgeOf(h)
	p := r.cfg.Checker.Place(raw, r.view, r.led, r)
	if p.Kind != border.Next {
		return p
	}
	it := &item{placement: p, before: r.led.Clone(), streamSeq: streamSeq, erasedAt: erasedAt}
	it.before.Settled = 0
	r.led.Advance(&p)
	if p.OpensEpoch() || p.Begins() != nil {
		r.led.Contested = r.before.contested(r.led.Epoch)
	}
	r.remember(&p, streamSeq)
	it.root = r.led.Tree.Root()
	j := r.before.judged[p.Position]
	delete(r.before.judged, p.Position) // what is left was lost here
	if !r.replay(it, j) {
		it.sleep()
		r.open = append(r.open, it)
	}
	return p
}

// fill takes the stubs that follow, and reports whether there was any.
func (r *reading) fill() (found bool) {
	return fill(r.led, r.stubs, func(s erase.Stub) border.Kind {
		return r.take(s.Raw, s.Header, 0, s.At).Kind
	})
}

// replay enters a verdict that was made before this start; false if there is
// none that is final and about these bytes.
func (b *Inbox) replay(it *item, j *karaulav1.Judgement) bool {
	if !final(it, j) {
		return false
	}
	judged := Judged{
		Placement: &it.placement, StreamSeq: it.streamSeq, Judgement: j, Replayed: true, ErasedAt: it.erasedAt,
		Verdict: verdictOf(j),
	}
	b.docket.enter(it, judged)
	if it.erasedAt > 0 {
		b.docket.erased(it.placement.Position, b.doneAt(it.erasedAt))
	}
	b.cfg.OnJudged(judged)
	return true
}
