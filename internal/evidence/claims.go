package evidence

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"karaula/internal/border"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// claim is what a party has signed about another party's ledger: a cosignature.
type claim struct {
	by     *run
	at     border.Position // of the statement that says it
	saidAt int64
	epoch  uint64
	size   uint64
	root   [32]byte
	what   string // "head" or "receipt"
}

// claims holds what a statement says about other ledgers against them.
func (u *run) claims(st *karaulav1.Statement, at border.Position, s *Said) {
	for _, h := range st.GetHeads() {
		u.claim(h.GetLedger(), claim{
			by: u, at: at, saidAt: st.GetSaidAt(), epoch: h.GetEpoch(), size: h.GetSize(), root: [32]byte(h.GetRoot()), what: "head",
		})
	}
	if st.GetKind() != karaulav1.Kind_KIND_RECEIPT || s.Verdict.Class == karaulav1.VerdictClass_VERDICT_CLASS_REFUSED {
		return
	}
	m, err := s.Parsed.Body()
	body, ok := m.(*karaulav1.Receipt)
	if err != nil || !ok {
		return
	}
	for _, l := range body.GetLedgers() {
		if len(l.GetRoot()) != 32 || len(l.GetLedger()) != 32 {
			continue
		}
		u.claim(l.GetLedger(), claim{
			by: u, at: at, saidAt: st.GetSaidAt(), epoch: l.GetEpoch(), size: l.GetJudgedTo(), root: [32]byte(l.GetRoot()), what: "receipt",
		})
		got := Received{
			Epoch: l.GetEpoch(), Since: l.GetSince(), To: l.GetJudgedTo(), Exceptions: l.GetExceptions(),
			JudgedContested: l.GetContested() != nil,
		}
		if of := u.r.byLedger[ledger.ID(l.GetLedger())]; of != nil {
			got.Origin = of.in.Origin
			of.receipted(u, at, l)
		}
		s.Received = append(s.Received, got)
	}
}

// claim compares a claim with the ledger that it is about, now or when that has
// got so far.
func (u *run) claim(id []byte, c claim) {
	of := u.r.byLedger[ledger.ID(id)]
	if of == nil || of == u {
		return
	}
	last, ok := of.checked[u.in.Origin]
	if ok && last.epoch == c.epoch && last.size == c.size && last.root == c.root {
		return
	}
	about := border.Position{Epoch: c.epoch, Seq: c.size}
	if c.epoch > of.led.Epoch || c.epoch == of.led.Epoch && c.size > of.led.Tree.Size() {
		of.pending[about] = append(of.pending[about], c)
		return
	}
	of.compare(c, false)
}

// compare compares a claim with what is here. Late says that the ledger had not
// got so far when the claim was met.
func (u *run) compare(c claim, late bool) {
	root, ok := u.RootAt(c.epoch, c.size)
	if !ok {
		return // before the slice that is here
	}
	if root != c.root {
		u.find(TwoHistories, border.Position{Epoch: c.epoch, Seq: c.size}, "", karaulav1.Code_CODE_WRONG_ROOT,
			"%s has signed another history of it up to here (%s in its number %d of epoch %d)",
			c.by.in.Origin, c.what, c.at.Seq, c.at.Epoch)
		return
	}
	u.checked[c.by.in.Origin] = c
	if c.epoch == u.led.Epoch {
		u.out.Cosigned[c.by.in.Origin] = max(u.out.Cosigned[c.by.in.Origin], c.size)
	}
	if late && u.led.SaidAt > c.saidAt+u.r.o.Skew.Microseconds() {
		c.by.find(Clock, c.at, "", 0, "it says that it was said at %s, but names number %d of %s, which was said at %s",
			micro(c.saidAt).Format(time.RFC3339), c.size, u.in.Origin, micro(u.led.SaidAt).Format(time.RFC3339))
	}
}

// settle compares the claims that waited for this number.
func (u *run) settle(at border.Position) {
	if len(u.pending) == 0 {
		return
	}
	if at.Seq == 1 && at.Epoch > 1 { // what was claimed of the old epoch beyond its end is void
		for about := range u.pending {
			if about.Epoch < at.Epoch {
				delete(u.pending, about)
			}
		}
		u.out.Cosigned = map[string]uint64{}
	}
	for _, c := range u.pending[at] {
		u.compare(c, true)
	}
	delete(u.pending, at)
}

// leftOver notes what others have signed to have seen, and is not here.
func (u *run) leftOver() {
	most := map[string]claim{}
	for _, list := range u.pending {
		for _, c := range list {
			if c.epoch < u.led.Epoch || c.epoch == u.led.Epoch && c.size <= u.led.Tree.Size() {
				u.compare(c, false) // met before the slice had begun
				continue
			}
			old, ok := most[c.by.in.Origin]
			if !ok || cmp.Or(cmp.Compare(c.epoch, old.epoch), cmp.Compare(c.size, old.size)) > 0 {
				most[c.by.in.Origin] = c
			}
		}
	}
	for _, who := range slices.Sorted(maps.Keys(most)) {
		c := most[who]
		if u.stopped {
			continue // that is said already
		}
		u.find(Missing, u.led.Next(), "", 0,
			"%s has signed that it holds %d statements of epoch %d (%s in its number %d), only %d of epoch %d are here",
			c.by.in.Origin, c.size, c.epoch, c.what, c.at.Seq, u.led.Tree.Size(), u.led.Epoch)
	}
}

// receipted holds a recipient's verdicts against what is known here.
func (u *run) receipted(by *run, at border.Position, l *karaulav1.LedgerReceipt) {
	excepted := map[uint64]bool{}
	for _, e := range l.GetExceptions() {
		excepted[e.GetSeq()] = true
		leaf, ok := u.LeafAt(l.GetEpoch(), e.GetSeq())
		if ok && !bytes.Equal(leaf[:], e.GetDigest()) {
			u.find(TwoHistories, border.Position{Epoch: l.GetEpoch(), Seq: e.GetSeq()}, "", karaulav1.Code_CODE_FORK,
				"%s has signed a verdict about another statement with this number (its number %d)", by.in.Origin, at.Seq)
		}
	}
	var wrong []uint64
	for pos := range u.refused {
		if pos.Epoch == l.GetEpoch() && pos.Seq > l.GetSince() && pos.Seq <= l.GetJudgedTo() && !excepted[pos.Seq] {
			wrong = append(wrong, pos.Seq)
		}
	}
	slices.Sort(wrong)
	for _, seq := range wrong {
		pos := border.Position{Epoch: l.GetEpoch(), Seq: seq}
		u.find(Disagreement, pos, "", u.refused[pos], "%s has accepted it, though it must be refused", by.in.Origin)
	}
}

// said tells of a statement that has its place.
func (u *run) said(raw Raw, p *border.Placement, before *border.Ledger) *Said {
	s := &Said{
		Channel: u.in.Channel, Origin: u.in.Origin, Mode: u.in.Mode, Epoch: p.Position.Epoch, Seq: p.Position.Seq, Where: raw.Where,
		Leaf: p.Leaf, Card: p.Card, Parsed: p.Parsed,
	}
	s.Verdict = u.judge(p, before)
	switch s.Verdict.Class {
	case karaulav1.VerdictClass_VERDICT_CLASS_REFUSED:
		u.out.Refused++
		class := Refused
		if s.Verdict.Code == karaulav1.Code_CODE_PART_MISMATCH {
			class = Damaged // what is stored here, not what was said
		} else {
			u.refused[p.Position] = s.Verdict.Code
		}
		u.find(class, p.Position, raw.Where, s.Verdict.Code, "%s", s.Verdict.Detail)
	case karaulav1.VerdictClass_VERDICT_CLASS_HELD:
		class := Unknown
		if s.Verdict.Code == karaulav1.Code_CODE_TIME_FUTURE {
			class = Clock
		}
		if s.Verdict.Code != karaulav1.Code_CODE_HISTORY_INCOMPLETE {
			u.find(class, p.Position, raw.Where, s.Verdict.Code, "%s", s.Verdict.Detail)
		}
	default:
	}
	if p.Parsed != nil {
		u.describe(s, p)
	}
	return s
}

// judge gives the verdict of a witness, of a reader, or of whoever is shown the frame.
func (u *run) judge(p *border.Placement, before *border.Ledger) border.Verdict {
	o := &u.r.o
	if o.Frame != nil {
		if frame, ok := o.Frame(u.in.Channel, u.in.Origin, p.Position.Epoch, p.Position.Seq); ok {
			v := u.r.checker.Disclosed(p, o.View, before, u, o.Now, frame)
			if v.Code == karaulav1.Code_CODE_WRONG_COMMITMENT || v.Code == karaulav1.Code_CODE_INNER_MISMATCH {
				u.find(Damaged, p.Position, "", v.Code, "the disclosed frame is not what was sealed: %s", v.Detail)
			}
			return v
		}
	}
	if o.Reader != "" {
		return u.r.checker.Judge(p, o.View, before, u, o.Now)
	}
	return u.r.checker.Witness(p, o.View, before, u, o.Now)
}

// describe fills in what a well-formed statement says.
func (u *run) describe(s *Said, p *border.Placement) {
	st := p.Parsed.Statement
	s.At, s.Kind, s.Type = micro(st.GetSaidAt()), st.GetKind(), st.GetType()
	if st.GetEraseAfter() != 0 {
		s.EraseAfter = micro(st.GetEraseAfter())
	}
	s.Sealed, s.Stub = len(st.GetParts()) > 0, p.Parsed.IsStub()
	if u.r.o.Tell == nil {
		return
	}
	s.Agreement = u.r.text(st)
	if s.Agreement != nil {
		u.readers(s, st)
	}
	if c := p.CardNext(); c != nil {
		s.Brings = "card " + uintText(c.Serial)
	}
	if a := p.AgreementNext(); a != nil {
		s.Brings = a.Agreement.ID + " version " + uintText(a.Agreement.Version)
	}
}

// readers says who could read a statement, and under which clauses it was said.
func (u *run) readers(s *Said, st *karaulav1.Statement) {
	if len(st.GetParts()) > 0 {
		for _, r := range st.GetParts()[0].GetRecipients() {
			s.Readers = append(s.Readers, r.GetParty())
		}
	} else {
		s.Readers = s.Agreement.Codes()
	}
	ch, ok := s.Agreement.Channel(u.in.Channel)
	if !ok || st.GetKind() != karaulav1.Kind_KIND_ALERT {
		return
	}
	for _, c := range ch.Clauses(u.in.Origin, st.GetType()) {
		s.Clauses = append(s.Clauses, c.Ref(s.Agreement.ID))
	}
}
