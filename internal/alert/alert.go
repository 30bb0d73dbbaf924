package alert

import (
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

// UrgencyWord gives the word of the alert's urgency ("routine", "urgent",
// "immediate"); "" if it states none.
func UrgencyWord(u karaulav1.Urgency) string {
	return word(u.Descriptor(), protoreflect.EnumNumber(u))
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
