package border

import (
	"time"

	"karaula/internal/agreement"
	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// checkRules holds content against the rules of its type, and against the
// limits of the clauses that let the origin say the type: one that admits all
// of it is enough. Both as of when it was said, so that they never change.
func (j *judging) checkRules() *outcome {
	switch {
	case j.inner == nil:
		return nil
	case j.inner.GetKind() == karaulav1.Kind_KIND_ACT:
		return j.checkAct()
	}
	a, said := j.inner.GetAlert(), time.UnixMicro(j.st.GetSaidAt())
	if out := broken(alert.Validate(a, said)); out != nil {
		return out
	}
	if end := alert.Expiry(a, said); time.UnixMicro(j.st.GetEraseAfter()).After(end) {
		return refuse(karaulav1.Code_CODE_RETENTION, "erase_after is later than the alert's own end")
	}
	var first *outcome
	for _, clause := range j.channel.Clauses(j.led.Origin, j.inner.GetType()) {
		out := j.within(clause, a, said)
		if out == nil {
			j.clause = clause
			return nil
		}
		if first == nil {
			first = out
		}
	}
	return first
}

// broken turns the first error of findings into a refusal. Findings never show
// values.
func broken(found alert.Findings) *outcome {
	code := found.Code()
	for _, f := range found.Errors() {
		if f.Code == code {
			return refuse(code, "%s", f)
		}
	}
	return nil
}

// within holds an alert against the limits of one clause.
func (j *judging) within(clause *agreement.Say, a *karaulav1.Alert, said time.Time) *outcome {
	if !j.keptWithin(clause.Retain) {
		return refuse(karaulav1.Code_CODE_RETENTION, "kept longer than %s admits", clause.Ref(j.text.ID))
	}
	issuer := j.led.Origin // of what is passed on, whose word it is
	if j.descent != nil {
		issuer = j.descent.GetOriginator()
	}
	out := broken(alert.Check(a, alert.Limits{
		Personal: clause.Personal, Handling: clause.Handling, Retain: clause.Retain, Origin: issuer,
	}, said))
	if out != nil {
		out.detail = clause.Ref(j.text.ID) + ": " + out.detail
	}
	return out
}

// checkAct holds an act against the rules of its deed.
func (j *judging) checkAct() *outcome {
	if why := alert.ActFault(j.inner.GetAct()); why != "" {
		return refuse(karaulav1.Code_CODE_INVALID_CONTENT, "%s", why)
	}
	return nil
}
