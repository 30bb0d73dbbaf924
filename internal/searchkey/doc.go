// Package searchkey turns what names a thing or a person into terms, so that two
// spellings of the same plate, number or name have a term in common: "M 123-AB"
// and "М123АВ" in Cyrillic letters, Ђорђевић, Đorđević, Djordjevic and Dordevic.
//
// [Of] gives the terms by which an alert is to be found, [Ask] those of a
// question. A question finds an alert if they share a term; the kind of the best
// term that they share says how sure that is ([Kind.Rank]) and why ([Kind.Why]).
// Terms of a kind that is not exact exist only together with something that
// narrows them down, a date or year of birth, so that a common name does not
// bring hundreds of strangers.
//
// Terms are plain text and hold what they were made of: whoever keeps them keeps
// a keyed hash of each. The package must never store, log or hash anything
// itself, and no answer of it is an identification: a person confirms.
package searchkey

import (
	"slices"
	"strings"
)

// Kind is what a term was made of. The numbers are part of stored indexes and
// are never used again for something else.
type Kind uint8

// The kinds, by what they are made of.
const (
	PlateOfCountry  Kind = 1  // plate with its country
	Plate           Kind = 2  // plate alone
	PlateRead       Kind = 3  // plate as a camera may misread it
	VIN             Kind = 4  // vehicle identification number
	Engine          Kind = 5  // engine number
	Container       Kind = 6  // container number
	Paper           Kind = 7  // registration document
	DocumentOfState Kind = 8  // document with its issuing state
	Document        Kind = 9  // document number alone
	Blank           Kind = 10 // block of a range of stolen blanks
	Firearm         Kind = 11 // serial number with the maker
	FirearmSerial   Kind = 12 // serial number alone
	Phone           Kind = 13 // telephone
	IMEI            Kind = 14 // telephone set
	NationalNumber  Kind = 15 // national identification number
	NameAndBirth    Kind = 16 // both names and the day of birth
	SurnameAndBirth Kind = 17 // surname and the day of birth
	SlipAndBirth    Kind = 18 // surname with one letter amiss and the day of birth
	SoundAndBirth   Kind = 19 // both names by sound and the day of birth
	NameAndYear     Kind = 20 // both names and the year of birth
	NameUndated     Kind = 21 // both names, where one side knows no date
	SoundAndYear    Kind = 22 // both names by sound and the year of birth
	ExchangedBirth  Kind = 23 // both names; day and month of birth exchanged
	NearYear        Kind = 24 // both names; the year of birth is off by one
)

// Rank is how sure a match is.
type Rank uint8

// The ranks. None of them is an identification.
const (
	Possible Rank = 1
	Likely   Rank = 2
	Exact    Rank = 3
)

// String gives the word for people.
func (r Rank) String() string {
	switch r {
	case Exact:
		return "exact"
	case Likely:
		return "likely"
	case Possible:
		return "possible"
	default:
		return "none"
	}
}

// kinds says of each kind how sure it is and why something matched.
var kinds = map[Kind]struct {
	rank Rank
	why  string
}{
	PlateOfCountry:  {Exact, "plate and country"},
	Plate:           {Likely, "plate; another or no country"},
	PlateRead:       {Possible, "plate, if a character was misread"},
	VIN:             {Exact, "vehicle identification number"},
	Engine:          {Likely, "engine number"},
	Container:       {Exact, "container number"},
	Paper:           {Exact, "registration document"},
	DocumentOfState: {Exact, "document number and issuing state"},
	Document:        {Likely, "document number; another or no issuing state"},
	Blank:           {Exact, "within a range of stolen blanks"},
	Firearm:         {Exact, "serial number and maker"},
	FirearmSerial:   {Likely, "serial number; another or no maker"},
	Phone:           {Exact, "telephone number"},
	IMEI:            {Exact, "telephone set"},
	NationalNumber:  {Exact, "national identification number"},
	NameAndBirth:    {Exact, "both names and the day of birth"},
	SurnameAndBirth: {Likely, "surname and the day of birth; another given name"},
	SlipAndBirth:    {Likely, "surname but for one letter, and the day of birth"},
	SoundAndBirth:   {Likely, "both names by sound, and the day of birth"},
	NameAndYear:     {Possible, "both names and the year of birth"},
	NameUndated:     {Possible, "both names; no date of birth to compare"},
	SoundAndYear:    {Possible, "both names by sound, and the year of birth"},
	ExchangedBirth:  {Possible, "both names; day and month of birth exchanged"},
	NearYear:        {Possible, "both names; the year of birth is off by one"},
}

// Rank gives how sure a match by this kind is; zero for a kind that is not known.
func (k Kind) Rank() Rank { return kinds[k].rank }

// Why says for people what matched, without naming values.
func (k Kind) Why() string { return kinds[k].why }

// Term is one thing to find or to be found by.
type Term struct {
	Kind  Kind
	Value string // normalised; parts separated by a zero byte
}

// terms gathers terms, each once, none that is empty.
type terms struct {
	list []Term
	seen map[Term]bool
}

func (t *terms) add(k Kind, parts ...string) {
	if slices.Contains(parts, "") {
		return
	}
	term := Term{k, strings.Join(parts, "\x00")}
	if t.seen == nil {
		t.seen = map[Term]bool{}
	}
	if !t.seen[term] {
		t.seen[term] = true
		t.list = append(t.list, term)
	}
}
