package border

import (
	"bytes"

	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/notice"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// checkBody judges what the unsealed kinds say, and where the sealed ones point.
func (j *judging) checkBody() *outcome {
	switch j.st.GetKind() { //nolint:exhaustive // the others say nothing here
	case karaulav1.Kind_KIND_ACT:
		return j.checkActRefs()
	case karaulav1.Kind_KIND_RECEIPT:
		return j.checkReceipt()
	case karaulav1.Kind_KIND_CARD:
		if j.p.nextCard == nil {
			return badBody("not a newer card of the origin, signed by its root")
		}
	case karaulav1.Kind_KIND_AGREEMENT:
		return j.checkNewText()
	case karaulav1.Kind_KIND_NOTICE:
		return j.checkNotice()
	case karaulav1.Kind_KIND_ERASE:
		return j.checkEraseRefs()
	case karaulav1.Kind_KIND_EXERCISE:
		if _, fault := Announced(j.st); fault != "" {
			return badBody("%s", fault)
		}
	}
	return nil
}

func badBody(format string, args ...any) *outcome {
	return refuse(karaulav1.Code_CODE_BAD_BODY, format, args...)
}

// body parses the body into the message of its kind.
func body[T any](j *judging) (T, *outcome) {
	got, ok := bodyOf[T](j.p.Parsed)
	if !ok {
		return got, badBody("the body is not in strict wire form")
	}
	return got, nil
}

// bodyOf parses a statement's body, if it is the message of type T.
func bodyOf[T any](p *envelope.Parsed) (T, bool) {
	m, err := p.Body()
	got, ok := any(m).(T)
	return got, ok && err == nil
}

// others gives the ledgers of the channel's other parties, by id.
func (j *judging) others() map[ledger.ID]bool {
	out := make(map[ledger.ID]bool, len(j.text.Parties))
	for _, p := range j.text.Parties {
		if p.Code != j.led.Origin {
			out[ledger.NewID(j.led.Channel, p.Code, j.led.Mode, j.text.First)] = true
		}
	}
	return out
}

// checkActRefs wants an act to answer statements of the channel's other ledgers.
func (j *judging) checkActRefs() *outcome {
	others := j.others()
	for _, r := range j.st.GetRefs() {
		if !others[ledger.ID(r.GetLedger())] {
			return refuse(karaulav1.Code_CODE_INVALID_CONTENT, "an act answers a statement of another party of the channel")
		}
	}
	return nil
}

// checkEraseRefs wants an order to erase to name earlier statements of the
// origin's own ledger, as they are.
func (j *judging) checkEraseRefs() *outcome {
	for _, r := range j.st.GetRefs() {
		at := Position{r.GetEpoch(), r.GetSeq()}
		if !bytes.Equal(r.GetLedger(), j.led.ID[:]) || !at.before(j.p.Position) {
			return badBody("an order to erase names earlier statements of its own ledger")
		}
		if leaf, ok := j.hist.LeafAt(at.Epoch, at.Seq); ok && !bytes.Equal(r.GetDigest(), leaf[:]) {
			return badBody("number %d of epoch %d is another statement than the order names", at.Seq, at.Epoch)
		}
	}
	return nil
}

// checkNewText wants a text that follows the one in force, and that the register
// has with everybody's signature, our own among them.
func (j *judging) checkNewText() *outcome {
	next := j.p.nextAgreement
	if next == nil {
		return badBody("not the next version of the agreement, signed by all its parties")
	}
	if entry, ok := j.view.AgreementByDigest(next.Agreement.Digest); !ok || !entry.Complete {
		return hold(karaulav1.Code_CODE_UNKNOWN_AGREEMENT, "version %d of %s is not in the register with all signatures",
			next.Agreement.Version, next.Agreement.ID)
	}
	return nil
}

// checkNotice wants an act of the origin, signed by the root or the notice key
// of the card in force at this place.
func (j *judging) checkNotice() *outcome {
	b, out := body[*karaulav1.NoticeBody](j)
	if out != nil {
		return out
	}
	verifiers := j.p.Card.NoticeVerifiers()
	if root, err := j.p.Card.Verifier(); err == nil {
		verifiers = append(verifiers, root)
	}
	if n, err := notice.Open(b.GetNotice(), verifiers...); err != nil || n.Party != j.led.Origin {
		return badBody("not a notice of the origin, signed by its root or its notice key")
	}
	return nil
}

// checkReceipt wants a receipt to speak of the channel's other ledgers, each once.
func (j *judging) checkReceipt() *outcome {
	rec, out := body[*karaulav1.Receipt](j)
	if out != nil {
		return out
	}
	open := j.others()
	for i, l := range rec.GetLedgers() {
		if len(l.GetLedger()) != 32 || !open[ledger.ID(l.GetLedger())] {
			return badBody("entry %d is not about another ledger of the channel, or about one twice", i)
		}
		delete(open, ledger.ID(l.GetLedger()))
		if what := badReceipt(l); what != "" {
			return badBody("entry %d: %s", i, what)
		}
	}
	return nil
}

// badReceipt says what is wrong with one ledger's receipt; "" if nothing is.
func badReceipt(l *karaulav1.LedgerReceipt) string {
	if l.GetEpoch() < 1 || len(l.GetRoot()) != 32 || l.GetSince() > l.GetJudgedTo() {
		return "epoch, root or range is not one"
	}
	last := l.GetSince()
	for _, e := range l.GetExceptions() {
		switch {
		case e.GetSeq() <= last || e.GetSeq() > l.GetJudgedTo():
			return "exceptions must ascend within the range"
		case len(e.GetDigest()) != 32 || e.GetJudgedAt() <= 0:
			return "an exception without its statement or time"
		case !exceptionClass(e):
			return "an exception of a class that is none, or a refusal without its code"
		}
		last = e.GetSeq()
	}
	if c := l.GetContested(); c != nil && (len(c.GetSeen()) != 32 || len(c.GetSaid()) != 32) {
		return "a contradiction without its two sides"
	}
	for _, e := range l.GetErasures() {
		if e.GetSeq() < 1 || e.GetSeq() > l.GetJudgedTo() || e.GetDoneAt() <= 0 {
			return "an erasure without its number or time"
		}
	}
	return ""
}

// exceptionClass reports whether class and code of an exception fit. Codes that
// are newer than this reader are taken as they come.
func exceptionClass(e *karaulav1.ReceiptException) bool {
	switch e.GetClass() {
	case karaulav1.VerdictClass_VERDICT_CLASS_REFUSED:
		return e.GetCode() != 0
	case karaulav1.VerdictClass_VERDICT_CLASS_ERASED, karaulav1.VerdictClass_VERDICT_CLASS_EXPIRED:
		return true
	default:
		return false
	}
}
