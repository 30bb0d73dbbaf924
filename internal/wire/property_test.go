package wire_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"karaula/internal/wire"
)

func descriptorOfDescriptor() protoreflect.MessageDescriptor {
	return (&descriptorpb.DescriptorProto{}).ProtoReflect().Descriptor()
}

// messages lists every message type of the project, in a fixed order.
func messages(t testing.TB) []protoreflect.MessageType {
	t.Helper()
	var out []protoreflect.MessageType
	var walk func(ms protoreflect.MessageDescriptors)
	walk = func(ms protoreflect.MessageDescriptors) {
		for i := range ms.Len() {
			mt, err := protoregistry.GlobalTypes.FindMessageByName(ms.Get(i).FullName())
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, mt)
			walk(ms.Get(i).Messages())
		}
	}
	var files []protoreflect.FileDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("karaula.v1", func(fd protoreflect.FileDescriptor) bool {
		files = append(files, fd)
		return true
	})
	for _, fd := range files {
		walk(fd.Messages())
	}
	if len(out) < 30 {
		t.Fatalf("only %d message types found", len(out))
	}
	return out
}

// isMapEntry leaves out what protobuf makes up for maps.
func isMapEntry(mt protoreflect.MessageType) bool { return mt.Descriptor().IsMapEntry() }

// fill sets fields of m at random, often to edge values.
func fill(r *rand.Rand, m protoreflect.Message, depth int) {
	fs := m.Descriptor().Fields()
	for i := range fs.Len() {
		fd := fs.Get(i)
		if r.IntN(3) == 0 {
			continue
		}
		switch {
		case fd.IsMap():
			// the strict form has none; TestNoMaps says so
		case fd.IsList():
			l := m.Mutable(fd).List()
			for range r.IntN(4) {
				if fd.Kind() == protoreflect.MessageKind {
					fillDeeper(r, l.AppendMutable().Message(), depth)
					continue
				}
				l.Append(value(r, fd))
			}
		case fd.Kind() == protoreflect.MessageKind:
			fillDeeper(r, m.Mutable(fd).Message(), depth)
		default:
			m.Set(fd, value(r, fd))
		}
	}
}

func fillDeeper(r *rand.Rand, m protoreflect.Message, depth int) {
	if depth > 0 {
		fill(r, m, depth-1)
	}
}

// value makes a random value of a scalar field.
func value(r *rand.Rand, fd protoreflect.FieldDescriptor) protoreflect.Value {
	n := []uint64{0, 1, 127, 128, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, r.Uint64()}[r.IntN(11)]
	//nolint:gosec // truncation is wanted
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n&1 == 1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(n)))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(n)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(int32(n)))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(int64(n)))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.Repeat("ć", r.IntN(70)))
	default:
		return protoreflect.ValueOfBytes(bytes.Repeat([]byte{0xff}, r.IntN(140)))
	}
}

// TestOurOwnBytesPass: whatever any message of the project holds, the bytes
// that Go writes for it are in strict wire form.
func TestOurOwnBytesPass(t *testing.T) {
	t.Parallel()
	for _, mt := range messages(t) {
		if isMapEntry(mt) {
			continue
		}
		t.Run(string(mt.Descriptor().Name()), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(100) {
				m := mt.New()
				fill(rand.New(rand.NewPCG(seed, 0)), m, 5) //nolint:gosec // repeatable on purpose
				raw, err := wire.Marshal(m.Interface(), 1<<24)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				back := mt.New().Interface()
				if err := wire.Unmarshal(raw, back, 1<<24); err != nil || !proto.Equal(back, m.Interface()) {
					t.Fatalf("seed %d: does not come back: %v", seed, err)
				}
			}
		})
	}
}

// TestNoMaps: maps have no fixed order on the wire, so no message has one.
func TestNoMaps(t *testing.T) {
	t.Parallel()
	for _, mt := range messages(t) {
		fs := mt.Descriptor().Fields()
		for i := range fs.Len() {
			if fs.Get(i).IsMap() {
				t.Errorf("%s is a map", fs.Get(i).FullName())
			}
		}
	}
}

// FuzzCheck: what passes is the one way to write the message it holds.
func FuzzCheck(f *testing.F) {
	all := messages(f)
	for i, mt := range all {
		m := mt.New()
		fill(rand.New(rand.NewPCG(uint64(i), 1)), m, 3) //nolint:gosec // repeatable on purpose
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint16(i), raw)
	}
	f.Fuzz(func(t *testing.T, which uint16, raw []byte) {
		mt := all[int(which)%len(all)]
		m := mt.New().Interface()
		if wire.Unmarshal(raw, m, 1<<20) != nil {
			return
		}
		if len(m.ProtoReflect().GetUnknown()) > 0 {
			return // passed over, and kept apart by the parser
		}
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(raw, again) {
			t.Fatalf("two ways to write one %s:\n%x\n%x", mt.Descriptor().Name(), raw, again)
		}
	})
}
