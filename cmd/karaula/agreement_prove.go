package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"karaula/broker"
	"karaula/broker/prove"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/register"
)

// proveResult is what three judges say about the brokers' configurations.
type proveResult struct {
	At         time.Time  `json:"at"`
	Brokers    []string   `json:"brokers"`    // party codes; others' as they would be compiled
	Parties    []string   `json:"parties"`    // everybody who is known
	Channels   int        `json:"channels"`   // over all brokers
	Deliveries int        `json:"deliveries"` // combinations of origin, channel, type and reader
	Allowed    int        `json:"allowed"`    // of these, by the agreements
	Judges     judges     `json:"judges"`
	Coarser    []string   `json:"coarser"`    // where the seal alone holds what an agreement says, by design
	Found      int        `json:"found"`      // mismatches, also those that are not listed
	Mismatches []mismatch `json:"mismatches"` // at most 40 of one broker and one who
}

// judges count what each judge was asked.
type judges struct {
	Agreements int `json:"agreements"`
	Text       int `json:"text"`
	Live       int `json:"live"`
}

// mismatch is one counterexample.
type mismatch struct {
	Broker     string `json:"broker"`            // whose broker it is
	Who        string `json:"who"`               // who tries: "partner me", "auditor dpa", "audit of al"; "-" if it is about nobody
	What       string `json:"what"`              // what is tried
	Subject    string `json:"subject,omitempty"` // by which subject
	Agreements bool   `json:"agreements"`        // they allow it
	Text       string `json:"text"`              // yes, no, or - if the text was not asked
	Live       string `json:"live"`              // the same for what happened at a running broker
	Why        string `json:"why"`               // the clause that allows it, or why none does
}

func (r proveResult) page(p *page) {
	p.line("%s (%s), %s, %s, as of %s", count(len(r.Brokers), "broker"), strings.Join(r.Brokers, " "),
		countOf(len(r.Parties), "party", "parties"), count(r.Channels, "channel"), r.At.UTC().Format(time.RFC3339))
	p.line("%d combinations of origin, channel, type and reader, %d of them allowed", r.Deliveries, r.Allowed)
	p.line("asked: the agreements %d times, the text %d, a live broker %d", r.Judges.Agreements, r.Judges.Text, r.Judges.Live)
	for _, text := range r.Coarser {
		p.line("coarser by design: %s", text)
	}
	if r.Found == 0 {
		p.line("no mismatch: everything that an agreement or a role allows works, and nothing else does")
		return
	}
	var rows [][]string
	for _, m := range r.Mismatches {
		rows = append(rows, []string{m.Broker, m.Who, m.What, yesNo(m.Agreements), m.Text, m.Live, m.Why, m.Subject})
	}
	p.table([]string{"broker", "who", "what", "agreed", "text", "live", "why", "subject"}, rows)
}

// countOf writes a number with a noun whose plural has a form of its own.
func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func newAgreementProve(a *app) *cobra.Command {
	var dir, at, config string
	c := &cobra.Command{
		Use:   "prove --dir DIR",
		Short: "show that brokers permit what the agreements say, and nothing else",
		Long: `Puts every combination of origin, channel, type and reader, over all parties that
the node knows, before three judges: the agreements in the register; the text of
the compiled configuration, as nats-server reads it; and a broker that is started
from that text, on loopback and in a temporary folder, where everybody tries with
test keys in place of the real ones (nothing else may differ). Beyond that each
partner and each local role tries what nobody may: the whole JetStream API, other
partners' consumers and inboxes, the server's own subjects, writing by reply
subjects. Brokers of other parties are judged as they would be compiled from the
same agreements.

Prints how much was tried and each mismatch with who, what, by which subject, and
which clause allows it or that none does; then the exit code is 10. The node may
run meanwhile: its folder, store and broker are not touched.`,
		Example: `  karaula agreement prove --dir al
  karaula agreement prove --dir al --at 2027-01-01T00:00:00Z
  karaula agreement prove --dir al --config al/broker/nats.conf --output json`,
		Args: positional(),
	}
	dirFlag(c, &dir)
	pass := passphraseFlag(c, "the broker's keys")
	c.Flags().StringVar(&at, "at", "", "at which moment (default: now)")
	c.Flags().StringVar(&config, "config", "", "judge this file as the own broker's text, not what would be compiled")
	c.RunE = func(c *cobra.Command, _ []string) error {
		when, err := a.moment(c, at)
		if err != nil {
			return err
		}
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		sites, err := a.sites(n, pass(), when, config)
		if err != nil {
			return err
		}
		return a.prove(c.Context(), sites, when)
	}
	return c
}

// maxConfig bounds a configuration that is read, in bytes.
const maxConfig = 64 << 20

// sites gives the own broker, and those of all parties with which the node
// shares an agreement.
func (a *app) sites(n *place, pass keyring.Passphrase, at time.Time, config string) ([]prove.Site, error) {
	plan, _, err := a.plan(n, pass, at)
	if err != nil {
		return nil, err
	}
	if plan.Cluster != nil {
		if config != "" {
			return nil, problem.New(problem.Invalid, "the configuration of a cluster's server cannot be tried alone; nothing was proved").
				WithHint("leave --config out: the rights that one server alone would give are proved, and a cluster's are the same")
		}
		plan.Cluster, plan.Pair, plan.Replicas = nil, false, 1 // one server is started; nobody's rights depend on how many there are
	}
	own := prove.Site{View: n.reg.View(), Plan: plan}
	if config == "" {
		own.Text, err = broker.Compile(plan)
	} else {
		own.Text, err = a.readFile(config, "configuration", maxConfig)
	}
	if err != nil {
		return nil, err
	}
	sites := []prove.Site{own}
	for _, p := range own.View.Parties() {
		reg, err := register.Open(n.Register(), p.Code)
		if err != nil {
			return nil, err
		}
		reg.SetClock(a.now)
		view := reg.View()
		if p.Self || !speaks(view, p.Code) {
			continue
		}
		other, err := prove.Other(view, at)
		if err != nil {
			return nil, err
		}
		sites = append(sites, other)
	}
	return sites, nil
}

// speaks reports whether somebody is a party of a channel, so that it has a
// broker: an auditor has none.
func speaks(view *register.View, code string) bool {
	for _, c := range view.AllChannels() {
		if _, ok := c.Agreement.Party(code); ok {
			return true
		}
	}
	return false
}

func (a *app) prove(ctx context.Context, sites []prove.Site, at time.Time) error {
	temp, err := os.MkdirTemp("", "karaula-prove-")
	if err != nil {
		return problem.Wrap(problem.Failed, err, "no folder for the test brokers; nothing was proved")
	}
	defer os.RemoveAll(temp) //nolint:errcheck // a leftover in the temporary folder harms nobody
	r, err := prove.Run(ctx, sites, at, temp)
	if err != nil {
		return err
	}
	out := proveResult{
		At: at.UTC(), Brokers: r.Brokers, Parties: r.Parties, Channels: r.Channels, Deliveries: r.Deliveries,
		Allowed: r.Allowed, Judges: judges{r.Law, r.Text, r.Live}, Coarser: append([]string{}, r.Coarser...),
		Found: r.Found, Mismatches: []mismatch{},
	}
	for _, m := range r.Mismatches {
		out.Mismatches = append(out.Mismatches, mismatch{
			Broker: m.Broker, Who: m.Who, What: m.What, Subject: m.Subject, Agreements: m.Agreed,
			Text: m.Text, Live: m.Live, Why: m.Why,
		})
	}
	if err := a.show(out); err != nil || out.Found == 0 {
		return err
	}
	return problem.New(problem.Findings, "%s between agreements, text and live broker",
		countOf(out.Found, "mismatch", "mismatches"))
}
