package alert

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// detailsOffset is what the number of a details field is above its type's.
const detailsOffset = 49

// Type gives the alert's type: the one it states, or that of its details where
// it states none; zero if it has neither.
func Type(a *karaulav1.Alert) karaulav1.AlertType {
	if t := a.GetType(); t != karaulav1.AlertType_ALERT_TYPE_UNSPECIFIED {
		return t
	}
	return detailsType(a)
}

// detailsType gives the type that the details are of; zero if there are none.
func detailsType(a *karaulav1.Alert) karaulav1.AlertType {
	m := a.ProtoReflect()
	if !m.IsValid() {
		return 0
	}
	fd := m.WhichOneof(detailsOneof)
	if fd == nil {
		return 0
	}
	return karaulav1.AlertType(fd.Number() - detailsOffset)
}

// detailsOneof is the oneof that holds the details.
var detailsOneof = (&karaulav1.Alert{}).ProtoReflect().Descriptor().Oneofs().ByName("details")

// withdrawn reports whether the alert takes itself back.
func withdrawn(a *karaulav1.Alert) bool {
	return a.GetLifecycle() == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW
}

// Withdraw makes the version that takes an alert back: what all types have in
// common, without content. It is kept until the time at which the alert would have
// been erased.
func Withdraw(a *karaulav1.Alert, until time.Time, assessment string) *karaulav1.Alert {
	return &karaulav1.Alert{
		Id: a.GetId(), Version: a.GetVersion() + 1, Lifecycle: karaulav1.Lifecycle_LIFECYCLE_WITHDRAW, Type: Type(a),
		Number: a.GetNumber(), Authority: a.GetAuthority(), Unit: a.GetUnit(), LegalBasis: a.GetLegalBasis(),
		CaseReference: a.GetCaseReference(), Purpose: a.GetPurpose(), Handling: a.GetHandling(),
		HandlingText: a.GetHandlingText(), Urgency: karaulav1.Urgency_URGENCY_ROUTINE, Contact: a.GetContact(),
		Expires: until.UnixMicro(), Assessment: assessment,
	}
}

// Extend makes the version that keeps an alert until another time.
func Extend(a *karaulav1.Alert, expires time.Time, assessment string) *karaulav1.Alert {
	next := proto.CloneOf(a)
	next.Version, next.Lifecycle = a.GetVersion()+1, karaulav1.Lifecycle_LIFECYCLE_EXTEND
	next.Expires, next.Assessment = expires.UnixMicro(), assessment
	if next.GetReviewDue() != 0 {
		next.ReviewDue = 0 // the review has taken place
	}
	return next
}

// Past is what the next version of an alert must continue of a version. Fields
// that are zero are not known: the content of that version may be erased.
type Past struct {
	Type      karaulav1.AlertType
	Lifecycle karaulav1.Lifecycle
	Expires   time.Time // when its life ends, by its own word
	Stage     karaulav1.PatrolStage
}

// PastOf gives it of an alert; said is when that was said.
func PastOf(a *karaulav1.Alert, said time.Time) Past {
	return Past{Type: Type(a), Lifecycle: a.GetLifecycle(), Expires: Expiry(a, said), Stage: a.GetPatrol().GetStage()}
}

// Continues says what is wrong with an alert as the next version of another one,
// and with which code a reader refuses it; "" if nothing is. A withdrawal is the
// last version, and only an extension with its assessment may keep an alert
// longer. now is when it is said.
func Continues(next *karaulav1.Alert, before Past, now time.Time) (karaulav1.Code, string) {
	const invalid = karaulav1.Code_CODE_INVALID_CONTENT
	longer := !before.Expires.IsZero() && Expiry(next, now).After(before.Expires)
	switch {
	case before.Lifecycle == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW:
		return invalid, "it was withdrawn, and a withdrawal is for good: make a new alert"
	case before.Type != 0 && Type(next) != before.Type:
		return invalid, "a version cannot change the type"
	case next.GetLifecycle() == karaulav1.Lifecycle_LIFECYCLE_UPDATE && longer:
		return karaulav1.Code_CODE_RETENTION, "an update cannot keep it longer; an extension can, with its assessment"
	case !stageFollows(next.GetPatrol().GetStage(), before.Stage):
		return invalid, "the patrol cannot come to this stage from the one before:" +
			" proposed, accepted, amended, active, closed, evaluated (docs/alerts.md)"
	default:
		return 0, ""
	}
}

// UrgencyWord gives the word of the alert's urgency ("routine", "urgent",
// "immediate"); "" if it states none.
func UrgencyWord(u karaulav1.Urgency) string {
	return word(u.Descriptor(), protoreflect.EnumNumber(u))
}

// LifecycleWord gives the word of a life-cycle step ("create", "withdraw"); "" if it is none.
func LifecycleWord(l karaulav1.Lifecycle) string {
	return word(l.Descriptor(), protoreflect.EnumNumber(l))
}

// GroundWord gives the word of a ground ("national-law"); "" if it is none.
func GroundWord(g karaulav1.Ground) string { return word(g.Descriptor(), protoreflect.EnumNumber(g)) }

// RelationWord gives the word of a relation ("same-vehicle"); "" if it is none.
func RelationWord(r karaulav1.LinkRelation) string {
	return word(r.Descriptor(), protoreflect.EnumNumber(r))
}

// Complete fills in what a file may leave out because it follows from the rest:
// the type from the details, the life-cycle step from the version (create up to
// version 1, update above), and urgency routine.
func Complete(a *karaulav1.Alert) {
	if a.GetType() == 0 {
		a.Type = detailsType(a)
	}
	if a.GetLifecycle() == 0 {
		a.Lifecycle = karaulav1.Lifecycle_LIFECYCLE_CREATE
		if a.GetVersion() > 1 {
			a.Lifecycle = karaulav1.Lifecycle_LIFECYCLE_UPDATE
		}
	}
	if a.GetUrgency() == 0 {
		a.Urgency = karaulav1.Urgency_URGENCY_ROUTINE
	}
}

// HandlingWord gives the word of a handling code ("H1"); "" if it is none.
func HandlingWord(h karaulav1.Handling) string {
	return word(h.Descriptor(), protoreflect.EnumNumber(h))
}

// PurposeWord gives the word of a purpose ("detection"); "" if it is none.
func PurposeWord(p karaulav1.Purpose) string { return word(p.Descriptor(), protoreflect.EnumNumber(p)) }
