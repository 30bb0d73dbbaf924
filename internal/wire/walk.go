package wire

import (
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// extensible is the one message in which unknown fields have a meaning.
const extensible = protoreflect.FullName("karaula.v1.Statement")

// Ranges of unknown field numbers in the extensible message.
const (
	firstCritical, lastCritical   = 30, 99
	firstIgnorable, lastIgnorable = 100, 199
)

// walker counts the elements that may still come.
type walker struct{ elements int }

// message checks one message whose first byte is at offset base of the whole.
func (w *walker) message(raw []byte, base int, d protoreflect.MessageDescriptor, depth int) *Error {
	if depth > MaxDepth {
		return bad(d.FullName(), base, "nested too deeply")
	}
	var last protowire.Number
	var oneofs uint64 // which oneofs of d have a member already
	for at := 0; at < len(raw); {
		start := base + at
		if w.elements--; w.elements < 0 {
			return bad(d.FullName(), start, "too many elements")
		}
		num, typ, n := consumeTag(raw[at:])
		if n < 0 {
			return bad(d.FullName(), start, "broken tag")
		}
		at += n
		fd := d.Fields().ByNumber(num)
		if num < last || (num == last && fd != nil && !mayRepeat(fd)) {
			return bad(d.FullName(), start, "field numbers do not ascend")
		}
		if fd == nil {
			if err := unknown(d, num, start, depth); err != nil {
				return err
			}
			if n = skip(raw[at:], typ); n < 0 {
				return bad(d.FullName(), start, "broken unknown field")
			}
			at, last = at+n, num
			continue
		}
		if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() {
			if oneofs>>o.Index()&1 != 0 {
				return bad(fd.FullName(), start, "more than one member of a oneof")
			}
			oneofs |= 1 << o.Index()
		}
		n, err := w.field(raw[at:], typ, fd, base+at, depth)
		if err != nil {
			return err
		}
		at, last = at+n, num
	}
	return nil
}

// mayRepeat reports whether several records of a field may follow each other:
// packed fields are one record.
func mayRepeat(fd protoreflect.FieldDescriptor) bool { return fd.IsList() && !fd.IsPacked() }

// unknown decides about a field that the descriptor does not have.
func unknown(d protoreflect.MessageDescriptor, num protowire.Number, start, depth int) *Error {
	if d.FullName() == extensible && depth == 1 {
		switch {
		case num >= firstIgnorable && num <= lastIgnorable:
			return nil
		case num >= firstCritical && num <= lastCritical:
			return &Error{
				Class: MustUnderstand, Path: string(d.FullName()), Offset: start,
				Reason: "unknown critical field",
			}
		}
	}
	return bad(d.FullName(), start, "unknown field")
}

// field checks the value after a known field's tag and returns its length.
func (w *walker) field(
	raw []byte, typ protowire.Type, fd protoreflect.FieldDescriptor, base, depth int,
) (int, *Error) {
	if fd.IsMap() {
		return 0, bad(fd.FullName(), base, "maps have no strict form")
	}
	if want := wireType(fd); typ != want || typ == protowire.StartGroupType {
		return 0, bad(fd.FullName(), base, "wrong wire type")
	}
	if typ != protowire.BytesType {
		n, zero, reason := scalar(raw, fd.Kind())
		if reason == "" && zero && !fd.HasPresence() {
			reason = "default value spelled out"
		}
		return n, badIf(fd, base, reason)
	}
	v, n := consumeBytes(raw)
	if n < 0 {
		return 0, bad(fd.FullName(), base, "broken length")
	}
	inside := base + n - len(v)
	switch {
	case fd.Kind() == protoreflect.MessageKind:
		return n, w.message(v, inside, fd.Message(), depth+1)
	case fd.IsPacked():
		return n, w.packed(v, fd, inside)
	case len(v) == 0 && !fd.HasPresence() && !fd.IsList():
		return n, bad(fd.FullName(), base, "default value spelled out")
	case fd.Kind() == protoreflect.StringKind && !utf8.Valid(v):
		return n, bad(fd.FullName(), base, "not valid utf-8")
	}
	return n, nil
}

// packed checks the elements of a packed field.
func (w *walker) packed(v []byte, fd protoreflect.FieldDescriptor, base int) *Error {
	if len(v) == 0 {
		return bad(fd.FullName(), base, "empty packed field")
	}
	for at := 0; at < len(v); {
		if w.elements--; w.elements < 0 {
			return bad(fd.FullName(), base+at, "too many elements")
		}
		n, _, reason := scalar(v[at:], fd.Kind())
		if reason != "" {
			return bad(fd.FullName(), base+at, reason)
		}
		at += n
	}
	return nil
}

// scalar checks one number and returns its length, whether it is zero, and the
// rule it breaks.
func scalar(raw []byte, kind protoreflect.Kind) (n int, zero bool, reason string) {
	switch kind {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		v, n := protowire.ConsumeFixed32(raw)
		return n, v == 0, brokenIf(n)
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		v, n := protowire.ConsumeFixed64(raw)
		return n, v == 0, brokenIf(n)
	default: // a varint
	}
	v, n := consumeVarint(raw)
	if n < 0 {
		return n, false, "broken or padded varint"
	}
	switch kind {
	case protoreflect.BoolKind:
		if v > 1 {
			reason = "bool out of range"
		}
	case protoreflect.Int32Kind, protoreflect.EnumKind:
		if i := int64(v); i < math.MinInt32 || i > math.MaxInt32 { //nolint:gosec // two's complement is the encoding
			reason = "32-bit value out of range"
		}
	case protoreflect.Uint32Kind, protoreflect.Sint32Kind:
		if v > math.MaxUint32 {
			reason = "32-bit value out of range"
		}
	default: // 64 bits hold every value
	}
	return n, v == 0, reason
}

// wireType gives the wire type that the strict form demands of a field.
func wireType(fd protoreflect.FieldDescriptor) protowire.Type {
	if fd.IsPacked() {
		return protowire.BytesType
	}
	switch fd.Kind() {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	default:
		return protowire.VarintType
	}
}

// skip gives the length of an unknown field's value; negative for a broken
// one and for groups.
func skip(raw []byte, typ protowire.Type) int {
	switch typ {
	case protowire.VarintType:
		_, n := consumeVarint(raw)
		return n
	case protowire.BytesType:
		_, n := consumeBytes(raw)
		return n
	case protowire.Fixed32Type:
		_, n := protowire.ConsumeFixed32(raw)
		return n
	case protowire.Fixed64Type:
		_, n := protowire.ConsumeFixed64(raw)
		return n
	default:
		return -1
	}
}

// consumeVarint reads a varint of the shortest form; n is negative for others.
func consumeVarint(raw []byte) (v uint64, n int) {
	v, n = protowire.ConsumeVarint(raw)
	if n > 0 && n != protowire.SizeVarint(v) {
		return 0, -1
	}
	return v, n
}

// consumeTag reads a tag of the shortest form; n is negative for others.
func consumeTag(raw []byte) (protowire.Number, protowire.Type, int) {
	v, n := consumeVarint(raw)
	if n < 0 {
		return 0, 0, n
	}
	num, typ := protowire.DecodeTag(v)
	if num < protowire.MinValidNumber || num > protowire.MaxValidNumber {
		return 0, 0, -1
	}
	return num, typ, n
}

// consumeBytes reads a length of the shortest form and that many bytes; n
// covers both and is negative if they are not there.
func consumeBytes(raw []byte) (v []byte, n int) {
	length, n := consumeVarint(raw)
	if n < 0 || length > uint64(len(raw[n:])) {
		return nil, -1
	}
	end := n + int(length) //nolint:gosec // bounded by len(raw) above
	return raw[n:end], end
}

func brokenIf(n int) string {
	if n < 0 {
		return "broken fixed-size value"
	}
	return ""
}

func bad(name protoreflect.FullName, offset int, reason string) *Error {
	return &Error{Class: Malformed, Path: string(name), Offset: offset, Reason: reason}
}

func badIf(fd protoreflect.FieldDescriptor, offset int, reason string) *Error {
	if reason == "" {
		return nil
	}
	return bad(fd.FullName(), offset, reason)
}
