package alert

import (
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// PersonalData lists the fields that hold personal data, by the marks of the
// schema: the outermost ones, "vehicle.owner", not what is inside. It cannot
// judge free text; [Check] warns of that. docs/alerts.md says which fields are
// marked and why.
func PersonalData(a *karaulav1.Alert) []string {
	if a == nil {
		return nil
	}
	w := &looker{}
	w.message(a.ProtoReflect())
	return w.personal
}

// personFindings holds the alert's personal data against its type and against
// what it says about whose they are.
func personFindings(a *karaulav1.Alert, personal []string) Findings {
	var out Findings
	never := terms.NeverPersonal(detailsType(a))
	if never {
		for _, field := range personal {
			out = append(out, fault(field, "never-personal", holds(field)+", which alerts of this type never do"))
		}
	}
	switch {
	case len(personal) > 0 && !never && len(a.GetDataSubjectCategories()) == 0 && !onlyAttachments(personal):
		out = append(out, fault("data_subject_categories", "data-subject",
			"must say whose personal data the alert holds (Directive (EU) 2016/680, Art. 6)"))
	case len(personal) == 0 && len(a.GetDataSubjectCategories()) > 0 && never:
		out = append(out, fault("data_subject_categories", "never-personal",
			"must be empty: alerts of this type never hold personal data"))
	}
	return out
}

// holds says what a field does that is marked as personal data.
func holds(field string) string {
	if field == attachments {
		return "may hold personal data that nobody can test for"
	}
	return "holds personal data"
}

// attachments is the field of files whose content cannot be judged.
const attachments = "attachments"

// onlyAttachments reports whether nothing but attachments is marked: they are
// taken for personal data because nobody can tell.
func onlyAttachments(personal []string) bool {
	return len(personal) == 1 && personal[0] == attachments
}
