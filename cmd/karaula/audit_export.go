package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"karaula/internal/agreement"
	"karaula/internal/alert"
	"karaula/internal/durable"
	"karaula/internal/evidence"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// exportResult says what was written.
type exportResult struct {
	File      string   `json:"file"`
	Digest    string   `json:"digest"` // SHA-256 of the file, "sha256:…"
	Bytes     int64    `json:"bytes"`
	Ledgers   []string `json:"ledgers"`            // "b01-al-me al" of which there are statements
	Disclosed int      `json:"disclosed"`          // statements with their content
	Handling  string   `json:"handling,omitempty"` // of a partner's content among them, the strictest: H0, H1, H2, H3
	Court     string   `json:"court,omitempty"`    // what that needs to be evidence in court: consent, restriction
}

func (r exportResult) page(p *page) {
	p.fields(field{"written", r.File}, field{"bytes", fmt.Sprint(r.Bytes)}, field{"digest", r.Digest}, field{"ledgers", list(r.Ledgers)})
	if r.Disclosed > 0 {
		p.line("It holds the content of %d statements.", r.Disclosed)
	}
	if r.Court != "" {
		p.line("Of a partner's content among them holds %s.", handlingText(lang{}, r.Handling))
	}
}

func newAuditExport(a *app) *cobra.Command {
	var f auditFlags
	var from, to, origin, alertID, out string
	var disclose bool
	c := &cobra.Command{
		Use:   "export --reason WHY --out FILE --dir DIR",
		Short: "write a slice of history as one file that verifies by itself",
		Long: `Writes statements, the receipts about them, cards, agreements and notices into one
file, a tar, which anybody verifies with the parties' root keys alone: karaula verify,
or docs/verify-by-hand.md. Content stays sealed. With --alert and --disclose the content
of that one alert is in it too, as the frame that its statement commits to; nobody
gets a key. The same slice gives the same bytes.`,
		Example: `  karaula audit export --channel b01-al-me --reason "case 17" --out case17.bundle --dir al
  karaula audit export --alert 01920000-0000-7000-8000-000000000000 --disclose --reason "court order 5" --out a.bundle --dir al`,
		Args: positional(),
	}
	f.add(c)
	c.Flags().StringVar(&from, "from", "", "what was said at or after this time")
	c.Flags().StringVar(&to, "to", "", "what was said before this time")
	c.Flags().StringVar(&origin, "origin", "", "what this party said, and the receipts about it")
	c.Flags().StringVar(&alertID, "alert", "", "the statements about this alert, and the receipts about them")
	c.Flags().BoolVar(&disclose, "disclose", false, "also the content of the alert; for supervisors")
	c.Flags().StringVar(&out, "out", "", "the file to write")
	required(c, "out")
	c.RunE = func(c *cobra.Command, _ []string) error {
		choice := evidence.Choice{Origin: origin}
		var err error
		if choice.From, choice.To, err = a.window(c, from, to); err != nil {
			return err
		}
		if f.broker != "" && (disclose || alertID != "") {
			return errUsage(c, "--alert and --disclose are the node's to do: an auditor at a broker gives content to nobody")
		}
		n, err := a.audit(c.Context(), &f, &karaulav1.AuditRequest{Deed: "export", AlertId: alertID, Disclose: disclose})
		if err != nil {
			return err
		}
		defer n.close()
		b := &evidence.Bundle{Party: n.Party, Register: n.Files, Frames: map[string][]byte{}}
		strictest := karaulav1.Handling(0)
		for _, p := range n.Places {
			strictest = max(strictest, p.GetHandling())
			at := placeOf(p)
			choice.Places = append(choice.Places, at)
			if len(p.GetFrame()) > 0 {
				b.Frames[at.Name()] = p.GetFrame()
			}
		}
		if b.Ledgers, err = evidence.Choose(n.Inputs, choice); err != nil {
			return err
		}
		if len(b.Ledgers) == 0 {
			return problem.New(problem.NotFound, "nothing was said there; nothing was written")
		}
		r, err := writeBundle(out, b)
		if err != nil {
			return err
		}
		r.Handling, r.Court = alert.HandlingWord(strictest), courtWord(strictest)
		return a.show(*r)
	}
	return c
}

// writeBundle writes a bundle to a file that must not exist; a file that is not
// whole does not stay.
func writeBundle(path string, b *evidence.Bundle) (*exportResult, error) {
	r := &exportResult{File: path, Ledgers: []string{}, Disclosed: len(b.Frames)}
	for _, in := range b.Ledgers {
		r.Ledgers = append(r.Ledgers, in.Channel+" "+in.Origin)
	}
	sum := sha256.New()
	err := newFile(path, func(w io.Writer) error {
		count := &countWriter{}
		defer func() { r.Bytes = count.n }()
		return b.WriteBundle(io.MultiWriter(w, sum, count))
	})
	r.Digest = agreement.FormatDigest([32]byte(sum.Sum(nil)))
	return r, err
}

type countWriter struct{ n int64 }

func (c *countWriter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// newFile writes a file that must not exist yet, readable by its owner alone, and
// syncs it and its name.
func newFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return problem.New(problem.Conflict, "%s is there already; nothing was written", path)
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "%s cannot be written", path)
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return problem.Wrap(problem.Failed, err, "%s was written, but a loss of power may take it", path)
	}
	return nil
}

// proofResult says what a proof proves.
type proofResult struct {
	File  string `json:"file"`
	Fact  string `json:"fact"`
	Text  string `json:"text"`
	Bytes int    `json:"bytes"`
}

func (r proofResult) page(p *page) {
	p.line("%s", r.Text)
	p.fields(field{"written", r.File}, field{"bytes", fmt.Sprint(r.Bytes)})
}

func newAuditProve(a *app) *cobra.Command {
	var f auditFlags
	var origin, out string
	var bare bool
	ask := evidence.Ask{}
	c := &cobra.Command{
		Use:   "prove FACT --channel ID --origin PARTY --number N --reason WHY --out FILE --dir DIR",
		Short: "write a proof of one fact about a ledger",
		Long: `Proves one fact about what a party said on a channel, in a small file that anybody
verifies with that party's root key: karaula verify. FACT is

  inclusion    number N is one of the first M statements
  consistency  the first N statements are unchanged among the first M
  range        from number N to M these statements were said, and no other

M is --to, or as much as there is. The root over the first M is signed by number M+1.
With --bare the card is left out, which is most of the file: for whoever has it, as a
bundle or the party's own card file holds it.`,
		Example: `  karaula audit prove inclusion --channel b01-al-me --origin al --number 17 --reason "case 17" --out p.proof --dir me`,
		Args:    positional("FACT"),
	}
	f.add(c)
	c.Flags().StringVar(&origin, "origin", "", "whose statements")
	c.Flags().Uint64Var(&ask.From, "number", 0, "the number N")
	c.Flags().Uint64Var(&ask.To, "to", 0, "the number M (default: as much as there is)")
	c.Flags().Uint64Var(&ask.Epoch, "epoch", 0, "the epoch (default: the last)")
	c.Flags().StringVar(&out, "out", "", "the file to write")
	c.Flags().BoolVar(&bare, "bare", false, "without the card: verified with karaula verify --card")
	required(c, "channel", "origin", "number", "out")
	c.RunE = func(c *cobra.Command, args []string) error {
		ask.Fact = evidence.Fact(args[0])
		n, err := a.audit(c.Context(), &f, &karaulav1.AuditRequest{Deed: "prove"})
		if err != nil {
			return err
		}
		defer n.close()
		for _, in := range n.Inputs {
			if in.Channel == f.channel && in.Origin == origin {
				return a.writeProof(c.Context(), n, in, ask, bare, out)
			}
		}
		return problem.New(problem.NotFound, "%s is no party of %s; nothing was written", origin, f.channel)
	}
	return c
}

// proof has the node make a proof, which has all hashes. Where that is not enough, as for
// a channel that is closed, and at a broker, the streams are read.
func (i *inspection) proof(ctx context.Context, in evidence.Input, ask evidence.Ask) (*evidence.Proof, error) {
	if i.Prove != nil {
		if p, err := i.Prove(ctx, in.Channel, in.Origin, ask); !problem.Is(err, problem.NotFound) {
			return p, err
		}
	}
	return evidence.Prove(i.View, in, ask)
}

// writeProof makes a proof, checks it, and writes it.
func (a *app) writeProof(ctx context.Context, n *inspection, in evidence.Input, ask evidence.Ask, bare bool, out string) error {
	p, err := n.proof(ctx, in, ask)
	if err != nil {
		return err
	}
	var roots []string
	for _, cd := range n.View.Cards(in.Origin) {
		roots = append(roots, cd.Root)
	}
	checked, err := p.Check(roots)
	if err != nil {
		return err
	}
	p.Bare = bare
	file := p.Marshal()
	err = newFile(out, func(w io.Writer) error { _, err := w.Write(file); return err })
	if err != nil {
		return err
	}
	return a.show(proofResult{File: out, Fact: string(checked.Fact), Text: checked.Text, Bytes: len(file)})
}
