package searchkey

import (
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Of gives the terms by which an alert is to be found. None are of victims,
// witnesses, owners and lawful holders: nobody may come up as sought because a
// crime was done to him. None are of requests and answers: their keys serve one
// question (Regulation (EU) 2024/982, Art. 50(3), unverified).
func Of(a *karaulav1.Alert) []Term {
	t := &terms{}
	switch d := a.GetDetails().(type) {
	case *karaulav1.Alert_Vehicle:
		vehicle(t, d.Vehicle)
	case *karaulav1.Alert_Trafficking:
		involved(t, d.Trafficking.GetSuspects())
	case *karaulav1.Alert_Person:
		identity(t, d.Person.GetIdentity())
		involved(t, d.Person.GetCompanions())
		for _, i := range d.Person.GetImeis() {
			imeiTerm(t, i)
		}
	case *karaulav1.Alert_Document:
		document(t, d.Document)
	case *karaulav1.Alert_Firearm:
		firearmTerms(t, d.Firearm.GetSerial(), d.Firearm.GetMake())
	case *karaulav1.Alert_Hit:
		involved(t, d.Hit.GetPersons())
		plates(t, d.Hit.GetPlates())
	}
	return t.list
}

func vehicle(t *terms, v *karaulav1.Vehicle) {
	vinTerm(t, v.GetVin())
	plates(t, v.GetPlates())
	t.add(Engine, Number(v.GetEngineNumber()))
	for _, c := range v.GetContainers() {
		t.add(Container, Number(c))
	}
	if p := v.GetRegistrationDocument(); p != nil {
		t.add(Paper, Number(p.GetNumber()))
	}
	involved(t, v.GetPersons())
}

func plates(t *terms, list []*karaulav1.Plate) {
	for _, p := range list {
		plateTerms(t, p.GetNumber(), p.GetCountry())
	}
}

func document(t *terms, d *karaulav1.Document) {
	for _, state := range []string{d.GetIssuingState(), d.GetIssuingStateAsPrinted()} {
		documentTerms(t, d.GetNumber(), state)
		blankTerms(t, state, d.GetBlankFrom(), d.GetBlankTo())
	}
}

// involved adds the persons who may be sought, by their roles.
func involved(t *terms, list []*karaulav1.InvolvedPerson) {
	for _, p := range list {
		switch p.GetRole() {
		case karaulav1.PersonRole_PERSON_ROLE_SUSPECT, karaulav1.PersonRole_PERSON_ROLE_DRIVER,
			karaulav1.PersonRole_PERSON_ROLE_COMPANION, karaulav1.PersonRole_PERSON_ROLE_BEARER,
			karaulav1.PersonRole_PERSON_ROLE_CONTROLLER:
			identity(t, p.GetIdentity())
		default: // owner, victim, witness, and roles that are not known
		}
	}
}

func identity(t *terms, id *karaulav1.Identity) {
	if id == nil {
		return
	}
	personTerms(t, Person{id.GetSurname(), id.GetGivenNames(), id.GetBirthDate()})
	for _, alias := range append([]string{id.GetNameOriginalScript()}, id.GetAliases()...) {
		if w := words(alias); len(w) > 1 { // who comes first is not known; pairs have no order
			personTerms(t, Person{w[0], w[len(w)-1], id.GetBirthDate()})
		}
	}
	t.add(NationalNumber, Number(id.GetNationalNumber()))
	for _, d := range id.GetDocuments() {
		documentTerms(t, d.GetNumber(), d.GetIssuingState())
	}
	for _, p := range id.GetPhones() {
		phoneTerm(t, p)
	}
}
