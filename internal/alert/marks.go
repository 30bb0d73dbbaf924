package alert

import (
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// noMark is the mark of a field that has none.
var noMark = &karaulav1.Mark{}

// marks caches the mark of every field that was asked for.
var marks sync.Map // of protoreflect.FullName to *karaulav1.Mark

// markOf gives what the schema says about a field; never nil.
func markOf(fd protoreflect.FieldDescriptor) *karaulav1.Mark {
	if m, ok := marks.Load(fd.FullName()); ok {
		return m.(*karaulav1.Mark) //nolint:forcetypeassert // only this function stores
	}
	m := noMark
	if proto.HasExtension(fd.Options(), karaulav1.E_Mark) {
		m, _ = proto.GetExtension(fd.Options(), karaulav1.E_Mark).(*karaulav1.Mark)
	}
	marks.Store(fd.FullName(), m)
	return m
}

// marked is a field with its mark.
type marked struct {
	fd   protoreflect.FieldDescriptor
	mark *karaulav1.Mark
}

// looks caches the fields of a message that a [looker] has to look at.
var looks sync.Map // of protoreflect.MessageDescriptor to []marked

// lookedAt lists a message's fields that hold text, times, messages or personal
// data, in the order of the schema.
func lookedAt(md protoreflect.MessageDescriptor) []marked {
	if fs, ok := looks.Load(md); ok {
		return fs.([]marked) //nolint:forcetypeassert // only this function stores
	}
	var out []marked
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		mark := markOf(fd)
		kind := fd.Kind()
		if kind == protoreflect.StringKind || kind == protoreflect.MessageKind || mark.GetTime() || mark.GetPersonal() {
			out = append(out, marked{fd: fd, mark: mark})
		}
	}
	looks.Store(md, out)
	return out
}
