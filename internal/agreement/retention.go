package agreement

import (
	"strings"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// retention is the longest time for which content of a type is usually kept;
// 0 where there is no usual limit. An agreement may go above it: the linter
// only says so.
//
// Vehicles, documents and firearms: SIS, Regulation (EU) 2018/1862, Art. 54.
// Persons: Art. 53. Trafficking with personal data: a suspicion, Art. 32(1)(d)
// and (e) with Art. 53(4). Hits: a national file about an alert, Art. 57.
// Routes, migration incidents, patrols and requests: the project's own choice,
// for patrols counted from the plan and so with time ahead of it.
func retention(t karaulav1.AlertType, personal bool) time.Duration {
	switch t {
	case karaulav1.AlertType_ALERT_TYPE_VEHICLE, karaulav1.AlertType_ALERT_TYPE_DOCUMENT,
		karaulav1.AlertType_ALERT_TYPE_FIREARM:
		return 10 * year
	case karaulav1.AlertType_ALERT_TYPE_PERSON:
		return 5 * year
	case karaulav1.AlertType_ALERT_TYPE_TRAFFICKING:
		if !personal {
			return 0
		}
		return year
	case karaulav1.AlertType_ALERT_TYPE_ROUTE, karaulav1.AlertType_ALERT_TYPE_REQUEST,
		karaulav1.AlertType_ALERT_TYPE_ANSWER:
		return year
	case karaulav1.AlertType_ALERT_TYPE_HIT:
		return 3 * year
	case karaulav1.AlertType_ALERT_TYPE_MIGRATION, karaulav1.AlertType_ALERT_TYPE_PATROL:
		return 184 * day
	default:
		return 0
	}
}

// joined lists words for a message.
func joined(words []string) string { return strings.Join(words, ", ") }
