package gateway

import (
	"fmt"
	"time"

	"karaula/gateway/book"
	"karaula/gateway/bus"
	"karaula/gateway/index"
	"karaula/internal/border"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// bookOf gives the book in which alerts of a mode stand. Whatever is not meant is
// in one of its own, so that nothing of it can come between what is.
func (g *Gateway) bookOf(mode karaulav1.Mode) *book.Book {
	if mode == karaulav1.Mode_MODE_ACTUAL {
		return g.book
	}
	return g.drills
}

// indexOf gives the index in which alerts of a mode are found. A question is asked of
// what is meant, or of an exercise that it names; what has no name is found by none.
func (g *Gateway) indexOf(mode karaulav1.Mode) *index.Index {
	if mode == karaulav1.Mode_MODE_ACTUAL {
		return g.index
	}
	return g.drillIndex
}

// filled reports whether both books hold everything that the streams do.
func (g *Gateway) filled() bool { return g.book.Complete() && g.drills.Complete() }

// judgedTo gives how far a partner has judged an own ledger of any mode.
func (g *Gateway) judgedTo(led ledger.ID, party string, epoch uint64) uint64 {
	return max(g.book.JudgedTo(led, party, epoch), g.drills.JudgedTo(led, party, epoch))
}

// label is what the channel is called in metrics and checks.
func (c *channel) label() string { return label(c.id, c.mode) }

// label is what a channel is called in metrics and checks. A channel for exercises has
// a name there that no other channel can have, so that its alarms can be told apart.
func label(id string, mode karaulav1.Mode) string {
	if mode == karaulav1.Mode_MODE_EXERCISE {
		return "x." + id
	}
	return id
}

// markDrill marks an event of a channel where nothing is meant.
func (g *Gateway) markDrill(e *karaulav1.WatchResponse) {
	c, ok := g.drilling.Load(e.GetChannel())
	if !ok {
		return
	}
	e.Drill = true
	if e.GetExercise() == "" {
		e.Exercise = e.GetAlert().GetExercise()
	}
	if a := e.GetAlert(); a != nil {
		a.Drill = true
	}
	e.Text = bus.Drilled(c.(karaulav1.Mode), e.GetExercise(), e.GetText()) //nolint:forcetypeassert // openChannel stores modes
}

// tellExercise tells everybody that a party begins, prolongs or ends an exercise.
func (c *channel) tellExercise(st *karaulav1.Statement) {
	b, fault := border.Announced(st)
	if fault != "" {
		return
	}
	text := fmt.Sprintf("announced by %s on %s until %s", st.GetOrigin(), c.id, time.UnixMicro(b.GetUntil()).UTC().Format(time.RFC3339))
	if b.GetOver() {
		text = fmt.Sprintf("over for %s on %s", st.GetOrigin(), c.id)
	}
	c.g.log.Info("exercise", "name", b.GetName(), "party", st.GetOrigin(), "channel", c.id, "over", b.GetOver())
	c.g.tell(&karaulav1.WatchResponse{
		Event: bus.Exercise, Party: st.GetOrigin(), Channel: c.id, Exercise: b.GetName(), Text: text,
	})
}

// exercises gives what is practised on the open channels, by channel and party.
func (g *Gateway) exercises() []*karaulav1.ExerciseState {
	var out []*karaulav1.ExerciseState
	for _, c := range g.openChannels() {
		for _, p := range c.parties {
			var on border.Exercise
			if p == g.self {
				on = c.writer.Exercise()
			} else if ear := c.ear(p); ear != nil {
				on = ear.Exercise()
			}
			if on.Name != "" {
				out = append(out, &karaulav1.ExerciseState{
					Name: on.Name, Channel: c.id, Party: p, Until: on.Until, Over: !on.On(g.o.Now().UnixMicro()),
				})
			}
		}
	}
	return out
}
