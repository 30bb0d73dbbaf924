package border

import (
	"bytes"
	"fmt"

	"karaula/internal/problem"
	"karaula/internal/seal"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// checkOpen opens the main part with our own key.
func (j *judging) checkOpen() *outcome {
	if !opened(j.st.GetKind()) {
		return nil
	}
	part := j.st.GetParts()[0]
	rec := part.GetRecipients()
	frame, err := j.Opener.Open(rec[j.own], j.p.Parsed.Envelope.GetParts()[0], j.own, len(rec))
	switch {
	case problem.Is(err, problem.Locked):
		return hold(karaulav1.Code_CODE_LOCKED, "the key that it is sealed to is locked or missing")
	case err != nil:
		return refuse(karaulav1.Code_CODE_CANNOT_OPEN, "sealed to a key of %s, but does not open with it", j.Self)
	}
	j.frame = frame
	return nil
}

// checkCommitment holds the frame against the statement's commitment, so that
// showing the frame later proves what was said.
func (j *judging) checkCommitment() *outcome {
	if j.frame == nil {
		return nil
	}
	commitment := seal.Commitment(j.frame)
	if !bytes.Equal(commitment[:], j.st.GetParts()[0].GetCommitment()) {
		return refuse(karaulav1.Code_CODE_WRONG_COMMITMENT, "what was sealed is not what the statement commits to")
	}
	content, err := seal.Unframe(j.frame)
	if err != nil {
		return refuse(karaulav1.Code_CODE_WRONG_COMMITMENT, "what was sealed is not a frame")
	}
	inner := &karaulav1.Inner{}
	if err := wire.Unmarshal(content, inner, maxInner); err != nil {
		return refuse(karaulav1.Code_CODE_MALFORMED, "the sealed message is not in strict wire form")
	}
	j.inner = inner
	return nil
}

// checkInner holds the sealed message against the statement around it: a
// ciphertext that was copied from elsewhere does not fit.
func (j *judging) checkInner() *outcome {
	if j.inner == nil {
		return nil
	}
	in := j.inner
	field := mismatch(in, j.st, j.channel.SealedTypes)
	if field == "" && in.GetExercise() != j.led.Exercise.Name {
		field = "exercise"
	}
	if field != "" {
		return refuse(karaulav1.Code_CODE_INNER_MISMATCH, "%s inside is not what the statement says", field)
	}
	if len(in.GetOprfKeys()) > 0 {
		return refuse(karaulav1.Code_CODE_RESERVED_FIELD, "the sealed message sets a reserved field")
	}
	if field := badNames(in); field != "" {
		return refuse(karaulav1.Code_CODE_INVALID_CONTENT, "%s of the sealed message is not one", field)
	}
	if j.channel.SealedTypes && in.GetKind() == karaulav1.Kind_KIND_ALERT {
		return j.clauseFor(in.GetType())
	}
	return nil
}

// mismatch gives the first field of a sealed message that is not what the statement
// around it says; "" if there is none. Where types are sealed, the statement says none.
func mismatch(in *karaulav1.Inner, st *karaulav1.Statement, sealedTypes bool) string {
	for _, f := range []struct {
		name string
		same bool
	}{
		{"ledger", bytes.Equal(in.GetLedger(), st.GetLedger())},
		{"channel", in.GetChannel() == st.GetChannel()},
		{"origin", in.GetOrigin() == st.GetOrigin()},
		{"mode", in.GetMode() == st.GetMode()},
		{"agreement", bytes.Equal(in.GetAgreement(), st.GetAgreement())},
		{"thread", bytes.Equal(in.GetThread(), st.GetThread())},
		{"kind", in.GetKind() == st.GetKind()},
		{"type", in.GetType() == st.GetType() || sealedTypes && st.GetType() == 0},
		{"said_at", in.GetSaidAt() == st.GetSaidAt()},
		{"content", contentFits(in)},
	} {
		if !f.same {
			return f.name
		}
	}
	return ""
}

// contentFits reports whether the content is that of the kind, and an alert the
// one that the message names.
func contentFits(in *karaulav1.Inner) bool {
	switch in.GetKind() {
	case karaulav1.Kind_KIND_ALERT:
		a := in.GetAlert()
		return a != nil && in.GetType() != 0 && a.GetType() == in.GetType() &&
			a.GetVersion() == in.GetVersion() && a.GetId() == idText(in.GetAlertId())
	case karaulav1.Kind_KIND_ACT:
		return in.GetAct() != nil && in.GetType() == 0
	default:
		return false
	}
}

// idText is an alert id as alerts write it (RFC 9562, 4): groups of 8, 4, 4, 4
// and 12 hexadecimal digits.
func idText(id []byte) string {
	if len(id) != 16 {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// badNames gives the first field that names alert, version or officer and has
// the wrong form; "" if there is none.
func badNames(in *karaulav1.Inner) string {
	id := in.GetAlertId()
	supersedes := 0
	if in.GetVersion() > 1 && in.GetKind() == karaulav1.Kind_KIND_ALERT {
		supersedes = 32
	}
	switch {
	case len(id) != 16 || id[6]>>4 != 7 || id[8]>>6 != 2: // RFC 9562, 5.7
		return "alert_id"
	case in.GetVersion() < 1:
		return "version"
	case len(in.GetSupersedes()) != supersedes:
		return "supersedes"
	case len(in.GetOfficerRef()) != 16:
		return "officer_ref"
	default:
		return ""
	}
}
