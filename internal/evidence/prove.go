package evidence

import (
	"errors"
	"os"
	"path/filepath"

	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
)

// Ask says what to prove about a ledger.
type Ask struct {
	Fact Fact // inclusion, consistency or range
	// Epoch is whose; 0 for the last one.
	Epoch uint64
	// From is the number of the statement, the earlier size, or the first number.
	From uint64
	// To is the size of the later root, or the last number; 0 for as much as there is.
	To uint64
}

// Prove makes a proof from what a store holds of a ledger. It needs room for 64
// bytes a statement in a temporary file. What is in the proof must still be
// checked: [Proof.Check].
func Prove(view *register.View, in Input, ask Ask) (p *Proof, err error) {
	dir, err := os.MkdirTemp("", "karaula-prove-")
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "there is no room for the hashes of the ledger")
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	h, err := ledger.OpenHashes(filepath.Join(dir, "hashes"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	g := &gathering{ask: ask, in: in, hashes: h}
	if err := g.gather(); err != nil {
		return nil, err
	}
	return g.prove(view)
}

// gathering reads a ledger for a proof.
type gathering struct {
	ask    Ask
	in     Input
	hashes *ledger.Hashes
	epoch  uint64
	kept   map[uint64][]byte // statements that may be needed, by number
	last   []byte
}

// gather appends the leaves of the epoch and keeps the statements that are needed.
func (g *gathering) gather() error {
	for raw, err := range g.in.Pieces {
		if err != nil {
			return err
		}
		at, ok := numberOf(g.in, raw.Data)
		if !ok {
			continue
		}
		if g.ask.Epoch != 0 && at.Epoch != g.ask.Epoch {
			continue
		}
		if at.Epoch > g.epoch {
			if err := g.hashes.Reset(); err != nil {
				return err
			}
			g.epoch, g.kept = at.Epoch, map[uint64][]byte{}
		}
		if at.Epoch != g.epoch || at.Seq != g.hashes.Size()+1 {
			continue
		}
		peeked, _ := envelope.Peek(raw.Data)
		if err := g.hashes.Append(peeked.Leaf); err != nil {
			return err
		}
		g.last = raw.Data
		if g.needs(at.Seq) && len(g.kept) <= maxStatements {
			g.kept[at.Seq] = raw.Data
		}
	}
	if g.hashes.Size() < 2 {
		return problem.New(problem.NotFound, "the ledger has fewer than two statements; there is nothing to prove")
	}
	return nil
}

func (g *gathering) needs(seq uint64) bool {
	switch {
	case g.ask.To != 0 && seq == g.ask.To+1:
		return true
	case g.ask.Fact == Consistency:
		return seq == g.ask.From+1
	case g.ask.Fact == Range:
		return seq >= g.ask.From && (g.ask.To == 0 || seq <= g.ask.To)
	default:
		return seq == g.ask.From
	}
}

func (g *gathering) prove(view *register.View) (*Proof, error) {
	to := g.ask.To
	if to == 0 {
		to = g.hashes.Size() - 1
	}
	head := g.kept[to+1]
	if g.ask.To == 0 {
		head = g.last
	}
	first := g.ask.From
	if g.ask.Fact == Consistency {
		first++
	}
	one := g.kept[first]
	if one == nil || head == nil {
		return nil, problem.New(problem.NotFound, "number %d or %d of epoch %d is not there: the root over %d statements is signed by number %d",
			first, to+1, g.epoch, to, to+1)
	}
	switch g.ask.Fact {
	case Inclusion:
		return NewInclusion(view, g.hashes, one, head)
	case Consistency:
		return NewConsistency(view, g.hashes, one, head)
	case Range:
		var list [][]byte
		for n := first; n <= to; n++ {
			if g.kept[n] == nil {
				return nil, problem.New(problem.Invalid, "a proof of a range holds at most %d statements", maxStatements-1)
			}
			list = append(list, g.kept[n])
		}
		return NewRange(view, g.hashes, append(list, head)...)
	case Fork:
	}
	return nil, problem.New(problem.Invalid, "%q cannot be proved from one ledger", g.ask.Fact)
}

// TreeOf is the tree over the statements of envelopes. Errors are of kind Invalid.
func TreeOf(envelopes [][]byte) (*ledger.Tree, error) {
	tree := &ledger.Tree{}
	for _, raw := range envelopes {
		p, ok := envelope.Peek(raw)
		if !ok {
			return nil, problem.New(problem.Invalid, "there is an envelope without a statement")
		}
		tree.Append(p.Leaf)
	}
	return tree, nil
}
