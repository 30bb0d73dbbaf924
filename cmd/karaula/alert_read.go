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
}

func (r alertListResult) page(p *page) {
	rows := make([][]string, 0, len(r.Alerts))
	for _, l := range r.Alerts {
		rows = append(rows, []string{
			l.SaidAt.Format(shortTime), l.ID, l.Type, l.Urgency, l.Channel, l.Origin, fmt.Sprint(l.Number), l.standing(),
		})
	}
	p.table([]string{"said", "alert", "type", "urgency", "channel", "from", "number", "state"}, rows)
}

func newAlertList(a *app) *cobra.Command {
	var dir, channel, typ, since string
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
	c.Flags().Uint32Var(&limit, "limit", 100, "at most so many")
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
		resp, err := node.List(
			c.Context(),
			connect.NewRequest(&karaulav1.ListRequest{Channel: channel, Type: t, Since: from, Limit: limit}),
		)
		if err != nil {
			return desk.FromConnect(err)
		}
		r := alertListResult{Alerts: []alertLine{}, Complete: resp.Msg.GetComplete()}
		for _, row := range resp.Msg.GetAlerts() {
			r.Alerts = append(r.Alerts, newAlertLine(row))
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
	Clause  string          `json:"clause"`  // under which it was said
	Content json.RawMessage `json:"content"` // as alert files hold it

	text []byte // the content for people
}

func (r alertShowResult) page(p *page) {
	p.fields(
		field{"alert", fmt.Sprintf("%s version %d", r.ID, r.Version)},
		field{"said", fmt.Sprintf("%s by %s on %s, number %d", r.SaidAt.Format(shortTime), r.Origin, r.Channel, r.Number)},
		field{"under", r.Clause},
		field{"state", r.standing()},
	)
	p.blank()
	p.raw(r.text)
}

func newAlertShow(a *app) *cobra.Command {
	var dir, reason, from string
	c := &cobra.Command{
		Use:     "show ID --dir DIR",
		Short:   "show one alert with its content",
		Long:    "Opens one alert. Who looked, when and why is recorded at this node before\nanything is shown.",
		Example: `  karaula alert show 01920000-0000-7000-8000-000000000000 --reason "check at the crossing" --dir me`,
		Args:    positional("ID"),
	}
	c.Flags().StringVar(&reason, "reason", "", "why it is looked at; recorded")
	c.Flags().StringVar(&from, "from", "", "the party that said it, where several have used the same id")
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		node, err := client(dir)
		if err != nil {
			return err
		}
		ask := &karaulav1.ShowRequest{AlertId: args[0], Reason: reason, Origin: from}
		resp, err := node.Show(c.Context(), connect.NewRequest(ask))
		if err != nil {
			return desk.FromConnect(err)
		}
		r := alertShowResult{alertLine: newAlertLine(resp.Msg.GetRow()), Clause: resp.Msg.GetClause()}
		if r.Content, err = alert.MarshalJSON(resp.Msg.GetAlert()); err != nil {
			return err
		}
		if r.text, err = alert.MarshalYAML(resp.Msg.GetAlert()); err != nil {
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
	Alert   *alertLine `json:"alert,omitempty"`
}

func (e watchEvent) page(p *page) {
	id := ""
	if e.Alert != nil && e.Alert.ID != "" {
		id = "  " + e.Alert.ID
	}
	p.line("%s  %-11s %s%s", e.At.Format(shortTime), e.Event, e.Text, id)
}

func newAlertWatch(a *app) *cobra.Command {
	var dir, channel, typ, since string
	c := &cobra.Command{
		Use:     "watch --dir DIR",
		Short:   "print what happens, one event a line, until interrupted",
		Example: "  karaula alert watch --dir me\n  karaula alert watch --dir me --since 1h --output json",
		Args:    positional(),
	}
	selectFlags(c, &channel, &typ, &since)
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
			connect.NewRequest(&karaulav1.WatchRequest{Channel: channel, Type: t, Since: from}),
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
	}
	if m.GetAlert() != nil {
		l := newAlertLine(m.GetAlert())
		e.Alert = &l
	}
	return e
}
