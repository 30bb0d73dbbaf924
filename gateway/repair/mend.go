package repair

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"karaula/gateway/stream"
	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/problem"
	"karaula/internal/subject"
)

// Mend puts what is missing into the stream, in its order, and gives how many of
// the statements are without their content, which nobody has any more. It may be
// stopped at any moment and begun again with a new survey: every prefix of a
// history is one.
func (s *Survey) Mend(ctx context.Context) (stubs uint64, err error) {
	end := s.end
	s.fetched = map[[32]byte][]byte{}
	on := subject.On(s.cfg.Channel, s.cfg.Mode)
	for rest := s.missing; len(rest) > 0; {
		batch, size := []stream.Msg{}, 0
		for len(rest) > 0 && len(batch) < stream.MaxBatch && size < stream.MaxBatchBytes {
			raw, err := s.whole(ctx, rest)
			if err != nil {
				return stubs, err
			}
			p, err := envelope.ParseOuter(raw)
			if err != nil {
				return stubs, problem.Wrap(problem.Failed, err, "number %d cannot be put back", rest[0].at.Seq)
			}
			if p.IsStub() {
				stubs++
			}
			token := subject.Token(p.Statement.GetKind(), p.Statement.GetType())
			batch = append(batch, stream.Msg{Subject: subject.Say(on, s.cfg.Self, token), Data: raw})
			size += len(raw)
			rest = rest[1:]
		}
		if end, err = s.cfg.Log.Append(ctx, batch, end); err != nil {
			return stubs, problem.Wrap(problem.Unreachable, err, "the own broker has not confirmed what was put back").
				WithHint("safe to repeat: karaula ledger repair --channel %s", s.cfg.Channel)
		}
	}
	s.end = end
	return stubs, nil
}

// fetchAtOnce is how many statements one question asks for with their content.
const fetchAtOnce = 32

// unsure reports whether an answer may be another one later: that somebody does
// not answer now says nothing about what it holds.
func unsure(err error) bool {
	return problem.Is(err, problem.Unreachable) || problem.Is(err, problem.Failed)
}

// whole gives the bytes of the first of some missing statements: with its content
// if anybody has it, without it only if everybody has answered.
func (s *Survey) whole(ctx context.Context, rest []missing) ([]byte, error) {
	m := rest[0]
	if m.raw != nil {
		return m.raw, nil
	}
	if raw := s.fetched[m.leaf]; raw != nil {
		delete(s.fetched, m.leaf)
		return raw, nil
	}
	var bare []byte
	var silent error
	for _, code := range slices.Sorted(maps.Keys(s.cfg.Partners)) {
		raw, err := s.fetch(ctx, s.cfg.Partners[code], rest)
		switch {
		case err != nil:
			silent = err
		case raw == nil:
		case raw.IsStub():
			bare = raw.Raw
		default:
			return raw.Raw, nil
		}
	}
	if bare == nil || silent != nil {
		return nil, problem.Wrap(problem.Unreachable, cmp.Or(silent, errGone),
			"number %d of epoch %d cannot be had now; what was put back before it stays", m.at.Seq, m.at.Epoch).
			WithHint("safe to repeat: karaula ledger repair --channel %s", s.cfg.Channel)
	}
	return bare, nil
}

var errGone = errors.New("nobody shows it any more")

// fetch asks a partner for the first of some missing statements, and keeps what
// it gives of the others. Nil if it has none that is ours; an error if it may
// have it and does not answer now.
func (s *Survey) fetch(ctx context.Context, p Partner, rest []missing) (*envelope.Parsed, error) {
	first, last := rest[0].at, rest[0].at.Seq
	want := map[[32]byte]bool{}
	for _, m := range rest[:min(len(rest), fetchAtOnce)] {
		if m.at.Epoch != first.Epoch {
			break
		}
		last, want[m.leaf] = m.at.Seq, true
	}
	all, err := p.Statements(ctx, first.Epoch, first.Seq, last)
	if problem.Is(err, problem.Invalid) { // with its content it fits into no answer
		all, err = p.Stubs(ctx, first.Epoch, first.Seq, first.Seq)
	}
	if unsure(err) {
		return nil, err
	}
	var found *envelope.Parsed
	for _, raw := range all {
		e, ok := s.history.ours(raw)
		switch {
		case !ok || !want[e.Leaf] || e.CheckParts() != nil:
		case e.Leaf == rest[0].leaf:
			found = e
		case !e.IsStub():
			s.fetched[e.Leaf] = raw
		}
	}
	return found, nil
}

// JournalState is where a journal begins behind the survey's head, when the
// stream holds everything up to there.
func (s *Survey) JournalState() journal.State {
	return journal.State{
		Ledger: s.cfg.Ledger, Channel: s.cfg.Channel, Epoch: s.Head.Epoch,
		Tree:   s.history.tree(s.Head.Epoch, s.Head.Seq),
		SaidAt: s.history.led.SaidAt, Offset: int64(s.end) - int64(s.Head.Seq), //nolint:gosec // sequences fit
	}
}

// CardSerial gives the serial of the card in force at the end of the history: a
// new epoch begins under a newer one.
func (s *Survey) CardSerial() uint64 { return s.history.led.CardSerial }

// Agreement gives the text in force at the end of the history; zero if nothing
// was ever said.
func (s *Survey) Agreement() [32]byte { return s.history.led.Agreement }
