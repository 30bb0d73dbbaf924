package alert

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// vehicleFindings gives what the schema cannot state about a vehicle. What holds
// for every plate is in plateFindings.
func vehicleFindings(a *karaulav1.Alert, v *karaulav1.Vehicle, now time.Time) Findings {
	out := yearFindings("vehicle.year", v.GetYear(), now)
	out = append(out, vinFindings("vehicle.vin", v.GetVin())...)
	for i, c := range v.GetContainers() {
		if len(c) == 11 && !validContainer(c) {
			out = append(out, warning(fmt.Sprintf("vehicle.containers[%d]", i), "container-check-digit",
				"the check digit does not fit (ISO 6346)"))
		}
	}
	if first := v.GetFirstRegistration(); len(first) >= 4 && v.GetYear() > 0 {
		if y, err := strconv.Atoi(first[:4]); err == nil && y+1 < int(v.GetYear()) {
			out = append(out, warning("vehicle.first_registration", "vehicle-dates", "lies before the year of construction"))
		}
	}
	switch v.GetReason() { //nolint:exhaustive // the others ask for nothing more
	case karaulav1.VehicleReason_VEHICLE_REASON_STOLEN:
		if v.GetTheftFrom() == 0 && v.GetTheftUntil() == 0 {
			out = append(out, warning("vehicle.theft_from", "theft-time", "a stolen vehicle should say when it was taken"))
		}
	case karaulav1.VehicleReason_VEHICLE_REASON_DISCREET_CHECK:
		if slices.ContainsFunc(a.GetActions(), func(x karaulav1.Action) bool {
			return x != karaulav1.Action_ACTION_DISCREET_REPORT
		}) {
			out = append(out, fault("actions", "vehicle-discreet",
				"reason discreet-check admits discreet-report alone: a stop would give it away"))
		}
	}
	return out
}

// vinFindings warns of a VIN whose check digit does not fit.
func vinFindings(field, vin string) Findings {
	if len(vin) != 17 || validVIN(vin) {
		return nil
	}
	return Findings{warning(field, "vin-check-digit",
		"the check digit does not fit; that is common for vehicles that were not made for North America")}
}
