package alert

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// decoder fills messages from trees and collects every mistake.
type decoder struct {
	where    string
	path     []byte
	mistakes []mistake
}

func (d *decoder) bad(line int, format string, args ...any) {
	d.mistakes = append(d.mistakes, mistake{
		line: line, where: d.where, field: string(d.path), text: fmt.Sprintf(format, args...),
	})
}

// message fills m from a mapping.
func (d *decoder) message(m protoreflect.Message, t *tree) {
	if !t.dict {
		d.bad(t.line, "is %s, it must be a group of fields", t.what())
		return
	}
	for i, k := range t.keys {
		before := len(d.path)
		if before > 0 {
			d.path = append(d.path, '.')
		}
		d.path = append(d.path, shown(k.name)...)
		d.named(m, k, t.vals[i])
		d.path = d.path[:before]
	}
}

// named fills the field of that name.
func (d *decoder) named(m protoreflect.Message, k key, t *tree) {
	fd := m.Descriptor().Fields().ByName(protoreflect.Name(k.name))
	if fd == nil {
		d.bad(k.line, "there is no such field%s", unknownHint(m.Descriptor(), k.name))
		return
	}
	if one := fd.ContainingOneof(); one != nil && !one.IsSynthetic() {
		if other := m.WhichOneof(one); other != nil {
			d.bad(k.line, "stands beside %s; an alert has the details of one type", other.Name())
			return
		}
	}
	switch {
	case t.null:
		d.bad(t.line, "has no value; leave the field out")
	case fd.IsList():
		d.list(m.Mutable(fd).List(), fd, t)
	case fd.Kind() == protoreflect.MessageKind:
		d.message(m.Mutable(fd).Message(), t)
	default:
		if v, ok := d.scalar(fd, t); ok {
			m.Set(fd, v)
		}
	}
}

// unknownHint helps with a name that no field has.
func unknownHint(md protoreflect.MessageDescriptor, name string) string {
	switch name {
	case "recipients", "to", "channel", "agreement":
		return "; recipients follow from the agreement of the channel that it is sent on"
	}
	snake := strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	if fd := md.Fields().ByName(protoreflect.Name(snake)); fd != nil {
		return fmt.Sprintf("; it is written %s", fd.Name())
	}
	return ""
}

func (d *decoder) list(l protoreflect.List, fd protoreflect.FieldDescriptor, t *tree) {
	if !t.list {
		d.bad(t.line, "is %s, it must be a list", t.what())
		return
	}
	before := len(d.path)
	for i, item := range t.vals {
		d.path = fmt.Appendf(d.path[:before], "[%d]", i)
		switch {
		case item.null:
			d.bad(item.line, "has no value; leave it out")
		case fd.Kind() == protoreflect.MessageKind:
			d.message(l.AppendMutable().Message(), item)
		default:
			if v, ok := d.scalar(fd, item); ok {
				l.Append(v)
			}
		}
	}
	d.path = d.path[:before]
}

var (
	integer = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)
	decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

// scalar reads a value as its field wants it, so that NO stays a country and
// 0123 a plate.
func (d *decoder) scalar(fd protoreflect.FieldDescriptor, t *tree) (protoreflect.Value, bool) {
	none := protoreflect.Value{}
	if t.list || t.dict {
		d.bad(t.line, "is %s, it must be one value", t.what())
		return none, false
	}
	isText := t.form == plain || t.form == quoted
	switch kind := fd.Kind(); {
	case kind == protoreflect.BoolKind:
		if t.form != quoted && (t.text == "true" || t.text == "false") {
			return protoreflect.ValueOfBool(t.text == "true"), true
		}
		d.bad(t.line, "must be true or false")
	case isNumber(kind) && !markOf(fd).GetTime():
		if t.form == quoted || t.form == truth {
			d.bad(t.line, "is %s, it must be a number without quotes", t.what())
			return none, false
		}
		return d.number(fd, t)
	case !isText:
		d.bad(t.line, "is %s, it must be a text in quotes", t.what())
	case kind == protoreflect.StringKind:
		return protoreflect.ValueOfString(t.text), true
	case kind == protoreflect.EnumKind:
		return d.enum(fd.Enum(), t)
	case kind == protoreflect.BytesKind:
		b, err := hex.DecodeString(t.text)
		if err == nil && hex.EncodeToString(b) == t.text {
			return protoreflect.ValueOfBytes(b), true
		}
		d.bad(t.line, "must be hexadecimal digits in lower case")
	case kind == protoreflect.Int64Kind:
		return d.time(t)
	}
	return none, false
}

func isNumber(k protoreflect.Kind) bool {
	return k == protoreflect.Uint32Kind || k == protoreflect.Uint64Kind || k == protoreflect.Int64Kind ||
		k == protoreflect.DoubleKind
}

func (d *decoder) number(fd protoreflect.FieldDescriptor, t *tree) (protoreflect.Value, bool) {
	none := protoreflect.Value{}
	if fd.Kind() == protoreflect.DoubleKind {
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil || !decimal.MatchString(t.text) {
			d.bad(t.line, "must be a number like 42.3")
			return none, false
		}
		return protoreflect.ValueOfFloat64(f), true
	}
	bits := 64
	if fd.Kind() == protoreflect.Uint32Kind {
		bits = 32
	}
	n, err := strconv.ParseUint(t.text, 10, bits)
	if err != nil || !integer.MatchString(t.text) {
		d.bad(t.line, "must be a whole number, not negative")
		return none, false
	}
	switch fd.Kind() { //nolint:exhaustive // the caller has looked
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n)), true //nolint:gosec // parsed as 32 bits
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(n), true
	}
	return none, false
}

func (d *decoder) enum(ed protoreflect.EnumDescriptor, t *tree) (protoreflect.Value, bool) {
	v := wordsOf(ed)
	n, ok := v.byName[t.text]
	if !ok {
		d.bad(t.line, "must be one of %s", strings.Join(v.words, ", "))
		return protoreflect.Value{}, false
	}
	return protoreflect.ValueOfEnum(n), true
}

// rfc3339 admits what RFC 3339 does, with at most six digits of a second.
var rfc3339 = regexp.MustCompile(
	`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$`)

func (d *decoder) time(t *tree) (protoreflect.Value, bool) {
	at, err := time.Parse(time.RFC3339Nano, t.text)
	switch {
	case err != nil || !rfc3339.MatchString(t.text):
		d.bad(t.line, "must be a time like 2026-11-23T21:15:00Z (RFC 3339)")
	case at.UnixMicro() <= 0:
		d.bad(t.line, "must be after 1970-01-01T00:00:00Z")
	case at.UTC().Year() > 9999:
		d.bad(t.line, "must be before the year 10000")
	default:
		return protoreflect.ValueOfInt64(at.UnixMicro()), true
	}
	return protoreflect.Value{}, false
}
