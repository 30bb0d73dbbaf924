package alert

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// looker walks once over every field that is set, and keeps what rules ask for.
type looker struct {
	now      time.Time
	path     []byte
	judging  bool // hold known messages against their rules
	inside   bool // below a field that is personal data
	found    Findings
	personal []string // outermost fields that hold personal data
	free     []string // fields of free text outside those
}

// look walks over an alert.
func look(a *karaulav1.Alert, now time.Time) *looker {
	w := &looker{now: now, judging: true}
	w.message(a.ProtoReflect())
	return w
}

func (w *looker) message(m protoreflect.Message) {
	if w.judging {
		w.known(m.Interface())
	}
	for _, f := range lookedAt(m.Descriptor()) {
		if !m.Has(f.fd) {
			continue
		}
		before, inside := len(w.path), w.inside
		if before > 0 {
			w.path = append(w.path, '.')
		}
		w.path = append(w.path, f.fd.Name()...)
		if f.mark.GetPersonal() && !w.inside {
			w.personal = append(w.personal, string(w.path))
			w.inside = true
		}
		if f.mark.GetFree() && !w.inside {
			w.free = append(w.free, string(w.path))
		}
		if f.fd.IsList() {
			w.list(f.fd, f.mark, m.Get(f.fd).List())
		} else {
			w.value(f.fd, f.mark, m.Get(f.fd))
		}
		w.path, w.inside = w.path[:before], inside
	}
}

func (w *looker) list(fd protoreflect.FieldDescriptor, mark *karaulav1.Mark, l protoreflect.List) {
	before := len(w.path)
	for i := range l.Len() {
		w.path = append(w.path[:before], '[')
		w.path = append(strconv.AppendInt(w.path, int64(i), 10), ']')
		w.value(fd, mark, l.Get(i))
	}
	w.path = w.path[:before]
}

func (w *looker) value(fd protoreflect.FieldDescriptor, mark *karaulav1.Mark, v protoreflect.Value) {
	switch fd.Kind() { //nolint:exhaustive // other kinds have no rules here
	case protoreflect.MessageKind:
		w.message(v.Message())
	case protoreflect.StringKind:
		w.text(mark, v.String())
	case protoreflect.Int64Kind:
		if mark.GetTime() {
			w.time(mark, time.UnixMicro(v.Int()))
		}
	}
}

func (w *looker) fault(rule, text string) {
	w.found = append(w.found, fault(string(w.path), rule, text))
}

func (w *looker) text(mark *karaulav1.Mark, s string) {
	if text := badText(s, mark.GetLines()); text != "" {
		w.fault("text", text)
	}
	if !mark.GetDate() {
		return
	}
	if text := badDate(s, w.now); text != "" {
		w.fault("date", text)
	}
}

// Bounds of times, from when the alert is said.
const (
	// clockTolerance is how far in the future a time that has passed may lie.
	clockTolerance = 15 * time.Minute
	// farYears is how far in the future any time may lie: the longest life of an alert and a margin.
	farYears = 15
)

func (w *looker) time(mark *karaulav1.Mark, t time.Time) {
	switch {
	case mark.GetPast() && t.After(w.now.Add(clockTolerance)):
		w.fault("time-future", "lies in the future")
	case t.After(w.now.AddDate(farYears, 0, 0)):
		w.fault("time-far", fmt.Sprintf("lies more than %d years in the future", farYears))
	}
}

// ruleName gives a rule of the schema the form of the other rules: "string.pattern", "urgency-reason".
func ruleName(id string) string { return strings.ReplaceAll(id, "_", "-") }
