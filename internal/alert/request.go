package alert

import (
	"slices"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// requestFindings gives what the schema cannot state about a request: it is
// about what it says it is, and has its grounds (Directive (EU) 2023/977, Art.
// 4; Regulation (EU) 2024/982, Art. 33).
func requestFindings(a *karaulav1.Alert, r *karaulav1.Request, now time.Time) Findings {
	var out Findings
	if len(r.GetSubjects()) > 0 && !slices.ContainsFunc(r.GetSubjects(), func(s *karaulav1.Subject) bool {
		return isAbout(s, r.GetKind())
	}) {
		out = append(out, fault("request.subjects", "request-kind", "hold nothing of the kind that is asked about"))
	}
	if a.GetCaseReference() == "" {
		out = append(out, fault("case_reference", "request-grounds", "a request needs the number of its case"))
	}
	if len(a.GetOffences()) == 0 && r.GetSubjectStatus() != karaulav1.SubjectStatus_SUBJECT_STATUS_MISSING {
		out = append(out, fault("offences", "request-grounds",
			"a request needs its offence, but for one about a missing person"))
	}
	bare := &karaulav1.Alert{
		Urgency: a.GetUrgency(), Details: &karaulav1.Alert_Request{Request: r},
	}
	if due, ok := ReplyDue(bare, now); ok && a.GetReplyDue() != 0 && time.UnixMicro(a.GetReplyDue()).Before(due.Add(-time.Minute)) {
		out = append(out, warning("reply_due", "request-due",
			"is sooner than the asked side must answer by its urgency and access (Directive (EU) 2023/977, Art. 5)"))
	}
	return out
}

// isAbout reports whether a subject is of a kind.
func isAbout(s *karaulav1.Subject, k karaulav1.QuestionKind) bool {
	switch k {
	case karaulav1.QuestionKind_QUESTION_KIND_PERSON:
		return s.GetPerson() != nil
	case karaulav1.QuestionKind_QUESTION_KIND_VEHICLE:
		return s.GetPlate() != nil || s.GetVin() != ""
	case karaulav1.QuestionKind_QUESTION_KIND_DOCUMENT:
		return s.GetDocument() != nil
	case karaulav1.QuestionKind_QUESTION_KIND_FIREARM:
		return s.GetFirearmSerial() != ""
	case karaulav1.QuestionKind_QUESTION_KIND_PHONE:
		return s.GetPhone() != ""
	case karaulav1.QuestionKind_QUESTION_KIND_ADDRESS:
		return s.GetAddress() != ""
	case karaulav1.QuestionKind_QUESTION_KIND_EVENT:
		return s.GetEvent() != nil
	default:
		return true // the schema says that there is no such kind
	}
}

// answerFindings gives what the schema cannot state about an answer: it tells
// something where it says so, and nothing where it says that there is nothing.
func answerFindings(n *karaulav1.Answer, now time.Time) Findings {
	var out Findings
	tells := len(n.GetPersons()) > 0 || len(n.GetPlates()) > 0
	switch n.GetState() { //nolint:exhaustive // the schema says that there is no such state
	case karaulav1.AnswerState_ANSWER_STATE_ANSWERED, karaulav1.AnswerState_ANSWER_STATE_PARTIAL:
		if !tells && n.GetText() == "" {
			out = append(out, fault("answer.text", "answer-empty", "an answer needs a text, persons or plates"))
		}
	case karaulav1.AnswerState_ANSWER_STATE_NO_DATA, karaulav1.AnswerState_ANSWER_STATE_REFUSED,
		karaulav1.AnswerState_ANSWER_STATE_DEFERRED:
		if tells {
			out = append(out, fault("answer.state", "answer-tells",
				"says that nothing is told, but persons or plates are"))
		}
	}
	if due := n.GetNewDue(); due != 0 && time.UnixMicro(due).Before(now.Add(-clockTolerance)) {
		out = append(out, fault("answer.new_due", "answer-new-due", "lies before the answer is said"))
	}
	return out
}
