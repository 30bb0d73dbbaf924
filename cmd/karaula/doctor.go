package main

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/nodes"
	"karaula/gateway/desk"
	"karaula/internal/checkup"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// doctorResult is what the checks of a node found.
type doctorResult struct {
	Running bool            `json:"running"` // the node answered; if not, what only it knows was skipped
	Warn    int             `json:"warn"`    // checks that warn
	Fail    int             `json:"fail"`    // checks that fail
	Checks  []checkup.Check `json:"checks"`
}

func (r doctorResult) page(p *page) {
	rows := make([][]string, 0, len(r.Checks))
	for _, c := range r.Checks {
		rows = append(rows, []string{string(c.State), c.ID, c.About, c.Text})
	}
	p.table([]string{"state", "check", "about", "found"}, rows)
	for _, c := range r.Checks {
		if c.Hint != "" {
			p.line("! %s: %s", strings.TrimSpace(c.ID+" "+c.About), c.Hint)
		}
	}
}

func newDoctor(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "doctor --dir DIR",
		Short: "check a node and say what mends it",
		Long: `Checks a node: its folder, machine, clock, keys, agreements, broker, channels and
partners. A running node makes the checks itself, with a signed round trip to each
partner. Of a node that does not run only folder and machine are looked at, and
what was skipped is said.

Ends with exit code 10 if anything warns or fails. The ids of the checks are stable;
docs/alarms.md has a line for each.`,
		Example: "  karaula doctor --dir al\n  karaula doctor --dir al --output json",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	pass := passphraseFlag(c, "the broker's keys, for a node that does not run")
	c.RunE = func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), dir, pass()) }
	return c
}

func (a *app) doctor(ctx context.Context, dir string, pass keyring.Passphrase) error {
	r := doctorResult{Running: true}
	list, err := askDoctor(ctx, dir)
	if problem.Is(err, problem.Unreachable) {
		down := checkup.Bad(checkup.Fail, checkup.GatewayRuns, "", "the node does not answer on its socket",
			"karaula run --dir DIR")
		r.Running = false
		if list, err = nodes.Offline(ctx, dir, pass, a.now()); err == nil {
			list = append(list, down)
			checkup.Sort(list)
		}
	}
	if err != nil {
		return err
	}
	for i := range list {
		list[i].Hint = inDir(list[i].Hint, dir)
	}
	r.Checks = list
	_, r.Warn, r.Fail = checkup.Worst(list)
	if err := a.show(r); err != nil {
		return err
	}
	if r.Warn+r.Fail > 0 {
		return problem.New(problem.Findings, "%d of %d checks fail, %d warn", r.Fail, len(list), r.Warn)
	}
	return nil
}

// askDoctor asks a running node; an error of kind Unreachable means that none answers.
func askDoctor(ctx context.Context, dir string) ([]checkup.Check, error) {
	node, err := client(dir)
	if err != nil {
		return nil, err
	}
	resp, err := node.Checkup(ctx, connect.NewRequest(&karaulav1.CheckupRequest{RoundTrips: true}))
	if err != nil {
		return nil, desk.FromConnect(err)
	}
	list := make([]checkup.Check, 0, len(resp.Msg.GetChecks()))
	for _, c := range resp.Msg.GetChecks() {
		list = append(list, checkup.Check{
			ID: c.GetId(), About: c.GetAbout(), State: checkup.State(c.GetState()), Text: c.GetText(), Hint: c.GetHint(),
		})
	}
	return list, nil
}

// linkTestResult is one signed round trip to a partner.
type linkTestResult struct {
	Party       string   `json:"party"`
	RoundTripMs float64  `json:"round_trip_ms"`
	ClockMs     float64  `json:"clock_ahead_ms"` // how far its clock is ahead of this node's; negative: behind
	Versions    []uint32 `json:"versions"`       // of the format, that it speaks
	Card        uint64   `json:"card"`           // serial of its card, as it says
	KnownCard   uint64   `json:"known_card"`     // serial of its newest card here
	Agreements  []string `json:"agreements"`     // that both hold in the same words
}

func (r linkTestResult) page(p *page) {
	p.line("%s answers in %.1f ms, signed with a key of its card %d", r.Party, r.RoundTripMs, r.KnownCard)
	p.line("its clock is %+.1f ms from ours; both hold %s", r.ClockMs, list(r.Agreements))
	if r.Card > r.KnownCard {
		p.line("it has card %d, which has not reached us yet", r.Card)
	}
}

func newLink(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "test PARTY --dir DIR",
		Short: "ask a partner's gateway a signed question and verify its answer",
		Long: `Makes one round trip over the link to a partner: the running node asks the partner's
gateway, through the partner's broker, and verifies the signed answer. Says how long
it took, how far the clocks are apart, and what both hold.`,
		Example: "  karaula link test me --dir al",
		Args:    positional("PARTY"),
	}
	dirFlag(c, &dir)
	c.RunE = func(c *cobra.Command, args []string) error {
		node, err := client(dir)
		if err != nil {
			return err
		}
		resp, err := node.TestLink(c.Context(), connect.NewRequest(&karaulav1.TestLinkRequest{Party: args[0]}))
		if err != nil {
			return desk.FromConnect(err)
		}
		m := resp.Msg
		ms := func(micros int64) float64 {
			return float64(time.Duration(micros)*time.Microsecond) / float64(time.Millisecond)
		}
		return a.show(linkTestResult{
			Party: args[0], RoundTripMs: ms(m.GetRoundTrip()), ClockMs: ms(m.GetClockAhead()),
			Versions: append([]uint32{}, m.GetVersions()...), Card: m.GetCardSerial(), KnownCard: m.GetKnownSerial(),
			Agreements: append([]string{}, m.GetAgreements()...),
		})
	}
	return group("link", "look at the link to a partner",
		"The link to a partner goes straight to its broker and, through it, to its gateway.", c)
}
