package journal

import (
	"errors"
	"fmt"

	"karaula/internal/envelope"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// contents is what a journal file says.
type contents struct {
	state   State // after the last signed statement
	base    State // after the last confirmed one
	pending []pending
	opened  uint64 // numbers before the open record
	size    int64  // bytes that are whole records; what follows is a torn tail
	place   []byte
}

// errEmpty: the file does not begin with an open record.
var errEmpty = errors.New("it does not begin with an open record")

// replay reads a whole file. Everything is checked again: numbers, leaves and
// roots. A torn last record is left out; any other fault is an error that names
// the byte.
func replay(raw []byte) (*contents, error) {
	c := &contents{}
	for int(c.size) < len(raw) {
		r, n, err := decode(raw, int(c.size))
		if errors.Is(err, errTorn) && c.size > 0 {
			break
		}
		if err == nil {
			err = c.apply(r, c.size == 0)
		}
		if err != nil {
			return nil, fmt.Errorf("the record at byte %d: %w", c.size, err)
		}
		c.size += int64(n)
	}
	if c.size == 0 {
		return nil, errEmpty
	}
	return c, nil
}

// apply takes in one record.
func (c *contents) apply(r *karaulav1.JournalRecord, first bool) error {
	switch {
	case first && r.GetOpen() == nil:
		return errEmpty
	case !first && r.GetOpen() != nil:
		return errors.New("a second open record")
	case r.GetOpen() != nil:
		return c.open(r.GetOpen())
	case r.GetSigned() != nil:
		return c.signed(r.GetSigned())
	case r.GetConfirmed() != nil:
		return c.confirmed(r.GetConfirmed())
	default:
		return errors.New("it records nothing")
	}
}

// open takes in the first record of a file. Its tree is trusted as far as the
// file is: the next signed statement carries the root that it must give.
func (c *contents) open(o *karaulav1.JournalOpen) error {
	edge := make([][32]byte, len(o.GetFrontier()))
	for i, h := range o.GetFrontier() {
		if len(h) != 32 {
			return errors.New("a hash of the right edge has the wrong length")
		}
		edge[i] = [32]byte(h)
	}
	tree, err := ledger.FromEdge(o.GetSize(), edge)
	if err != nil {
		return err
	}
	if len(o.GetLedger()) != 32 || o.GetChannel() == "" || o.GetEpoch() == 0 {
		return errors.New("it names no ledger")
	}
	c.state = State{
		Ledger: ledger.ID(o.GetLedger()), Channel: o.GetChannel(), Epoch: o.GetEpoch(),
		Tree: tree, SaidAt: o.GetSaidAt(), Offset: o.GetOffset(),
	}
	c.base, c.place, c.opened = c.state.clone(), o.GetPlace(), o.GetSize()
	return nil
}

// signed takes in a batch.
func (c *contents) signed(s *karaulav1.JournalSigned) error {
	if len(s.GetEnvelopes()) == 0 || len(s.GetEnvelopes()) != len(s.GetTokens()) {
		return errors.New("a batch without envelopes, or without a token for each")
	}
	if s.GetFirstSeq() != c.state.Tree.Size()+1 {
		return fmt.Errorf("a batch from number %d on, number %d is next", s.GetFirstSeq(), c.state.Tree.Size()+1)
	}
	for i, raw := range s.GetEnvelopes() {
		// Peek, not Parse: what an older version of this program has signed
		// stays signed, whatever rules have been added since.
		p, ok := envelope.Peek(raw)
		seq := c.state.Tree.Size() + 1
		root := c.state.Tree.Root()
		if !ok || p.Said.GetSeq() != seq || string(p.Said.GetPrevRoot()) != string(root[:]) ||
			string(p.Said.GetLedger()) != string(c.state.Ledger[:]) || p.Said.GetEpoch() != c.state.Epoch {
			return fmt.Errorf("the envelope at the place of number %d is another one", seq)
		}
		c.state.Tree.Append(p.Leaf)
		c.state.SaidAt = p.Said.GetSaidAt()
		c.pending = append(c.pending, pending{
			Entry:  Entry{Seq: seq, Envelope: raw, Token: s.GetTokens()[i], Leaf: p.Leaf},
			saidAt: c.state.SaidAt,
		})
	}
	if root := c.state.Tree.Root(); string(s.GetRootAfter()) != string(root[:]) {
		return errors.New("the root after the batch is another one")
	}
	return nil
}

// confirmed takes in what the broker has.
func (c *contents) confirmed(r *karaulav1.JournalConfirmed) error {
	if r.GetSeq() < c.base.Tree.Size() || r.GetSeq() > c.state.Tree.Size() {
		return fmt.Errorf("number %d is confirmed and was not signed, or was confirmed before", r.GetSeq())
	}
	for len(c.pending) > 0 && c.pending[0].Seq <= r.GetSeq() {
		c.base.Tree.Append(c.pending[0].Leaf)
		c.base.SaidAt = c.pending[0].saidAt
		c.pending = c.pending[1:]
	}
	c.base.Offset, c.state.Offset = r.GetOffset(), r.GetOffset()
	return nil
}
