package main

import (
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func newExercise(a *app) *cobra.Command {
	return group("exercise", "announce, end and list exercises",
		`An exercise is held on channels that the agreement made for it (mode=exercise).
It has subjects, streams, numbers and keys of its own; nothing of it is found by a
look-up, and no list shows it that was not asked for it by name.`,
		newExerciseStart(a), newExerciseStop(a), newExerciseList(a))
}

// exerciseLine is one party's part in an exercise.
type exerciseLine struct {
	Name    string     `json:"name"`
	Channel string     `json:"channel"`
	Party   string     `json:"party"`
	Until   *time.Time `json:"until,omitempty"`
	State   string     `json:"state"` // goes on, over
}

func newExerciseLine(e *karaulav1.ExerciseState) exerciseLine {
	l := exerciseLine{
		Name: e.GetName(), Channel: e.GetChannel(), Party: e.GetParty(), Until: when(e.GetUntil()), State: "goes on",
	}
	if e.GetOver() {
		l.State = "over"
	}
	return l
}

// exercisesResult lists exercises.
type exercisesResult struct {
	Exercises []exerciseLine `json:"exercises"`
}

func newExercisesResult(list []*karaulav1.ExerciseState) exercisesResult {
	r := exercisesResult{Exercises: []exerciseLine{}}
	for _, e := range list {
		r.Exercises = append(r.Exercises, newExerciseLine(e))
	}
	return r
}

func (r exercisesResult) page(p *page) {
	rows := make([][]string, 0, len(r.Exercises))
	for _, e := range r.Exercises {
		until := "-"
		if e.Until != nil {
			until = e.Until.Format(shortTime)
		}
		rows = append(rows, []string{drilled(e.Name), e.Channel, e.Party, until, e.State})
	}
	p.table([]string{"exercise", "channel", "announced by", "until", "state"}, rows)
}

// exerciseMode is the word of the mode of what is not meant.
const exerciseMode = "exercise"

// drilled marks a name, or something whose name is not known, as not meant.
func drilled(name string) string {
	if name == "" {
		return "EXERCISE"
	}
	return "EXERCISE " + name
}

func newExerciseStart(a *app) *cobra.Command {
	var dir, until string
	var channels []string
	c := &cobra.Command{
		Use:   "start NAME --channel ID --until TIME --dir DIR",
		Short: "announce an exercise, or prolong it",
		Long: `Says on each channel, signed, that this party practises until then. From now on its
officers may send alerts there with --exercise NAME, and the partners' officers are
told. Every party that wants to speak in it announces it, too, by the same name.
At most 30 days; again with a later time prolongs it. Supervisors only.`,
		Example: `  karaula exercise start drina-26 --channel m02-wb6-x --until 2026-12-01T16:00:00Z --dir al
  karaula exercise start drina-26 --channel m02-wb6-x --until 8h --dir al`,
		Args: positional("NAME"),
	}
	c.Flags().StringSliceVar(&channels, "channel", nil, "channels for exercises")
	c.Flags().StringVar(&until, "until", "", "when it ends at the latest: a time, or how long from now (8h)")
	required(c, "channel", "until")
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		var end time.Time
		if in, err := time.ParseDuration(until); err == nil {
			end = a.now().Add(in)
		} else if end, err = a.moment(c, until); err != nil {
			return err
		}
		return a.exercise(c, dir, &karaulav1.ExerciseRequest{Name: args[0], Channels: channels, Until: end.UnixMicro()})
	}
	return c
}

func newExerciseStop(a *app) *cobra.Command {
	var dir string
	var channels []string
	c := &cobra.Command{
		Use:   "stop NAME --dir DIR",
		Short: "end an exercise before its time",
		Long: `Says that this party does not practise any more; what it says in the exercise after
that is refused everywhere. Without --channel on all channels on which it was
announced. Supervisors only.`,
		Example: "  karaula exercise stop drina-26 --dir al",
		Args:    positional("NAME"),
	}
	c.Flags().StringSliceVar(&channels, "channel", nil, "only on these channels")
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.exercise(c, dir, &karaulav1.ExerciseRequest{Name: args[0], Channels: channels})
	}
	return c
}

func (a *app) exercise(c *cobra.Command, dir string, req *karaulav1.ExerciseRequest) error {
	node, err := client(dir)
	if err != nil {
		return err
	}
	resp, err := node.Exercise(c.Context(), connect.NewRequest(req))
	if err != nil {
		return desk.FromConnect(err)
	}
	return a.show(newExercisesResult(resp.Msg.GetAnnounced()))
}

func newExerciseList(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "list --dir DIR",
		Short:   "list the exercises that are announced, by everybody",
		Example: "  karaula exercise list --dir me",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, _ []string) error {
		node, err := client(dir)
		if err != nil {
			return err
		}
		resp, err := node.Exercises(c.Context(), connect.NewRequest(&karaulav1.ExercisesRequest{}))
		if err != nil {
			return desk.FromConnect(err)
		}
		return a.show(newExercisesResult(resp.Msg.GetExercises()))
	}
	return c
}

// exerciseFlag adds --exercise.
func exerciseFlag(c *cobra.Command, name *string) {
	c.Flags().StringVar(name, "exercise", "", `only what is said in this exercise ("*": in any); without it only what is meant`)
}

// noteExercises tells whoever looks at what is meant what is practised beside it.
func (a *app) noteExercises(list []*karaulav1.ExerciseState) {
	for _, e := range list {
		if !e.GetOver() {
			a.note("%s", fmt.Sprintf("%s, announced by %s on %s until %s: karaula alert list --exercise %s",
				drilled(e.GetName()), e.GetParty(), e.GetChannel(), micro(e.GetUntil()).Format(shortTime), e.GetName()))
		}
	}
}
