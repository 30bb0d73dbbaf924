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
