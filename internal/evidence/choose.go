package evidence

import (
	"slices"
	"time"

	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Choice says which slice of history to take.
type Choice struct {
	// From and To bound when it was said; To is excluded. Zero for no bound.
	From, To time.Time
	// Origin limits it to one party; others are there with their receipts only.
	Origin string
	// Places are single statements; if there are any, nothing else is chosen.
	Places []Place
}

// Place names a statement.
type Place struct {
	Channel, Origin string
	Epoch, Seq      uint64
}

// span is a stretch of one ledger, in numbers of all its statements in order.
type span struct {
	in          Input
	first, last uint64          // indexes of statements in the store; 0 for none
	at          border.Position // of the first
	until       border.Position // of the last that was asked for
	edge        *Start
}

// Choose cuts a slice out of ledgers: what was asked for, the next statement of
// each, which signs the root over it, and of every other ledger the stretch with
// the receipts about it. Each ledger is read twice; ledgers of which nothing is
// needed are left out.
func Choose(inputs []Input, c Choice) ([]Input, error) {
	spans := make([]*span, len(inputs))
	for i, in := range inputs {
		spans[i] = &span{in: in}
		if err := spans[i].ask(c); err != nil {
			return nil, err
		}
	}
	asked := map[ledger.ID]*span{}
	for _, s := range spans {
		if s.first > 0 {
			asked[s.in.ID] = s
		}
	}
	var out []Input
	for _, s := range spans {
		if err := s.settle(asked); err != nil {
			return nil, err
		}
		if s.first > 0 {
			out = append(out, s.cut())
		}
	}
	return out, nil
}

// wants reports whether a statement was asked for.
func (c *Choice) wants(in Input, at border.Position, said int64) bool {
	if len(c.Places) > 0 {
		return slices.Contains(c.Places, Place{in.Channel, in.Origin, at.Epoch, at.Seq})
	}
	return (c.Origin == "" || c.Origin == in.Origin) &&
		(c.From.IsZero() || said >= c.From.UnixMicro()) && (c.To.IsZero() || said < c.To.UnixMicro())
}

// each calls fn for every statement of a ledger, with its index from 1.
func (s *span) each(fn func(n uint64, raw []byte, p *envelope.Peeked, at border.Position)) error {
	n := uint64(0)
	for raw, err := range s.in.Pieces {
		if err != nil {
			return err
		}
		p, ok := envelope.Peek(raw.Data)
		if !ok || p.Said.GetChannel() != s.in.Channel || p.Said.GetOrigin() != s.in.Origin {
			continue
		}
		n++
		fn(n, raw.Data, p, border.Position{Epoch: p.Said.GetEpoch(), Seq: p.Said.GetSeq()})
	}
	return nil
}

// ask finds what was asked for.
func (s *span) ask(c Choice) error {
	return s.each(func(n uint64, _ []byte, p *envelope.Peeked, at border.Position) {
		if !c.wants(s.in, at, p.Said.GetSaidAt()) {
			return
		}
		if s.first == 0 {
			s.first, s.at = n, at
		}
		s.last, s.until = n, at
	})
}

// settle widens a stretch by the receipts about what was asked for, and keeps the
// hashes of what lies before it.
func (s *span) settle(asked map[ledger.ID]*span) error {
	open := map[ledger.ID]bool{} // asked for, and not covered by a receipt yet
	for id := range asked {
		open[id] = id != s.in.ID
	}
	tree, epoch := &ledger.Tree{}, uint64(1)
	if s.in.Start != nil {
		epoch = s.in.Start.Epoch
	}
	return s.each(func(n uint64, raw []byte, p *envelope.Peeked, at border.Position) {
		if at.Epoch != epoch {
			tree, epoch = &ledger.Tree{}, at.Epoch
		}
		covers := p.Said.GetKind() == karaulav1.Kind_KIND_RECEIPT && s.covers(raw, asked, open)
		if covers && (s.first == 0 || n < s.first) {
			s.first = n
		}
		if covers && n > s.last {
			s.last = n
		}
		if n == s.first {
			s.edge = &Start{Epoch: at.Epoch, Size: tree.Size(), Edge: tree.Frontier()}
		}
		if at.Seq == tree.Size()+1 {
			tree.Append(p.Leaf)
		}
	})
}

// covers reports whether a statement is a receipt about something that was asked
// for: all of those up to the first one that covers its end.
func (s *span) covers(raw []byte, asked map[ledger.ID]*span, open map[ledger.ID]bool) bool {
	parsed, err := envelope.ParseOuter(raw)
	if err != nil {
		return false
	}
	m, err := parsed.Body()
	body, ok := m.(*karaulav1.Receipt)
	if err != nil || !ok {
		return false
	}
	found := false
	for _, l := range body.GetLedgers() {
		if len(l.GetLedger()) != 32 {
			continue
		}
		id := ledger.ID(l.GetLedger())
		to := border.Position{Epoch: l.GetEpoch(), Seq: l.GetJudgedTo()}
		if a := asked[id]; a != nil && open[id] && !before(to, a.at) {
			found = true
			open[id] = before(to, a.until)
		}
	}
	return found
}

func before(a, b border.Position) bool {
	return a.Epoch < b.Epoch || a.Epoch == b.Epoch && a.Seq < b.Seq
}

// cut gives the stretch as a ledger of its own, with the statement behind it.
func (s *span) cut() Input {
	out := s.in
	out.Start = s.edge
	out.Pieces = func(yield func(Raw, error) bool) {
		n := uint64(0)
		for raw, err := range s.in.Pieces {
			if err != nil {
				yield(Raw{}, err)
				return
			}
			if _, ok := numberOf(s.in, raw.Data); !ok {
				continue
			}
			if n++; n < s.first {
				continue
			}
			if n > s.last+1 || !yield(raw, nil) {
				return
			}
		}
	}
	return out
}

// Name is the name of the statement in a bundle.
func (p Place) Name() string { return statementName(p.Channel, p.Origin, p.Epoch, p.Seq) }
