package repair

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
)

// contest notes that two different statements carry our signature at a place of
// the epoch that goes on. What an earlier epoch has made void is settled.
func (s *surveying) contest(ctx context.Context, at border.Position, other []byte, from string) {
	if at.Epoch != s.history.led.Epoch || s.Fork != nil && s.Fork.Position.Seq <= at.Seq {
		return
	}
	second, err := envelope.Stub(other)
	if err != nil {
		second = nil
	}
	s.Fork = &Fork{Position: at, Second: second, From: from, First: s.bytesAt(ctx, at)}
	s.note("number %d of epoch %d was signed twice with different bytes; the other one is from %s", at.Seq, at.Epoch, from)
}

// errFound ends a reading.
var errFound = errors.New("found")

// bytesAt reads the statement of the history from the stream, without parts;
// nil if the stream has lost it.
func (s *surveying) bytesAt(ctx context.Context, at border.Position) []byte {
	leaf, ok := s.history.LeafAt(at.Epoch, at.Seq)
	if !ok {
		return nil
	}
	var out []byte
	_ = s.cfg.Log.Read(ctx, 1, "", func(m stream.Stored) error { // nil says enough
		if leafOf(m.Data) != leaf {
			return nil
		}
		out, _ = envelope.Stub(m.Data)
		return errFound
	})
	return out
}

// decide says what was found comes to.
func (s *surveying) decide(inStream border.Position) {
	j := s.cfg.Journal
	sound := false
	switch {
	case j == nil:
		s.note("the signing journal cannot be read")
	case j.Epoch == s.Head.Epoch && j.Tree.Size() == s.Head.Seq:
		root := j.Tree.Root()
		sound = bytes.Equal(root[:], s.Root[:])
		s.note("the signing journal ends at number %d of epoch %d", j.Tree.Size(), j.Epoch)
	default:
		s.note("the signing journal ends at number %d of epoch %d, the history at number %d of epoch %d",
			j.Tree.Size(), j.Epoch, s.Head.Seq, s.Head.Epoch)
	}
	if j != nil && s.cfg.Copied {
		sound = false
		s.note("the signing journal is a copy of another file")
	}
	if j == nil || !s.after(j.Epoch, j.Tree.Size()) && !sound && inStream == s.Head {
		s.Reason = "journal-lost"
	}
	s.Rewrite = !sound
	switch {
	case s.Fork != nil:
		s.State, s.Reason = Contested, "contested"
		s.back(s.Fork.Position.Seq - 1)
	case s.otherJournal():
		s.State, s.Reason = Contested, "contested"
		s.note("the signing journal has signed other statements than those that are here and at the partners")
	case s.lost(sound):
		s.State = Lost
	case len(s.Away) > 0 && (!sound || s.Missing > 0):
		s.State = Waits
	case s.history.denied > 0:
		s.State, s.Reason = Revoked, "contested"
		s.note("the own card revokes the key that has signed number %d and those behind it", s.history.denied)
		s.back(s.history.denied - 1)
	case sound && s.Missing == 0:
		s.State = Fine
	default:
		s.State = Mendable
	}
}

// LeaveBehind takes the head back to the last number that no partner may have
// taken in from a revoked key instead, for a new epoch.
func (s *Survey) LeaveBehind() {
	if s.Vain != nil && s.Vain.Epoch == s.Head.Epoch && s.Vain.Seq <= s.Head.Seq {
		s.back(s.Vain.Seq - 1)
	}
}

// back takes the head back to the last number on which all agree.
func (s *Survey) back(seq uint64) {
	s.Head.Seq = seq
	s.Root, _ = s.history.RootAt(s.Head.Epoch, seq)
	s.missing = slices.DeleteFunc(s.missing, func(m missing) bool { return m.at.Epoch == s.Head.Epoch && m.at.Seq > seq })
	s.Missing = uint64(len(s.missing))
}

// otherJournal reports whether the journal contradicts the history.
func (s *surveying) otherJournal() bool {
	j := s.cfg.Journal
	if j == nil {
		return false
	}
	root, known := s.history.RootAt(j.Epoch, j.Tree.Size())
	end, over := s.history.ends[j.Epoch]
	return known && root != j.Tree.Root() && (!over || j.Tree.Size() <= end)
}

// after reports whether a place is behind the head.
func (s *surveying) after(epoch, seq uint64) bool {
	return epoch > s.Head.Epoch || epoch == s.Head.Epoch && seq > s.Head.Seq
}

// lost reports whether more was signed than anybody shows. Who has signed that
// it holds more is believed only if the journal is not there to know better.
func (s *surveying) lost(sound bool) bool {
	j := s.cfg.Journal
	out := s.beyond != nil || s.Vain != nil && !sound
	if j != nil && s.after(j.Epoch, j.Tree.Size()) {
		s.note("nobody has numbers %d to %d of epoch %d", s.Head.Seq+1, j.Tree.Size(), j.Epoch)
		out = true
	}
	if f := s.cfg.Floor; s.after(f.Epoch, f.Seq) {
		s.note("a backup says that number %d of epoch %d had been said, and nobody shows it", f.Seq, f.Epoch)
		out = true
	}
	for code, h := range s.cfg.Signed {
		if !sound && s.after(h.GetEpoch(), h.GetSize()) {
			s.note("%s has signed that it holds %d statements of epoch %d, and nobody shows them", code, h.GetSize(), h.GetEpoch())
			out = true
		}
	}
	return out
}
