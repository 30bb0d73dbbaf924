package evidence

import (
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

// Needs gives the numbers of the statements that a proof is made of, where the epoch
// has so many. Errors are of kind Invalid, or NotFound where one was not said yet.
func (a Ask) Needs(size uint64) ([]uint64, error) {
	if max(a.From, a.To) > ledger.MaxSize {
		return nil, problem.New(problem.Invalid, "no ledger has so many statements")
	}
	if size < 2 {
		return nil, problem.New(problem.NotFound, "the ledger has fewer than two statements; there is nothing to prove")
	}
	to, first := a.To, a.From
	if to == 0 {
		to = size - 1
	}
	if a.Fact == Consistency {
		first++
	}
	switch {
	case a.From == 0:
		return nil, problem.New(problem.Invalid, "numbers begin with 1")
	case first > to && a.To != 0:
		return nil, problem.New(problem.Invalid, "nothing can be proved from number %d to %d", a.From, a.To)
	case first > to || to >= size:
		return nil, problem.New(problem.NotFound, "number %d is not there: the root over %d statements is signed by number %d",
			max(first, to)+1, max(first, to), max(first, to)+1)
	}
	switch a.Fact {
	case Inclusion, Consistency:
		return []uint64{first, to + 1}, nil
	case Range:
		if to-first+2 > maxStatements {
			return nil, problem.New(problem.Invalid, "a proof of a range holds at most %d statements", maxStatements-1)
		}
		var out []uint64
		for n := first; n <= to+1; n++ {
			out = append(out, n)
		}
		return out, nil
	case Fork:
	}
	return nil, problem.New(problem.Invalid, "%q cannot be proved from one ledger", a.Fact)
}

// Make makes a proof of the statements that [Ask.Needs] names, in its order, and of
// the epoch's history. What is in the proof must still be checked: [Proof.Check].
func (a Ask) Make(view *register.View, h *ledger.History, statements [][]byte) (*Proof, error) {
	switch a.Fact {
	case Inclusion:
		return NewInclusion(view, h, statements[0], statements[1])
	case Consistency:
		return NewConsistency(view, h, statements[0], statements[1])
	default:
		return NewRange(view, h, statements...)
	}
}

// Prove makes a proof from what a store holds of a ledger, all of which it reads. It
// takes about 35 bytes a statement. What is in the proof must still be checked:
// [Proof.Check].
func Prove(view *register.View, in Input, ask Ask) (*Proof, error) {
	g := &gathering{ask: ask, in: in, history: &ledger.History{}}
	if err := g.gather(); err != nil {
		return nil, err
	}
	size := g.history.Size()
	needs, err := ask.Needs(size)
	if err != nil {
		return nil, err
	}
	statements := make([][]byte, len(needs))
	for i, n := range needs {
		if statements[i] = g.kept[n]; n == size {
			statements[i] = g.last
		}
	}
	return ask.Make(view, g.history, statements)
}

// gathering reads a ledger for a proof.
type gathering struct {
	ask     Ask
	in      Input
	history *ledger.History
	epoch   uint64
	kept    map[uint64][]byte // statements that may be needed, by number
	last    []byte
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
			g.history, g.epoch, g.kept = &ledger.History{}, at.Epoch, map[uint64][]byte{}
		}
		if at.Epoch != g.epoch || at.Seq != g.history.Size()+1 {
			continue
		}
		peeked, _ := envelope.Peek(raw.Data)
		g.history.Append(peeked.Leaf)
		g.last = raw.Data
		if g.may(at.Seq) && len(g.kept) <= maxStatements {
			g.kept[at.Seq] = raw.Data
		}
	}
	return nil
}

// may reports whether a number may be needed, before it is known where the epoch ends.
func (g *gathering) may(seq uint64) bool {
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
