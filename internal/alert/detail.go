package alert

import (
	"fmt"
	"time"

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
		return vehicleFindings(a, d.Vehicle, now)
	case *karaulav1.Alert_Trafficking:
		return traffickingFindings(a, d.Trafficking)
	case *karaulav1.Alert_Person:
		return wantedFindings(a, d.Person, now)
	case *karaulav1.Alert_Document:
		return documentFindings(d.Document, now)
	case *karaulav1.Alert_Firearm:
		return firearmFindings(a, d.Firearm, now)
	case *karaulav1.Alert_Migration:
		return migrationFindings(a, d.Migration, now)
	case *karaulav1.Alert_Patrol:
		return patrolFindings(a, d.Patrol, now)
	case *karaulav1.Alert_Request:
		return requestFindings(a, d.Request, now)
	case *karaulav1.Alert_Answer:
		return answerFindings(d.Answer, now)
	case *karaulav1.Alert_Hit:
		return hitFindings(a, d.Hit)
	default:
		return nil
	}
}

func yearFindings(field string, year uint32, now time.Time) Findings {
	if int(year) > now.Year()+1 {
		return Findings{fault(field, "year", "lies in the future")}
	}
	return nil
}

// yearOf gives the year of a time.
func yearOf(micros int64) int { return time.UnixMicro(micros).UTC().Year() }
