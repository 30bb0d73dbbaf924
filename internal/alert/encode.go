package alert

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/reflect/protoreflect"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// MarshalYAML gives the alert as a YAML document that [Parse] takes back. An
// alert that breaks rules of the schema may have no such form; that is an error.
func MarshalYAML(a *karaulav1.Alert) ([]byte, error) { return ExplainYAML(a, nil) }

// Terms gives the term of a coded value in a reader's language, "" if there is
// none. It has no line breaks.
type Terms func(of protoreflect.EnumDescriptor, number protoreflect.EnumNumber) string

// ExplainYAML gives the same document, and beside each coded value what term says
// of it, as a comment. Without the comments it is the same bytes: [Parse] takes
// it back as well. An empty term leaves the word alone; nil leaves all.
func ExplainYAML(a *karaulav1.Alert, term Terms) ([]byte, error) {
	t, err := toTree(a.ProtoReflect())
	if err != nil {
		return nil, err
	}
	root := t.node()
	if term != nil {
		t.explain(root, term)
	}
	out, err := yaml.Dump(root, yaml.WithV4Defaults(), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "could not write the alert as YAML")
	}
	return out, nil
}

// MarshalJSON gives the alert as a JSON object in one line, with the same names
// and values as [MarshalYAML].
func MarshalJSON(a *karaulav1.Alert) ([]byte, error) {
	t, err := toTree(a.ProtoReflect())
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	t.json(&b)
	return b.Bytes(), nil
}

// toTree gives the fields that are set, in the order of their numbers.
func toTree(m protoreflect.Message) (*tree, error) {
	out := &tree{dict: true}
	fs := m.Descriptor().Fields()
	for i := range fs.Len() {
		fd := fs.Get(i)
		if !m.Has(fd) {
			continue
		}
		var v *tree
		var err error
		if fd.IsList() {
			v, err = listTree(fd, m.Get(fd).List())
		} else {
			v, err = valueTree(fd, m.Get(fd))
		}
		if err != nil {
			return nil, err
		}
		out.keys, out.vals = append(out.keys, key{name: string(fd.Name())}), append(out.vals, v)
	}
	return out, nil
}

func listTree(fd protoreflect.FieldDescriptor, l protoreflect.List) (*tree, error) {
	out := &tree{list: true}
	for i := range l.Len() {
		v, err := valueTree(fd, l.Get(i))
		if err != nil {
			return nil, err
		}
		out.vals = append(out.vals, v)
	}
	return out, nil
}

func valueTree(fd protoreflect.FieldDescriptor, v protoreflect.Value) (*tree, error) {
	refuse := func(what string) (*tree, error) {
		return nil, problem.New(problem.Invalid, "the alert cannot be shown: %s %s", fd.Name(), what)
	}
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return toTree(v.Message())
	case protoreflect.StringKind:
		return &tree{form: quoted, text: v.String()}, nil
	case protoreflect.BytesKind:
		return &tree{form: quoted, text: hex.EncodeToString(v.Bytes())}, nil
	case protoreflect.BoolKind:
		return &tree{form: truth, text: strconv.FormatBool(v.Bool())}, nil
	case protoreflect.EnumKind:
		w := word(fd.Enum(), v.Enum())
		if w == "" {
			return refuse("has a value that this version does not know")
		}
		return &tree{form: token, text: w, code: code{of: fd.Enum(), number: v.Enum()}}, nil
	case protoreflect.DoubleKind:
		f := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return refuse("is no number")
		}
		return &tree{form: number, text: strconv.FormatFloat(f, 'g', -1, 64)}, nil
	case protoreflect.Int64Kind:
		at := time.UnixMicro(v.Int()).UTC()
		if v.Int() <= 0 || at.Year() > 9999 {
			return refuse("is no time")
		}
		return &tree{form: token, text: at.Format("2006-01-02T15:04:05.999999Z07:00")}, nil
	default:
		return &tree{form: number, text: v.String()}, nil
	}
}

// json writes the tree without white space.
func (t *tree) json(b *bytes.Buffer) {
	switch {
	case t.dict:
		b.WriteByte('{')
		for i, k := range t.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quote(k.name))
			b.WriteByte(':')
			t.vals[i].json(b)
		}
		b.WriteByte('}')
	case t.list:
		b.WriteByte('[')
		for i, v := range t.vals {
			if i > 0 {
				b.WriteByte(',')
			}
			v.json(b)
		}
		b.WriteByte(']')
	case t.form == quoted || t.form == token:
		b.WriteString(quote(t.text))
	default:
		b.WriteString(t.text)
	}
}

// quote gives s as a JSON string.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) //nolint:errchkjson // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// bare is text that every YAML reader takes for text without quotes.
var bare = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_/.,()+ -]*[A-Za-z0-9_/.)]$`)

// words that some YAML readers take for something else than text.
var yamlWords = regexp.MustCompile(`(?i)^(y|n|yes|no|true|false|on|off|null|nan|inf)$`)

// node gives the tree as YAML, with a style for people.
func (t *tree) node() *yaml.Node {
	switch {
	case t.dict:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if t.flat() {
			n.Style = yaml.FlowStyle
		}
		for i, k := range t.keys {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: k.name}, t.vals[i].node())
		}
		return n
	case t.list:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if t.flat() {
			n.Style = yaml.FlowStyle
		}
		for _, v := range t.vals {
			n.Content = append(n.Content, v.node())
		}
		return n
	case t.form != quoted:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: t.text}
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: t.text}
	switch {
	case strings.Contains(t.text, "\n"):
		n.Style = yaml.LiteralStyle
	case !bare.MatchString(t.text) || yamlWords.MatchString(t.text):
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// explain puts the terms of the coded values of t behind the lines on which its
// node n has them.
func (t *tree) explain(n *yaml.Node, term Terms) {
	if n.Kind == yaml.ScalarNode || n.Style&yaml.FlowStyle != 0 {
		n.LineComment = strings.Join(t.termsOf(nil, term), "; ")
		return
	}
	for i, v := range t.vals {
		child := i
		if t.dict {
			child = 2*i + 1
		}
		v.explain(n.Content[child], term)
	}
}

// termsOf appends the terms of all coded values of t.
func (t *tree) termsOf(list []string, term Terms) []string {
	if t.code.of != nil {
		if s := term(t.code.of, t.code.number); s != "" {
			list = append(list, s)
		}
	}
	for _, v := range t.vals {
		list = v.termsOf(list, term)
	}
	return list
}

// flat reports whether the tree reads well in one line: a position, or a list of
// short words.
func (t *tree) flat() bool {
	width := 0
	for _, v := range t.vals {
		if v.dict || v.list {
			return false
		}
		width += len(v.text) + 2
	}
	for _, k := range t.keys {
		width += len(k.name) + 2
	}
	return width <= 60 && (t.list || len(t.keys) <= 3)
}
