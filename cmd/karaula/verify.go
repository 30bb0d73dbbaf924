package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/evidence"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/signedtext"
	"karaula/internal/subject"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// verifyResult says whether a file verifies, and what it then shows.
type verifyResult struct {
	File     string        `json:"file"`
	Digest   string        `json:"digest"`         // of the file, "sha256:…"
	Kind     string        `json:"kind"`           // bundle, inclusion, consistency, range, fork, desk or envelope
	Mode     string        `json:"mode,omitempty"` // of an envelope and of what a proof is about: actual, or exercise
	Verified bool          `json:"verified"`
	Shows    string        `json:"shows"` // in a sentence; empty if it does not verify
	MadeBy   string        `json:"made_by,omitempty"`
	Roots    []rootLine    `json:"roots"` // root keys that were believed
	Texts    []string      `json:"texts,omitempty"`
	Ledgers  []ledgerLine  `json:"ledgers,omitempty"`
	Said     []*saidLine   `json:"said,omitempty"`      // the first statements
	SaidMore uint64        `json:"said_more,omitempty"` // further ones, verified too
	Looks    []lookLine    `json:"looks,omitempty"`     // what officers did
	Findings []findingLine `json:"findings"`
	More     int           `json:"more"` // findings beyond those
}

type rootLine struct {
	Party       string `json:"party"`
	Fingerprint string `json:"fingerprint"`
}

// maxTold bounds how many statements a page shows.
const maxTold = 30

func (r verifyResult) page(p *page) {
	if r.Verified {
		p.line("This file VERIFIES.")
	} else {
		p.line("This file does NOT verify. It shows nothing.")
	}
	if r.practises() {
		p.line("It is of an EXERCISE, or holds a part that is: nothing that is marked so is meant.")
	}
	p.blank()
	p.fields(field{"file", r.File}, field{"sha-256", strings.TrimPrefix(r.Digest, "sha256:")}, field{"kind", r.Kind},
		field{"made by", r.MadeBy})
	if r.Shows != "" {
		p.blank()
		p.line("%s", r.Shows)
	}
	p.blank()
	p.line("Believed were these root keys, and nothing else. Compare the fingerprints with the parties:")
	for _, k := range r.Roots {
		p.line("  %-8s %s", k.Party, k.Fingerprint)
	}
	if len(r.Texts) > 0 {
		p.blank()
		p.line("Signed by all their parties:")
		for _, t := range r.Texts {
			p.line("  %s", t)
		}
	}
	if len(r.Ledgers) > 0 {
		p.blank()
		pageLedgers(p, r.Ledgers)
	}
	if len(r.Said) > 0 && r.Verified {
		p.blank()
		for _, l := range r.Said {
			l.page(p)
		}
		if r.SaidMore > 0 {
			p.line("… and %d more statements", r.SaidMore)
		}
	}
	if len(r.Looks) > 0 && r.Verified {
		p.blank()
		for _, l := range r.Looks {
			l.page(p)
		}
	}
	pageFindings(p, r.Findings, r.More)
	if r.Kind == "desk" {
		return
	}
	p.blank()
	p.line("It does not show what was said outside of it, nor that anybody read a sealed content;")
	p.line("a receipt says that a party's system took a statement in. Times are those that the")
	p.line("parties' own clocks gave, held against each other.")
}

func newVerify(a *app) *cobra.Command {
	var roots, cards []string
	c := &cobra.Command{
		Use:   "verify FILE --root VKEY [--root VKEY …]",
		Short: "verify a bundle, proof, fork, envelope or export of the desk, offline",
		Long: `Verifies a file with nothing but the parties' root keys, and prints a page that says
what it shows. No node, no network and no private key is needed. An envelope
and a bare proof also need the card under which they were signed: --card. docs/verify-by-hand.md does the same
without this program.`,
		Example: `  karaula verify case17.bundle --root al+5a6b7c8d+AQ… --root me+1f2e3d4c+AQ…`,
		Args:    positional("FILE"),
	}
	c.Flags().StringArrayVar(&roots, "root", nil, "a root verifier key that is believed; may be repeated")
	c.Flags().StringArrayVar(&cards, "card", nil, "file of a card, for an envelope or a bare proof; may be repeated")
	required(c, "root")
	c.RunE = func(c *cobra.Command, args []string) error {
		r := verifyResult{File: args[0], Roots: []rootLine{}, Findings: []findingLine{}}
		for _, k := range roots {
			party, _, err := signedtext.ParseVKey(k)
			if err != nil {
				return errUsage(c, "%q is no root verifier key", k)
			}
			r.Roots = append(r.Roots, rootLine{party, fingerprint(k)})
		}
		f, size, err := openFile(args[0], &r)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // read only
		head := make([]byte, min(size, 1024))
		if _, err := f.ReadAt(head, 0); err != nil {
			return problem.Wrap(problem.Failed, err, "%s cannot be read", args[0])
		}
		switch {
		case evidence.IsBundle(head):
			err = a.verifyBundle(c.Context(), f, size, roots, &r)
		case evidence.IsDesk(head):
			err = verifyDesk(io.NewSectionReader(f, 0, size), roots, &r)
		case evidence.IsProof(head):
			err = a.verifyProof(f, size, roots, cards, &r)
		default:
			err = a.verifyEnvelope(f, size, roots, cards, &r)
		}
		if err != nil {
			return err
		}
		if err := a.show(r); err != nil || r.Verified {
			return err
		}
		return failed(r.Findings)
	}
	return c
}

// openFile opens a file and notes its digest.
func openFile(path string, r *verifyResult) (*os.File, int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, problem.New(problem.NotFound, "there is no file %s", path)
	}
	if err != nil {
		return nil, 0, problem.Wrap(problem.Failed, err, "%s cannot be read", path)
	}
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return nil, 0, errors.Join(problem.Wrap(problem.Failed, err, "%s cannot be read", path), f.Close())
	}
	r.Digest = agreement.FormatDigest([32]byte(sum.Sum(nil)))
	return f, size, nil
}

func (a *app) verifyBundle(ctx context.Context, f io.ReaderAt, size int64, roots []string, r *verifyResult) error {
	debug.SetGCPercent(evidence.GCPercent)
	b, err := evidence.OpenBundle(f, size)
	if err != nil {
		return err
	}
	o := evidence.VerifyOptions{Roots: roots, Skew: maxSkew, Now: a.now(), Tell: func(s *evidence.Said) error {
		if len(r.Said) < maxTold {
			r.Said = append(r.Said, newSaidLine(s))
		} else {
			r.SaidMore++
		}
		return nil
	}}
	report, view, err := b.Verify(ctx, o)
	if err != nil {
		return err
	}
	out := newReplayResult(report)
	r.Kind, r.MadeBy, r.Verified, r.Ledgers, r.Findings, r.More = "bundle", b.Party, out.Verified, out.Ledgers, out.Findings, out.More
	r.Texts = textsOf(view)
	if report.Broken {
		return nil
	}
	r.Shows = "Each of these statements was signed by the party that it names, at its number, under these texts;\n" +
		"within the numbers below none was changed, added, moved or left out."
	if n := len(b.Frames); n > 0 {
		r.Shows += fmt.Sprintf("\nThe content of %d of them is shown as it was sealed.", n)
	}
	return nil
}

// practises reports whether a part of it is of an exercise.
func (r verifyResult) practises() bool {
	return r.Mode == exerciseMode || slices.ContainsFunc(r.Ledgers, func(l ledgerLine) bool { return l.Mode == exerciseMode })
}

// maxSkew is how far clocks of two parties may be apart in a bundle.
const maxSkew = 5 * time.Minute

func textsOf(view *register.View) (out []string) {
	for _, e := range view.Agreements() {
		if e.Complete {
			out = append(out, fmt.Sprintf("%s version %d, %s, between %s", e.Agreement.ID, e.Agreement.Version,
				agreement.FormatDigest(e.Agreement.Digest), list(e.Agreement.Codes())))
		}
	}
	return out
}

// readAll reads a file that must be small.
func readAll(f io.ReaderAt, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, problem.New(problem.Invalid, "the file is neither bundle, proof nor envelope: it is larger than %d bytes", limit)
	}
	body, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the file cannot be read")
	}
	return body, nil
}

// verdict turns what does not verify into a finding; other errors stay.
func (r *verifyResult) verdict(err error) error {
	if problem.Is(err, problem.Verification) {
		r.Findings = append(r.Findings, findingLine{Class: string(evidence.Damaged), Broken: true, Place: r.File, Text: err.Error()})
		return nil
	}
	r.Verified = err == nil
	return err
}

func (a *app) verifyProof(f io.ReaderAt, size int64, roots, cards []string, r *verifyResult) error {
	body, err := readAll(f, size, evidence.MaxProof)
	if err != nil {
		return err
	}
	p, err := evidence.ParseProof(body)
	if err != nil {
		return err
	}
	r.Kind = string(p.Fact)
	for _, path := range cards {
		file, err := a.readFile(path, "card", card.MaxFile)
		if err != nil {
			return err
		}
		p.AddCards(file)
	}
	checked, err := p.Check(roots)
	if err == nil {
		r.Shows, r.Mode = checked.Text, terms.ModeWord(checked.Statements[0].Statement.GetMode())
	}
	return r.verdict(err)
}

// verifyEnvelope verifies one envelope under one of the cards.
func (a *app) verifyEnvelope(f io.ReaderAt, size int64, roots, cards []string, r *verifyResult) error {
	body, err := readAll(f, size, subject.MaxEnvelope)
	if err != nil {
		return err
	}
	p, err := envelope.ParseOuter(body)
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "the file is neither bundle, proof nor envelope")
	}
	r.Kind, r.Mode = "envelope", terms.ModeWord(p.Statement.GetMode())
	err = a.signedUnder(p, roots, cards)
	if err == nil {
		st := p.Statement
		what := terms.KindWord(st.GetKind())
		if st.GetKind() == karaulav1.Kind_KIND_ALERT && st.GetType() != 0 {
			what += " of type " + terms.TypeWord(st.GetType())
		}
		r.Shows = fmt.Sprintf("%s has said this %s on %s as number %d of epoch %d, at %s by its own clock.\n"+
			"Whether the key counted at that number a bundle shows.", st.GetOrigin(), what, st.GetChannel(), st.GetSeq(), st.GetEpoch(),
			time.UnixMicro(st.GetSaidAt()).UTC().Format(time.RFC3339Nano))
	}
	return r.verdict(err)
}

func (a *app) signedUnder(p *envelope.Parsed, roots, cards []string) error {
	for _, path := range cards {
		file, err := a.readFile(path, "card", 1<<20)
		if err != nil {
			return err
		}
		c, err := card.Open(file)
		if err != nil {
			return err
		}
		if !bytes.Equal(c.Digest[:], p.Statement.GetCard()) || c.Party != p.Statement.GetOrigin() {
			continue
		}
		if !slices.Contains(roots, c.Root) {
			return problem.New(problem.Verification, "the card is of another root than was given: %s", fingerprint(c.Root))
		}
		for _, check := range []error{p.VerifySignatures(c.StatementKey), p.CheckParts()} {
			if check != nil {
				return problem.Wrap(problem.Verification, check, "the envelope does not verify")
			}
		}
		return nil
	}
	return problem.New(problem.Invalid, "card %d of %s, under which it was signed, was not given", p.Statement.GetCardSerial(),
		p.Statement.GetOrigin()).WithHint("--card FILE")
}
