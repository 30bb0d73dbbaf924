package wire_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// record makes one length-delimited field.
func record(num protowire.Number, v string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), v))
}

// number makes one varint field.
func number(num protowire.Number, v uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v))
}

func TestCheck(t *testing.T) {
	t.Parallel()
	var (
		statement = &karaulav1.Statement{}
		part      = &karaulav1.Part{}
		standing  = &karaulav1.Standing{}
		inner     = &karaulav1.Inner{}
		refusal   = &karaulav1.LinkRefusal{}
		open      = &karaulav1.JournalOpen{}
	)
	minusOne := uint64(1<<64 - 1)
	for _, tc := range []struct {
		name string
		m    proto.Message
		raw  string
		want string // what the reason contains; empty: accepted
	}{
		{"nothing", statement, "", ""},
		{"two fields ascending", statement, number(1, 1) + record(4, "x"), ""},
		{"descending", statement, record(4, "x") + number(1, 1), "ascend"},
		{"singular number twice", statement, number(1, 1) + number(1, 1), "ascend"},
		{"singular bytes twice", statement, record(3, "x") + record(3, "x"), "ascend"},
		{"singular message twice", &karaulav1.LinkMessage{}, record(2, "") + record(2, ""), "ascend"},
		{"message present and empty", &karaulav1.LinkMessage{}, record(2, ""), ""},
		{"repeated message twice", statement, record(14, "") + record(14, ""), ""},
		{"repeated message split", statement, record(14, "") + number(15, 1) + record(14, ""), "ascend"},
		{"repeated bytes, empty element", inner, record(14, "") + record(14, "x"), ""},
		{"padded tag", statement, "\x88\x00\x01", "broken tag"},
		{"padded value", statement, "\x08\x81\x00", "padded varint"},
		{"padded length", statement, "\x1a\x81\x00x", "broken length"},
		{"value cut", statement, "\x08\x81", "varint"},
		{"length beyond the end", statement, "\x1a\x02x", "broken length"},
		{"length beyond memory", statement, "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "broken length"},
		{"field number zero", statement, "\x00\x01", "broken tag"},
		{"wrong wire type", statement, record(1, "x"), "wrong wire type"},
		{"group", statement, "\x1b\x1c", "wrong wire type"},
		{"unknown group", statement, "\xa3\x06\xa4\x06", "broken unknown"},
		{"default number", statement, number(1, 0), "default"},
		{"default string", statement, record(4, ""), "default"},
		{"default enum", statement, number(6, 0), "default"},
		{"not utf-8", statement, record(4, "\xff"), "utf-8"},
		{"surrogate", statement, record(4, "\xed\xa0\x80"), "utf-8"},
		{"any byte in bytes", statement, record(3, "\xff"), ""},
		{"unknown below 30", statement, number(27, 1), "unknown field"},
		{"unknown in another message", part, number(100, 1), "unknown field"},
		{"unknown inside", statement, record(19, number(100, 1)), "unknown field"},
		{"unknown ignorable", statement, number(8, 1) + number(100, 0) + record(199, "x"), ""},
		{"unknown ignorable repeats", statement, number(100, 1) + number(100, 1), ""},
		{"unknown ignorable fixed", statement, "\xa5\x06\x01\x02\x03\x04" + "\xa9\x06\x01\x02\x03\x04\x05\x06\x07\x08", ""},
		{"unknown ignorable cut", statement, "\xa5\x06\x01", "broken unknown"},
		{"unknown above", statement, number(200, 1), "unknown field"},
		{"unknown descends", statement, number(101, 1) + number(100, 1), "ascend"},
		{"packed", statement, record(2, "\x01\x02"), ""},
		{"not packed", statement, number(2, 1), "wrong wire type"},
		{"packed empty", statement, record(2, ""), "empty packed"},
		{"packed twice", statement, record(2, "\x01") + record(2, "\x02"), "ascend"},
		{"packed zero", standing, record(1, "\x00"), ""},
		{"packed padded", standing, record(1, "\x81\x00"), "padded varint"},
		{"uint32 largest", refusal, number(2, 1<<32-1), ""},
		{"uint32 above", refusal, number(2, 1<<32), "out of range"},
		{"enum minus one", part, number(1, minusOne), ""},
		{"enum above", part, number(1, 1<<31), "out of range"},
		{"bool two", part, number(7, 2), "bool out of range"},
		{"int64 minus one", open, number(7, minusOne), ""},
		{"varint of 65 bits", open, "\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "varint"},
		{"oneof once", inner, record(20, ""), ""},
		{"oneof two members", inner, record(20, "") + record(21, ""), "oneof"},
		{"oneof same member twice", inner, record(20, "") + record(20, ""), "ascend"},
		{"too many elements", standing, record(1, strings.Repeat("\x01", wire.MaxElements)), "too many elements"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := wire.Check([]byte(tc.raw), tc.m.ProtoReflect().Descriptor(), 1<<20)
			var e *wire.Error
			switch {
			case tc.want == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case tc.want != "" && !errors.As(err, &e):
				t.Fatalf("got %v, want an Error about %q", err, tc.want)
			case tc.want != "" && (!strings.Contains(e.Reason, tc.want) || e.Class != wire.Malformed):
				t.Fatalf("got %v of class %d, want it malformed, about %q", err, e.Class, tc.want)
			}
		})
	}
}

// TestClasses: a critical unknown field is not the same as a broken one.
func TestClasses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		raw   string
		limit int
		want  wire.Class
	}{
		{number(1, 1) + number(30, 1), 100, wire.MustUnderstand},
		{number(1, 1) + record(99, "x"), 100, wire.MustUnderstand},
		{number(1, 1) + number(29, 1), 100, wire.Malformed},
		{number(1, 1) + number(8, 1), 3, wire.TooLarge},
	} {
		err := wire.Unmarshal([]byte(tc.raw), &karaulav1.Statement{}, tc.limit)
		var e *wire.Error
		if !errors.As(err, &e) || e.Class != tc.want {
			t.Errorf("%x: got %v, want class %d", tc.raw, err, tc.want)
		}
	}
}

// TestDepth: a message may not nest more deeply than MaxDepth. No message of
// ours does, so protobuf's own description of itself serves.
func TestDepth(t *testing.T) {
	t.Parallel()
	nest := func(depth int) []byte {
		var raw string
		for range depth - 1 {
			raw = record(3, raw) // DescriptorProto.nested_type
		}
		return []byte(raw)
	}
	d := descriptorOfDescriptor()
	if err := wire.Check(nest(wire.MaxDepth), d, 1<<20); err != nil {
		t.Errorf("depth %d refused: %v", wire.MaxDepth, err)
	}
	if err := wire.Check(nest(wire.MaxDepth+1), d, 1<<20); err == nil || !strings.Contains(err.Error(), "nested") {
		t.Errorf("depth %d: got %v, want it refused", wire.MaxDepth+1, err)
	}
}

// TestErrorSaysWhere: the error names field and place, and shows no value.
func TestErrorSaysWhere(t *testing.T) {
	t.Parallel()
	raw := number(1, 1) + record(4, "TESTOVIC") + record(19, number(3, 5)+number(3, 6))
	err := wire.Unmarshal([]byte(raw), &karaulav1.Statement{}, 1<<10)
	const want = "field numbers do not ascend (karaula.v1.Part at byte 17)"
	if err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

func TestMarshalRefusesWhatCheckRefuses(t *testing.T) {
	t.Parallel()
	if _, err := wire.Marshal(&karaulav1.Statement{Channel: "\xff"}, 100); err == nil {
		t.Error("invalid utf-8 was written")
	}
	if _, err := wire.Marshal(&karaulav1.Statement{Body: make([]byte, 100)}, 100); err == nil {
		t.Error("more than the limit was written")
	}
	m := &karaulav1.Part{}
	m.ProtoReflect().SetUnknown([]byte(number(100, 1)))
	if _, err := wire.Marshal(m, 100); err == nil {
		t.Error("an unknown field was written")
	}
}
