// Package outbox is one party's voice on one channel: it seals what is to be
// said, gives it the next number, signs it, writes it to the signing journal
// and publishes it, in that order.
//
// Sealing runs in parallel; numbering happens in one place, the [Writer]'s own
// goroutine, which takes whatever is waiting into one batch: one journal sync
// and one atomic publish. It never waits to fill a batch.
//
// It must never sign a number twice, never publish what the journal does not
// hold, and never seal anything outside the agreement's time or while it is
// suspended. Whether a clause allows an alert's content the desk asks before;
// whether one allows its type is asked once more when its turn has come.
package outbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"karaula/gateway/erase"
	"karaula/gateway/stock"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Draft is something to be said. The writer fills in everything that follows
// from channel, ledger and time.
type Draft struct {
	Kind       karaulav1.Kind
	Type       karaulav1.AlertType
	Thread     []byte // 16 bytes, or nil
	EraseAfter int64  // microseconds since 1970 UTC, or 0
	Body       []byte // for unsealed kinds
	Refs       []*karaulav1.Ref
	// ConsentRefs names the originator's consent, in what passes its alert on.
	ConsentRefs []*karaulav1.Ref
	// Inner is sealed as the main part; nil for unsealed kinds. The writer
	// completes the fields that repeat the statement.
	Inner *karaulav1.Inner
	// Once names what must be said once only, by an alert's id and version: while
	// one draft of a name is on its way, another one is refused as Unreachable.
	// Empty: it may be said again.
	Once string
	// Still is asked when the draft gets its place in the order and nothing else of
	// its name is on its way: an error stops it. May be nil.
	Still func() error
}

// Said is something that was said: numbered, signed, journalled and published.
type Said struct {
	Parsed    *envelope.Parsed
	Inner     *karaulav1.Inner // nil for unsealed kinds
	StreamSeq uint64           // of a stub: at most that of whatever follows it
	ErasedAt  int64            // when its content was erased, microseconds since 1970 UTC, or 0
}

// Signer gives the key that signs at a position of the ledger: the one whose
// card has this digest. Errors are problems of kind Locked.
type Signer func(card [32]byte) (envelope.Signer, error)

// Config is what a Writer needs.
type Config struct {
	Channel string
	Self    string
	Ledger  ledger.ID
	Mode    karaulav1.Mode
	// JournalPath is the file of the signing journal.
	JournalPath string
	Log         *stream.Log
	// Stored remembers what Log holds; may be nil.
	Stored *stock.Stored
	// Stubs are the own statements whose content is erased; nil: none are.
	Stubs erase.Stubs
	// OnCopy is told of a message that holds again, with content, what the ledger
	// has already; nil: nobody.
	OnCopy func(at border.Position, leaf [32]byte, streamSeq uint64)
	View   func() *register.View
	Signer Signer
	// Heads gives the other ledgers of the channel as verified here; said when changed.
	Heads func() []*karaulav1.Head
	// Connected reports whether the own broker can be asked now.
	Connected func() bool
	// MaySpeak is asked, with the number of statements signed so far, before
	// anything is given a place; nil: always. Its error goes to the speaker.
	MaySpeak func(size uint64) error
	// Replicate is called when something was journalled, before anything of it is
	// published; nil: nobody else has to have it. An error stops the channel.
	Replicate func(context.Context, *journal.Journal) error
	// Skew is how far partners let our clock be ahead of theirs; zero: nothing is
	// refused because of the clock.
	Skew time.Duration
	// OnSaid is told of every own statement in order; of those that were read
	// back at start without their inner message.
	OnSaid func(Said)
	// OnRevoked is told of a statement in the own stream that somebody else has signed
	// with an own key behind the last number that counts of it; nil: nobody.
	OnRevoked func(*karaulav1.Statement)
	// Seats bounds how many seal at once, over all writers of a gateway.
	Seats  chan struct{}
	Now    func() time.Time
	Logger *slog.Logger
}

// errPending is the error of a statement that is signed and journalled but
// whose storage the broker has not confirmed: it will be said by itself.
var errPending = problem.New(problem.Failed,
	"signed and journalled, but the broker has not confirmed it yet; it will be published by itself").
	WithHint("do not send it again; look with: karaula alert list")

// Writer says things on one channel.
type Writer struct {
	cfg Config

	mu     sync.Mutex // guards the fields below
	edge   edge       // what the ledger will be after everything that is queued
	gen    int        // counts resets of edge
	halted error
	closed bool

	underway *underway // drafts that must be said once only

	room    *room            // of drafts in the queue
	changes atomic.Int64     // changes of text or card in the queue
	queue   chan *ticket     // in the order of numbers
	sealing chan *ticket     // those that are not being sealed yet, in the same order
	next    *ticket          // taken from the queue and not sealed yet; owned by the run goroutine
	journal *journal.Journal // nil if it is damaged; the writer is halted then
	unread  *karaulav1.Head  // of the stream, if the journal is damaged
	state   state            // owned by the run goroutine
	stop    context.Context
	cancel  context.CancelFunc
	done    chan struct{}
}

// edge is the part of the ledger's state that tickets decide.
type edge struct {
	saidAt    int64
	card      [32]byte
	agreement [32]byte
	fresh     bool // nothing was ever said
	exercise  border.Exercise
}

// state is the ledger as it is signed and published.
type state struct {
	epoch     uint64
	tree      *ledger.Tree
	streamEnd uint64 // the stream's last sequence as known
	edge      edge
	heads     string // the heads said last, to say them only when changed
}

// ticket is one draft on its way, in order of its time.
type ticket struct {
	draft  Draft
	gen    int
	after  edge                 // of the ledger behind this ticket
	st     *karaulav1.Statement // all but epoch, seq, prev_root, signers, heads
	seal   func() error         // nil for unsealed kinds
	room   bool                 // takes room, until it is taken from the queue
	more   bool                 // the next one was brought by the same call
	part   []byte
	sealed chan error // given the outcome of sealing
	said   Said
	result chan error
}

// Head gives how many statements of the epoch are signed, and the root over them.
func (w *Writer) Head() *karaulav1.Head {
	if w.journal == nil {
		return w.unread
	}
	st := w.journal.State()
	return w.head(st.Epoch, st.Tree)
}

func (w *Writer) head(epoch uint64, tree *ledger.Tree) *karaulav1.Head {
	root := tree.Root()
	return &karaulav1.Head{Ledger: w.cfg.Ledger[:], Epoch: epoch, Size: tree.Size(), Root: root[:]}
}

// Halted gives the reason why this channel can't be spoken on; nil if it can.
func (w *Writer) Halted() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.halted
}

// Halt stops this channel for good until it is repaired. Used when somebody
// shows that more was said under this name than the journal knows.
func (w *Writer) Halt(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.halt(why)
}

// halt is Halt with w.mu held.
func (w *Writer) halt(why error) {
	if w.halted == nil {
		w.halted = why
		w.cfg.Logger.Error("channel halted", "channel", w.cfg.Channel, "why", why.Error())
	}
}

// Say says drafts in order, and returns when the broker has stored all of
// them. On an error nothing was said, unless the error says that it is
// journalled (see [IsPending]).
func (w *Writer) Say(ctx context.Context, drafts ...Draft) ([]Said, error) {
	tickets, err := w.enqueue(ctx, drafts)
	if err != nil {
		return nil, err
	}
	out := make([]Said, len(tickets))
	var first error
	for i, t := range tickets {
		select {
		case err := <-t.result:
			if err != nil && first == nil {
				first = err
			}
			out[i] = t.said
		case <-ctx.Done():
			return nil, problem.Wrap(problem.Failed, ctx.Err(), "no answer from the own broker in time; it may still be said").
				WithHint("send the same alert with the same id again: it is never said twice")
		}
	}
	if first != nil {
		return nil, first
	}
	return out, nil
}

// IsPending reports whether an error of Say means "will still be said".
func IsPending(err error) bool { return errors.Is(err, errPending) }

// Close stops the writer after what is queued, or when ctx ends, whichever is
// first; what was journalled and not published by then is published after the
// next start. The journal is closed.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	close(w.queue)
	close(w.sealing)
	w.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
		w.cancel()
		<-w.done
	}
	w.cancel()
	return w.closeJournal()
}

func (w *Writer) closeJournal() error {
	if w.journal == nil {
		return nil
	}
	return w.journal.Close()
}
