package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/book"
	"karaula/gateway/erase"
	"karaula/gateway/inbox"
	"karaula/gateway/outbox"
	"karaula/gateway/stock"
	"karaula/gateway/stream"
	"karaula/internal/agreement"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times of the channel's own loop.
const (
	// receiptPause is the least time between two receipts: what is judged
	// meanwhile is gathered. What comes after a pause is answered at once.
	receiptPause = 100 * time.Millisecond
	sayTimeout   = 30 * time.Second
)

// channel is one open channel: the own voice and an ear for every partner.
type channel struct {
	g       *Gateway
	id      string
	mode    karaulav1.Mode
	book    *book.Book // what is meant and what is practised never stand in one
	first   [32]byte
	joined  [32]byte // the text with which self came in; zero: the first one
	parties []string
	origins map[ledger.ID]string // of the channel's ledgers
	out     *stream.Log
	writer  *outbox.Writer
	ears    map[string]*inbox.Inbox

	readBack []*book.Entry  // own alerts, until enterOwn has entered them
	opening  sync.WaitGroup // those among them that are being opened

	mu       sync.Mutex
	saidAt   int64
	numbers  numbers
	receipts map[string][]*karaulav1.LedgerReceipt // own receipts read back, by origin
	notices  map[uint64]bool                       // serials of own notices that were said
	live     bool                                  // read-back is over
	known    known
	epochs   map[string][]*karaulav1.EpochEnd // that are over, by origin, ascending
	compared map[string]bool                  // partners that have said what they hold of ours
	openedAt time.Time
	attended attention

	sightMu sync.Mutex
	sights  map[witness]*sight // what partners have signed of other ledgers

	impostorMu sync.Mutex
	impostors  map[string]string // what was told of own keys that are revoked, by where

	lists map[string]*erase.List // what lies where, by origin
	stale stale                  // of the index file
	// journalled is the last own statement that a start has found erased, until the
	// signing journal has forgotten it, too; guarded by mu.
	journalled border.Position
	// ownUnproved is own content that is not known to be gone from every server of the cluster.
	ownUnproved []inbox.Unproved
	turns       map[string]int // where the next look at what is not proved begins, by origin; only proveRemnants
	erasing     chan struct{}  // has an element when something is to be erased at once

	stocking sync.Mutex               // that one looks at a time
	stored   map[string]*stock.Stored // what was stored of each party's ledger
	shelves  map[string]*stock.Shelf
	over     atomic.Bool // it is being closed: others may change its streams

	judged chan struct{} // has an element when something was judged
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// openChannel reads back a channel and starts it. It fails with Unreachable
// while the broker's keeper has not made its streams yet.
func (g *Gateway) openChannel(ctx context.Context, cv *register.ChannelView) (*channel, error) {
	c := &channel{
		g: g, id: cv.ID, mode: cv.Channel.Mode, book: g.bookOf(cv.Channel.Mode), first: cv.First, joined: cv.Joined, parties: cv.Parties,
		out: stream.Open(g.js, subject.Out(cv.Subject())), ears: map[string]*inbox.Inbox{},
		receipts: map[string][]*karaulav1.LedgerReceipt{}, notices: map[uint64]bool{},
		known:  known{signed: map[string]*karaulav1.Head{}, contested: map[string]uint64{}},
		epochs: map[string][]*karaulav1.EpochEnd{}, compared: map[string]bool{}, openedAt: g.o.Now(), attended: newAttention(),
		judged: make(chan struct{}, 1),
		lists:  map[string]*erase.List{}, turns: map[string]int{}, erasing: make(chan struct{}, 1),
		impostors: map[string]string{}, sights: map[witness]*sight{}, origins: map[ledger.ID]string{},
		stored: map[string]*stock.Stored{}, shelves: map[string]*stock.Shelf{},
	}
	if c.mode != karaulav1.Mode_MODE_ACTUAL {
		g.drilling.Store(c.id, c.mode)
	}
	for _, p := range c.parties {
		c.origins[c.ledger(p)] = p
		c.lists[p], c.stored[p] = erase.NewList(), stock.NewStored()
		c.shelves[p] = stock.NewShelf(stream.Open(g.js, c.log(p).Name()), c.stored[p])
	}
	if err := c.streamsReady(ctx); err != nil {
		return nil, err
	}
	filled := c.book.Fill()
	defer filled()
	defer g.indexFile.Recall()()
	stubs, err := erase.ReadStubs(ctx, g.stubs, c.id, g.self)
	if err != nil {
		return nil, problem.Wrap(problem.Unreachable, err, "channel %s is not ready yet", c.id)
	}
	ctx, c.cancel = context.WithCancel(ctx)
	w, err := outbox.Open(ctx, outbox.Config{
		Channel:     c.id,
		Self:        g.self,
		Ledger:      c.ledger(g.self),
		Mode:        c.mode,
		JournalPath: g.o.Layout.Journal(c.subject()),
		Log:         c.out,
		Stored:      c.stored[g.self],
		Stubs:       stubs,
		OnCopy:      c.lists[g.self].Copy,
		View:        g.o.Register.View,
		Signer:      g.signer(c.mode),
		Heads:       c.heads,
		Connected:   g.maySend,
		Replicate:   g.replicate(),
		MaySpeak:    c.maySpeak,
		Skew:        g.o.Config.ClockSkew,
		OnSaid:      c.onSaid,
		OnRevoked:   func(st *karaulav1.Statement) { c.impostor(g.self, st) },
		Seats:       g.sealSeats,
		Now:         g.o.Now,
		Logger:      g.log,
	})
	if err != nil {
		c.cancel()
		return nil, err
	}
	c.writer = w
	if why := c.fellBehind(); why != nil {
		w.Halt(why)
	}
	c.enterOwn()
	if err := c.openEars(ctx); err != nil {
		c.close(ctx)
		return nil, err
	}
	c.mu.Lock()
	c.live, c.receipts = true, nil
	c.mu.Unlock()
	c.settleBack()
	for _, p := range c.parties {
		c.settleSights(p)
	}
	c.takeStock(ctx) // what is there now is compared with what will be there
	c.done.Go(func() { c.loop(ctx) })
	c.done.Go(func() { c.eraseLoop(ctx) })
	c.done.Go(func() { c.askLoop(ctx) })
	return c, nil
}

// streamsReady asks whether the keeper has made everything that this channel needs.
func (c *channel) streamsReady(ctx context.Context) error {
	names := []string{subject.Out(c.subject()), subject.VerdictStream, subject.QuarantineStream, subject.DeskStream, subject.StubStream}
	for _, p := range c.partners() {
		names = append(names, subject.InStream(c.subject(), p))
	}
	for _, n := range names {
		if _, _, err := stream.Open(c.g.js, n).End(ctx); err != nil {
			return problem.Wrap(problem.Unreachable, err, "channel %s is not ready yet", c.id)
		}
	}
	return nil
}

func (c *channel) partners() []string {
	var out []string
	for _, p := range c.parties {
		if p != c.g.self {
			out = append(out, p)
		}
	}
	return out
}

// log gives the stream that holds a party's ledger.
func (c *channel) log(origin string) *stream.Log {
	if origin == c.g.self {
		return c.out
	}
	return stream.Open(c.g.js, subject.InStream(c.subject(), origin))
}

// subject is what the channel is called in subjects and streams.
func (c *channel) subject() subject.Channel { return subject.On(c.id, c.mode) }

// ledger gives the id of a party's ledger on this channel.
func (c *channel) ledger(origin string) ledger.ID {
	return ledger.NewID(c.id, origin, c.mode, c.first)
}

// openEars reads back what every partner said, and starts to listen.
func (c *channel) openEars(ctx context.Context) error {
	c.g.metrics.impostors.WithLabelValues(c.label(), c.g.self).Add(0)
	for _, p := range c.partners() {
		c.g.metrics.begin(c.label(), p)
		led := border.NewLedger(c.ledger(p), c.id, p, c.mode)
		led.Joined = c.joined
		ear, err := inbox.Open(ctx, inbox.Config{
			Ledger:  led,
			Checker: c.g.checker,
			In:      c.log(p), Stored: c.stored[p], Verdicts: c.g.verdicts, Quarantine: c.g.quarantine,
			Register: c.g.o.Register, Partner: c.g.partner(p), VerdictKey: verdictKey(c.g.o.Keys.Keys()), Keys: c.g.o.Keys.Generation,
			Accepted: func(id [16]byte, ver uint32) (border.Position, bool) { return c.book.Accepted(c.ledger(p), id, ver) },
			Before:   func(id [16]byte, ver uint32) (border.Earlier, bool) { return c.book.Before(c.ledger(p), id, ver) },
			OnJudged: func(j inbox.Judged) { c.onJudged(p, j) }, OnTrouble: func(pl border.Placement) { c.onTrouble(p, pl) },
			OnRootChange: func(file []byte) { c.takeNotice(p, file) },
			Eraser:       c.eraser(p), OnCopy: c.lists[p].Copy, Cluster: c.g.o.Config.Replicas > 1, Horizon: c.g.o.Config.BackupHorizon,
			OnBatch: c.wake, Seats: c.g.openSeats, Now: c.g.o.Now, Logger: c.g.log,
		}, c.receipts[p])
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.ears[p] = ear
		c.mu.Unlock()
	}
	return nil
}

// heads gives the partners' ledgers as verified here.
func (c *channel) heads() []*karaulav1.Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*karaulav1.Head
	for _, p := range c.partners() {
		if ear := c.ears[p]; ear != nil {
			if h := ear.Head(); h.GetSize() > 0 {
				out = append(out, h)
			}
		}
	}
	return out
}

// onSaid hears of every own statement, in order.
func (c *channel) onSaid(s outbox.Said) {
	st := s.Parsed.Statement
	c.mu.Lock()
	c.saidAt = max(c.saidAt, st.GetSaidAt())
	c.numbers.note(s.Parsed, s.StreamSeq)
	live := c.live
	c.holdOwn(s)
	switch st.GetKind() {
	case karaulav1.Kind_KIND_RECEIPT:
		c.noteReceipt(st.GetBody())
	case karaulav1.Kind_KIND_NOTICE:
		c.noteNotice(st.GetBody())
	default:
	}
	c.mu.Unlock()
	if live { // what is read back was counted in an earlier life
		c.g.metrics.published.WithLabelValues(c.label(), subject.Token(st.GetKind(), st.GetType())).Inc()
	}
	if st.GetKind() == karaulav1.Kind_KIND_ACT {
		c.enterAct(c.entry(s.Parsed, s.StreamSeq), s.Parsed, s.Inner)
	}
	if st.GetKind() == karaulav1.Kind_KIND_EPOCH {
		c.endEpoch(s.Parsed, live)
	}
	if st.GetKind() == karaulav1.Kind_KIND_EXERCISE && live {
		c.tellExercise(st)
	}
	if st.GetKind() != karaulav1.Kind_KIND_ALERT {
		return
	}
	e := c.entry(s.Parsed, s.StreamSeq)
	e.Readers = readers(st)
	if s.Inner == nil {
		c.openOwn(e, s.Parsed)
		return
	}
	c.enterIndex(&e, s.Parsed, s.Inner)
	c.book.Add(e)
	if live && e.Lifecycle == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW {
		c.wakeErasing() // not earlier: what is taken back is looked up in the book
	}
	if c.g.bus.Heard() {
		c.g.bus.Tell(c.g.desk.Event(e))
	}
}

// readers gives the parties that a statement was sealed to, but for its origin.
func readers(st *karaulav1.Statement) []string {
	var out []string
	for _, part := range st.GetParts() {
		for _, r := range part.GetRecipients() {
			use := r.GetUse()
			receive := use == karaulav1.KeyUse_KEY_USE_SEAL || use == karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL
			if receive && r.GetParty() != st.GetOrigin() && !contains(out, r.GetParty()) {
				out = append(out, r.GetParty())
			}
		}
	}
	return out
}

// noteReceipt remembers an own receipt. Called with c.mu held.
func (c *channel) noteReceipt(body []byte) {
	var r karaulav1.Receipt
	if proto.Unmarshal(body, &r) != nil {
		return
	}
	for _, l := range r.GetLedgers() {
		for _, p := range c.partners() {
			id := c.ledger(p)
			if string(id[:]) != string(l.GetLedger()) {
				continue
			}
			if c.live {
				c.ears[p].Receipted(l)
			} else {
				c.receipts[p] = append(c.receipts[p], l)
			}
		}
	}
}

// entry gives the book's entry of an alert statement, without what is sealed.
func (c *channel) entry(p *envelope.Parsed, streamSeq uint64) book.Entry {
	st := p.Statement
	e := book.Entry{
		Ledger: ledger.ID(st.GetLedger()), Channel: c.id, Mode: st.GetMode(), Origin: st.GetOrigin(), Epoch: st.GetEpoch(), Seq: st.GetSeq(),
		Leaf: p.Leaf, StreamSeq: streamSeq, SaidAt: st.GetSaidAt(), Type: st.GetType(), Thread: st.GetThread(),
		Agreement: [32]byte(st.GetAgreement()), Signer: [16]byte(st.GetSigners()[0].GetKeyId()), EraseAfter: st.GetEraseAfter(),
	}
	for _, part := range st.GetParts() {
		if part.GetLabel() == karaulav1.Label_LABEL_MAIN {
			copy(e.Commitment[:], part.GetCommitment())
		}
	}
	for _, r := range st.GetRefs() {
		e.Answers = append(e.Answers, [32]byte(r.GetDigest()))
	}
	return e
}

// loop says receipts, notices, changes and heartbeats when they are due.
func (c *channel) loop(ctx context.Context) {
	tick := time.NewTicker(receiptPause)
	defer tick.Stop()
	last := c.g.o.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.judged:
			if c.g.o.Now().Sub(last) < receiptPause {
				continue // the tick sees to it
			}
		}
		receipted, err := c.sayDue(ctx)
		if err != nil && ctx.Err() == nil {
			c.g.log.Debug("what was due could not be said, will try again", "channel", c.id, "why", err.Error())
		}
		if receipted {
			last = c.g.o.Now()
			tick.Reset(receiptPause)
		}
	}
}

// wake lets the loop look at what was judged.
func (c *channel) wake() {
	select {
	case c.judged <- struct{}{}:
	default:
	}
}

// sayDue says what is due now, and reports whether a receipt was.
func (c *channel) sayDue(ctx context.Context) (receipted bool, err error) {
	cv, ok := c.g.o.Register.View().Channel(c.id)
	if !ok {
		return false, nil
	}
	phase := cv.PhaseAt(c.g.o.Now())
	if phase != agreement.InForce && phase != agreement.WindingDown || c.writer.Halted() != nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, sayTimeout)
	defer cancel()
	if err := c.writer.Refresh(); err != nil {
		return false, err
	}
	if err := c.sayNotices(ctx, cv); err != nil {
		return false, err
	}
	silent := c.g.o.Now().Sub(time.UnixMicro(c.lastSaid()))
	beat := silent >= c.g.o.Config.Heartbeat && c.lastSaid() > 0
	if receipt := c.receipt(beat); receipt != nil {
		return true, c.sayBody(ctx, karaulav1.Kind_KIND_RECEIPT, receipt)
	}
	if beat {
		_, err = c.writer.Say(ctx, outbox.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT})
		return false, err
	}
	return false, nil
}

func (c *channel) lastSaid() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.saidAt
}

// receipt gathers what the partners have not been told yet.
func (c *channel) receipt(force bool) *karaulav1.Receipt {
	var r karaulav1.Receipt
	for _, p := range c.partners() {
		if l := c.ear(p).Receipt(force); l != nil {
			r.Ledgers = append(r.Ledgers, l)
		}
	}
	if len(r.GetLedgers()) == 0 {
		return nil
	}
	return &r
}

func (c *channel) sayBody(ctx context.Context, kind karaulav1.Kind, body proto.Message) error {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(body)
	if err != nil {
		return problem.Wrap(problem.Failed, err, "a %s cannot be written down", kind)
	}
	_, err = c.writer.Say(ctx, outbox.Draft{Kind: kind, Body: data})
	return err
}

// setBack reports whether the own broker has lost something that was received:
// then everything is read back again, and streams and journal compared.
func (c *channel) setBack() bool {
	for _, p := range c.partners() {
		if c.ear(p).SetBack() {
			return true
		}
	}
	return false
}

// close stops the channel; ctx bounds how long what is queued may take.
func (c *channel) close(ctx context.Context) {
	c.over.Store(true)
	if err := c.writer.Close(ctx); err != nil {
		c.g.log.Warn("the signing journal did not close cleanly", "channel", c.id, "why", err.Error())
	}
	c.cancel()
	c.done.Wait()
	for _, ear := range c.ears {
		ear.Wait()
	}
}
