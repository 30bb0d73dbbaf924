package alert

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxIndex is the highest position in a list that a path names.
const maxIndex = 19

// Path names one value of an alert, as findings do: "vehicle.plates[0].number".
type Path struct {
	text  string
	steps []step
}

// step is a field on the way, and the position in it where it is a list.
type step struct {
	fd protoreflect.FieldDescriptor
	at int
}

// ParsePath reads a path. It must end at a value: a text, a number, a word, a
// time, true or false; of a list it names one place, from 0.
func ParsePath(text string) (Path, error) {
	refuse := func(what string) error {
		return problem.New(problem.Invalid, "%s is no path to a value of an alert: %s", shown(text), what).
			WithHint("the fields are in docs/alerts.md; a place in a list is written plates[0]")
	}
	p := Path{text: text}
	md := (&karaulav1.Alert{}).ProtoReflect().Descriptor()
	for name := range strings.SplitSeq(text, ".") {
		if md == nil {
			return Path{}, refuse("it goes on behind a value")
		}
		name, index, indexed := strings.Cut(name, "[")
		fd := md.Fields().ByName(protoreflect.Name(name))
		if fd == nil {
			return Path{}, refuse("there is no field " + shown(name) + unknownHint(md, name))
		}
		s := step{fd: fd}
		if indexed != fd.IsList() {
			return Path{}, refuse(shown(name) + " is a list if and only if a place is named in it")
		}
		if indexed {
			n, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
			if err != nil || n < 0 || n > maxIndex || index != strconv.Itoa(n)+"]" {
				return Path{}, refuse("a place in a list is a number from 0 to " + strconv.Itoa(maxIndex))
			}
			s.at = n
		}
		p.steps = append(p.steps, s)
		md = fd.Message()
	}
	if md != nil {
		return Path{}, refuse("it ends at a group of fields")
	}
	return p, nil
}

// String gives the path as it was written.
func (p Path) String() string { return p.text }

// IsTime reports whether the value is a time.
func (p Path) IsTime() bool {
	fd := p.steps[len(p.steps)-1].fd
	return fd.Kind() == protoreflect.Int64Kind && markOf(fd).GetTime()
}

// Set puts a value there, read as in a file of alerts without quotes. What
// stands before a place in a list is filled with nothing; [Prune] takes it away.
// The error says what the value must be, and never shows it.
func (p Path) Set(a *karaulav1.Alert, text string) error {
	d := &decoder{}
	last := p.steps[len(p.steps)-1]
	v, ok := d.scalar(last.fd, &tree{text: text})
	if !ok {
		return problem.New(problem.Invalid, "%s: %s", p.text, d.mistakes[0].text)
	}
	m := a.ProtoReflect()
	for _, s := range p.steps {
		if one := s.fd.ContainingOneof(); one != nil && !one.IsSynthetic() {
			if other := m.WhichOneof(one); other != nil && other != s.fd {
				return problem.New(problem.Invalid, "%s: stands beside %s; an alert has the details of one type", p.text, other.Name())
			}
		}
		switch {
		case s.fd.IsList() && s.fd.Message() != nil:
			l := m.Mutable(s.fd).List()
			for l.Len() <= s.at {
				l.AppendMutable()
			}
			m = l.Get(s.at).Message()
		case s.fd.IsList():
			l := m.Mutable(s.fd).List()
			for l.Len() <= s.at {
				l.Append(l.NewElement())
			}
			l.Set(s.at, v)
		case s.fd.Message() != nil:
			m = m.Mutable(s.fd).Message()
		default:
			m.Set(s.fd, v)
		}
	}
	return nil
}

// Get gives the value there as a file of alerts has it; "" if there is none.
func (p Path) Get(a *karaulav1.Alert) (string, error) {
	m := a.ProtoReflect()
	for _, s := range p.steps {
		if !m.Has(s.fd) {
			return "", nil
		}
		v := m.Get(s.fd)
		if s.fd.IsList() {
			if v.List().Len() <= s.at {
				return "", nil
			}
			v = v.List().Get(s.at)
		}
		if s.fd.Message() == nil {
			t, err := valueTree(s.fd, v)
			if err != nil {
				return "", err
			}
			return t.text, nil
		}
		m = v.Message()
	}
	return "", nil
}

// Prune takes away what [Path.Set] left empty: groups without a field, and places
// in lists that hold nothing.
func Prune(a *karaulav1.Alert) { prune(a.ProtoReflect()) }

// prune reports whether anything is left.
func prune(m protoreflect.Message) bool {
	left := false
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList():
			keepFull(fd, v.List())
			left = left || v.List().Len() > 0
		case fd.Message() != nil && !prune(v.Message()):
			m.Clear(fd)
		default:
			left = true
		}
		return true
	})
	return left
}

// keepFull closes the gaps of a list.
func keepFull(fd protoreflect.FieldDescriptor, l protoreflect.List) {
	n := 0
	for i := range l.Len() {
		v := l.Get(i)
		full := true
		switch {
		case fd.Message() != nil:
			full = prune(v.Message())
		case fd.Kind() == protoreflect.StringKind:
			full = v.String() != ""
		case fd.Kind() == protoreflect.EnumKind:
			full = v.Enum() != 0
		}
		if full {
			l.Set(n, v)
			n++
		}
	}
	l.Truncate(n)
}
