package border

import (
	"fmt"
	"slices"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/ledger"
	"karaula/internal/register"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// judging is one call of [Checker.Judge].
type judging struct {
	*Checker
	p    *Placement
	st   *karaulav1.Statement
	view *register.View
	led  *Ledger
	hist History
	now  time.Time

	entry   *register.Entry
	text    *agreement.Agreement
	channel *agreement.Channel
	own     int // index of our entry among the main part's recipients
	frame   []byte
	inner   *karaulav1.Inner
	descent *karaulav1.Descent // of what is passed on
	clause  *agreement.Say
}

// outcome ends the judging of a statement; nil lets it go on.
type outcome struct {
	class  karaulav1.VerdictClass
	code   karaulav1.Code
	detail string
	until  time.Time
}

func refuse(code karaulav1.Code, format string, args ...any) *outcome {
	return &outcome{class: karaulav1.VerdictClass_VERDICT_CLASS_REFUSED, code: code, detail: fmt.Sprintf(format, args...)}
}

func hold(code karaulav1.Code, format string, args ...any) *outcome {
	return &outcome{class: karaulav1.VerdictClass_VERDICT_CLASS_HELD, code: code, detail: fmt.Sprintf(format, args...)}
}

// step is one check. Its name stands in docs/spec/border-check.md.
type step struct {
	name  string
	check func(*judging) *outcome
}

// steps are the checks of the second stage in their order: the first one that
// objects decides.
func steps() []step {
	return []step{
		{"place", (*judging).checkPlace},
		{"agreement", (*judging).checkAgreement},
		{"party", (*judging).checkParty},
		{"phase", (*judging).checkPhase},
		{"type", (*judging).checkType},
		{"exercise", (*judging).checkExercise},
		{"suspension", (*judging).checkSuspension},
		{"times", (*judging).checkTimes},
		{"algorithms", (*judging).checkAlgorithms},
		{"size", (*judging).checkSize},
		{"parts", (*judging).checkParts},
		{"recipients", (*judging).checkRecipients},
		{"retention", (*judging).checkRetention},
		{"body", (*judging).checkBody},
		{"content", (*judging).checkLapsed},
		{"open", (*judging).checkOpen},
		{"commitment", (*judging).checkCommitment},
		{"inner", (*judging).checkInner},
		{"consent", (*judging).checkPassedOn},
		{"duplicate", (*judging).checkDuplicate},
		{"follows", (*judging).checkFollows},
		{"rules", (*judging).checkRules},
	}
}

// Judge judges a statement. before is the ledger as it was before the statement
// took its place. Judging again never changes a verdict that was not held,
// except that content may have been erased or have expired in between.
func (c *Checker) Judge(p *Placement, view *register.View, before *Ledger, hist History, now time.Time) Verdict {
	j := &judging{Checker: c, p: p, view: view.At(now), led: before, hist: hist, now: now}
	return j.run(steps())
}

// witnessed are the steps whose answer is the same for everybody: they need no
// key, and ask nothing of the reader's own.
var witnessed = []string{
	"place", "agreement", "party", "phase", "type", "exercise", "times", "algorithms", "size", "parts", "recipients", "retention", "body",
}

// Witness judges a statement as somebody who is none of its readers: what can be
// said of it without opening it. [Checker.Self] must be empty.
func (c *Checker) Witness(p *Placement, view *register.View, before *Ledger, hist History, now time.Time) Verdict {
	j := &judging{Checker: c, p: p, view: view, led: before, hist: hist, now: now}
	return j.run(witnessSteps)
}

var witnessSteps = slices.DeleteFunc(steps(), func(s step) bool { return !slices.Contains(witnessed, s.name) })

// Disclosed judges a statement whose frame somebody has shown: as [Checker.Witness],
// and then the frame against the statement's commitment and all rules of content.
func (c *Checker) Disclosed(
	p *Placement, view *register.View, before *Ledger, hist History, now time.Time, frame []byte,
) Verdict {
	j := &judging{Checker: c, p: p, view: view, led: before, hist: hist, now: now, frame: frame}
	return j.run(disclosedSteps)
}

var disclosedSteps = slices.DeleteFunc(steps(), func(s step) bool {
	return !slices.Contains(witnessed, s.name) && !slices.Contains([]string{"commitment", "inner", "consent", "rules"}, s.name)
})

// run does the steps until one objects.
func (j *judging) run(list []step) Verdict {
	p := j.p
	v := Verdict{Class: karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED, Rules: Rules}
	if p.Card != nil {
		v.Card = p.Card.Digest
	}
	if p.Parsed != nil {
		j.st = p.Parsed.Statement
		v.Agreement = j.named()
	}
	for _, s := range list {
		if out := s.check(j); out != nil {
			v.Class, v.Code, v.Detail, v.Until = out.class, out.code, out.detail, out.until
			return v
		}
	}
	v.Inner, v.Clause, v.Descent = j.inner, j.clause, j.descent
	if j.clause != nil {
		v.Ref = j.clause.Ref(j.text.ID)
	}
	return v
}

// checkPlace gives the verdict that the place alone decides.
func (j *judging) checkPlace() *outcome {
	switch {
	case j.p.Kind == Ahead, j.p.Kind == NeedCard:
		return hold(karaulav1.Code_CODE_HISTORY_INCOMPLETE, "%s", j.p.Detail)
	case j.p.Code != 0:
		return refuse(j.p.Code, "%s", j.p.Detail)
	case j.p.Kind != Next:
		return refuse(karaulav1.Code_CODE_OUT_OF_ORDER, "it has its place already")
	case j.led.Contested != nil && !j.p.opens:
		return hold(karaulav1.Code_CODE_HISTORY_INCOMPLETE, "the origin has contradicted itself at number %d",
			j.led.Contested.GetSize())
	default:
		return j.checkRevoked()
	}
}

// checkRevoked refuses what had its place before the revocation of its key
// arrived but was not judged yet.
func (j *judging) checkRevoked() *outcome {
	for _, s := range j.st.GetSigners() {
		good, revoked := lastGood(j.view, j.led, [16]byte(s.GetKeyId()))
		if revoked && good.before(j.p.Position) {
			return refuse(karaulav1.Code_CODE_KEY_NOT_VALID, "signed with a key that was revoked before this number")
		}
	}
	return nil
}

// named gives the digest of the text under which a statement is judged: the one
// that it names; and for a party that comes in with the text that it brings, that
// one, because the former is not its own.
func (j *judging) named() [32]byte {
	if j.p.behind != nil && j.p.nextAgreement != nil {
		return j.p.nextAgreement.Agreement.Digest
	}
	return [32]byte(j.st.GetAgreement())
}

// checkAgreement finds the text, which must be the one in force at this place.
func (j *judging) checkAgreement() *outcome {
	digest := j.named()
	if j.p.behind == nil && j.led.Agreement != ([32]byte{}) && digest != j.led.Agreement {
		return refuse(karaulav1.Code_CODE_AGREEMENT_NOT_IN_FORCE, "another text of the agreement is in force at this number")
	}
	entry, ok := j.view.AgreementByDigest(digest)
	if !ok || !entry.Complete {
		return hold(karaulav1.Code_CODE_UNKNOWN_AGREEMENT, "the text with this digest is not known here with all signatures")
	}
	j.entry, j.text = entry, entry.Agreement
	j.channel, ok = j.text.Channel(j.led.Channel)
	switch {
	case !ok:
		return refuse(karaulav1.Code_CODE_WRONG_CHANNEL, "the text has no channel %s", j.led.Channel)
	case j.channel.Mode != j.led.Mode:
		return refuse(karaulav1.Code_CODE_WRONG_MODE, "the text has channel %s in mode %s",
			j.led.Channel, terms.ModeWord(j.channel.Mode))
	case ledger.NewID(j.led.Channel, j.led.Origin, j.led.Mode, j.text.First) != j.led.ID:
		return refuse(karaulav1.Code_CODE_WRONG_LEDGER, "the text is of another agreement than this ledger")
	}
	return nil
}

// checkParty lets only the text's parties speak, under the root that it names.
func (j *judging) checkParty() *outcome {
	party, ok := j.text.Party(j.led.Origin)
	switch {
	case !ok:
		return refuse(karaulav1.Code_CODE_WRONG_ORIGIN, "the origin is not a party of the text")
	case !rootOf(j.view, party, j.p.Card):
		return refuse(karaulav1.Code_CODE_KEY_NOT_VALID, "the card is of another root than the text names")
	}
	return nil
}

// checkPhase holds the time it was said against the text's phases. Nothing is
// sealed outside the time in force, nor by a party that has left.
func (j *judging) checkPhase() *outcome {
	said := time.UnixMicro(j.st.GetSaidAt())
	phase := j.phaseAt(said)
	if left, ok := j.entry.Withdrawals[j.led.Origin]; ok && !said.Before(left) && phase == agreement.InForce {
		phase = agreement.WindingDown
		if !said.Before(left.Add(j.text.WindingDown)) {
			phase = agreement.Closed
		}
	}
	sealed := opened(j.st.GetKind()) || len(j.st.GetParts()) > 0
	switch {
	case phase == agreement.InForce, phase == agreement.WindingDown && !sealed:
		return nil
	case phase == agreement.WindingDown:
		return refuse(karaulav1.Code_CODE_KIND_NOT_ALLOWED, "nothing new is sealed while the agreement is winding down")
	default:
		return refuse(karaulav1.Code_CODE_AGREEMENT_NOT_IN_FORCE, "the agreement was %s when it was said", phase)
	}
}

// phaseAt is the phase of the text at t, withdrawals considered. A newer version
// does not end it: which version rules is a matter of position in the ledger.
func (j *judging) phaseAt(t time.Time) agreement.Phase {
	e := *j.entry
	if e.SupersededBy != 0 && e.EndsAt.Equal(e.SupersededFrom) {
		e.EndsAt = j.text.ValidUntil
	}
	return e.PhaseAt(t)
}

// checkType looks for a clause that lets the origin say this type. Where types
// are sealed, rules follow after opening.
func (j *judging) checkType() *outcome {
	if j.st.GetKind() != karaulav1.Kind_KIND_ALERT {
		return nil
	}
	if open := j.st.GetType() != 0; open == j.channel.SealedTypes {
		return refuse(karaulav1.Code_CODE_TYPE_NOT_ALLOWED, "the type must be %s on this channel",
			map[bool]string{true: "sealed", false: "open"}[j.channel.SealedTypes])
	}
	return j.clauseFor(j.st.GetType())
}

// clauseFor refuses a type that no clause admits.
func (j *judging) clauseFor(typ karaulav1.AlertType) *outcome {
	if len(j.channel.Clauses(j.led.Origin, typ)) > 0 {
		return nil
	}
	return refuse(karaulav1.Code_CODE_TYPE_NOT_ALLOWED, "no clause of %s lets %s say %s on channel %s",
		j.text.ID, j.led.Origin, terms.TypeWord(typ), j.channel.ID)
}

// checkSuspension holds alerts and acts while this party has suspended the
// agreement; everything else goes on.
func (j *judging) checkSuspension() *outcome {
	kind := j.st.GetKind()
	if kind != karaulav1.Kind_KIND_ALERT && kind != karaulav1.Kind_KIND_ACT {
		return nil
	}
	if _, ok := j.entry.Suspensions[j.Self]; ok {
		return hold(karaulav1.Code_CODE_SUSPENDED, "%s has suspended the agreement", j.Self)
	}
	return nil
}

// checkTimes wants times that do not go back and are not ahead of our clock.
func (j *judging) checkTimes() *outcome {
	said := time.UnixMicro(j.st.GetSaidAt())
	if j.p.backwards {
		return refuse(karaulav1.Code_CODE_TIME_BACKWARDS, "said before the statement that precedes it")
	}
	if until := said.Add(-j.Skew); j.now.Before(until) {
		out := hold(karaulav1.Code_CODE_TIME_FUTURE, "said further in the future than %s", j.Skew)
		out.until = until
		return out
	}
	return nil
}

// signStrength and sealStrength order algorithms by the words of agreements and
// cards, weakest first. A word that is not here is one that we cannot judge.
var (
	signStrength = map[karaulav1.SignAlg]string{
		karaulav1.SignAlg_SIGN_ALG_ED25519:   "ed25519",
		karaulav1.SignAlg_SIGN_ALG_ML_DSA_65: "ml-dsa-65",
	}
	sealStrength = map[karaulav1.SealAlg]string{karaulav1.SealAlg_SEAL_ALG_AGE_HYBRID: "age-hybrid"}
)

// strongEnough reports whether an algorithm is at least the one with this word.
func strongEnough[A ~int32](alg A, strength map[A]string, least string) bool {
	for known, word := range strength {
		if word == least {
			return strength[alg] != "" && alg >= known
		}
	}
	return false
}

// checkAlgorithms wants what the text demands at least: of one signature, and
// of every sealed part.
func (j *judging) checkAlgorithms() *outcome {
	signed := false
	for _, s := range j.st.GetSigners() {
		signed = signed || strongEnough(s.GetAlg(), signStrength, j.text.MinSign)
	}
	if !signed {
		return refuse(karaulav1.Code_CODE_WEAK_ALGORITHM, "not signed with %s or stronger", j.text.MinSign)
	}
	for _, part := range j.st.GetParts() {
		if !strongEnough(part.GetSealAlg(), sealStrength, j.text.MinSeal) {
			return refuse(karaulav1.Code_CODE_WEAK_ALGORITHM, "not sealed with %s or stronger", j.text.MinSeal)
		}
	}
	return nil
}

// checkSize adds up the sealed parts, as the statement states them.
func (j *judging) checkSize() *outcome {
	var sum uint64
	for _, part := range j.st.GetParts() {
		sum += min(part.GetSize(), 1<<40)
	}
	if sum > uint64(max(j.text.MaxSize, 0)) {
		return refuse(karaulav1.Code_CODE_TOO_LARGE, "%d sealed bytes, the agreement admits %d", sum, j.text.MaxSize)
	}
	return nil
}

// checkDuplicate refuses a version of an alert that was accepted elsewhere in
// this ledger.
func (j *judging) checkDuplicate() *outcome {
	if j.inner == nil || j.inner.GetKind() != karaulav1.Kind_KIND_ALERT {
		return nil
	}
	at, ok := j.hist.Accepted([16]byte(j.inner.GetAlertId()), j.inner.GetVersion())
	if ok && at != j.p.Position {
		return refuse(karaulav1.Code_CODE_DUPLICATE_ALERT, "this version of the alert was accepted as number %d", at.Seq)
	}
	return nil
}
