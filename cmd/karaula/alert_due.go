package main

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// dueResult lists what is owed.
type dueResult struct {
	Clocks   []clockLine `json:"clocks"` // the soonest first
	More     bool        `json:"more,omitempty"`
	Complete bool        `json:"complete"`

	now time.Time
	in  lang
}

type clockLine struct {
	Kind  string     `json:"kind"`  // reply, hit, error-notice, review, onward
	State string     `json:"state"` // running, soon, overdue, met
	Party string     `json:"party"` // who owes it
	Due   time.Time  `json:"due"`
	Since time.Time  `json:"since"`
	Met   *time.Time `json:"met,omitempty"`
	Alert alertLine  `json:"alert"` // what it is about
}

func (r dueResult) page(p *page) {
	rows, parties := make([][]string, 0, len(r.Clocks)), map[string]bool{}
	for _, c := range r.Clocks {
		state := r.in.word(karaulav1.ClockState(0), c.State)
		left := left(c.Due.Sub(r.now))
		if c.Met != nil {
			left = r.in.word(karaulav1.ClockState(0), "met") + " " + c.Met.Format(shortTime)
		}
		rows = append(rows, []string{
			c.Due.Format(shortTime), left, capital(state), r.in.party(c.Party),
			r.in.word(karaulav1.ClockKind(0), c.Kind), c.Alert.ID, r.in.word(karaulav1.AlertType(0), c.Alert.Type),
			r.in.party(c.Alert.Origin), c.Alert.place(),
		})
		parties[c.Party], parties[c.Alert.Origin] = true, true
	}
	p.table(r.in.labels("due", "left", "state", "owed by", "what", "alert", "type", "from", "channel"), rows)
	r.in.footnote(p, parties)
}

// capital gives a word with a capital first letter.
func capital(word string) string {
	first, size := utf8.DecodeRuneInString(word)
	return string(unicode.ToUpper(first)) + word[size:]
}

// left says how much time is left, in the two largest units.
func left(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	switch days := int(d.Hours()) / 24; {
	case days > 0:
		return fmt.Sprintf("%s%dd %dh", sign, days, int(d.Hours())%24)
	case d >= time.Hour:
		return fmt.Sprintf("%s%dh %dm", sign, int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%s%dm", sign, int(d.Minutes()))
	}
}

func newAlertDue(a *app) *cobra.Command {
	var dir, channel, tag, exercise string
	var within time.Duration
	var met bool
	c := &cobra.Command{
		Use:   "due --dir DIR",
		Short: "list what is owed until when: answers, hits, error notices, reviews, renewals",
		Long: `Lists the clocks that run, the soonest first: answers to requests (eight hours,
three days or seven days, by urgency and access), hits that the owner of the alert
has to take up (twelve hours), error notices after false hits (two working days),
reviews of own alerts (four months before their end), and what this party passed on
of others in a version that its originator has replaced since (a day). The node tells watchers
when a quarter of the time is left and when it is over.`,
		Example: `  karaula alert due --dir al
  karaula alert due --dir al --within 24h --output json`,
		Args: positional(),
	}
	c.Flags().StringVar(&channel, "channel", "", "only this channel")
	exerciseFlag(c, &exercise)
	c.Flags().DurationVar(&within, "within", 0, "only what is due within this time (24h)")
	c.Flags().BoolVar(&met, "met", false, "also what was done")
	languageFlag(c, &tag)
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, _ []string) error {
		in, err := language(c, dir, tag)
		if err != nil {
			return err
		}
		node, err := client(dir)
		if err != nil {
			return err
		}
		req := &karaulav1.DueRequest{Channel: channel, Met: met, Exercise: exercise}
		if within > 0 {
			req.Before = a.now().Add(within).UnixMicro()
		}
		resp, err := node.Due(c.Context(), connect.NewRequest(req))
		if err != nil {
			return desk.FromConnect(err)
		}
		r := dueResult{Clocks: []clockLine{}, More: resp.Msg.GetMore(), Complete: resp.Msg.GetComplete(), now: a.now(), in: in}
		for _, x := range resp.Msg.GetClocks() {
			line := clockLine{
				Kind: terms.ClockWord(x.GetKind()), State: terms.ClockStateWord(x.GetState()), Party: x.GetParty(),
				Due: micro(x.GetDue()), Since: micro(x.GetSince()), Alert: newAlertLine(x.GetAlert()),
			}
			if x.GetMet() != 0 {
				at := micro(x.GetMet())
				line.Met = &at
			}
			r.Clocks = append(r.Clocks, line)
		}
		if r.More {
			a.note("there are more than these")
		}
		if !r.Complete {
			a.note("history is still being read after the start; this is not complete")
		}
		return a.show(r)
	}
	return c
}
