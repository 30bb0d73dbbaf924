package border

import (
	"time"

	"karaula/internal/envelope"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// MaxExercise is the longest time for which an exercise may be announced, and
// for which anything that is said in one may be kept.
const MaxExercise = 30 * 24 * time.Hour

// Exercise is what the newest EXERCISE statement of a ledger says: what its
// origin practises. The zero value: nothing.
type Exercise struct {
	Name  string
	Until int64 // microseconds since 1970 UTC
}

// On reports whether something that is said at a moment is said in it.
func (e Exercise) On(at int64) bool { return e.Name != "" && at < e.Until }

// After gives what rules after a statement of the ledger. It follows from the
// statement alone, never from the verdict about it.
func (e Exercise) After(st *karaulav1.Statement) Exercise {
	switch st.GetKind() { //nolint:exhaustive // the others change nothing
	case karaulav1.Kind_KIND_EPOCH:
		return Exercise{}
	case karaulav1.Kind_KIND_EXERCISE:
		if b, fault := Announced(st); fault == "" {
			return Exercise{Name: b.GetName(), Until: b.GetUntil()}.orNone()
		}
	}
	return e
}

// orNone gives nothing for an exercise that is over.
func (e Exercise) orNone() Exercise {
	if e.Until == 0 {
		return Exercise{}
	}
	return e
}

// Announced reads what an EXERCISE statement announces; fault says what is wrong
// with it, "" if nothing is.
func Announced(st *karaulav1.Statement) (b *karaulav1.ExerciseBody, fault string) {
	m, err := (&envelope.Parsed{Statement: st}).Body()
	b, ok := m.(*karaulav1.ExerciseBody)
	if err != nil || !ok {
		return nil, "the body is not in strict wire form"
	}
	said := st.GetSaidAt()
	switch {
	case st.GetMode() != karaulav1.Mode_MODE_EXERCISE:
		return nil, "exercises are held on channels for exercises"
	case !terms.ValidID(b.GetName()):
		return nil, "the exercise has no name"
	case b.GetOver() && b.GetUntil() == 0:
		return b, ""
	case b.GetOver() || b.GetUntil() <= said || b.GetUntil() > said+MaxExercise.Microseconds():
		return nil, "an exercise ends later than it is announced, and within 30 days"
	default:
		return b, ""
	}
}

// checkExercise lets people speak on a channel for exercises only in an exercise
// that their party has announced there, and exercises be announced nowhere else.
func (j *judging) checkExercise() *outcome {
	kind, drill := j.st.GetKind(), j.led.Mode == karaulav1.Mode_MODE_EXERCISE
	switch {
	case kind == karaulav1.Kind_KIND_EXERCISE && !drill:
		return refuse(karaulav1.Code_CODE_WRONG_MODE, "exercises are held on channels for exercises")
	case drill && opened(kind) && !j.led.Exercise.On(j.st.GetSaidAt()):
		return refuse(karaulav1.Code_CODE_NO_EXERCISE, "%s has announced no exercise here that goes on", j.led.Origin)
	default:
		return nil
	}
}

// across reports whether a key use belongs to the other mode: what is practised
// is sealed to no key for what is meant, nor the other way round.
func across(mode karaulav1.Mode, use karaulav1.KeyUse) bool {
	switch use {
	case karaulav1.KeyUse_KEY_USE_SEAL, karaulav1.KeyUse_KEY_USE_ARCHIVE:
		return mode == karaulav1.Mode_MODE_EXERCISE
	case karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL:
		return mode != karaulav1.Mode_MODE_EXERCISE
	default:
		return false
	}
}

// keptAtMost shortens how long content may be kept where it is only practised.
func (j *judging) keptAtMost(clause time.Duration) time.Duration {
	if j.led.Mode == karaulav1.Mode_MODE_EXERCISE {
		return min(clause, MaxExercise)
	}
	return clause
}
