package main

import (
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// statusResult is the state of a node.
type statusResult struct {
	Party     string        `json:"party"`
	Name      string        `json:"name"`
	Version   string        `json:"version"`
	StartedAt time.Time     `json:"started_at"`
	Broker    bool          `json:"broker"` // the own broker answers
	Links     []linkLine    `json:"links"`
	Channels  []channelLine `json:"channels"`
	Warnings  []string      `json:"warnings"` // things that need a person
}

type linkLine struct {
	Party   string     `json:"party"`
	State   string     `json:"state"` // up, down, unverified
	Since   time.Time  `json:"since"`
	HeardAt *time.Time `json:"heard_at,omitempty"`
	Trouble string     `json:"trouble,omitempty"`
}

type channelLine struct {
	Channel  string        `json:"channel"`
	Phase    string        `json:"phase"` // not yet, in force, suspended, winding down, closed
	Epoch    uint64        `json:"epoch"`
	Said     uint64        `json:"said"` // last own number
	Partners []partnerLine `json:"partners"`
}

type partnerLine struct {
	Party       string `json:"party"`
	JudgedTo    uint64 `json:"judged_to"` // own numbers that it has judged
	Backlog     uint64 `json:"backlog"`   // own statements that it has not judged yet
	Received    uint64 `json:"received"`  // its numbers that are here
	Judged      uint64 `json:"judged"`    // its numbers that were judged here
	Held        uint64 `json:"held"`
	Quarantined uint64 `json:"quarantined"`
	Contested   bool   `json:"contested"`
}

func (r statusResult) page(p *page) {
	broker := "answers"
	if !r.Broker {
		broker = "DOES NOT ANSWER"
	}
	p.fields(
		field{"party", r.Party + "  " + r.Name}, field{"version", r.Version},
		field{"running since", r.StartedAt.Format(shortTime)}, field{"own broker", broker},
	)
	p.blank()
	rows := make([][]string, 0, len(r.Links))
	for _, l := range r.Links {
		heard := ""
		if l.HeardAt != nil {
			heard = l.HeardAt.Format(shortTime)
		}
		rows = append(rows, []string{l.Party, l.State, l.Since.Format(shortTime), heard, l.Trouble})
	}
	p.table([]string{"link", "state", "since", "heard", "trouble"}, rows)
	p.blank()
	rows = nil
	for _, c := range r.Channels {
		for i, x := range c.Partners {
			row := []string{c.Channel, c.Phase, fmt.Sprint(c.Said)}
			if i > 0 {
				row = []string{"", "", ""}
			}
			rows = append(rows, append(row, x.Party, fmt.Sprint(x.Backlog), fmt.Sprint(x.Received),
				fmt.Sprint(x.Held), fmt.Sprint(x.Quarantined)))
		}
		if len(c.Partners) == 0 {
			rows = append(rows, []string{c.Channel, c.Phase, "", "", "", "", "", ""})
		}
	}
	p.table([]string{"channel", "phase", "said", "partner", "backlog", "received", "held", "put aside"}, rows)
	for _, w := range r.Warnings {
		p.line("! %s", w)
	}
}

func newStatus(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "status --dir DIR",
		Short:   "say how a running node stands: links, channels, backlog",
		Example: "  karaula status --dir al\n  karaula status --dir al --output json",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, _ []string) error {
		node, err := client(dir)
		if err != nil {
			return err
		}
		resp, err := node.Status(c.Context(), connect.NewRequest(&karaulav1.StatusRequest{}))
		if err != nil {
			return desk.FromConnect(err)
		}
		return a.show(newStatusResult(resp.Msg))
	}
	return c
}

func newStatusResult(m *karaulav1.StatusResponse) statusResult {
	r := statusResult{
		Party:     m.GetParty(),
		Name:      m.GetName(),
		Version:   m.GetVersion(),
		StartedAt: micro(m.GetStartedAt()),
		Broker:    m.GetBroker(),
		Links:     []linkLine{},
		Channels:  []channelLine{},
		Warnings:  append([]string{}, m.GetWarnings()...),
	}
	for _, l := range m.GetLinks() {
		x := linkLine{Party: l.GetParty(), State: l.GetState(), Since: micro(l.GetSince()), Trouble: l.GetError()}
		if l.GetHeardAt() != 0 {
			at := micro(l.GetHeardAt())
			x.HeardAt = &at
		}
		r.Links = append(r.Links, x)
	}
	for _, c := range m.GetChannels() {
		x := channelLine{
			Channel:  c.GetChannel(),
			Phase:    c.GetPhase(),
			Epoch:    c.GetEpoch(),
			Said:     c.GetSaid(),
			Partners: []partnerLine{},
		}
		for _, p := range c.GetPartners() {
			x.Partners = append(x.Partners, partnerLine{
				Party:       p.GetParty(),
				JudgedTo:    p.GetJudgedTo(),
				Backlog:     p.GetBacklog(),
				Received:    p.GetReceived(),
				Judged:      p.GetJudged(),
				Held:        p.GetHeld(),
				Quarantined: p.GetQuarantined(),
				Contested:   p.GetContested(),
			})
		}
		r.Channels = append(r.Channels, x)
	}
	return r
}
