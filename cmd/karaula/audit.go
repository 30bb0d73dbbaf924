package main

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	"karaula/internal/evidence"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

func newAudit(a *app) *cobra.Command {
	return group("audit", "verify history again, and take evidence out of a node",
		`These commands read what a running node holds, verify it themselves, and believe
the node nothing but what others have signed. Who audits, when and why is recorded
at the node before anything is read. They are for the roles auditor and supervisor.

With --broker PARTY an auditor whom an agreement names reads the channels of that
agreement at the party's broker, with its own keys and from its own machine: DIR is
then the auditor's folder (karaula auditor init), where the reason is recorded.`,
		newAuditReplay(a), newAuditAsOf(a), newAuditExport(a), newAuditProve(a), newAuditDesk(a))
}

// auditFlags are what the audit commands have in common.
type auditFlags struct {
	dir, channel, reason string
	broker, address      string // for an auditor: whose broker, and where it is
	pass                 func() keyring.Passphrase
}

func (f *auditFlags) add(c *cobra.Command) {
	dirFlag(c, &f.dir)
	c.Flags().StringVar(&f.channel, "channel", "", "only this channel")
	c.Flags().StringVar(&f.reason, "reason", "", "why; recorded at the node, or by the auditor")
	c.Flags().StringVar(&f.broker, "broker", "", "for an auditor whom an agreement names: read at this party's broker")
	c.Flags().StringVar(&f.address, "address", "", "host:port of that broker (default: as its card says)")
	f.pass = passphraseFlag(c, "the auditor's keys")
	required(c, "reason")
}

// inspection is history that can be read: of a node, or at a broker.
type inspection struct {
	*desk.Inspection
	keys  auditorKeys // the visiting auditor's own; nil at a node
	close func()
}

// audit begins an audit, at the node or at a party's broker.
func (a *app) audit(ctx context.Context, f *auditFlags, req *karaulav1.AuditRequest) (*inspection, error) {
	debug.SetGCPercent(evidence.GCPercent)
	req.Channel, req.Reason = f.channel, f.reason
	if f.broker != "" {
		return a.visit(ctx, f, req)
	}
	at, err := auditClient(f.dir)
	if err != nil {
		return nil, err
	}
	in, err := desk.Inspect(ctx, at, req, a.now())
	if err != nil {
		return nil, err //nolint:wrapcheck // the node's own words
	}
	return &inspection{Inspection: in, close: func() {}}, nil
}

// auditClient is a node that runs, to be audited.
func auditClient(dir string) (karaulav1connect.NodeServiceClient, error) {
	if exists(node.Layout{Dir: dir}.AuditorKeys()) {
		return nil, problem.New(problem.Invalid, "%s is an auditor's folder, where no node runs; nothing was read", dir).
			WithHint("say at whose broker: --broker PARTY")
	}
	return client(dir)
}

// ownRoots gives the roots of the node's own cards.
func (a *app) ownRoots(m *karaulav1.AuditResponse) (roots []string, err error) {
	files := map[string][]byte{}
	for _, file := range m.GetFiles() {
		files[file.GetPath()] = file.GetBody()
	}
	view, err := register.FromFiles(m.GetParty(), files, a.now())
	if err != nil {
		return nil, err
	}
	for _, c := range view.Cards(m.GetParty()) {
		roots = append(roots, c.Root)
	}
	return roots, nil
}

// failed is the error of a command that has found something that does not verify:
// it names the first place.
func failed(findings []findingLine) error {
	for _, f := range findings {
		if f.Broken {
			return problem.New(problem.Verification, "%s: %s", f.Place, f.Text).
				WithHint("docs/spec/evidence.md says what %s means", f.Class)
		}
	}
	return problem.New(problem.Verification, "the history does not verify")
}

// findingLine is something that does not verify or does not fit.
type findingLine struct {
	Class   string `json:"class"` // missing, fork, two-histories …: docs/spec/evidence.md
	Broken  bool   `json:"broken"`
	Channel string `json:"channel,omitempty"`
	Origin  string `json:"origin,omitempty"`
	Epoch   uint64 `json:"epoch,omitempty"`
	Number  uint64 `json:"number,omitempty"`
	Place   string `json:"place"` // in words
	Where   string `json:"where,omitempty"`
	Text    string `json:"text"`
}

func newFindings(r *evidence.Report) []findingLine {
	out := make([]findingLine, 0, len(r.Findings))
	for _, f := range r.Findings {
		out = append(out, findingLine{
			Class: string(f.Class), Broken: f.Class.Broken(), Channel: f.Channel, Origin: f.Origin, Epoch: f.Epoch, Number: f.Seq,
			Place: f.Place(), Where: f.Where, Text: f.Text,
		})
	}
	return out
}

// ledgerLine is how one ledger stands.
type ledgerLine struct {
	Channel  string            `json:"channel"`
	Mode     string            `json:"mode"` // actual; or exercise: nothing of it is meant
	Origin   string            `json:"origin"`
	Epoch    uint64            `json:"epoch"`
	From     uint64            `json:"from"` // first number of the epoch that is here
	To       uint64            `json:"to"`
	Root     string            `json:"root"`  // over all of them, "sha256:…"
	First    time.Time         `json:"first"` // time of the first
	Last     time.Time         `json:"last"`
	Total    uint64            `json:"statements"` // verified, of all epochs
	Refused  uint64            `json:"refused"`
	Unplaced uint64            `json:"unplaced"` // behind the first that does not verify
	Cosigned map[string]uint64 `json:"cosigned"` // up to which number each other party has signed the same history
}

// maxShown bounds how many findings a page shows.
const maxShown = 20

// pageFindings shows what was found.
func pageFindings(p *page, list []findingLine, more int) {
	if len(list) == 0 {
		return
	}
	p.blank()
	rows := make([][]string, 0, min(len(list), maxShown))
	for _, f := range list[:min(len(list), maxShown)] {
		rows = append(rows, []string{f.Class, f.Place, f.Text})
	}
	p.table([]string{"found", "where", "what"}, rows)
	if more += len(list) - len(rows); more > 0 {
		p.line("… and %d more", more)
	}
}
