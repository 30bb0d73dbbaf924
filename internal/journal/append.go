package journal

import (
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Append writes a batch with one write and one sync, and returns after the
// sync. Entries must follow the last signed number without a gap, and each
// envelope must be the statement that its entry says it is: of this ledger and
// epoch, with that number, leaf and prior root, said not before the one ahead
// of it. A batch that is not so is refused and nothing of it is written. After
// any other error see [Journal].
func (j *Journal) Append(entries []Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	if len(entries) == 0 {
		return nil
	}
	if j.copied {
		return problem.New(problem.Verification, "the signing journal of channel %s is a copy of another file; nothing is signed",
			j.state.Channel).WithHint("karaula ledger repair --channel %s", j.state.Channel)
	}
	if j.size > backlogMax {
		return problem.New(problem.Unreachable,
			"the own broker has not confirmed what was signed on channel %s; nothing more is signed", j.state.Channel).
			WithHint("karaula status shows whether the broker runs")
	}
	next := j.state.clone()
	batch := make([]pending, len(entries))
	for i, e := range entries {
		saidAt, err := admit(&next, e)
		if err != nil {
			return problem.Wrap(problem.KindOf(err), err, "nothing of the batch was written to the signing journal")
		}
		batch[i] = pending{Entry: e, saidAt: saidAt}
	}
	if err := j.write(signedRecord(batch, next.Tree.Root())); err != nil {
		return err
	}
	j.state = next
	j.pending = append(j.pending, batch...)
	return nil
}

// admit checks that an entry is the next one after st, adds it to st, and
// gives its time.
func admit(st *State, e Entry) (saidAt int64, err error) {
	p, err := envelope.ParseOuter(e.Envelope)
	if err != nil {
		return 0, problem.Wrap(problem.Invalid, err, "the envelope given as number %d is not one", e.Seq)
	}
	s := p.Statement
	switch {
	case e.Seq != st.Tree.Size()+1:
		return 0, problem.New(problem.Conflict, "number %d was given, number %d is next", e.Seq, st.Tree.Size()+1)
	case s.GetSeq() != e.Seq || s.GetEpoch() != st.Epoch || s.GetChannel() != st.Channel ||
		ledger.ID(s.GetLedger()) != st.Ledger:
		return 0, problem.New(problem.Conflict, "the envelope given as number %d is of another place", e.Seq)
	case e.Leaf != p.Leaf:
		return 0, problem.New(problem.Invalid, "the leaf given for number %d is not that of its statement", e.Seq)
	case st.Tree.Root() != [32]byte(s.GetPrevRoot()):
		return 0, problem.New(problem.Conflict, "number %d does not carry the root of what was said before", e.Seq)
	case s.GetSaidAt() < st.SaidAt:
		return 0, problem.New(problem.Conflict, "number %d was said before number %d", e.Seq, e.Seq-1)
	case !validToken(e.Token):
		return 0, problem.New(problem.Invalid, "number %d has no subject token", e.Seq)
	}
	st.Tree.Append(e.Leaf)
	st.SaidAt = s.GetSaidAt()
	return st.SaidAt, nil
}

// validToken reports whether s is 1 to 32 characters of a-z, 0-9 and hyphen.
func validToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 32
}

// Confirm says that the broker has stored every number up to seq, and that its
// stream sequence is seq+offset. It is kept in memory and written down now and
// then, because it can be learnt again from the stream. A number below the last
// confirmed one changes nothing; one that was never signed is a Conflict: then
// the stream holds what this journal does not know.
func (j *Journal) Confirm(seq uint64, offset int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	if seq > j.state.Tree.Size() {
		return problem.New(problem.Conflict,
			"the broker has number %d of channel %s, the signing journal ends at %d; nothing more is signed",
			seq, j.state.Channel, j.state.Tree.Size()).
			WithHint("karaula ledger repair --channel %s", j.state.Channel)
	}
	if seq < j.base.Tree.Size() {
		return nil
	}
	for len(j.pending) > 0 && j.pending[0].Seq <= seq {
		j.unwritten += len(j.pending[0].Envelope)
		j.base.Tree.Append(j.pending[0].Leaf)
		j.base.SaidAt = j.pending[0].saidAt
		j.pending = j.pending[1:]
	}
	j.base.Offset, j.state.Offset = offset, offset
	if j.unwritten < confirmEvery && j.written.Offset == offset {
		return nil
	}
	if err := j.writeConfirmed(); err != nil {
		return err
	}
	return j.rotateIfLarge()
}

// confirmedSinceWritten reports whether the file does not say yet what is confirmed.
func (j *Journal) confirmedSinceWritten() bool {
	return j.base.Tree.Size() != j.written.Tree.Size() || j.base.Offset != j.written.Offset
}

// writeConfirmed writes down what is confirmed.
func (j *Journal) writeConfirmed() error {
	err := j.write(&karaulav1.JournalRecord{Record: &karaulav1.JournalRecord_Confirmed{
		Confirmed: &karaulav1.JournalConfirmed{Seq: j.base.Tree.Size(), Offset: j.base.Offset},
	}})
	if err != nil {
		return err
	}
	j.written, j.unwritten = j.base.clone(), 0
	return nil
}

// write writes one record and syncs it. Every record is on disk before the
// next one begins, so a crash can only tear the last.
func (j *Journal) write(r *karaulav1.JournalRecord) error {
	frame, err := encode(r)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(frame); err != nil {
		return j.poison(err, "written")
	}
	if err := j.file.Sync(); err != nil {
		return j.poison(err, "synced to disk")
	}
	j.size += int64(len(frame))
	return nil
}

// signedRecord lays out a batch.
func signedRecord(batch []pending, root [32]byte) *karaulav1.JournalRecord {
	s := &karaulav1.JournalSigned{FirstSeq: batch[0].Seq, RootAfter: root[:]}
	for _, p := range batch {
		s.Envelopes = append(s.Envelopes, p.Envelope)
		s.Tokens = append(s.Tokens, p.Token)
	}
	return &karaulav1.JournalRecord{Record: &karaulav1.JournalRecord_Signed{Signed: s}}
}

// openRecord lays out the first record of a file.
func openRecord(st State, place []byte) *karaulav1.JournalRecord {
	o := &karaulav1.JournalOpen{
		Ledger: st.Ledger[:], Channel: st.Channel, Epoch: st.Epoch, Size: st.Tree.Size(),
		SaidAt: st.SaidAt, Offset: st.Offset, Place: place,
	}
	for _, h := range st.Tree.Frontier() {
		o.Frontier = append(o.Frontier, h[:])
	}
	return &karaulav1.JournalRecord{Record: &karaulav1.JournalRecord_Open{Open: o}}
}
