package alert

import (
	"fmt"
	"slices"
	"time"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

const (
	// minimumAge is that of criminal responsibility in all six countries of the
	// region, in years.
	minimumAge = 14
	adultAge   = 18
	// extraditionMonths is the least penalty for which states extradite (European
	// Convention on Extradition, CETS 24, Art. 2).
	extraditionMonths = 12
)

// wantedActions are the actions that a reason admits (after SIS Regulation (EU)
// 2018/1862, Arts. 26, 32, 34, 36).
var wantedActions = map[karaulav1.PersonReason][]karaulav1.Action{
	karaulav1.PersonReason_PERSON_REASON_ARREST:  {karaulav1.Action_ACTION_ARREST},
	karaulav1.PersonReason_PERSON_REASON_MISSING: {karaulav1.Action_ACTION_LOCATE},
	karaulav1.PersonReason_PERSON_REASON_JUDICIAL: {
		karaulav1.Action_ACTION_LOCATE, karaulav1.Action_ACTION_SUMMON,
	},
	karaulav1.PersonReason_PERSON_REASON_CHECK: {
		karaulav1.Action_ACTION_DISCREET_CHECK, karaulav1.Action_ACTION_INQUIRY_CHECK, karaulav1.Action_ACTION_SPECIFIC_CHECK,
	},
	karaulav1.PersonReason_PERSON_REASON_UNKNOWN_WANTED: {karaulav1.Action_ACTION_LOCATE},
}

// wantedFindings gives what the schema cannot state about a wanted or missing person.
func wantedFindings(a *karaulav1.Alert, p *karaulav1.Person, now time.Time) Findings {
	out := wantedNamed(p)
	reason := p.GetReason()
	admitted, known := wantedActions[reason]
	if known && slices.ContainsFunc(a.GetActions(), func(x karaulav1.Action) bool { return !slices.Contains(admitted, x) }) {
		out = append(out, fault("actions", "person-actions", "are not those of the reason"))
	}
	if reason == karaulav1.PersonReason_PERSON_REASON_CHECK && len(a.GetActions()) > 1 {
		out = append(out, fault("actions", "person-actions", "a check is one of discreet, inquiry and specific, not several"))
	}
	if reason == karaulav1.PersonReason_PERSON_REASON_ARREST {
		out = append(out, arrestFindings(a, p.GetWarrant(), now)...)
	}
	for i, imei := range p.GetImeis() {
		if len(imei) == 15 && imei[14] != '0' && !luhn(imei) {
			out = append(out, fault(fmt.Sprintf("person.imeis[%d]", i), "imei-check-digit",
				"the check digit does not fit (3GPP TS 23.003, annex B); where it is not known it is 0"))
		}
	}
	return append(out, ageFindings(p, now)...)
}

// wantedNamed says what an alert on a known person must tell of it.
func wantedNamed(p *karaulav1.Person) Findings {
	var out Findings
	if p.GetReason() == karaulav1.PersonReason_PERSON_REASON_UNKNOWN_WANTED {
		return nil
	}
	if p.GetIdentity().GetSurname() == "" {
		out = append(out, fault("person.identity.surname", "person-named", "is required but for reason unknown-wanted"))
	}
	if p.GetIdentity().GetBirthDate() == "" {
		out = append(out, fault("person.identity.birth_date", "person-named",
			"is required but for reason unknown-wanted; the year alone suffices"))
	}
	return out
}

// arrestFindings says what must stand beside a warrant (SIS Regulation (EU)
// 2018/1862, Arts. 27 to 29).
func arrestFindings(a *karaulav1.Alert, w *karaulav1.Warrant, now time.Time) Findings {
	var out Findings
	if len(a.GetOffences()) == 0 {
		out = append(out, fault("offences", "person-arrest", "must say for which offence the arrest is sought"))
	}
	if !slices.ContainsFunc(a.GetDataSubjectCategories(), func(c karaulav1.DataSubject) bool {
		return c == karaulav1.DataSubject_DATA_SUBJECT_SUSPECT || c == karaulav1.DataSubject_DATA_SUBJECT_CONVICTED
	}) {
		out = append(out, fault("data_subject_categories", "person-arrest", "must say suspect or convicted"))
	}
	if after(w.GetDate(), now) {
		out = append(out, fault("person.warrant.date", "warrant-date", "lies in the future"))
	}
	if m := w.GetMaxPenaltyMonths(); m > 0 && m < extraditionMonths {
		out = append(out, warning("person.warrant.max_penalty_months", "warrant-penalty",
			"is less than the year for which states extradite (European Convention on Extradition, Art. 2)"))
	}
	return out
}

// ageFindings keeps measures from those who are too young for them. A date that
// is known in part counts as its first day: the benefit of the doubt is small,
// and the officer who acts confirms.
func ageFindings(p *karaulav1.Person, now time.Time) Findings {
	if p.GetReason() == karaulav1.PersonReason_PERSON_REASON_MISSING ||
		p.GetReason() == karaulav1.PersonReason_PERSON_REASON_JUDICIAL {
		return nil // children go missing, and bear witness
	}
	born, ok := dateStart(p.GetIdentity().GetBirthDate())
	switch {
	case !ok:
		return nil
	case born.AddDate(minimumAge, 0, 0).After(now):
		return Findings{fault("person.identity.birth_date", "person-age",
			fmt.Sprintf("is of a child under %d years: no such measure is asked for", minimumAge))}
	case born.AddDate(adultAge, 0, 0).After(now):
		return Findings{warning("person.identity.birth_date", "person-child",
			fmt.Sprintf("is of a child under %d years: the law on juveniles holds", adultAge))}
	default:
		return nil
	}
}

// luhn reports whether the last digit of a number fits (ISO/IEC 7812-1, annex B).
func luhn(s string) bool {
	sum := 0
	for i := range len(s) {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 1 {
			d = d*2/10 + d*2%10
		}
		sum += d
	}
	return sum%10 == 0
}
