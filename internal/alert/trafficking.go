package alert

import (
	"slices"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// traffickingFindings gives what the schema cannot state about a suspicion of
// trafficking. Act, means, purpose and the rule for children are in the schema.
func traffickingFindings(a *karaulav1.Alert, t *karaulav1.Trafficking) Findings {
	var out Findings
	says := func(c karaulav1.DataSubject) bool { return slices.Contains(a.GetDataSubjectCategories(), c) }
	if len(t.GetVictims()) > 0 && !says(karaulav1.DataSubject_DATA_SUBJECT_VICTIM) {
		out = append(out, fault("data_subject_categories", "trafficking-subjects",
			"must say victim where victims are described (Directive (EU) 2016/680, Art. 6)"))
	}
	if slices.Contains(a.GetActions(), karaulav1.Action_ACTION_PREVENT_TRAVEL) && a.GetCaseReference() == "" {
		out = append(out, fault("case_reference", "prevent-travel",
			"action prevent-travel needs the decision of an authority"))
	}
	accompanied := func(g *karaulav1.VictimGroup) bool { return g.GetAccompaniedByController() }
	if slices.ContainsFunc(t.GetVictims(), accompanied) && !t.GetSafety().GetSeparate() {
		out = append(out, warning("trafficking.safety.separate", "trafficking-separate",
			"victims who travel with a controller should be spoken to apart"))
	}
	if t.GetIndustry() != 0 && !slices.ContainsFunc(t.GetPurposes(), aboutLabour) {
		out = append(out, warning("trafficking.industry", "trafficking-industry",
			"is that of forced labour, which is none of the purposes"))
	}
	return out
}

// aboutLabour reports whether people are trafficked for this to work.
func aboutLabour(p karaulav1.TraffickingPurpose) bool {
	return p >= karaulav1.TraffickingPurpose_TRAFFICKING_PURPOSE_FORCED_LABOUR &&
		p <= karaulav1.TraffickingPurpose_TRAFFICKING_PURPOSE_SERVITUDE
}
