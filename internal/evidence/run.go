package evidence

import (
	"fmt"
	"time"

	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxForks bounds of how many contradictions in a ledger a file is made.
const maxForks = 10

// maxAhead is how many pieces may wait for a number before them.
const maxAhead = 4096

// run is the replay of one ledger.
type run struct {
	r       *replay
	in      Input
	feed    *feed
	led     *border.Ledger
	trails  map[uint64]*trail // by epoch
	out     LedgerReport
	begun   bool
	stopped bool // nothing more can be placed

	ahead   map[border.Position]waiting
	pending map[border.Position][]claim // about sizes that are not reached yet
	checked map[string]claim            // the last good claim of each party
	refused map[border.Position]karaulav1.Code

	forks    int
	doubtful []doubt // signed with a revoked key, and not confirmed yet

	before *border.Ledger // of the last statement, with what it was
	last   Raw
}

// doubt is a statement that a revoked key has signed.
type doubt struct {
	at    border.Position
	where string
}

// waiting is a piece that lies in the store before its predecessor.
type waiting struct {
	raw   Raw
	piece *border.Piece
}

func newRun(r *replay, in Input) *run {
	led := border.NewLedger(in.ID, in.Channel, in.Origin, in.Mode)
	u := &run{
		r: r, in: in, led: led, trails: map[uint64]*trail{},
		ahead: map[border.Position]waiting{}, pending: map[border.Position][]claim{},
		checked: map[string]claim{}, refused: map[border.Position]karaulav1.Code{},
		out: LedgerReport{
			Channel: in.Channel, Origin: in.Origin, ID: in.ID, Mode: in.Mode, Kinds: map[karaulav1.Kind]uint64{}, Cosigned: map[string]uint64{},
		},
	}
	if in.Start != nil {
		led.Epoch = in.Start.Epoch
	}
	return u
}

func (u *run) close() {
	for _, t := range u.trails {
		t.close()
	}
}

// LeafAt, RootAt and Accepted implement [border.History].
func (u *run) LeafAt(epoch, seq uint64) ([32]byte, bool) {
	if t := u.trails[epoch]; t != nil {
		return t.leaf(seq)
	}
	return [32]byte{}, false
}

// RootAt gives the root over the first size statements of an epoch.
func (u *run) RootAt(epoch, size uint64) ([32]byte, bool) {
	if t := u.trails[epoch]; t != nil {
		return t.root(size)
	}
	return ledger.EmptyRoot(), size == 0
}

// Accepted is not known to a replay: duplicates are the recipients' to refuse.
func (u *run) Accepted([16]byte, uint32) (border.Position, bool) { return border.Position{}, false }

// Before is not known to a replay either: versions are sealed.
func (u *run) Before([16]byte, uint32) (border.Earlier, bool) { return border.Earlier{}, false }

// find notes a finding of this ledger.
func (u *run) find(class Class, at border.Position, where string, code karaulav1.Code, format string, args ...any) *Finding {
	f := &Finding{
		Class: class, Channel: u.in.Channel, Origin: u.in.Origin, Epoch: at.Epoch, Seq: at.Seq, Where: where, Code: code,
		Text: fmt.Sprintf(format, args...),
	}
	u.r.find(f)
	return f
}

// take takes the next piece of the store.
func (u *run) take(raw Raw, piece *border.Piece) error {
	if !u.begun {
		u.begun = true
		if !u.begin(raw, piece) {
			u.stopped = true
		}
	}
	if u.stopped {
		u.out.Unplaced++
		return nil
	}
	if err := u.place(raw, piece); err != nil {
		return err
	}
	for len(u.ahead) > 0 {
		next, ok := u.ahead[u.led.Next()]
		if !ok {
			break
		}
		delete(u.ahead, u.led.Next())
		u.find(Moved, u.led.Next(), next.raw.Where, 0, "it lies in the store before the number that precedes it")
		if err := u.place(next.raw, next.piece); err != nil {
			return err
		}
	}
	return nil
}

// begin sets the state at the first piece of a slice: its edge must hash to the
// root that the first statement has signed.
func (u *run) begin(raw Raw, piece *border.Piece) bool {
	start := u.in.Start
	if start == nil || start.Size == 0 {
		return true
	}
	st := piece.Statement()
	if st == nil || st.GetSeq() != start.Size+1 || len(st.GetPrevRoot()) != 32 {
		u.find(Missing, border.Position{Epoch: start.Epoch, Seq: start.Size + 1}, raw.Where, 0, "it is not there")
		return false
	}
	tree, err := ledger.FromFrontier(start.Size, start.Edge, [32]byte(st.GetPrevRoot()))
	if err != nil {
		u.find(Damaged, border.Position{Epoch: start.Epoch, Seq: start.Size + 1}, raw.Where, karaulav1.Code_CODE_WRONG_ROOT,
			"the hashes of what was said before do not give the root that it has signed")
		return false
	}
	u.led.Tree = tree
	u.trails[start.Epoch] = &trail{base: start.Size, tree: tree}
	return true
}

// place finds the place of a piece.
func (u *run) place(raw Raw, piece *border.Piece) error {
	p := u.r.checker.PlacePiece(piece, u.r.o.View, u.led, u)
	if p.Kind == border.Quarantine && p.Code == karaulav1.Code_CODE_KEY_NOT_VALID && p.Position == u.led.Next() {
		p = u.repudiated(raw, piece, p)
	}
	switch p.Kind {
	case border.Next:
		return u.next(raw, &p)
	case border.Known:
		u.find(Repeated, p.Position, raw.Where, 0, "the same statement lies in the store once more")
	case border.Ahead:
		u.early(raw, piece, &p)
	case border.Fork:
		u.fork(raw, &p)
	case border.NeedCard:
		u.find(Unknown, p.Position, raw.Where, p.Code, "%s", p.Detail)
		u.stopped = true
		u.out.Unplaced++
	case border.Quarantine, border.NeedEdge, border.Before: // a replay has no text that it came in by
		u.find(Stranger, p.Position, raw.Where, p.Code, "not a statement of this ledger: %s", p.Detail)
	}
	return nil
}

// repudiated places what is signed with a key that was revoked from an earlier
// number on. Whether it is part of the history is for a later statement to say,
// which a good key signs over it.
func (u *run) repudiated(raw Raw, piece *border.Piece, p border.Placement) border.Placement {
	old := u.led.Settled
	u.led.Settled = p.Position.Seq
	again := u.r.checker.PlacePiece(piece, u.r.o.View, u.led, u)
	if again.Kind != border.Next {
		u.led.Settled = old
		return p
	}
	u.doubtful = append(u.doubtful, doubt{p.Position, raw.Where})
	return again
}

// confirm settles what a revoked key has signed: a statement with a good key
// stands over it, or nothing does.
func (u *run) confirm(good bool) {
	for _, d := range u.doubtful {
		if good {
			u.find(Repudiated, d.at, d.where, karaulav1.Code_CODE_KEY_NOT_VALID,
				"signed with a key that was revoked from an earlier number on; its origin has kept it in its history")
			continue
		}
		u.find(Revoked, d.at, d.where, karaulav1.Code_CODE_KEY_NOT_VALID,
			"signed with a key that was revoked from an earlier number on; nothing that a good key signed stands over it")
	}
	u.doubtful = nil
}

// early takes a piece that lies before its predecessor, or behind a gap.
func (u *run) early(raw Raw, piece *border.Piece, p *border.Placement) {
	if len(u.ahead) < maxAhead {
		u.ahead[p.Position] = waiting{raw, piece}
		return
	}
	u.gap()
	u.out.Unplaced++
}

// gap notes that the next number is not there, and stops: what follows cannot be
// held against anything.
func (u *run) gap() {
	u.find(Missing, u.led.Next(), "", 0, "it is not there, though later numbers are: nothing behind it can be verified")
	u.stopped = true
	u.out.Unplaced += uint64(len(u.ahead))
	u.ahead = nil
}

// next takes a statement that has its place.
func (u *run) next(raw Raw, p *border.Placement) error {
	before := u.led.Clone()
	if err := u.remember(p, before); err != nil {
		return err
	}
	if n := len(u.doubtful); n > 0 && u.doubtful[n-1].at != p.Position {
		u.confirm(true)
	}
	u.before, u.last = before, raw
	u.out.Statements++
	s := u.said(raw, p, before)
	if u.out.From == 0 || p.OpensEpoch() {
		u.out.From = p.Position.Seq
	}
	u.settle(p.Position)
	if p.Parsed != nil {
		if u.out.First.IsZero() {
			u.out.First = s.At
		}
		u.out.Last = s.At
		u.out.Kinds[s.Kind]++
		u.claims(p.Parsed.Statement, p.Position, s)
	}
	if u.r.o.Tell == nil {
		return nil
	}
	return u.r.o.Tell(s)
}

// remember advances the ledger and keeps leaf and root.
func (u *run) remember(p *border.Placement, before *border.Ledger) error {
	u.led.Advance(p)
	t := u.trails[u.led.Epoch]
	if t == nil {
		t = &trail{}
		u.trails[u.led.Epoch] = t
	}
	var root [32]byte
	switch {
	case p.OpensEpoch():
		root = ledger.EmptyRoot()
	case p.Parsed != nil:
		root = [32]byte(p.Parsed.Statement.GetPrevRoot()) // the placing has compared it
	default:
		root = before.Tree.Root()
	}
	t.tree = u.led.Tree
	return t.add(p.Leaf, root)
}

// finish says what is still open at the end of the store.
func (u *run) finish() {
	if len(u.ahead) > 0 {
		u.gap()
	}
	u.confirm(false)
	u.leftOver()
}

// aside looks for contradictions among what was put aside. All else that lies
// there anybody may have written.
func (u *run) aside() error {
	if u.in.Aside == nil {
		return nil
	}
	for raw, err := range u.in.Aside {
		if err != nil {
			return err
		}
		if p := u.r.checker.Place(raw.Data, u.r.o.View, u.led, u); p.Kind == border.Fork {
			u.fork(raw, &p)
		}
	}
	return nil
}

func (u *run) result() *LedgerReport {
	out := u.out
	out.Epoch, out.Size, out.Root, out.State = u.led.Epoch, u.led.Tree.Size(), u.led.Tree.Root(), u.led
	return &out
}

// fork notes a contradiction, with the file that proves it where both sides are
// here.
func (u *run) fork(raw Raw, p *border.Placement) {
	f := u.find(Forked, p.Position, raw.Where, p.Code, "its origin has contradicted itself: %s", p.Detail)
	switch {
	case u.forks == maxForks:
	case p.Code == karaulav1.Code_CODE_WRONG_ROOT && u.before != nil:
		f.Fork, _ = NewChainFork(u.r.o.View, u.before.Tree, u.last.Data, raw.Data)
	case p.Code == karaulav1.Code_CODE_FORK:
		if first, ok := u.standing(p); ok {
			f.Fork, _ = NewFork(u.r.o.View, first.Data, raw.Data)
		}
	}
	u.forks = min(u.forks+1, maxForks)
	u.led.Contest(p)
	if p.Position == u.led.Next() { // nothing can follow a root that is not this history's
		u.stopped = true
		u.out.Unplaced++
	}
}

// standing reads the store again for the statement that has the place.
func (u *run) standing(p *border.Placement) (Raw, bool) {
	leaf, _ := u.LeafAt(p.Position.Epoch, p.Position.Seq)
	for raw, err := range u.in.Pieces {
		if err != nil {
			break
		}
		if peeked, ok := envelope.Peek(raw.Data); ok && peeked.Leaf == leaf {
			return raw, true
		}
	}
	return Raw{}, false
}

func micro(n int64) time.Time { return time.UnixMicro(n).UTC() }
