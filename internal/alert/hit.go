package alert

import (
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// hitFindings gives what the schema cannot state about a hit. Who confirmed it
// is required by the schema: no machine makes a hit.
func hitFindings(a *karaulav1.Alert, h *karaulav1.Hit) Findings {
	var out Findings
	if a.GetId() != "" && h.GetAlertId() == a.GetId() {
		out = append(out, fault("hit.alert_id", "hit-itself", "is the hit's own id"))
	}
	drastic := h.GetMeasure() == karaulav1.HitMeasure_HIT_MEASURE_SEIZED ||
		h.GetMeasure() == karaulav1.HitMeasure_HIT_MEASURE_DETAINED
	if h.GetFalseHit() && drastic {
		out = append(out, fault("hit.measure", "hit-false",
			"nothing that is not what was sought stays seized or detained: measure is checked or not-executed"))
	}
	if h.GetQuality() == karaulav1.MatchQuality_MATCH_QUALITY_POSSIBLE && drastic {
		out = append(out, fault("hit.quality", "hit-quality", "a possible match carries no seizure and no detention"))
	}
	if h.GetBasis() == karaulav1.MatchBasis_MATCH_BASIS_NAME &&
		h.GetQuality() == karaulav1.MatchQuality_MATCH_QUALITY_EXACT {
		out = append(out, warning("hit.quality", "hit-name", "a name alone identifies nobody: say what else agreed"))
	}
	if h.GetBasis() == karaulav1.MatchBasis_MATCH_BASIS_PLATE && len(h.GetPlates()) == 0 {
		out = append(out, fault("hit.plates", "hit-plate", "must hold the plate that matched, as it was seen"))
	}
	if len(h.GetPersons()) > int(h.GetOccupants()) && h.GetOccupants() > 0 {
		out = append(out, fault("hit.occupants", "hit-occupants", "is less than the persons that are named"))
	}
	if h.GetMeasure() == karaulav1.HitMeasure_HIT_MEASURE_SEIZED && h.GetCustody() == "" {
		out = append(out, warning("hit.custody", "hit-custody", "should say who holds what was seized"))
	}
	return out
}
