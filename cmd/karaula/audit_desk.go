package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/gateway/desk"
	"karaula/internal/agreement"
	"karaula/internal/evidence"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// deskResult says what was written of the desk's ledger.
type deskResult struct {
	File     string        `json:"file"`
	Digest   string        `json:"digest"` // SHA-256 of the file, "sha256:…"
	Verified bool          `json:"verified"`
	Records  uint64        `json:"records"`
	Closed   uint64        `json:"closed"` // further ones, whose key is gone
	First    uint64        `json:"first"`  // number of the first one
	Last     uint64        `json:"last"`
	Head     uint64        `json:"head"` // number of the newest one of all
	Link     string        `json:"link"` // of the head, in hex
	Findings []findingLine `json:"findings"`
}

func (r deskResult) page(p *page) {
	p.fields(field{"written", r.File}, field{"digest", r.Digest},
		field{"records", fmt.Sprintf("%d, numbers %d to %d", r.Records+r.Closed, r.First, r.Last)},
		field{"head", fmt.Sprintf("%d %s", r.Head, r.Link)})
	if r.Closed > 0 {
		p.line("Of %d of them only the commitment is there: they are past their end, or their key is gone.", r.Closed)
	}
	pageFindings(p, r.Findings, 0)
}

// deskFindings lists what does not verify of an export.
func deskFindings(r *evidence.DeskReport) []findingLine {
	out := []findingLine{}
	for _, text := range r.Findings {
		out = append(out, findingLine{Class: string(evidence.Damaged), Broken: true, Place: "desk of " + r.Party, Text: text})
	}
	return out
}

func newAuditDesk(a *app) *cobra.Command {
	var dir, reason, from, to, out string
	c := &cobra.Command{
		Use:   "desk --reason WHY --out FILE --dir DIR",
		Short: "write down who looked at what, for the data-protection auditor",
		Long: `Checks the whole ledger of what officers of this node did against the head that the
gateway keeps outside of its broker, and writes a slice of it into one file: who, in
which role, when, which deed, which statement and why. No content is in it. The file
is signed and verifies with the party's root key alone: karaula verify, which also
shows its records. Ends with exit code 6 if the broker has dropped, repeated, moved or
changed a record; the file is written then too, and says where. It names officers:
it is personal data.`,
		Example: `  karaula audit desk --from 2026-01-01 --to 2026-04-01 --reason "first quarter" --out q1.desk --dir al`,
		Args:    positional(),
	}
	dirFlag(c, &dir)
	c.Flags().StringVar(&from, "from", "", "from the first deed at or after this time")
	c.Flags().StringVar(&to, "to", "", "to before the first deed at or after this time")
	c.Flags().StringVar(&reason, "reason", "", "why; recorded at the node")
	c.Flags().StringVar(&out, "out", "", "the file to write")
	required(c, "reason", "out")
	c.RunE = func(c *cobra.Command, _ []string) error {
		first, end, err := a.window(c, from, to)
		if err != nil {
			return err
		}
		f := auditFlags{dir: dir, reason: reason}
		ask := &karaulav1.ReadDeskRequest{From: micros(first), To: micros(end)}
		r, err := a.exportDesk(c.Context(), &f, ask, out)
		if err != nil {
			return err
		}
		if err := a.show(*r); err != nil || r.Verified {
			return err
		}
		return failed(r.Findings)
	}
	return c
}

// micros gives a time in microseconds since 1970, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// exportDesk writes an export, and verifies it on its way.
func (a *app) exportDesk(ctx context.Context, f *auditFlags, ask *karaulav1.ReadDeskRequest, path string) (*deskResult, error) {
	node, err := auditClient(f.dir)
	if err != nil {
		return nil, err
	}
	begun, err := node.Audit(ctx, connect.NewRequest(&karaulav1.AuditRequest{Deed: "audit-desk", Reason: f.reason}))
	if err != nil {
		return nil, desk.FromConnect(err)
	}
	ask.Audit = begun.Msg.GetAudit()
	roots, err := a.ownRoots(begun.Msg)
	if err != nil {
		return nil, err
	}
	var report *evidence.DeskReport
	sum := sha256.New()
	err = newFile(path, func(w io.Writer) error {
		put, err := evidence.WriteDesk(io.MultiWriter(w, sum))
		if err != nil {
			return err
		}
		stream, err := node.ReadDesk(ctx, connect.NewRequest(ask))
		if err != nil {
			return desk.FromConnect(err)
		}
		defer stream.Close() //nolint:errcheck // read to its end
		chain := evidence.NewDeskChain(func(uint64, *karaulav1.DeskEntry) error { return nil })
		for stream.Receive() {
			for _, p := range stream.Msg().GetPieces() {
				if err := chain.Take(p); err != nil {
					return err
				}
				if err := put(p); err != nil {
					return err
				}
			}
		}
		if err := stream.Err(); err != nil {
			return desk.FromConnect(err)
		}
		report, err = chain.Close(roots)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &deskResult{
		File: path, Digest: agreement.FormatDigest([32]byte(sum.Sum(nil))), Verified: report.Verified(), Records: report.Records,
		Closed: report.Closed, First: report.Before.GetNumber() + 1, Last: report.Last.GetNumber(), Head: report.Head.GetNumber(),
		Link: fmt.Sprintf("%x", report.Head.GetLink()), Findings: deskFindings(report),
	}, nil
}

// lookLine is one deed of an officer.
type lookLine struct {
	Number  uint64    `json:"number"`
	At      time.Time `json:"at"`
	Officer string    `json:"officer"`
	Role    string    `json:"role"`
	Deed    string    `json:"deed"`
	Channel string    `json:"channel,omitempty"`
	Ledger  string    `json:"ledger,omitempty"` // of the statement, in hex
	Epoch   uint64    `json:"epoch,omitempty"`
	Seq     uint64    `json:"seq,omitempty"`
	Type    string    `json:"type,omitempty"`
	Asked   int       `json:"asked,omitempty"`  // questions of a look-up
	Leaves  []string  `json:"leaves,omitempty"` // of the statements whose content an export holds
	Reason  string    `json:"reason"`
	// Exercise is the one in which it was done; "?" if it is not known which.
	Exercise string `json:"exercise,omitempty"`
}

func newLookLine(number uint64, e *karaulav1.DeskEntry) lookLine {
	l := lookLine{
		Number: number, At: time.UnixMicro(e.GetAt()).UTC(), Officer: e.GetOfficer(), Role: e.GetRole(), Deed: e.GetDeed(),
		Channel: e.GetChannel(), Epoch: e.GetEpoch(), Seq: e.GetSeq(), Asked: len(e.GetAsked()), Reason: e.GetReason(),
		Exercise: e.GetExercise(),
	}
	if len(e.GetLedger()) > 0 {
		l.Ledger = fmt.Sprintf("%x", e.GetLedger())
	}
	for _, leaf := range e.GetLeaves() {
		l.Leaves = append(l.Leaves, fmt.Sprintf("%x", leaf))
	}
	if e.GetType() != 0 {
		l.Type = terms.TypeWord(e.GetType())
	}
	return l
}

func (l lookLine) page(p *page) {
	what := []string{l.Deed}
	if l.Exercise != "" {
		what = []string{drilled(l.Exercise), l.Deed}
	}
	if l.Asked > 0 {
		what = append(what, fmt.Sprintf("of %d", l.Asked))
	}
	if n := len(l.Leaves); n > 0 {
		what = append(what, fmt.Sprintf("of %d alerts", n))
	}
	for _, word := range []string{l.Type, l.Channel} {
		if word != "" {
			what = append(what, word)
		}
	}
	if l.Seq > 0 {
		what = append(what, fmt.Sprintf("%.8s epoch %d number %d", l.Ledger, l.Epoch, l.Seq))
	}
	p.line("%6d  %s  %s (%s)  %s: %q", l.Number, l.At.Format(shortTime), l.Officer, l.Role, strings.Join(what, " "), l.Reason)
}

// verifyDesk verifies an export of the desk's ledger, and shows its records.
func verifyDesk(f io.Reader, roots []string, r *verifyResult) error {
	r.Kind = "desk"
	report, err := evidence.VerifyDesk(f, roots, func(number uint64, e *karaulav1.DeskEntry) error {
		r.Looks = append(r.Looks, newLookLine(number, e))
		return nil
	})
	if err != nil {
		r.Looks = nil
		return r.verdict(err)
	}
	r.MadeBy, r.Verified, r.Findings = report.Party, report.Verified(), deskFindings(report)
	if r.Verified {
		r.Shows = fmt.Sprintf("%s says that these are the numbers %d to %d of what its officers did, that none was left out, changed or\n"+
			"moved, and that number %d was the newest at %s. That a deed was\nnever recorded it cannot show.", report.Party,
			report.Before.GetNumber()+1, report.Last.GetNumber(), report.Head.GetNumber(), report.SignedAt.Format(time.RFC3339))
	}
	return nil
}
