package outbox

import (
	"time"

	"karaula/internal/border"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Exercise gives what is practised here; the zero value: nothing.
func (w *Writer) Exercise() border.Exercise {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.edge.exercise
}

// MayPractise says whether something could be said now in an exercise; "" asks for
// what is meant.
func (w *Writer) MayPractise(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := Draft{Kind: karaulav1.Kind_KIND_ALERT, Inner: &karaulav1.Inner{Exercise: name}}
	return w.checkExercise(d, max(w.cfg.Now().UnixMicro(), w.edge.saidAt))
}

// checkExercise lets people speak on a channel for exercises only in the one that
// is announced there, and nowhere else in any. What is said in an exercise is
// never kept longer than one may last.
func (w *Writer) checkExercise(d Draft, saidAt int64) error {
	drill, on := w.cfg.Mode == karaulav1.Mode_MODE_EXERCISE, w.edge.exercise
	name := d.Inner.GetExercise()
	switch {
	case d.Kind == karaulav1.Kind_KIND_EXERCISE && !drill:
		return problem.New(problem.Invalid, "channel %s is not for exercises; nothing was said", w.cfg.Channel).
			WithHint("karaula agreement show AGREEMENT --dir DIR shows the mode of each channel")
	case d.Inner == nil:
		return nil
	case !drill && name != "":
		return problem.New(problem.Invalid, "channel %s is not for exercises: what is said there is meant; nothing was said",
			w.cfg.Channel).WithHint("karaula exercise list --dir DIR shows where an exercise is held")
	case !drill:
		return nil
	case name == "":
		return problem.New(problem.Invalid, "channel %s is for exercises: nothing that is meant can be said there; nothing was said",
			w.cfg.Channel).WithHint("karaula alert send --exercise NAME, or another channel")
	case on.Name != name || !on.On(saidAt):
		return problem.New(problem.NotAllowed, "exercise %q is not announced by %s on channel %s, or is over; nothing was said",
			name, w.cfg.Self, w.cfg.Channel).
			WithHint("karaula exercise start %s --channel %s --until TIME --dir DIR", name, w.cfg.Channel)
	case d.EraseAfter > saidAt+border.MaxExercise.Microseconds():
		return problem.New(problem.Invalid, "what is practised is kept for %d days at most; nothing was said",
			border.MaxExercise/(24*time.Hour))
	}
	return nil
}
