package outbox_test

import (
	"testing"

	"karaula/internal/notice"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Between an officer's request and its turn the agreement may have been suspended
// or changed: what was allowed then must not be said now.
func TestWhatIsNotAllowedAnyMoreIsNotSaid(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(beat())
	d := vehicle()
	d.Type = karaulav1.AlertType_ALERT_TYPE_PERSON
	if _, err := p.writer.Say(t.Context(), d); !problem.Is(err, problem.NotAllowed) {
		t.Errorf("a type without a clause: %v", err)
	}
	p.w.Give(p.w.Notice("al", p.text, notice.Suspend), "al")
	if _, err := p.writer.Say(t.Context(), vehicle()); !problem.Is(err, problem.NotAllowed) {
		t.Errorf("while it is suspended: %v", err)
	}
	p.say(beat())
	p.history(2)
}
