package desk

import (
	"fmt"

	"karaula/gateway/book"
	"karaula/gateway/bus"
	"karaula/internal/alert"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Event tells of an entry of the book: sent, accepted, refused or held.
func (d *Desk) Event(e book.Entry) *karaulav1.WatchResponse {
	name := bus.Accepted
	what := terms.TypeWord(e.Type)
	if e.Lifecycle > karaulav1.Lifecycle_LIFECYCLE_CREATE {
		what = fmt.Sprintf("%s (%s, version %d)", what, alert.LifecycleWord(e.Lifecycle), e.Version)
	}
	text := fmt.Sprintf("%s from %s on %s, number %d", what, e.Origin, e.Channel, e.Seq)
	switch {
	case e.Origin == d.cfg.Self:
		name = bus.Sent
		text = fmt.Sprintf("%s on %s, number %d", what, e.Channel, e.Seq)
	case e.Class == karaulav1.VerdictClass_VERDICT_CLASS_REFUSED:
		name = bus.Refused
		text += ": " + terms.CodeWord(e.Code)
	case e.Class == karaulav1.VerdictClass_VERDICT_CLASS_HELD:
		name = bus.Held
		text += ": " + terms.CodeWord(e.Code)
	}
	if !e.Meant() {
		text = bus.Drilled(e.Mode, e.Exercise, text)
	}
	return &karaulav1.WatchResponse{
		Drill: !e.Meant(), Exercise: e.Exercise,
		At: d.cfg.Now().UnixMicro(), Event: name, Alert: d.bookOf(e).Row(e), Party: e.Origin, Text: text, Channel: e.Channel,
	}
}
