package alert

import (
	"slices"
	"time"

	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// firearmFindings gives what the schema cannot state about a firearm or a part of one.
func firearmFindings(a *karaulav1.Alert, f *karaulav1.Firearm, now time.Time) Findings {
	out := yearFindings("firearm.year", f.GetYear(), now)
	if f.GetYear() > 0 && f.GetIncidentTime() > 0 && yearOf(f.GetIncidentTime()) < int(f.GetYear()) {
		out = append(out, fault("firearm.incident_time", "firearm-dates", "lies before the year of manufacture"))
	}
	switch {
	case f.GetSerial() != "" && searchkey.Number(f.GetSerial()) == "":
		out = append(out, fault("firearm.serial", "serial", "holds no letter and no digit"))
	case f.GetSerial() != "" && f.GetSerialDefaced():
		out = append(out, warning("firearm.serial", "serial-defaced",
			"what is left of a defaced number may be that of another firearm"))
	case f.GetSerial() == "" && len(f.GetMarks()) == 0 && f.GetBallisticReference() == "" && len(a.GetAttachments()) == 0:
		out = append(out, warning("firearm.marks", "firearm-unknowable",
			"without a serial number, marks, a ballistic_reference or a picture it cannot be known again"))
	}
	if f.GetKind() >= karaulav1.FirearmKind_FIREARM_KIND_FRAME &&
		(f.GetConverted() || f.GetSilencer() || f.GetAmmunition() != "") {
		out = append(out, fault("firearm.kind", "firearm-part",
			"a part has no silencer and no ammunition, and is not converted: make an alert on the firearm"))
	}
	asks := func(x karaulav1.Action) bool { return slices.Contains(a.GetActions(), x) }
	if asks(karaulav1.Action_ACTION_TRACE) && f.GetTraceTo() == "" {
		out = append(out, fault("firearm.trace_to", "firearm-trace",
			"action trace needs the country that is asked: that of manufacture or of the last import"))
	}
	if f.GetTraceTo() != "" && !asks(karaulav1.Action_ACTION_TRACE) {
		out = append(out, fault("actions", "firearm-trace", "trace_to stands with action trace, and only there"))
	}
	switch f.GetStatus() { //nolint:exhaustive // the others ask for nothing more
	case karaulav1.FirearmStatus_FIREARM_STATUS_RECOVERED:
		if asks(karaulav1.Action_ACTION_SEIZE) {
			out = append(out, fault("actions", "firearm-recovered", "a recovered firearm is not seized again"))
		}
	case karaulav1.FirearmStatus_FIREARM_STATUS_STOLEN, karaulav1.FirearmStatus_FIREARM_STATUS_LOST:
		if f.GetIncidentTime() == 0 {
			out = append(out, warning("firearm.incident_time", "firearm-loss", "should say when it was taken or lost"))
		}
	}
	return out
}
