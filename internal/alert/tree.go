package alert

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// form is what a scalar of a file may stand for.
type form int

const (
	plain  form = iota // YAML without quotes: text, number or truth value, as the field asks
	quoted             // text
	number             // JSON number
	truth              // JSON true or false
	token              // word or time, when writing: no quotes in YAML
)

// tree is what a file holds, YAML or JSON alike, before fields are known. A nil
// list and nil keys make a scalar.
type tree struct {
	line int
	text string
	form form
	null bool
	list bool
	dict bool
	keys []key
	vals []*tree // of the list, or beside keys
	code code    // of a coded value, when writing
}

// code is a value of an enum.
type code struct {
	of     protoreflect.EnumDescriptor // nil: no coded value
	number protoreflect.EnumNumber
}

// key is a name in a mapping.
type key struct {
	name string
	line int
}

// what names the shape for messages.
func (t *tree) what() string {
	switch {
	case t.null:
		return "empty"
	case t.list:
		return "a list"
	case t.dict:
		return "a group of fields"
	case t.form == number:
		return "a number"
	case t.form == truth:
		return "true or false"
	default:
		return "a text"
	}
}

// mistake is one thing that is wrong in a file.
type mistake struct {
	line  int
	where string // "document 2", "document 1, alert 3"
	field string
	text  string
}

func (m mistake) String() string {
	s := fmt.Sprintf("line %d: ", m.line)
	if m.where != "" {
		s += m.where + ": "
	}
	if m.field != "" {
		s += m.field + ": "
	}
	return s + m.text
}

// counter refuses a file that holds too many things.
type counter struct{ left int }

func (c *counter) take(line int) *mistake {
	if c.left--; c.left < 0 {
		return &mistake{line: line, text: fmt.Sprintf("more than %d values in one file", maxValues)}
	}
	return nil
}

// add appends a key and its value to a mapping, unless the key is there already
// or there are more keys than any message has fields.
func (t *tree) add(k key, v *tree) *mistake {
	if len(t.keys) >= maxKeys {
		return &mistake{line: k.line, text: fmt.Sprintf("more than %d fields in one group", maxKeys)}
	}
	for _, old := range t.keys {
		if old.name == k.name {
			return &mistake{line: k.line, field: shown(k.name), text: fmt.Sprintf("stands twice, first in line %d", old.line)}
		}
	}
	t.keys, t.vals = append(t.keys, k), append(t.vals, v)
	return nil
}

// shown makes a key of a file fit for a message.
func shown(name string) string {
	const most = 40
	if len(name) > most {
		name = name[:most]
	}
	for _, c := range []byte(name) {
		if c <= 0x20 || c >= 0x7f {
			return fmt.Sprintf("%q", name)
		}
	}
	return name
}
