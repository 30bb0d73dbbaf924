package alert

import (
	"fmt"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// firstReport is within what time an incident is first told.
const firstReport = 24 * time.Hour

// migrationFindings gives what the schema cannot state about an incident.
func migrationFindings(a *karaulav1.Alert, m *karaulav1.Migration, now time.Time) Findings {
	out := countFindings(m)
	if m.GetResponseTaken() == "" && m.GetResponsePlanned() == "" {
		out = append(out, fault("migration.response_taken", "migration-response",
			"or response_planned must say what is done about it"))
	}
	if len(a.GetLocations()) == 0 {
		out = append(out, fault("locations", "migration-place", "must say where it happened"))
	}
	happened := time.UnixMicro(a.GetEventTime())
	switch {
	case a.GetEventTime() == 0:
		out = append(out, fault("event_time", "migration-time", "must say when it happened"))
	case a.GetLifecycle() == karaulav1.Lifecycle_LIFECYCLE_CREATE && now.Sub(happened) > firstReport:
		out = append(out, warning("event_time", "migration-late", "lies more than 24 hours back: the first report is late"))
	}
	if from := m.GetFromCountry(); from != "" && from == m.GetToCountry() &&
		m.GetEvent() <= karaulav1.MigrationEvent_MIGRATION_EVENT_PREVENTED_CROSSING {
		out = append(out, fault("migration.to_country", "migration-direction", "is where they came from: no border was crossed"))
	}
	return out
}

// countFindings holds the numbers of people against each other.
func countFindings(m *karaulav1.Migration) Findings {
	var out Findings
	c := m.GetCounts()
	var sum uint64
	seen := map[string]bool{}
	for i, n := range c.GetByNationality() {
		sum += uint64(n.GetCount())
		if seen[n.GetCountry()] {
			out = append(out, fault(fmt.Sprintf("migration.counts.by_nationality[%d].country", i),
				"counts-nationality-twice", "stands twice"))
		}
		seen[n.GetCountry()] = true
	}
	if sum > uint64(c.GetTotal()) {
		out = append(out, fault("migration.counts.by_nationality", "counts-nationalities",
			"must not add up to more than total"))
	}
	parts := uint64(c.GetMen()) + uint64(c.GetWomen()) + uint64(c.GetChildren())
	if parts > 0 && parts < uint64(c.GetTotal()) {
		out = append(out, warning("migration.counts", "counts-open",
			"men, women and children add up to less than total: the rest counts as not known"))
	}
	if c.GetTotal() == 0 && aboutPeople(m.GetEvent()) &&
		m.GetClose() != karaulav1.MigrationClose_MIGRATION_CLOSE_DID_NOT_HAPPEN {
		out = append(out, fault("migration.counts.total", "counts-total", "must say how many people this happened to"))
	}
	return out
}

// aboutPeople reports whether an event of a kind always happens to somebody.
func aboutPeople(e karaulav1.MigrationEvent) bool {
	return e != karaulav1.MigrationEvent_MIGRATION_EVENT_FACILITATION &&
		e != karaulav1.MigrationEvent_MIGRATION_EVENT_FORGED_DOCUMENTS
}
