package inbox

import (
	"maps"

	"karaula/internal/border"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// What an IN stream has lost comes again, and takes its places once more. What own
// receipts have said of it stands, and so does every final verdict: judged anew, what
// was accepted could be past its end, and the partner would be told otherwise than
// before, or this node's people.

// said is what own receipts have said of one epoch.
type said struct {
	to        uint64
	root      [32]byte
	contested bool
}

// saidOf notes what a receipt says of an epoch that has not begun here, or not again.
func (d *docket) saidOf(r *karaulav1.LedgerReceipt) {
	s := d.said[r.GetEpoch()]
	if r.GetJudgedTo() >= s.to {
		s.to, s.root = r.GetJudgedTo(), [32]byte(r.GetRoot())
	}
	s.contested = s.contested || r.GetContested() != nil
	if d.said == nil {
		d.said = map[uint64]said{}
	}
	d.said[r.GetEpoch()] = s
}

// recall has an epoch begin with what own receipts have said of it.
func (d *docket) recall(epoch uint64) {
	if s := d.said[epoch]; s.to >= d.receipted {
		d.receipted, d.toldRoot = s.to, s.root
	}
	d.toldContest = d.toldContest || d.said[epoch].contested
	maps.DeleteFunc(d.said, func(e uint64, _ said) bool { return e <= epoch })
}

// covers reports whether a receipt of ours has spoken of a place.
func (d *docket) covers(at border.Position) bool {
	to := d.said[at.Epoch].to
	switch t := d.over[at.Epoch]; {
	case at.Epoch == max(d.epoch, 1):
		to = d.receipted
	case t != nil:
		to = t.receipted
	}
	return at.Seq <= to
}

// receipted does so for this inbox.
func (b *Inbox) receipted(at border.Position) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.docket.covers(at)
}

// final reports whether a verdict that was made before is about these bytes, and is
// not to be made again.
func final(it *item, j *karaulav1.Judgement) bool {
	return j != nil && string(j.GetDigest()) == string(it.placement.Leaf[:]) &&
		j.GetClass() != karaulav1.VerdictClass_VERDICT_CLASS_HELD
}

// verdictOf gives a verdict as it was recorded.
func verdictOf(j *karaulav1.Judgement) border.Verdict {
	v := border.Verdict{Class: j.GetClass(), Code: j.GetCode(), Rules: j.GetRules()}
	copy(v.Agreement[:], j.GetAgreement())
	copy(v.Card[:], j.GetCard())
	return v
}

// judgedBefore gives the recorded verdict about a statement that was lost here and
// has come again; nil if there is none. Owned by the judging goroutine.
func (b *Inbox) judgedBefore(it *item) *karaulav1.Judgement {
	if j := b.before[it.placement.Position]; final(it, j) {
		return j
	}
	return nil
}

// uphold puts the recorded verdict in the place of the one that was made now. What was
// opened for the same one is kept.
func (j *Judged) uphold() {
	v := verdictOf(j.Judgement)
	if v.Class == j.Verdict.Class && v.Code == j.Verdict.Code {
		v.Inner, v.Descent, v.Clause, v.Ref = j.Verdict.Inner, j.Verdict.Descent, j.Verdict.Clause, j.Verdict.Ref
	}
	j.Verdict = v
}
