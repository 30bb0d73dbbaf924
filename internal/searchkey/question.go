package searchkey

import (
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Ask gives the terms of a question.
//
// An error is of kind [problem.Invalid] and says what is missing, without the
// values that were given.
func Ask(q *karaulav1.Question) ([]Term, error) {
	t := &terms{}
	switch about := q.GetAbout().(type) {
	case *karaulav1.Question_Plate:
		plateTerms(t, about.Plate.GetNumber(), about.Plate.GetCountry())
	case *karaulav1.Question_Vin:
		vinTerm(t, about.Vin)
	case *karaulav1.Question_EngineNumber:
		t.add(Engine, Number(about.EngineNumber))
	case *karaulav1.Question_Container:
		t.add(Container, Number(about.Container))
	case *karaulav1.Question_RegistrationDocument:
		t.add(Paper, Number(about.RegistrationDocument))
	case *karaulav1.Question_Document:
		documentTerms(t, about.Document.GetNumber(), about.Document.GetIssuingState())
		askBlank(t, about.Document.GetIssuingState(), about.Document.GetNumber())
	case *karaulav1.Question_Person:
		return askedPerson(t, about.Person)
	case *karaulav1.Question_Firearm:
		firearmTerms(t, about.Firearm.GetSerial(), about.Firearm.GetMake())
	case *karaulav1.Question_Phone:
		phoneTerm(t, about.Phone)
	case *karaulav1.Question_Imei:
		imeiTerm(t, about.Imei)
	case *karaulav1.Question_NationalNumber:
		t.add(NationalNumber, Number(about.NationalNumber))
	default:
		return nil, problem.New(problem.Invalid, "the question is about nothing that can be looked up")
	}
	if len(t.list) == 0 {
		return nil, problem.New(problem.Invalid,
			"the number that is asked for holds no letters and digits, too few, or more than %d", MaxNumber)
	}
	return t.list, nil
}

func askedPerson(t *terms, p *karaulav1.PersonQuestion) ([]Term, error) {
	born := bornOf(p.GetBirthDate())
	switch {
	case p.GetBirthDate() != "" && born.year == "":
		return nil, problem.New(problem.Invalid, "the date of birth must be like 1985-02-17, 1985-02 or 1985")
	case len(words(p.GetSurname())) == 0:
		return nil, problem.New(problem.Invalid, "a person is looked up by surname with given names or a day of birth")
	case len(words(p.GetGivenNames())) == 0 && born.day == "":
		return nil, problem.New(problem.Invalid, "a surname alone brings strangers: add given names or the day of birth")
	}
	askPerson(t, Person{p.GetSurname(), p.GetGivenNames(), p.GetBirthDate()})
	if len(t.list) == 0 {
		return nil, problem.New(problem.Invalid, "the name that is asked for holds no letters that can be compared")
	}
	return t.list, nil
}
