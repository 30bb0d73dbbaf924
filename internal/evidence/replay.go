package evidence

import (
	"context"
	"slices"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/border"
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Input is one ledger to replay.
type Input struct {
	Channel, Origin string
	Mode            karaulav1.Mode
	ID              ledger.ID
	// Start is where the pieces begin; nil for number 1 of epoch 1.
	Start  *Start
	Pieces Pieces
	// Aside are pieces that were put aside as no part of the ledger; nil for none.
	// Only contradictions that the origin has signed are looked for in them.
	Aside Pieces
}

// Start is a place in the middle of a ledger: what was said before it is known
// by its hashes only.
type Start struct {
	Epoch, Size uint64     // statements before the first one
	Edge        [][32]byte // right edge of their tree
}

// Options say how to replay.
type Options struct {
	View *register.View
	// Skew is how far two clocks may be apart.
	Skew time.Duration
	Now  time.Time
	// Reader is the code of the auditor whose key Opener has; empty for a witness.
	Reader string
	Opener border.Opener
	// Tell is told of every statement that has its place, in the order of the times
	// that they state; its error ends the replay. May be nil.
	Tell func(*Said) error
	// Roots vouch for a party whose alert was passed on, besides what the view knows.
	Roots []string
	// Frame gives the disclosed frame of a statement; may be nil.
	Frame func(channel, origin string, epoch, seq uint64) ([]byte, bool)
}

// Said is a statement that has its place.
type Said struct {
	Channel, Origin string
	Mode            karaulav1.Mode
	Epoch, Seq      uint64
	Where           string
	Leaf            [32]byte
	At              time.Time // as it says; zero if it is malformed, like much of what follows
	Kind            karaulav1.Kind
	Type            karaulav1.AlertType
	EraseAfter      time.Time
	// Agreement is the text that it names; nil if that is not here.
	Agreement *agreement.Agreement
	// Clauses are those that let its origin say the type.
	Clauses []string
	// Readers could read it: those it was sealed to, or all parties.
	Readers []string
	// Sealed: it has content; Stub: the content is not there.
	Sealed, Stub bool
	// Verdict is that of a witness, or of a reader.
	Verdict border.Verdict
	// Received is what it says about other ledgers, in a receipt.
	Received []Received
	// Brings is the card or text that rules from the next number on.
	Brings string
	Card   *card.Card
	Parsed *envelope.Parsed
}

// Received is what a recipient has judged of a ledger.
type Received struct {
	Origin          string // whose ledger; empty if that is not among those replayed
	Epoch           uint64
	Since, To       uint64 // numbers above Since, up to To
	Exceptions      []*karaulav1.ReceiptException
	JudgedContested bool
}

// Report is what a replay has found out.
type Report struct {
	Ledgers  []*LedgerReport
	Findings []*Finding // the first maxFindings
	More     int        // further ones
	Broken   bool       // something does not verify
}

// LedgerReport is where one ledger stands after a replay.
type LedgerReport struct {
	Channel, Origin string
	ID              ledger.ID
	Mode            karaulav1.Mode
	Epoch           uint64
	From, Size      uint64 // first and last number of the last epoch
	Root            [32]byte
	First, Last     time.Time // times said
	Statements      uint64    // with a place, over all epochs
	Unplaced        uint64    // behind the first thing that does not verify
	Refused         uint64
	Kinds           map[karaulav1.Kind]uint64
	// Cosigned is up to which number of the last epoch each other party has signed
	// the same history.
	Cosigned map[string]uint64
	// State is the ledger's state, as the border check keeps it.
	State *border.Ledger
}

// GCPercent is the garbage collector's setting (GOGC) that a program does well to
// run a long replay with: little lives, and much is read.
const GCPercent = 400

// maxFindings bounds how many findings a report holds.
const maxFindings = 1000

// replay is one call of [Replay].
type replay struct {
	o        Options
	checker  *border.Checker
	ctx      context.Context //nolint:containedctx // it lives as long as the call
	runs     []*run
	byLedger map[ledger.ID]*run
	texts    map[[32]byte]*agreement.Agreement
	report   Report
}

// Replay verifies ledgers again. It reads them side by side, in the order of the
// times that statements state, with all processors, and needs memory for what is
// under way only. Errors are those of the stores and of Tell: what does not
// verify is a [Finding].
func Replay(ctx context.Context, o Options, inputs []Input) (*Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &replay{
		o: o, ctx: ctx, byLedger: map[ledger.ID]*run{}, texts: map[[32]byte]*agreement.Agreement{},
		checker: &border.Checker{Self: o.Reader, Skew: o.Skew, Opener: o.Opener, Roots: o.Roots},
	}
	readers := newReaders(ctx, o.View)
	defer readers.all.Wait()
	defer cancel()
	for _, in := range inputs {
		run := newRun(r, in)
		defer run.close()
		r.runs, r.byLedger[in.ID] = append(r.runs, run), run
		run.feed = readers.feed(ctx, in.Pieces)
	}
	if err := r.merge(); err != nil {
		return nil, err
	}
	for _, run := range r.runs {
		run.finish()
		if err := run.aside(); err != nil {
			return nil, err
		}
		r.report.Ledgers = append(r.report.Ledgers, run.result())
	}
	return &r.report, nil
}

// merge takes the pieces of all ledgers, the one said first first.
func (r *replay) merge() error {
	open := append([]*run(nil), r.runs...)
	for len(open) > 0 {
		best, first := -1, int64(0)
		for i := 0; i < len(open); i++ {
			_, piece, err := open[i].feed.peek(r.ctx)
			if err != nil {
				return err
			}
			if piece == nil {
				open = append(open[:i], open[i+1:]...)
				i--
				continue
			}
			if at := saidAt(piece); best < 0 || at < first {
				best, first = i, at
			}
		}
		if best < 0 {
			return nil
		}
		raw, piece, _ := open[best].feed.peek(r.ctx)
		if err := open[best].take(*raw, piece); err != nil {
			return err
		}
		open[best].feed.step()
	}
	return nil
}

// find notes a finding. Where there is no room, what does not verify stands before
// what only does not fit.
func (r *replay) find(f *Finding) {
	broken := f.Class.Broken()
	r.report.Broken = r.report.Broken || broken
	if len(r.report.Findings) < maxFindings {
		r.report.Findings = append(r.report.Findings, f)
		return
	}
	r.report.More++
	if !broken {
		return
	}
	for i, old := range slices.Backward(r.report.Findings) {
		if !old.Class.Broken() {
			r.report.Findings = append(slices.Delete(r.report.Findings, i, i+1), f)
			return
		}
	}
}

// text finds the text that a statement names.
func (r *replay) text(st *karaulav1.Statement) *agreement.Agreement {
	digest := [32]byte(st.GetAgreement())
	if a, ok := r.texts[digest]; ok {
		return a
	}
	var a *agreement.Agreement
	if e, ok := r.o.View.AgreementByDigest(digest); ok && e.Complete {
		a = e.Agreement
	}
	if len(r.texts) < 1000 {
		r.texts[digest] = a
	}
	return a
}
