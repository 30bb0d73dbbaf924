// Package inbox receives what one partner says on one channel: it finds the
// place of every piece of bytes in the partner's ledger, stores it as it came,
// acknowledges it, and then has it judged.
//
// The order is the promise: bytes are acknowledged only when the node's own
// broker has synced them, and only as far as no number is missing; a verdict is
// made apart from that, and never changes what is stored. A missing number is
// asked for again by a rewind.
//
// It must never drop bytes that have a place, never acknowledge ahead of a gap,
// never let one partner's bytes touch another ledger, and never open content
// itself: the border check does.
package inbox

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"karaula/gateway/erase"
	"karaula/gateway/stock"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/ledger"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Partner is the link to whoever's ledger this is.
type Partner interface {
	// FetchCard gets a card of the partner and takes it into the register. An
	// error of kind NotFound means that the partner has no such card.
	FetchCard(ctx context.Context, serial uint64, digest [32]byte) error
	// FetchAgreement gets a text and takes it into the register.
	FetchAgreement(ctx context.Context, digest [32]byte) error
	// FetchEdge gets the right edge of a ledger of the channel at a size, of which
	// the root is known, from whoever has it.
	FetchEdge(ctx context.Context, channel string, led [32]byte, epoch, size uint64, root [32]byte) ([][32]byte, error)
	// Statements gets statements of a ledger, whole or what is left of them.
	Statements(ctx context.Context, ledger [32]byte, epoch, from, to uint64) ([][]byte, error)
	// Rewind asks for redelivery of a channel from a number on.
	Rewind(ctx context.Context, channel string, epoch, from uint64) error
}

// Delivery is one message from the partner's stream.
type Delivery struct {
	Data      []byte
	StreamSeq uint64       // in the partner's stream; a transport number, never trusted
	Ack       func() error // acknowledges this and everything before it; nil: nothing is to be
}

// Judged is a statement with its verdict.
type Judged struct {
	Placement *border.Placement
	Verdict   border.Verdict
	StreamSeq uint64 // in the node's own IN stream
	Judgement *karaulav1.Judgement
	Replayed  bool  // judged before this start; known from the verdict stream
	Upheld    bool  // judged before, lost here since, and back in the same bytes
	Again     bool  // upheld, or an own receipt has spoken of its number before
	ErasedAt  int64 // when its content was erased here, microseconds since 1970 UTC, or 0
}

// News reports whether it may be that nobody here has heard of it before.
func (j Judged) News() bool { return !j.Replayed && !j.Upheld }

// Config is what an Inbox needs.
type Config struct {
	Ledger  *border.Ledger // empty
	Checker *border.Checker
	In      *stream.Log
	// Stored remembers what In holds; may be nil.
	Stored     *stock.Stored
	Verdicts   *stream.Log
	Quarantine *stream.Log
	Register   *register.Register
	Partner    Partner
	// VerdictKey authenticates the records of the verdict stream; [VerdictKeySize]
	// bytes that the broker does not have.
	VerdictKey []byte
	// Keys counts changes of the own keys: what is held may wait for one. May be nil.
	Keys func() uint64
	// Eraser gives the statements whose content is erased; nil: none are.
	Eraser *erase.Eraser
	// OnCopy is told of a stored message that holds again, with content, what the
	// ledger has already; nil: nobody.
	OnCopy func(at border.Position, leaf [32]byte, streamSeq uint64)
	// Cluster: the broker is one, and what is erased may still lie on one of its servers.
	Cluster bool
	// Horizon is how long backups may still hold what is erased here.
	Horizon time.Duration
	// Accepted gives the place at which a version of an alert was accepted on this ledger.
	Accepted func(alert [16]byte, version uint32) (border.Position, bool)
	// Before gives the highest version below one that was accepted on this ledger.
	Before func(alert [16]byte, version uint32) (border.Earlier, bool)
	// OnJudged is told of every verdict, in order of numbers but for held ones.
	OnJudged func(Judged)
	// OnBatch is told when a batch of verdicts has been told; may be nil.
	OnBatch func()
	// OnTrouble is told of quarantined bytes and contradictions.
	OnTrouble func(border.Placement)
	// OnRootChange is told of a change of the origin's root before anything behind it
	// is placed, and takes it into the register, which checks it.
	OnRootChange func(file []byte)
	// Seats bounds how many judge at once, over all inboxes of a gateway.
	Seats  chan struct{}
	Now    func() time.Time
	Logger *slog.Logger
}

// Inbox is one partner's ledger on one channel as this node holds it.
type Inbox struct {
	cfg  Config
	mail chan Delivery
	load load // of mail

	mu          sync.Mutex // guards what follows
	led         *border.Ledger
	leaves      leaves              // by epoch
	streamSeqs  map[uint64][]uint64 // by epoch: places in the IN stream of the leaves that are held
	reigns      register.Reigns     // texts of the agreement, and from where on each rules
	expected    border.Position     // how far the partner says that its ledger goes
	edgeTrouble string              // why the ledger has not begun here
	progressAt  time.Time           // when the ledger last grew, or was said to have grown
	inEnd       uint64
	quarantined uint64
	docket      docket
	contests    []Contradiction
	told        told
	strays      strays

	back     atomic.Bool // the IN stream was set back
	lacking  [][32]byte  // cards without which it could not be read back; set by Open only
	unstored stuck       // what arrives
	unjudged stuck       // verdicts

	// owned by the intake goroutine
	ahead      map[border.Position]Delivery
	aheadBytes int
	gapSince   time.Time
	rewindAt   time.Time
	missed     border.Position // was missing at the last rewind, too
	aside      allowance       // of what is put aside and told of
	handled    uint64          // the partner's stream sequence up to which nothing is missing

	asked  map[[32]byte]time.Time                   // texts, by the judging goroutine
	before map[border.Position]*karaulav1.Judgement // of what a start did not find in the IN stream
	acks   chan Delivery                            // holds the newest one to acknowledge
	judge  chan []*item
	done   sync.WaitGroup
}

// item is a stored statement on its way to a verdict.
type item struct {
	placement border.Placement
	before    *border.Ledger
	root      [32]byte // over everything up to and with it
	streamSeq uint64
	asleep    int   // bytes of the statement that were left to the IN stream
	erasedAt  int64 // of a stub that was kept here: when its content was erased
}

// mailLength is how many messages may wait for their place.
const mailLength = 1024

// Deliver hands over a message; it waits while too many wait already.
func (b *Inbox) Deliver(ctx context.Context, d Delivery) error {
	if err := b.load.add(ctx, len(d.Data)); err != nil {
		return err
	}
	select {
	case b.mail <- d:
		return nil
	case <-ctx.Done():
		b.load.less(len(d.Data))
		return ctx.Err() //nolint:wrapcheck // the caller's own context
	}
}

// Head gives the ledger as verified here.
func (b *Inbox) Head() *karaulav1.Head {
	b.mu.Lock()
	defer b.mu.Unlock()
	root := b.led.Tree.Root()
	return &karaulav1.Head{Ledger: b.led.ID[:], Epoch: b.led.Epoch, Size: b.led.Tree.Size(), Root: root[:]}
}

// Exercise gives what the origin practises; the zero value: nothing.
func (b *Inbox) Exercise() border.Exercise {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.led.Exercise
}

// Next gives the next number that is expected.
func (b *Inbox) Next() border.Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.led.Next()
}

// Status gives numbers for the status command.
func (b *Inbox) Status() (received, judged, held, quarantined uint64, contested bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return uint64(len(b.streamSeqs[b.led.Epoch])), b.docket.judgedTo(), uint64(len(b.docket.held)), b.quarantined, b.led.Contested != nil
}

// LeafAt implements [border.History].
func (b *Inbox) LeafAt(epoch, seq uint64) ([32]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leaves.leaf(epoch, seq)
}

// WithHistory gives the leaves of an epoch, as far as they are here, to a function that
// must not keep them.
func (b *Inbox) WithHistory(epoch uint64, f func(*ledger.History) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.leaves[epoch]; h != nil {
		return f(h)
	}
	return f(&ledger.History{})
}

// StreamSeq gives the place of a statement in the node's own IN stream.
func (b *Inbox) StreamSeq(epoch, seq uint64) (uint64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.leaves[epoch]; h != nil {
		if i, ok := h.Ordinal(seq); ok {
			return b.streamSeqs[epoch][i], true
		}
	}
	return 0, false
}

// Expect is told how much the partner says it has said. If that does not
// arrive by itself, it is asked for again: so a receiver that lost its disk
// gets everything back.
func (b *Inbox) Expect(epoch, size uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.led.Tree.Size() == 0 && b.led.Joined != ([32]byte{}) && epoch > b.led.Epoch {
		b.led.Epoch, b.expected = epoch, border.Position{} // where a ledger begins for who came in later is for its origin to say
	}
	at := border.Position{Epoch: epoch, Seq: size}
	if size > 0 && !b.has(at) && !b.expected.Covers(at) {
		b.expected, b.progressAt = at, b.cfg.Now()
	}
}

// has reports whether the ledger goes as far as a place. Called with b.mu held.
func (b *Inbox) has(at border.Position) bool {
	return border.Position{Epoch: b.led.Epoch, Seq: b.led.Tree.Size()}.Covers(at)
}

// overdue reports whether something that was announced has not arrived in time.
func (b *Inbox) overdue(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.has(b.expected) && now.Sub(b.progressAt) >= expectPatience
}

// RootAt implements [border.History].
func (b *Inbox) RootAt(epoch, size uint64) ([32]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t, ok := b.leaves.tree(epoch, size); ok {
		return t.Root(), true
	}
	return [32]byte{}, false
}

// Edge gives the right edge of an epoch's tree at a size; false if what is held
// here does not reach it.
func (b *Inbox) Edge(epoch, size uint64) ([][32]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.leaves.tree(epoch, size)
	if !ok {
		return nil, false
	}
	return t.Frontier(), true
}

// Reigns gives the texts of the agreement that rule this ledger, and from where on.
func (b *Inbox) Reigns() register.Reigns {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.reigns)
}

// Accepted implements [border.History].
func (b *Inbox) Accepted(alert [16]byte, version uint32) (border.Position, bool) {
	return b.cfg.Accepted(alert, version)
}

// Before implements [border.History].
func (b *Inbox) Before(alert [16]byte, version uint32) (border.Earlier, bool) {
	return b.cfg.Before(alert, version)
}
