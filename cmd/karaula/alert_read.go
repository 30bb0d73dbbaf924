package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	"karaula/internal/alert"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// alertListResult lists alerts.
type alertListResult struct {
	Alerts   []alertLine `json:"alerts"`   // those said last first
	Complete bool        `json:"complete"` // false while history is read after a start

	in lang
}

func (r alertListResult) page(p *page) {
	rows, parties := make([][]string, 0, len(r.Alerts)), map[string]bool{}
	for _, l := range r.Alerts {
		rows = append(rows, []string{
			l.SaidAt.Format(shortTime), l.ID, r.in.word(karaulav1.AlertType(0), l.Type), r.in.word(karaulav1.Urgency(0), l.Urgency),
			l.Channel, r.in.party(l.Origin), fmt.Sprint(l.Number), l.standing(r.in),
		})
		l.parties(parties)
	}
	p.table(r.in.labels("said", "alert", "type", "urgency", "channel", "from", "number", "state"), rows)
	r.in.footnote(p, parties)
}

func newAlertList(a *app) *cobra.Command {
	var dir, channel, typ, since, tag, exercise string
	var limit uint32
	c := &cobra.Command{
		Use:   "list --dir DIR",
		Short: "list alerts that were sent and received",
		Long: `Lists alerts without their content, those said last first; sent ones with how far
they got at each recipient, by its signed receipts.`,
		Example: `  karaula alert list --dir al
  karaula alert list --dir al --channel b01-al-me --type vehicle --since 24h`,
		Args: positional(),
	}
	selectFlags(c, &channel, &typ, &since)
	exerciseFlag(c, &exercise)
	c.Flags().Uint32Var(&limit, "limit", 100, "at most so many")
	languageFlag(c, &tag)
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, _ []string) error {
		t, from, err := a.selection(c, typ, since)
		if err != nil {
			return err
		}
		in, err := language(c, dir, tag)
		if err != nil {
			return err
		}
		node, err := client(dir)
		if err != nil {
			return err
		}
		resp, err := node.List(
			c.Context(),
			connect.NewRequest(&karaulav1.ListRequest{Channel: channel, Type: t, Since: from, Limit: limit, Exercise: exercise}),
		)
		if err != nil {
			return desk.FromConnect(err)
		}
		r := alertListResult{Alerts: []alertLine{}, Complete: resp.Msg.GetComplete(), in: in}
		for _, row := range resp.Msg.GetAlerts() {
			r.Alerts = append(r.Alerts, newAlertLine(row))
		}
		if on, err := node.Exercises(c.Context(), connect.NewRequest(&karaulav1.ExercisesRequest{})); err == nil && exercise == "" {
			a.noteExercises(on.Msg.GetExercises())
		}
		if !r.Complete {
			a.note("history is still being read after the start; the list is not complete")
		}
		return a.show(r)
	}
	return c
}

// alertShowResult is one alert with its content.
type alertShowResult struct {
	alertLine
	Clause string `json:"clause"` // under which it was said
	// Outdated is, of a copy that was passed on from here, the version of the original
	// that counts by now, if it is a later one.
	Outdated uint32          `json:"outdated,omitempty"`
	Content  json.RawMessage `json:"content"` // as alert files hold it

	text []byte // the content for people
	in   lang
}

// keptUntil is when the content is erased at the latest.
func (r alertShowResult) keptUntil() string {
	if r.EraseAfter == nil {
		return "-"
	}
	return r.EraseAfter.Format(shortTime)
}

func (r alertShowResult) page(p *page) {
	if r.Drill {
		p.line("%s: nothing of this is meant", drilled(r.Exercise))
		p.blank()
	}
	var fields []field
	if r.in.none() {
		fields = []field{
			{"alert", fmt.Sprintf("%s version %d", r.ID, r.Version)},
			{"said", fmt.Sprintf("%s by %s on %s, number %d", r.SaidAt.Format(shortTime), r.Origin, r.Channel, r.Number)},
		}
	} else {
		fields = []field{
			{r.in.label("alert"), r.ID},
			{r.in.label("version"), fmt.Sprint(r.Version)},
			{r.in.label("said"), r.SaidAt.Format(shortTime)},
			{r.in.label("from"), r.in.party(r.Origin)},
			{r.in.label("channel"), r.Channel},
			{r.in.label("number"), fmt.Sprint(r.Number)},
		}
	}
	fields = append(fields, r.PassedOn.fields(r.in)...)
	if r.Outdated > 0 && r.PassedOn != nil {
		fields = append(fields, field{r.in.label("outdated"), fmt.Sprintf("%s has said version %d since: karaula alert share %s --channel %s",
			r.in.party(r.PassedOn.Originator), r.Outdated, r.PassedOn.Alert, r.Channel)})
	}
	fields = append(fields,
		field{r.in.label("under"), r.Clause},
		field{r.in.label("handling"), handlingText(r.in, r.Handling)},
		field{r.in.label("kept until"), r.keptUntil()},
		field{r.in.label("state"), r.standing(r.in)},
	)
	p.fields(fields...)
	p.blank()
	p.raw(r.text)
	parties := map[string]bool{}
	r.parties(parties)
	r.in.footnote(p, parties)
}

func newAlertShow(a *app) *cobra.Command {
	var dir, reason, from, tag string
	c := &cobra.Command{
		Use:   "show ID --dir DIR",
		Short: "show one alert with its content",
		Long: `Opens one alert. Who looked, when and why is recorded at this node before
anything is shown.

With a language the page has the term of each coded value as a comment beside its
word, so that what is shown can still be sent. Free text is never translated.`,
		Example: `  karaula alert show 01920000-0000-7000-8000-000000000000 --reason "check at the crossing" --dir me
  karaula alert show 01920000-0000-7000-8000-000000000000 --language sr-Cyrl --dir rs`,
		Args: positional("ID"),
	}
	c.Flags().StringVar(&reason, "reason", "", "why it is looked at; recorded")
	c.Flags().StringVar(&from, "from", "", "the party that said it, where several have used the same id")
	languageFlag(c, &tag)
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		in, err := language(c, dir, tag)
		if err != nil {
			return err
		}
		node, err := client(dir)
		if err != nil {
			return err
		}
		ask := &karaulav1.ShowRequest{AlertId: args[0], Reason: reason, Origin: from}
		resp, err := node.Show(c.Context(), connect.NewRequest(ask))
		if err != nil {
			return desk.FromConnect(err)
		}
		r := alertShowResult{alertLine: newAlertLine(resp.Msg.GetRow()), Clause: resp.Msg.GetClause(), Outdated: resp.Msg.GetOutdated(), in: in}
		if r.Content, err = alert.MarshalJSON(resp.Msg.GetAlert()); err != nil {
			return err
		}
		if r.text, err = alert.ExplainYAML(resp.Msg.GetAlert(), in.Term); err != nil {
			return err
		}
		return a.show(r)
	}
	return c
}

// watchEvent is one thing that happened.
type watchEvent struct {
	At      time.Time  `json:"at"`
	Event   string     `json:"event"`
	Party   string     `json:"party,omitempty"`
	Channel string     `json:"channel,omitempty"`
	Text    string     `json:"text"`
	Drill   bool       `json:"drill,omitempty"` // nothing of it is meant
	Again   bool       `json:"again,omitempty"` // it was here before, and its partner was told of it
	Alert   *alertLine `json:"alert,omitempty"`
}

func (e watchEvent) page(p *page) {
	id := ""
	if e.Alert != nil && e.Alert.ID != "" {
		id = "  " + e.Alert.ID
	}
	again := ""
	if e.Again {
		again = " (again: it was lost here)"
	}
	p.line("%s  %-11s %s%s%s", e.At.Format(shortTime), e.Event, e.Text, again, id)
}

func newAlertWatch(a *app) *cobra.Command {
	var dir, channel, typ, since, exercise string
	c := &cobra.Command{
		Use:     "watch --dir DIR",
		Short:   "print what happens, one event a line, until interrupted",
		Example: "  karaula alert watch --dir me\n  karaula alert watch --dir me --since 1h --output json",
		Args:    positional(),
	}
	selectFlags(c, &channel, &typ, &since)
	exerciseFlag(c, &exercise)
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, _ []string) error {
		t, from, err := a.selection(c, typ, since)
		if err != nil {
			return err
		}
		node, err := client(dir)
		if err != nil {
			return err
		}
		stream, err := node.Watch(
			c.Context(),
			connect.NewRequest(&karaulav1.WatchRequest{Channel: channel, Type: t, Since: from, Exercise: exercise}),
		)
		if err != nil {
			return desk.FromConnect(err)
		}
		defer stream.Close() //nolint:errcheck // the command ends
		for stream.Receive() {
			if err := a.event(newWatchEvent(stream.Msg())); err != nil {
				return err
			}
		}
		if c.Context().Err() != nil {
			return nil // interrupted
		}
		if err := stream.Err(); err != nil {
			return desk.FromConnect(err)
		}
		return problem.Wrap(problem.Unreachable, errors.New("the stream ended"), "the node has stopped").
			WithHint("karaula run --dir %s", dir)
	}
	return c
}

func newWatchEvent(m *karaulav1.WatchResponse) watchEvent {
	e := watchEvent{
		At:      micro(m.GetAt()),
		Event:   m.GetEvent(),
		Party:   m.GetParty(),
		Channel: m.GetChannel(),
		Text:    m.GetText(),
		Drill:   m.GetDrill(),
		Again:   m.GetAgain(),
	}
	if m.GetAlert() != nil {
		l := newAlertLine(m.GetAlert())
		e.Alert = &l
	}
	return e
}
