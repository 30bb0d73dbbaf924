package main

import (
	"time"

	"github.com/spf13/cobra"

	"karaula/broker"
	"karaula/internal/agreement"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/terms"
)

// grant is one clause that allows something.
type grant struct {
	Agreement string `json:"agreement"`
	Channel   string `json:"channel"`
	Mode      string `json:"mode"`
	Clause    string `json:"clause"`
	Personal  bool   `json:"personal"`
	Handling  string `json:"handling"` // highest
	Retain    string `json:"retain"`   // longest
}

// matrixRow says that a party may tell another one a type.
type matrixRow struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	Type   string  `json:"type"`
	Grants []grant `json:"grants"`
}

type matrixResult struct {
	Rows []matrixRow `json:"rows"`
}

func (r matrixResult) page(p *page) {
	var rows [][]string
	for _, row := range r.Rows {
		for _, g := range row.Grants {
			rows = append(rows, []string{
				row.From, row.To, row.Type, yesNo(g.Personal), g.Handling, g.Retain, g.Clause, g.Channel,
			})
		}
	}
	p.table([]string{"from", "to", "type", "personal", "up to", "kept", "by", "channel"}, rows)
}

// filter chooses rows; empty words choose all.
type filter struct{ from, to, typ string }

func (f filter) has(from, to, typ string) bool {
	return (f.from == "" || f.from == from) && (f.to == "" || f.to == to) && (f.typ == "" || f.typ == typ)
}

func newAgreementMatrix(a *app) *cobra.Command {
	var dir string
	var f filter
	c := &cobra.Command{
		Use:   "matrix [FILE…] [--dir DIR]",
		Short: "say who may tell whom what, and by which clause",
		Long: `Says who may tell whom what: now, by the agreements in the node's register, or
by the texts of files whatever their phase and signatures.`,
		Example: `  karaula agreement matrix --dir al
  karaula agreement matrix --dir al --from al --type vehicle
  karaula agreement matrix b01-al-me.agreement b02-al-xk.agreement`,
		Args: cobra.ArbitraryArgs,
	}
	c.Flags().StringVar(&dir, "dir", "", "the node's folder")
	c.Flags().StringVar(&f.from, "from", "", "only what this party may say")
	c.Flags().StringVar(&f.to, "to", "", "only what this party is told")
	c.Flags().StringVar(&f.typ, "type", "", "only this type")
	c.RunE = func(c *cobra.Command, args []string) error {
		if (dir == "") == (len(args) == 0) {
			return errUsage(c, "name either files or a node's folder with --dir")
		}
		if _, err := parseTypes(c, words(f.typ)); err != nil {
			return err
		}
		rows, err := a.matrix(dir, args)
		if err != nil {
			return err
		}
		return a.show(describeMatrix(rows, f))
	}
	return c
}

// words gives a list of one word, or none for an empty one.
func words(word string) []string {
	if word == "" {
		return nil
	}
	return []string{word}
}

func (a *app) matrix(dir string, files []string) ([]agreement.Row, error) {
	if dir != "" {
		n, err := a.open(dir)
		if err != nil {
			return nil, err
		}
		return n.reg.View().Matrix(), nil
	}
	var texts []*agreement.Agreement
	for _, path := range files {
		text, _, err := a.readText(path)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return agreement.Matrix(texts...), nil
}

func describeMatrix(rows []agreement.Row, f filter) matrixResult {
	out := matrixResult{Rows: []matrixRow{}}
	for _, r := range rows {
		row := matrixRow{From: r.From, To: r.To, Type: terms.TypeWord(r.Type)}
		if !f.has(row.From, row.To, row.Type) {
			continue
		}
		for _, g := range r.Grants {
			row.Grants = append(row.Grants, grant{
				Agreement: g.Agreement, Channel: g.Channel, Mode: terms.ModeWord(g.Mode), Clause: g.Ref,
				Personal: g.Personal, Handling: terms.HandlingWord(g.Handling), Retain: agreement.FormatDuration(g.Retain),
			})
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// decision is one channel's answer to a question.
type decision struct {
	Allowed   bool   `json:"allowed"`
	Agreement string `json:"agreement,omitempty"`
	Channel   string `json:"channel,omitempty"`
	Clause    string `json:"clause,omitempty"`
	Code      string `json:"code"` // "allowed" or the stable word of the reason
	Reason    string `json:"reason"`
}

type explainResult struct {
	From      string     `json:"from"`
	To        string     `json:"to"`
	Type      string     `json:"type"`
	At        time.Time  `json:"at"`
	Allowed   bool       `json:"allowed"`
	Decisions []decision `json:"decisions"` // the allowed or nearest one first
}

func (r explainResult) page(p *page) {
	may := "may not"
	if r.Allowed {
		may = "may"
	}
	p.line("%s %s tell %s %s", r.From, may, r.To, r.Type)
	rows := make([][]string, 0, len(r.Decisions))
	for _, d := range r.Decisions {
		rows = append(rows, []string{d.Channel, yesNo(d.Allowed), d.Clause, d.Reason})
	}
	p.table([]string{"channel", "allowed", "clause", "why"}, rows)
}

func newAgreementExplain(a *app) *cobra.Command {
	var dir, from, to, typ, at string
	c := &cobra.Command{
		Use:   "explain --from PARTY --to PARTY --type TYPE --dir DIR",
		Short: "say whether a party may tell another one a type, and why or why not",
		Long: `Says by which clause a party may tell another one a type now, or the nearest
reason why it may not; then the exit code is 3.`,
		Example: `  karaula agreement explain --from al --to rs --type vehicle --dir al
  karaula agreement explain --from al --to me --type patrol --at 2027-01-01T00:00:00Z --dir al`,
		Args: positional(),
	}
	dirFlag(c, &dir)
	c.Flags().StringVar(&from, "from", "", "who would say it")
	c.Flags().StringVar(&to, "to", "", "who would read it")
	c.Flags().StringVar(&typ, "type", "", "what would be said")
	c.Flags().StringVar(&at, "at", "", "when (default: now)")
	required(c, "from", "to", "type")
	c.RunE = func(c *cobra.Command, _ []string) error {
		types, err := parseTypes(c, []string{typ})
		if err != nil {
			return err
		}
		when, err := a.moment(c, at)
		if err != nil {
			return err
		}
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		decisions := n.reg.View().Explain(from, to, types[0], when)
		out := explainResult{
			From: from, To: to, Type: typ, At: when.UTC(), Allowed: decisions[0].Allowed, Decisions: []decision{},
		}
		for _, d := range decisions {
			out.Decisions = append(out.Decisions, describeDecision(d))
		}
		if err := a.show(out); err != nil || out.Allowed {
			return err
		}
		return problem.New(problem.NotAllowed, "%s may not tell %s %s: %s", from, to, typ, decisions[0].Reason)
	}
	return c
}

func describeDecision(d register.Decision) decision {
	return decision{
		Allowed: d.Allowed, Agreement: d.Agreement, Channel: d.Channel, Clause: d.Ref, Code: d.Code, Reason: d.Reason,
	}
}

func newAgreementCompile(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "compile --dir DIR",
		Short: "print the nats-server configuration that follows from the agreements",
		Long: `Prints the configuration of a stock nats-server that follows from the agreements
in the node's register now, with the clause beside every permission. The
certificate files that it names are written into DIR/broker if they are not there.`,
		Example: "  karaula agreement compile --dir al > nats.conf\n  nats-server -t -c nats.conf",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	pass := passphraseFlag(c, "the broker's keys")
	c.RunE = func(*cobra.Command, []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		text, err := a.compile(n, pass())
		if err != nil {
			return err
		}
		return a.show(textResult{Text: string(text)})
	}
	return c
}

func (a *app) compile(n *place, pass keyring.Passphrase) ([]byte, error) {
	plan, keys, err := a.plan(n, pass, a.now())
	if err != nil {
		return nil, err
	}
	if err := writeMissing(plan, keys); err != nil {
		return nil, err
	}
	return broker.Compile(plan)
}

// plan gives what the node's broker should be at a moment.
func (a *app) plan(n *place, pass keyring.Passphrase, at time.Time) (broker.Plan, *keyring.Broker, error) {
	v := n.reg.View()
	own, ok := v.Card(n.Party)
	if !ok {
		return broker.Plan{}, nil, problem.New(problem.NotFound, "the own card is not in the register").
			WithHint("karaula card issue --dir %s", n.Dir)
	}
	keys, err := keyring.LoadBroker(n.BrokerKeys(), pass)
	if err != nil {
		return broker.Plan{}, nil, err
	}
	users, err := broker.OwnUsers(keys, own)
	if err != nil {
		return broker.Plan{}, nil, err
	}
	plan, _, err := broker.PlanFrom(v, n.Config, n.Layout, users, at)
	return plan, keys, err
}
