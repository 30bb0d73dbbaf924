// Package lexicon shows coded values to people in their language: Albanian,
// Bosnian, Macedonian, Montenegrin, Serbian in both scripts, and English. What
// travels, is signed and is stored are the numbers of the schema; a term is made
// from them where somebody reads.
//
// The terms are in tables/, one file for each language: a line is a key, a tab
// and the term, and after another tab a question mark where the term is in
// doubt. The keys are the names of enum values as the schema has them,
// "party.xk" for names of parties, and "label.said" for heads. No native-speaking
// lawyer or officer has reviewed them (docs/languages.md).
//
// It must never translate free text, nor a legal one, and never give one term
// for another when there is none: an empty text tells the caller to show the word.
package lexicon

import (
	"embed"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	"karaula/internal/searchkey"
)

//go:embed tables
var files embed.FS

// Language is a language and its script, as a BCP 47 tag.
type Language string

// The languages. Montenegrin has no two-letter code (ISO 639-2: cnr).
const (
	Albanian        Language = "sq"
	Bosnian         Language = "bs"
	English         Language = "en"
	Macedonian      Language = "mk"
	Montenegrin     Language = "cnr"
	SerbianCyrillic Language = "sr-Cyrl"
	SerbianLatin    Language = "sr-Latn"
)

// names gives each language its own name for itself.
var names = map[Language]string{
	Albanian: "shqip", Bosnian: "bosanski", English: "English", Macedonian: "македонски",
	Montenegrin: "crnogorski", SerbianCyrillic: "српски", SerbianLatin: "srpski",
}

// Tags lists the languages in alphabetical order of their English names, which
// puts none before another.
func Tags() []string {
	return []string{"sq", "bs", "en", "mk", "cnr", "sr-Cyrl", "sr-Latn"}
}

// Parse takes a tag as [Tags] has it; false for any other.
func Parse(tag string) (Language, bool) {
	_, ok := names[Language(tag)]
	return Language(tag), ok
}

// Name is what the language calls itself, in its script.
func (l Language) Name() string { return names[l] }

// Term is the term of an enum value; "" for zero, for one that this version does
// not know, and for an enum that is not shown to people.
func (l Language) Term(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	if n == 0 {
		return ""
	}
	v := ed.Values().ByNumber(n)
	if v == nil {
		return ""
	}
	return l.table()[string(v.Name())]
}

// Party is the name of a party by its code, neutral as to status; "" for a party
// that has none here. A page that shows that of xk carries terms.KosovoFootnote.
func (l Language) Party(code string) string { return l.table()["party."+code] }

// Label is the head of a column or of a value, by its English word.
func (l Language) Label(word string) string { return l.table()["label."+word] }

// tables reads all tables once. Serbian in Latin letters is its Cyrillic table in
// the official transliteration, so that the two never differ.
var tables = sync.OnceValue(func() map[Language]map[string]string {
	out := map[Language]map[string]string{SerbianLatin: {}}
	for l := range names {
		if l != SerbianLatin {
			out[l] = read("tables/" + string(l) + ".tsv")
		}
	}
	for key, term := range out[SerbianCyrillic] {
		out[SerbianLatin][key] = searchkey.Latin(term)
	}
	return out
})

func (l Language) table() map[string]string { return tables()[l] }

// read gives the terms of a table by their keys.
func read(file string) map[string]string {
	body, err := files.ReadFile(file)
	if err != nil {
		return nil // a test sees that every language has its table
	}
	out := map[string]string{}
	for line := range strings.Lines(string(body)) {
		if cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(cells) > 1 {
			out[cells[0]] = cells[1]
		}
	}
	return out
}
