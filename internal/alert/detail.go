package alert

import (
	"fmt"
	"time"

	"karaula/internal/searchkey"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// textFindings finds a language that stands twice: it would leave open which text is meant.
func textFindings(a *karaulav1.Alert) Findings {
	var out Findings
	seen := map[string]bool{}
	for i, t := range a.GetTexts() {
		if seen[t.GetLanguage()] {
			out = append(out, fault(fmt.Sprintf("texts[%d].language", i), "text-language", "stands twice"))
		}
		seen[t.GetLanguage()] = true
	}
	return out
}

// detailFindings gives what the schema cannot state about one type.
func detailFindings(a *karaulav1.Alert, now time.Time) Findings {
	switch d := a.GetDetails().(type) {
	case *karaulav1.Alert_Vehicle:
		return vehicleFindings(d.Vehicle, now)
	case *karaulav1.Alert_Patrol:
		return patrolFindings(d.Patrol, now)
	case *karaulav1.Alert_Firearm:
		return yearFindings("firearm.year", d.Firearm.GetYear(), now)
	default:
		return nil
	}
}

func vehicleFindings(v *karaulav1.Vehicle, now time.Time) Findings {
	out := yearFindings("vehicle.year", v.GetYear(), now)
	if vin := v.GetVin(); len(vin) == 17 && !validVIN(vin) {
		out = append(out, warning("vehicle.vin", "vin-check-digit",
			"the check digit does not fit; that is common for vehicles that were not made for North America"))
	}
	for i, c := range v.GetContainers() {
		if len(c) == 11 && !validContainer(c) {
			out = append(out, warning(fmt.Sprintf("vehicle.containers[%d]", i), "container-check-digit",
				"the check digit does not fit (ISO 6346)"))
		}
	}
	for i, p := range v.GetPlates() {
		if searchkey.Number(p.GetNumber()) == "" {
			out = append(out, fault(fmt.Sprintf("vehicle.plates[%d].number", i), "plate", "holds no letter and no digit"))
		}
	}
	if v.GetReason() == karaulav1.VehicleReason_VEHICLE_REASON_STOLEN && v.GetTheftFrom() == 0 && v.GetTheftUntil() == 0 {
		out = append(out, warning("vehicle.theft_from", "theft-time", "a stolen vehicle should say when it was taken"))
	}
	return out
}

func yearFindings(field string, year uint32, now time.Time) Findings {
	if int(year) > now.Year()+1 {
		return Findings{fault(field, "year", "lies in the future")}
	}
	return nil
}

func patrolFindings(p *karaulav1.Patrol, now time.Time) Findings {
	var out Findings
	if len(p.GetSides()) < 2 && p.GetKind() != karaulav1.PatrolKind_PATROL_KIND_DECONFLICTION {
		out = append(out, fault("patrol.sides", "patrol-sides", "needs two sides or more, but for a deconfliction notice"))
	}
	begins, ends := time.UnixMicro(p.GetBegins()), time.UnixMicro(p.GetEnds())
	for i, r := range p.GetRendezvous() {
		if t := time.UnixMicro(r.GetTime()); t.Before(begins) || t.After(ends) {
			out = append(out, fault(fmt.Sprintf("patrol.rendezvous[%d].time", i), "patrol-rendezvous",
				"must lie between begins and ends"))
		}
	}
	switch p.GetStage() { //nolint:exhaustive // the others may be said at any time
	case karaulav1.PatrolStage_PATROL_STAGE_PROPOSED, karaulav1.PatrolStage_PATROL_STAGE_ACCEPTED,
		karaulav1.PatrolStage_PATROL_STAGE_AMENDED, karaulav1.PatrolStage_PATROL_STAGE_ACTIVE:
		if ends.Before(now) {
			out = append(out, warning("patrol.ends", "patrol-over", "the patrol has ended, but its stage does not say so"))
		}
	}
	return out
}
