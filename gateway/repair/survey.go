package repair

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"karaula/gateway/erase"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// stubsAtOnce is how many statements one question asks for.
const stubsAtOnce = 256

// maxStrays bounds how many own statements out of their place are remembered.
const maxStrays = 100_000

// Take looks at everything and changes nothing. An error means that the own
// broker could not be read.
func Take(ctx context.Context, cfg Config) (*Survey, error) {
	s := &surveying{Survey: Survey{cfg: cfg, Reason: "stream-lost"}}
	s.history = newHistory(&s.cfg)
	if err := s.readStream(ctx); err != nil {
		return nil, err
	}
	inStream := s.history.last()
	s.note("the stream holds %d statements of epoch %d in order", inStream.Seq, inStream.Epoch)
	s.fromStrays()
	s.fromJournal()
	s.askAll(ctx)
	s.Head, s.Root = s.history.last(), s.history.led.Tree.Root()
	s.Missing = uint64(len(s.missing))
	s.decide(inStream)
	return &s.Survey, nil
}

// surveying is a survey that is going on.
type surveying struct {
	Survey

	strays map[border.Position][]byte
	junk   int
	heads  map[string]*karaulav1.Head
	beyond *border.Position // signed by us, and not to be had
}

func (s *surveying) note(format string, args ...any) {
	s.Found = append(s.Found, fmt.Sprintf(format, args...))
}

// readStream replays the own stream. Statements that are not in their place are
// remembered, everything else is junk.
func (s *surveying) readStream(ctx context.Context) error {
	s.strays = map[border.Position][]byte{}
	err := s.cfg.Log.Read(ctx, 1, "", func(m stream.Stored) error {
		if !s.follows(m.Data) {
			s.fill()
		}
		p := s.history.take(m.Data)
		switch p.Kind {
		case border.Next, border.Known:
		case border.Ahead:
			if len(s.strays) < maxStrays {
				s.strays[p.Position] = m.Data
			}
		case border.Fork:
			s.contest(ctx, p.Position, m.Data, "the own stream")
		default:
			s.junk++
		}
		return nil
	})
	s.fill()
	if err == nil {
		_, s.end, err = s.cfg.Log.End(ctx)
	}
	if err != nil {
		return problem.Wrap(problem.Unreachable, err, "the own stream of channel %s cannot be read", s.cfg.Channel)
	}
	if s.junk > 0 {
		s.note("%d messages in the stream are not statements of this ledger; they are stepped over", s.junk)
	}
	return nil
}

// follows reports whether bytes name the next number of the epoch that goes on.
func (s *surveying) follows(raw []byte) bool {
	p, ok := envelope.Peek(raw)
	next := s.history.led.Next()
	return ok && p.Said.GetEpoch() == next.Epoch && p.Said.GetSeq() == next.Seq
}

// fill puts stubs where the stream has no statement any more, as many as follow
// each other: what was erased is not missing.
func (s *surveying) fill() {
	for slices.ContainsFunc(s.cfg.Stubs[s.history.led.Next()], func(e erase.Stub) bool {
		return s.history.take(e.Raw).Kind == border.Next
	}) {
	}
}

// add takes bytes from elsewhere; whole says that they have their content.
func (s *surveying) add(raw []byte, whole bool) border.Placement {
	p := s.history.take(raw)
	if p.Kind == border.Next {
		m := missing{at: p.Position, leaf: p.Leaf}
		if whole {
			m.raw = raw
		}
		s.missing = append(s.missing, m)
	}
	return p
}

// fromStrays continues with statements that stand elsewhere in the stream.
func (s *surveying) fromStrays() {
	for {
		raw, ok := s.strays[s.history.led.Next()]
		if !ok || s.add(raw, true).Kind != border.Next {
			return
		}
	}
}

// fromJournal continues with what the journal has signed and not seen confirmed.
func (s *surveying) fromJournal() {
	for _, e := range s.cfg.Pending {
		if p := s.add(e.Envelope, true); p.Kind == border.Fork {
			s.contest(context.Background(), p.Position, e.Envelope, "the signing journal")
		}
	}
}

// askAll asks every partner, those first that say they hold most.
func (s *surveying) askAll(ctx context.Context) {
	s.heads = map[string]*karaulav1.Head{}
	for code, p := range s.cfg.Partners {
		h, err := p.Head(ctx)
		if err != nil {
			s.away(code)
			continue
		}
		s.heads[code] = h
	}
	order := slices.SortedFunc(maps.Keys(s.heads), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.heads[b].GetEpoch(), s.heads[a].GetEpoch()),
			cmp.Compare(s.heads[b].GetSize(), s.heads[a].GetSize()), cmp.Compare(a, b))
	})
	for range 2 { // what one shows may let another one's statements find their place
		for _, code := range order {
			s.extend(ctx, code)
		}
	}
	for _, code := range order {
		s.compare(ctx, code)
	}
	slices.Sort(s.Away)
}

func (s *surveying) away(code string) {
	if !slices.Contains(s.Away, code) {
		s.Away = append(s.Away, code)
		s.note("%s cannot be asked now", code)
	}
}

// extend continues the history with what a partner shows.
func (s *surveying) extend(ctx context.Context, code string) {
	h := s.heads[code]
	for h != nil {
		before := s.history.last()
		switch {
		case h.GetEpoch() < before.Epoch, h.GetEpoch() == before.Epoch && h.GetSize() <= before.Seq:
			return
		case h.GetEpoch() > before.Epoch && s.show(ctx, code, before.Epoch+1, 1, 1):
			continue
		}
		to := before.Seq + stubsAtOnce
		if h.GetEpoch() == before.Epoch {
			to = min(to, h.GetSize())
		}
		if !s.show(ctx, code, before.Epoch, before.Seq+1, to) {
			return
		}
	}
}

// show asks a partner for statements, and reports whether the history has grown.
func (s *surveying) show(ctx context.Context, code string, epoch, from, to uint64) (grown bool) {
	stubs, err := s.cfg.Partners[code].Stubs(ctx, epoch, from, to)
	if unsure(err) {
		s.away(code)
	}
	for _, raw := range stubs {
		switch p := s.add(raw, false); p.Kind {
		case border.Next:
			grown = true
		case border.Fork:
			s.contest(ctx, p.Position, raw, code)
			return false
		default:
		}
	}
	return grown
}

// compare holds what a partner says it holds against the history: where they
// differ, its bytes decide.
func (s *surveying) compare(ctx context.Context, code string) {
	h := s.heads[code]
	if h.GetSize() == 0 {
		return
	}
	root, known := s.history.RootAt(h.GetEpoch(), h.GetSize())
	if known && string(root[:]) == string(h.GetRoot()) {
		s.note("%s holds %d statements of epoch %d, the same", code, h.GetSize(), h.GetEpoch())
		return
	}
	raw, ok := s.one(ctx, code, h.GetEpoch(), h.GetSize())
	if !ok {
		s.note("%s says that it holds other or more statements, up to %d of epoch %d, and does not show them",
			code, h.GetSize(), h.GetEpoch())
		return
	}
	if !known && s.inVain(raw, code) {
		return
	}
	if !known {
		at := border.Position{Epoch: h.GetEpoch(), Seq: h.GetSize()}
		s.beyond = &at
		s.note("%s holds number %d of epoch %d with our signature; numbers before it are not to be had",
			code, at.Seq, at.Epoch)
		return
	}
	if leaf, _ := s.history.LeafAt(h.GetEpoch(), h.GetSize()); leaf == leafOf(raw) {
		return // it holds the same, and is wrong about the root
	}
	s.parting(ctx, code, h)
}

// parting finds the first number at which a partner holds another statement.
func (s *surveying) parting(ctx context.Context, code string, h *karaulav1.Head) {
	low, high := uint64(1), h.GetSize() // the first difference is in between, both included
	var other []byte
	for low <= high {
		mid := low + (high-low)/2
		raw, ok := s.one(ctx, code, h.GetEpoch(), mid)
		if !ok {
			break
		}
		if leaf, _ := s.history.LeafAt(h.GetEpoch(), mid); leaf == leafOf(raw) {
			low = mid + 1
		} else {
			other, high = raw, mid-1
		}
	}
	if other == nil {
		if other, _ = s.one(ctx, code, h.GetEpoch(), low); other == nil {
			s.note("%s holds another history and does not show it", code)
			return
		}
	}
	if s.inVain(other, code) {
		return
	}
	s.contest(ctx, border.Position{Epoch: h.GetEpoch(), Seq: low}, other, code)
}

// inVain notes a statement of a partner that a revoked own key has signed.
func (s *surveying) inVain(raw []byte, code string) bool {
	p, ok := s.history.ours(raw)
	if !ok || !border.Repudiated(s.cfg.View(), p.Statement) {
		return false
	}
	at := border.Position{Epoch: p.Statement.GetEpoch(), Seq: p.Statement.GetSeq()}
	s.note("%s holds a number %d of epoch %d that a revoked key has signed; it counts for nobody who has the own card; "+
		"if %s had taken it in before it had that card, only a new epoch (--new-epoch) lets it hear what is said now", code, at.Seq, at.Epoch, code)
	if s.Vain == nil || s.Vain.Covers(at) {
		s.Vain = &at
	}
	return true
}

// one asks a partner for one statement with our signature.
func (s *surveying) one(ctx context.Context, code string, epoch, seq uint64) ([]byte, bool) {
	all, err := s.cfg.Partners[code].Stubs(ctx, epoch, seq, seq)
	if unsure(err) {
		s.away(code)
	}
	if err != nil || len(all) == 0 {
		return nil, false
	}
	p, ok := s.history.ours(all[0])
	if !ok || p.Statement.GetEpoch() != epoch || p.Statement.GetSeq() != seq {
		return nil, false
	}
	return all[0], true
}

func leafOf(raw []byte) [32]byte {
	p, err := envelope.ParseOuter(raw)
	if err != nil {
		return [32]byte{}
	}
	return p.Leaf
}
