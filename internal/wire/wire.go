// Package wire checks that bytes are protobuf in Karaula's strict wire form,
// so that every reader sees the same message in them.
//
// Plain protobuf leaves room: a field may come twice (the last one counts), in
// any order, with padded varints, with unknown companions, with its default
// spelled out. Two parsers, or a parser and a court's expert with "protoc
// --decode_raw", may then read different messages from one signed string of
// bytes. The strict form has one string of bytes per message:
//
//   - field numbers ascend; only a repeated field may come more than once, and
//     then without another field in between
//   - tags, lengths and values are varints of the shortest form
//   - repeated numbers are packed, and never packed empty
//   - a field without presence is absent when it has its default value
//   - at most one member of a oneof is there
//   - bool, 32-bit and enum values fit their types; strings are valid UTF-8
//   - no groups, no maps, no unknown fields; in a [karaula.v1.Statement] alone
//     unknown fields 100 to 199 are passed over, and unknown ones from 30 to 99
//     mean that the reader must refuse ([MustUnderstand])
//   - nesting and the number of elements are bounded
//
// It follows docs/spec/envelope.md, "Strict wire form".
//
// This package must never rewrite bytes: it is a check before parsing, not a
// canonicalisation, and nothing is ever re-serialised to be verified.
package wire

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of the strict form (docs/spec/limits.md).
const (
	// MaxDepth is how deep messages may nest; the outermost is at depth 1.
	MaxDepth = 16
	// MaxElements is how many fields, counting every element of a packed one,
	// a message may hold with everything in it.
	MaxElements = 1 << 16
)

// Class says what kind of answer an [Error] asks for.
type Class int

// The classes of refusal. The envelope package maps them to reason codes.
const (
	// Malformed: not in strict wire form.
	Malformed Class = iota + 1
	// MustUnderstand: a critical field that this reader does not know.
	MustUnderstand
	// TooLarge: more bytes than the caller admits.
	TooLarge
)

// Error says where bytes leave the strict wire form. It never shows values.
type Error struct {
	Class Class
	// Path names the field, outermost first: "karaula.v1.Statement.parts.size".
	Path string
	// Offset is where in the checked bytes the trouble begins.
	Offset int
	// Reason is the rule that is broken; lower case, no full stop.
	Reason string
}

// Error gives reason, field and offset.
func (e *Error) Error() string {
	return fmt.Sprintf("%s (%s at byte %d)", e.Reason, e.Path, e.Offset)
}

// Check reports whether raw is a message of type d in strict wire form and at
// most limit bytes long. Any error is an [*Error]. It allocates nothing that
// grows with raw.
func Check(raw []byte, d protoreflect.MessageDescriptor, limit int) error {
	if len(raw) > limit {
		return &Error{
			Class: TooLarge, Path: string(d.FullName()),
			Reason: fmt.Sprintf("%d bytes, at most %d are admitted", len(raw), limit),
		}
	}
	w := walker{elements: MaxElements}
	if err := w.message(raw, 0, d, 1); err != nil { // a nil *Error must not become an error
		return err
	}
	return nil
}

// Unmarshal checks raw as [Check] does and parses it into m, which is reset
// first. Any error is an [*Error].
func Unmarshal(raw []byte, m proto.Message, limit int) error {
	d := m.ProtoReflect().Descriptor()
	if err := Check(raw, d, limit); err != nil {
		return err
	}
	if err := proto.Unmarshal(raw, m); err != nil {
		return &Error{Class: Malformed, Path: string(d.FullName()), Reason: "not protobuf"}
	}
	return nil
}

// Marshal gives m's bytes and asserts that they are in strict wire form and at
// most limit bytes long, so that this node never says what others refuse.
func Marshal(m proto.Message, limit int) ([]byte, error) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	d := m.ProtoReflect().Descriptor()
	if err != nil {
		return nil, &Error{Class: Malformed, Path: string(d.FullName()), Reason: "cannot be written as protobuf"}
	}
	if err := Check(raw, d, limit); err != nil {
		return nil, err
	}
	return raw, nil
}
