package desk

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/book"
	"karaula/gateway/outbox"
	"karaula/internal/border"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Exercise begins, prolongs or ends an exercise of the own party, and tells the
// partners.
func (d *Desk) Exercise(
	ctx context.Context, req *connect.Request[karaulav1.ExerciseRequest],
) (*connect.Response[karaulav1.ExerciseResponse], error) {
	resp, err := d.exercise(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) exercise(ctx context.Context, m *karaulav1.ExerciseRequest) (*karaulav1.ExerciseResponse, error) {
	officer, err := who(ctx, "supervisor")
	if err != nil {
		return nil, err
	}
	if !terms.ValidID(m.GetName()) {
		return nil, problem.New(problem.Invalid, "%q is no name of an exercise; nothing was announced", m.GetName()).
			WithHint("1 to %d of a-z, 0-9 and inner single hyphens, beginning with a letter: drina-26", terms.MaxID)
	}
	now := d.cfg.Now()
	if until := m.GetUntil(); until != 0 && (until <= now.UnixMicro() || until > now.Add(border.MaxExercise).UnixMicro()) {
		return nil, problem.New(problem.Invalid, "an exercise ends within %d days, and not before it begins; nothing was announced",
			border.MaxExercise/(24*time.Hour))
	}
	channels, err := d.exerciseOn(m)
	if err != nil {
		return nil, err
	}
	body, err := proto.Marshal(&karaulav1.ExerciseBody{Name: m.GetName(), Until: m.GetUntil(), Over: m.GetUntil() == 0})
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the announcement cannot be written; nothing was announced")
	}
	resp := &karaulav1.ExerciseResponse{}
	for _, id := range channels {
		if err := d.announce(ctx, officer, id, m, body); err != nil {
			return nil, problem.Wrap(problem.KindOf(err), err, "after %d of %d channels", len(resp.GetAnnounced()), len(channels))
		}
		resp.Announced = append(resp.Announced, &karaulav1.ExerciseState{
			Name: m.GetName(), Channel: id, Party: d.cfg.Self, Until: m.GetUntil(), Over: m.GetUntil() == 0,
		})
	}
	return resp, nil
}

// exerciseOn gives the channels on which something is to be announced, after
// looking at each of them.
func (d *Desk) exerciseOn(m *karaulav1.ExerciseRequest) ([]string, error) {
	channels := slices.Compact(slices.Sorted(slices.Values(m.GetChannels())))
	if m.GetUntil() == 0 && len(channels) == 0 {
		for _, e := range d.cfg.Exercises() {
			if e.GetParty() == d.cfg.Self && e.GetName() == m.GetName() {
				channels = append(channels, e.GetChannel())
			}
		}
	}
	if len(channels) == 0 {
		err := problem.New(problem.Invalid, "an exercise is held on channels, and none is named; nothing was announced")
		if m.GetUntil() == 0 {
			err = problem.New(problem.NotFound, "%s has announced no exercise %q; nothing was announced", d.cfg.Self, m.GetName())
		}
		return nil, err.WithHint("karaula exercise list --dir DIR")
	}
	view := d.cfg.Register()
	for _, id := range channels {
		ch, ok := view.Channel(id)
		if !ok || ch.Channel.Mode != karaulav1.Mode_MODE_EXERCISE {
			return nil, problem.New(problem.Invalid, "%q is no channel for exercises at this node; nothing was announced", id).
				WithHint("%s", forExercises(view))
		}
		w, ok := d.cfg.Writer(id)
		if !ok {
			return nil, notReady(id)
		}
		on := w.Exercise()
		switch {
		case on.Name == m.GetName():
		case m.GetUntil() == 0:
			return nil, problem.New(problem.NotFound, "%s has announced no exercise %q on %s; nothing was announced",
				d.cfg.Self, m.GetName(), id).WithHint("karaula exercise list --dir DIR")
		case on.On(d.cfg.Now().UnixMicro()):
			return nil, problem.New(problem.Conflict, "exercise %q goes on on %s; nothing was announced", on.Name, id).
				WithHint("karaula exercise stop %s --dir DIR", on.Name)
		}
	}
	return channels, nil
}

// forExercises says on which channels exercises can be held.
func forExercises(view *register.View) string {
	var ids []string
	for _, ch := range view.Channels() {
		if ch.Channel.Mode == karaulav1.Mode_MODE_EXERCISE {
			ids = append(ids, ch.ID)
		}
	}
	if len(ids) == 0 {
		return "no agreement here has one: a line \"channel ID mode=exercise types=open\" under \"exercise yes\" makes it"
	}
	return "there are: " + strings.Join(ids, ", ")
}

func notReady(channel string) error {
	return problem.New(problem.Unreachable, "channel %s is not ready yet; nothing was said", channel).
		WithHint("try again in a moment; karaula status --dir DIR shows why")
}

// announce says it on one channel, after that was recorded.
func (d *Desk) announce(ctx context.Context, officer Officer, channel string, m *karaulav1.ExerciseRequest, body []byte) error {
	w, ok := d.cfg.Writer(channel)
	if !ok {
		return notReady(channel)
	}
	what := "over"
	if m.GetUntil() != 0 {
		what = "until " + time.UnixMicro(m.GetUntil()).UTC().Format(time.RFC3339)
	}
	if err := d.record(ctx, officer, "exercise", &karaulav1.DeskEntry{Channel: channel, Exercise: m.GetName(), Reason: what}); err != nil {
		return err
	}
	_, err := w.Say(ctx, outbox.Draft{Kind: karaulav1.Kind_KIND_EXERCISE, Body: body})
	return err //nolint:wrapcheck // says what was not done
}

// Exercises gives what is announced; everybody may know it.
func (d *Desk) Exercises(
	ctx context.Context, _ *connect.Request[karaulav1.ExercisesRequest],
) (*connect.Response[karaulav1.ExercisesResponse], error) {
	if _, err := who(ctx, "officer", "supervisor", "auditor", "system", "admin"); err != nil {
		return nil, d.toConnect(err)
	}
	return connect.NewResponse(&karaulav1.ExercisesResponse{Exercises: d.cfg.Exercises()}), nil
}

// checkExercise refuses what the channel's voice would refuse, before anything
// else is looked at.
func (d *Desk) checkExercise(ch *register.ChannelView, name string) error {
	w, ok := d.cfg.Writer(ch.ID)
	if !ok {
		if drill := ch.Channel.Mode == karaulav1.Mode_MODE_EXERCISE; drill != (name != "") {
			return problem.New(problem.Invalid, "channel %s has mode %s; nothing was sent", ch.ID, terms.ModeWord(ch.Channel.Mode)).
				WithHint("karaula exercise list --dir DIR")
		}
		return nil
	}
	return w.MayPractise(name) //nolint:wrapcheck // says what was not done
}

// keptAtMost shortens how long something may be kept where it is only practised.
func keptAtMost(ch *register.ChannelView, clause time.Duration) time.Duration {
	if ch.Channel.Mode == karaulav1.Mode_MODE_EXERCISE {
		return min(clause, border.MaxExercise)
	}
	return clause
}

// bookOf gives the book in which an entry stands.
func (d *Desk) bookOf(e book.Entry) *book.Book {
	if e.Meant() {
		return d.cfg.Book
	}
	return d.cfg.Drills
}

// bookFor gives the book that a request asks for: what is meant, unless it names
// an exercise, or all of them.
func (d *Desk) bookFor(exercise string) *book.Book {
	if exercise == "" {
		return d.cfg.Book
	}
	return d.cfg.Drills
}

// during reports whether something is of the exercise that is asked for.
func during(asked, name string) bool {
	return asked == "" || asked == book.AnyExercise || asked == name
}

// said finds what was said about an alert, on a channel or anywhere. What is
// practised never stands in front of what is meant.
func (d *Desk) said(id [16]byte, channel string) []book.Entry {
	meant := d.cfg.Book.Find(id)
	if channel == "" && len(meant) > 0 {
		return meant
	}
	return append(meant, d.cfg.Drills.Find(id)...)
}

// practised names the exercise of an entry for the desk's record.
func practised(e book.Entry) string {
	if e.Exercise == "" && !e.Meant() {
		return "?"
	}
	return e.Exercise
}
