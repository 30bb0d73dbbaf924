package alert

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// symbol is an enum tail that people write in capitals: "H1", "M1", "A".
var symbol = regexp.MustCompile(`^[A-Z][0-9]*$`)

// vocabulary is the words of one enum, in the order of their numbers.
type vocabulary struct {
	words  []string
	byName map[string]protoreflect.EnumNumber
	byNum  map[protoreflect.EnumNumber]string
}

// vocabularies caches a vocabulary for each enum.
var vocabularies sync.Map // of protoreflect.FullName to *vocabulary

// wordsOf gives the vocabulary of an enum. The zero value has no word.
func wordsOf(ed protoreflect.EnumDescriptor) *vocabulary {
	if v, ok := vocabularies.Load(ed.FullName()); ok {
		return v.(*vocabulary) //nolint:forcetypeassert // only this function stores
	}
	v := &vocabulary{byName: map[string]protoreflect.EnumNumber{}, byNum: map[protoreflect.EnumNumber]string{}}
	prefix := strings.TrimSuffix(string(ed.Values().ByNumber(0).Name()), "UNSPECIFIED")
	for i := range ed.Values().Len() {
		val := ed.Values().Get(i)
		if val.Number() == 0 {
			continue
		}
		w := strings.TrimPrefix(string(val.Name()), prefix)
		if !symbol.MatchString(w) {
			w = strings.ReplaceAll(strings.ToLower(w), "_", "-")
		}
		v.words = append(v.words, w)
		v.byName[w], v.byNum[val.Number()] = val.Number(), w
	}
	vocabularies.Store(ed.FullName(), v)
	return v
}

// word gives the word of an enum value; "" for zero and unknown ones.
func word(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	return wordsOf(ed).byNum[n]
}

// Words lists the words of an enum as files hold them, in the order of their
// numbers.
func Words(ed protoreflect.EnumDescriptor) []string { return slices.Clone(wordsOf(ed).words) }

// Number gives the number of an enum's word as files hold it; false if there is
// no such word.
func Number(ed protoreflect.EnumDescriptor, w string) (protoreflect.EnumNumber, bool) {
	n, ok := wordsOf(ed).byName[w]
	return n, ok
}
