package main

import (
	"context"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	"karaula/internal/evidence"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

func newAudit(a *app) *cobra.Command {
	return group("audit", "verify history again, and take evidence out of a node",
		`These commands read what a running node holds, verify it themselves, and believe
the node nothing but what others have signed. Who audits, when and why is recorded
at the node before anything is read. They are for the roles auditor and supervisor.`,
		newAuditReplay(a), newAuditAsOf(a), newAuditExport(a), newAuditProve(a), newAuditDesk(a))
}

// auditFlags are what the audit commands have in common.
type auditFlags struct {
	dir, channel, reason string
}

func (f *auditFlags) add(c *cobra.Command) {
	dirFlag(c, &f.dir)
	c.Flags().StringVar(&f.channel, "channel", "", "only this channel")
	c.Flags().StringVar(&f.reason, "reason", "", "why; recorded at the node")
	required(c, "reason")
}

// audited is a node whose history can be read.
type audited struct {
	party  string
	files  map[string][]byte
	view   *register.View
	skew   time.Duration
	inputs []evidence.Input
	places []*karaulav1.AuditPlace
}

// audit begins an audit at a node.
func (a *app) audit(ctx context.Context, f *auditFlags, req *karaulav1.AuditRequest) (*audited, error) {
	node, err := client(f.dir)
	if err != nil {
		return nil, err
	}
	debug.SetGCPercent(evidence.GCPercent)
	req.Channel, req.Reason = f.channel, f.reason
	resp, err := node.Audit(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, desk.FromConnect(err)
	}
	m := resp.Msg
	out := &audited{
		party: m.GetParty(), skew: time.Duration(m.GetClockSkew()) * time.Microsecond, files: map[string][]byte{}, places: m.GetPlaces(),
	}
	for _, file := range m.GetFiles() {
		out.files[file.GetPath()] = file.GetBody()
	}
	if out.view, err = register.FromFiles(out.party, out.files, a.now()); err != nil {
		return nil, err
	}
	for _, l := range m.GetLedgers() {
		if len(l.GetLedger()) != 32 {
			return nil, problem.New(problem.Failed, "the node names a ledger without an id")
		}
		out.inputs = append(out.inputs, evidence.Input{
			Channel: l.GetChannel(), Origin: l.GetOrigin(), Mode: l.GetMode(), ID: ledger.ID(l.GetLedger()),
			Pieces: piecesOf(ctx, node, m.GetAudit(), l, false), Aside: piecesOf(ctx, node, m.GetAudit(), l, true),
		})
	}
	return out, nil
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

// piecesOf reads a ledger from a node, or what was put aside of it, anew each time.
func piecesOf(
	ctx context.Context, node karaulav1connect.NodeServiceClient, audit []byte, l *karaulav1.AuditLedger, aside bool,
) evidence.Pieces {
	return func(yield func(evidence.Raw, error) bool) {
		ask := &karaulav1.ReadLedgerRequest{Audit: audit, Channel: l.GetChannel(), Origin: l.GetOrigin(), Aside: aside}
		stream, err := node.ReadLedger(ctx, connect.NewRequest(ask))
		if err != nil {
			yield(evidence.Raw{}, desk.FromConnect(err))
			return
		}
		defer stream.Close() //nolint:errcheck // it is read or given up
		for stream.Receive() {
			for _, p := range stream.Msg().GetPieces() {
				if !yield(evidence.Raw{Data: p.GetData(), Where: p.GetWhere()}, nil) {
					return
				}
			}
		}
		if err := stream.Err(); err != nil {
			yield(evidence.Raw{}, desk.FromConnect(err))
		}
	}
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
