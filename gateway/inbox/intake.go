package inbox

import (
	"context"
	"errors"
	"time"

	"karaula/gateway/erase"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
)

// Times and limits of the intake.
const (
	gapPatience    = time.Second     // how long a missing number may be on its way
	expectPatience = 2 * time.Second // how long something announced may be on its way
	rewindPause    = 3 * time.Second // between two requests for redelivery
	storeTimeout   = 5 * time.Second
	retryPause     = 250 * time.Millisecond
	maxAhead       = subject.MaxAckPending
	maxAheadSize   = 64 << 20
)

// intake takes messages in the order of arrival until ctx ends.
func (b *Inbox) intake(ctx context.Context) {
	defer b.done.Done()
	tick := time.NewTicker(retryPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-b.mail:
			b.load.less(len(d.Data))
			b.takeIn(ctx, b.collect(d))
		case <-tick.C:
			b.mindGap(ctx)
		}
	}
}

// collect takes what is waiting behind first, up to one batch.
func (b *Inbox) collect(first Delivery) []Delivery {
	batch, size := []Delivery{first}, len(first.Data)
	for len(batch) < stream.MaxBatch && size < stream.MaxBatchBytes {
		select {
		case d := <-b.mail:
			b.load.less(len(d.Data))
			batch = append(batch, d)
			size += len(d.Data)
		default:
			return batch
		}
	}
	return batch
}

// overlay is the history with the places that the batch at hand has taken.
type overlay struct {
	*Inbox
	fresh map[border.Position][32]byte
}

// LeafAt implements [border.History].
func (o *overlay) LeafAt(epoch, seq uint64) ([32]byte, bool) {
	if leaf, ok := o.fresh[border.Position{Epoch: epoch, Seq: seq}]; ok {
		return leaf, true
	}
	return o.Inbox.LeafAt(epoch, seq)
}

// placed is a message that continues the ledger.
type placed struct {
	delivery  Delivery
	placement border.Placement
	before    *border.Ledger
}

// bytes gives what is stored: the envelope as it came, but for what somebody
// has put around a well-formed statement.
func (p *placed) bytes() []byte {
	if parsed := p.placement.Parsed; parsed != nil {
		return parsed.Raw
	}
	return p.delivery.Data
}

// takeIn finds the places of messages, stores those that continue the ledger,
// acknowledges what is complete, and hands them to the judge.
func (b *Inbox) takeIn(ctx context.Context, batch []Delivery) {
	work := b.workingLedger()
	hist := &overlay{Inbox: b, fresh: map[border.Position][32]byte{}}
	var next []placed
	var ack *Delivery
	for i := 0; i < len(batch); i++ { // batch grows while messages kept ahead of a gap follow
		d := batch[i]
		p, ok := b.place(ctx, d, work, hist)
		if !ok {
			return // the gateway is stopping
		}
		switch p.Kind {
		case border.Next:
			next = append(next, placed{d, p, work.Clone()})
			b.learn(&p)
			work.Advance(&p)
			hist.fresh[p.Position] = p.Leaf
			if !b.compareTold(ctx, work, p, d.Data) {
				return
			}
			b.handled = max(b.handled, d.StreamSeq)
			ack = later(ack, d)
			if later, ok := b.fromAhead(work); ok {
				batch = append(batch, later)
			}
		case border.Before, border.Known:
			if p.Kind == border.Known && b.handled > 0 && d.StreamSeq > b.handled && b.aside.take(ctx, b.cfg.Now()) {
				b.cfg.OnTrouble(p) // the partner has published it once more
			}
			if d.StreamSeq == b.handled+1 {
				b.handled = d.StreamSeq
			}
			if d.StreamSeq <= b.handled || ack == nil {
				ack = later(ack, d)
			}
		case border.Ahead:
			b.keepAhead(d, p)
		default:
			b.putAside(ctx, d, p, work, next)
			if d.StreamSeq == b.handled+1 {
				b.handled, ack = d.StreamSeq, &d
			}
		}
	}
	if !b.store(ctx, next, work) {
		return
	}
	if ack != nil {
		b.acknowledge(*ack)
	}
}

// later gives the later of two messages to acknowledge; what was asked for by its
// number needs no acknowledgement.
func later(ack *Delivery, d Delivery) *Delivery {
	if d.Ack == nil {
		return ack
	}
	return &d
}

func (b *Inbox) workingLedger() *border.Ledger {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.led.Clone()
}

// place finds the place of one message. A card that is missing is fetched; while
// the partner cannot be asked, the message waits.
func (b *Inbox) place(
	ctx context.Context, d Delivery, work *border.Ledger, hist border.History,
) (border.Placement, bool) {
	for {
		p := b.cfg.Checker.Place(d.Data, b.cfg.Register.View(), work, hist)
		if p.Kind == border.NeedEdge {
			return b.placeBehind(ctx, d, p, work, hist), true
		}
		if p.Kind != border.NeedCard {
			return p, true
		}
		err := b.cfg.Partner.FetchCard(ctx, p.Want.Serial, p.Want.Digest)
		if err == nil {
			again := b.cfg.Checker.Place(d.Data, b.cfg.Register.View(), work, hist)
			if again.Kind != border.NeedCard {
				return again, true
			}
		}
		if err == nil || !problem.Is(err, problem.Unreachable) {
			p.Kind = border.Quarantine
			return p, true
		}
		select {
		case <-ctx.Done():
			return p, false
		case <-time.After(rewindPause):
		}
	}
}

// learn takes in what a CARD or AGREEMENT statement brings, and the change of a
// root, because the next statement may stand on it. The register checks each for
// itself.
func (b *Inbox) learn(p *border.Placement) {
	if change := p.RootChangeNext(); change != nil {
		b.cfg.OnRootChange(change.Signed)
	}
	if c := p.CardNext(); c != nil {
		if _, err := b.cfg.Register.AddCard(c.Signed, register.AddCardOptions{}); err != nil {
			b.cfg.Logger.Warn("a card that came over a channel was not taken in", "origin", c.Party, "why", err.Error())
		}
	}
	if a := p.AgreementNext(); a != nil {
		if _, err := b.cfg.Register.AddAgreement(a.File); err != nil {
			b.cfg.Logger.Warn(
				"a text that came over a channel was not taken in",
				"agreement",
				a.Agreement.ID,
				"why",
				err.Error(),
			)
		}
	}
}

// keepAhead keeps a message whose predecessors are missing, within limits: what
// is not kept comes again with the rewind.
func (b *Inbox) keepAhead(d Delivery, p border.Placement) {
	if b.gapSince.IsZero() {
		b.gapSince = b.cfg.Now()
	}
	if _, there := b.ahead[p.Position]; there || len(b.ahead) >= maxAhead ||
		b.aheadBytes+len(d.Data) > maxAheadSize {
		return
	}
	b.ahead[p.Position] = d
	b.aheadBytes += len(d.Data)
}

// fromAhead gives the kept message that may continue the ledger, if there is one: it has
// the next number, or opens the next epoch.
func (b *Inbox) fromAhead(work *border.Ledger) (Delivery, bool) {
	next := work.Next()
	for at, old := range b.ahead { // a ledger may begin behind some that were kept
		if at.Epoch < next.Epoch || at.Epoch == next.Epoch && at.Seq < next.Seq {
			delete(b.ahead, at)
			b.aheadBytes -= len(old.Data)
		}
	}
	at := next
	d, ok := b.ahead[at]
	if !ok {
		at = border.Position{Epoch: next.Epoch + 1, Seq: 1}
		d, ok = b.ahead[at]
	}
	if ok {
		delete(b.ahead, at)
		b.aheadBytes -= len(d.Data)
	}
	if len(b.ahead) == 0 {
		b.gapSince = time.Time{}
	}
	return d, ok
}

// mindGap asks for redelivery when a number has been missing for too long.
func (b *Inbox) mindGap(ctx context.Context) {
	now := b.cfg.Now()
	gap := !b.gapSince.IsZero() && now.Sub(b.gapSince) >= gapPatience
	if gap || b.overdue(now) {
		b.rewind(ctx)
	}
}

// rewind asks for redelivery from the next number, not too often.
func (b *Inbox) rewind(ctx context.Context) {
	now := b.cfg.Now()
	if now.Sub(b.rewindAt) < rewindPause {
		return
	}
	b.rewindAt = now
	select {
	case <-b.acks: // what is delivered again is acknowledged then
	default:
	}
	next := b.Next()
	if b.missed == next && b.askDirectly(ctx, next) {
		b.missed = b.Next()
		return
	}
	b.missed = next
	if err := b.cfg.Partner.Rewind(ctx, b.led.Channel, next.Epoch, next.Seq); err != nil {
		b.cfg.Logger.Warn("redelivery was refused; will ask again", "channel", b.led.Channel, "origin", b.led.Origin,
			"from", next.Seq, "why", err.Error())
		return
	}
	b.cfg.Logger.Info("asked for redelivery", "channel", b.led.Channel, "origin", b.led.Origin, "from", next.Seq)
	clear(b.ahead)
	b.aheadBytes, b.gapSince, b.handled = 0, time.Time{}, 0
}

// maxMissing is how many missing statements are asked for at once.
const maxMissing = 256

// askDirectly asks for the statements that are missing one by one: what redelivery
// did not bring is not in the partner's stream any more, because its content was
// erased before it got here. It reports whether anything came.
func (b *Inbox) askDirectly(ctx context.Context, next border.Position) bool {
	to := next.Seq + maxMissing - 1
	for at := range b.ahead {
		if at.Epoch == next.Epoch {
			to = min(to, at.Seq-1)
		}
	}
	if to < next.Seq {
		return false
	}
	raws, err := b.cfg.Partner.Statements(ctx, b.led.ID, next.Epoch, next.Seq, to)
	if err != nil {
		b.cfg.Logger.Debug("what is missing cannot be had by its number", "channel", b.led.Channel,
			"origin", b.led.Origin, "from", next.Seq, "why", err.Error())
		return false
	}
	batch := make([]Delivery, len(raws))
	for i, raw := range raws {
		batch[i] = Delivery{Data: raw}
	}
	b.takeIn(ctx, batch)
	return b.Next() != next
}

// putAside keeps bytes that have no place, and contradictions as evidence. What
// is above the allowance is only counted, but for the first contradiction.
func (b *Inbox) putAside(ctx context.Context, d Delivery, p border.Placement, work *border.Ledger, unstored []placed) {
	b.mu.Lock()
	b.quarantined++
	b.mu.Unlock()
	room := b.aside.take(ctx, b.cfg.Now())
	if !room && (p.Kind != border.Fork || work.Contested != nil || p.Position.Epoch < work.Epoch) {
		return
	}
	if p.Kind == border.Fork {
		first, second := b.sides(ctx, &p, d.Data, unstored)
		if !b.contest(ctx, work, &p, first, second) {
			return
		}
	}
	data := d.Data[:min(len(d.Data), subject.MaxEnvelope)]
	msg := stream.Msg{Subject: subject.Quarantine(work.Channel, work.Origin), Data: data}
	if _, err := b.cfg.Quarantine.Add(ctx, msg); err != nil {
		b.cfg.Logger.Warn(
			"bytes could not be put aside",
			"channel",
			work.Channel,
			"origin",
			work.Origin,
			"why",
			err.Error(),
		)
	}
	b.cfg.OnTrouble(p)
}

// store appends messages to the IN stream and makes their places final. It does
// not give up before ctx ends: until then nothing is acknowledged.
func (b *Inbox) store(ctx context.Context, next []placed, work *border.Ledger) bool {
	defer b.cfg.Stored.Coming()()
	for len(next) > 0 {
		chunk := next[:min(len(next), stream.MaxBatch)]
		at, err := b.tryStore(ctx, chunk)
		if len(at) > 0 {
			b.unstored.clear()
			b.settle(ctx, chunk[:len(at)], at)
			next = next[len(at):]
			continue
		}
		if errors.Is(err, stream.ErrBack) {
			b.goBack(err)
			return false
		}
		if b.unstored.set("what arrives cannot be stored", err, b.cfg.Now()) {
			b.cfg.Logger.Warn("received statements cannot be stored; nothing is acknowledged, will try again",
				"channel", work.Channel, "origin", work.Origin, "why", err.Error())
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retryPause):
		}
	}
	return true
}

// tryStore tries once, and looks where the answer leaves a doubt.
func (b *Inbox) tryStore(ctx context.Context, chunk []placed) ([]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	msgs, want := make([]stream.Msg, len(chunk)), make([][]byte, len(chunk))
	for i, p := range chunk {
		want[i] = p.bytes()
		h := edgeHeader(&p.placement)
		erase.Tag(h)
		msgs[i] = stream.Msg{Subject: subject.In(subject.On(b.led.Channel, b.led.Mode), b.led.Origin), Data: want[i], Header: h}
	}
	last, err := b.cfg.In.Append(ctx, msgs, b.inEnd)
	if err == nil {
		at := make([]uint64, len(chunk))
		for i := range at {
			at[i] = last - uint64(len(chunk[i+1:]))
		}
		b.inEnd = last
		return at, nil
	}
	if !errors.Is(err, stream.ErrMoved) && !errors.Is(err, stream.ErrUncertain) {
		return nil, err
	}
	at, end, lookErr := b.cfg.In.Look(ctx, b.inEnd, want, func(m stream.Stored) error {
		b.stray(m)
		return nil
	})
	b.inEnd = max(b.inEnd, end)
	return at, errors.Join(err, lookErr)
}

// settle makes the places of stored messages final and hands them to the judge.
func (b *Inbox) settle(ctx context.Context, chunk []placed, at []uint64) {
	items := make([]*item, len(chunk))
	b.mu.Lock()
	for i, p := range chunk {
		b.led.Advance(&p.placement)
		if p.placement.OpensEpoch() || p.placement.Begins() != nil {
			b.led.Contested = b.contested(b.led.Epoch)
		}
		b.remember(&p.placement, at[i])
		items[i] = &item{placement: p.placement, before: p.before, root: b.led.Tree.Root(), streamSeq: at[i]}
	}
	b.mu.Unlock()
	select {
	case b.judge <- items:
	case <-ctx.Done(): // they are stored; the next start judges them
	}
}

// remember keeps the leaf and the place of a statement that the ledger has just
// taken in. Called with b.mu held.
func (b *Inbox) remember(p *border.Placement, streamSeq uint64) {
	b.progressAt, b.edgeTrouble = b.cfg.Now(), ""
	epoch := p.Position.Epoch
	if t := p.Begins(); t != nil {
		b.docket.begin(epoch, t.Size(), t.Root())
	}
	b.leaves.add(p)
	b.streamSeqs[epoch] = append(b.streamSeqs[epoch], streamSeq)
	b.cfg.Stored.Put(streamSeq)
	b.reigns = b.reigns.Note(epoch, p.Position.Seq, b.led.Agreement)
}
