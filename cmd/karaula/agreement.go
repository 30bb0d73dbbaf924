package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func newAgreement(a *app) *cobra.Command {
	return group("agreement", "write, sign, keep and explain agreements",
		`An agreement is a text that says who may tell whom what, until when. Every party
signs it with its root key; what a node may send and whom it lets in follows from
the agreements in its register, and from nothing else.`,
		newAgreementNew(a), newAgreementLint(a), newAgreementSign(a), newAgreementDiff(a),
		newAgreementAdd(a), newAgreementList(a), newAgreementShow(a), newAgreementRemove(a),
		newAgreementSuspend(a), newAgreementResume(a),
		newAgreementMatrix(a), newAgreementExplain(a), newAgreementCompile(a), newAgreementProve(a))
}

// textResult is a text that a command prints.
type textResult struct {
	Text string `json:"text"`
}

func (r textResult) page(p *page) { p.raw([]byte(r.Text)) }

func newAgreementNew(a *app) *cobra.Command {
	var id, from string
	var cards, words []string
	c := &cobra.Command{
		Use:   "new --id ID --party CARD --party CARD… --type TYPE…",
		Short: "write an unsigned agreement text to edit further",
		Long: `Writes an agreement text to standard output: the parties with the root keys that
their cards name, one channel named like the agreement on which every party may
say the named types, a year's validity. Edit it, lint it, and have every party
sign it.

The text says "exercise no": none can be held. For exercises write "exercise yes", and
a second channel with clauses of its own: channel ID-x mode=exercise types=open.

Types: ` + list(terms.TypeWords()) + `.`,
		Example: `  karaula agreement new --id b01-al-me --party al/al.card --party me.card \
      --type vehicle,route --type hit > b01-al-me.agreement`,
		Args: positional(),
	}
	f := c.Flags()
	f.StringVar(&id, "id", "", "id of the agreement and of its channel")
	f.StringArrayVar(&cards, "party", nil, "card file of a party; at least two")
	f.StringVar(&from, "from", "", "when it comes into force (default: now)")
	typesFlag(c, &words, "type that every party may say; may be repeated")
	required(c, "id", "party", "type")
	c.RunE = func(c *cobra.Command, _ []string) error {
		types, err := parseTypes(c, words)
		if err != nil {
			return err
		}
		at, err := a.moment(c, from)
		if err != nil {
			return err
		}
		parties, err := a.partiesOf(cards)
		if err != nil {
			return err
		}
		text, err := agreement.Template(id, parties, types, at.Truncate(time.Second))
		if err != nil {
			return err
		}
		return a.show(textResult{Text: string(text)})
	}
	return c
}

// partiesOf reads cards and gives the party lines that follow from them.
func (a *app) partiesOf(paths []string) ([]agreement.Party, error) {
	out := make([]agreement.Party, 0, len(paths))
	for _, path := range paths {
		body, err := a.readFile(path, "card", card.MaxFile)
		if err != nil {
			return nil, err
		}
		c, err := card.Open(body)
		if err != nil {
			return nil, problem.Wrap(problem.KindOf(err), err, "%s", path).WithHint("%s", problem.HintOf(err))
		}
		out = append(out, agreement.Party{Code: c.Party, Name: c.Name, Root: c.Root, Next: c.NextRoot})
	}
	return out, nil
}

// lintResult is everything that is wrong with a text.
type lintResult struct {
	File     string              `json:"file"` // as it was named
	ID       string              `json:"id,omitempty"`
	Version  uint64              `json:"version,omitempty"`
	Digest   string              `json:"digest,omitempty"`
	Valid    bool                `json:"valid"` // there is no error, warnings aside
	Findings []agreement.Finding `json:"findings"`
}

func (r lintResult) page(p *page) {
	for _, f := range r.Findings {
		p.line("%s", found(r.File, f))
	}
	if len(r.Findings) == 0 {
		p.line("%s: nothing wrong with %s version %d", r.File, r.ID, r.Version)
	}
}

// found writes a finding as "FILE:LINE: severity: text (code)", with its hint.
func found(path string, f agreement.Finding) string {
	text := fmt.Sprintf("%s:%d: %s: %s (%s)", path, f.Line, f.Severity, f.Text, f.Code)
	if f.Hint != "" {
		text += "; hint: " + f.Hint
	}
	return text
}

func newAgreementLint(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "lint FILE",
		Short: "say everything that is wrong with a text, at once",
		Long: `Says everything that is wrong with an agreement text, with line numbers, at once.
Exit code 10 if there is an error; warnings alone are no failure. Signatures are
not looked at.`,
		Example: "  karaula agreement lint b01-al-me.agreement",
		Args:    positional("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			body, err := a.readFile(args[0], "agreement", agreement.MaxFile)
			if err != nil {
				return err
			}
			text, findings := agreement.Lint(body)
			out := lintResult{
				File: args[0], Valid: agreement.Errors(findings) == 0, Findings: append([]agreement.Finding{}, findings...),
			}
			if text != nil {
				out.ID, out.Version, out.Digest = text.ID, text.Version, agreement.FormatDigest(text.Digest)
			}
			if err := a.show(out); err != nil {
				return err
			}
			if n := agreement.Errors(findings); n > 0 {
				return problem.New(problem.Findings, "%s has %s; it cannot be signed", args[0], count(n, "error"))
			}
			return nil
		},
	}
}

// count writes a number with its noun: "1 error", "2 errors".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// readText reads an agreement file and refuses one with errors, all of which it
// says.
func (a *app) readText(path string) (*agreement.Agreement, []byte, error) {
	body, err := a.readFile(path, "agreement", agreement.MaxFile)
	if err != nil {
		return nil, nil, err
	}
	text, findings := agreement.Lint(body)
	n := agreement.Errors(findings)
	if n == 0 {
		return text, body, nil
	}
	for _, f := range findings {
		if f.Severity == agreement.SeverityError {
			a.note("%s", found(path, f))
		}
	}
	return nil, nil, problem.New(problem.Invalid, "%s has %s; nothing was done", path, count(n, "error"))
}

// change is one difference between two texts.
type change struct {
	Kind    string `json:"kind"` // possible, impossible, limits or terms
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Type    string `json:"type,omitempty"`
	Channel string `json:"channel,omitempty"`
	Text    string `json:"text"`
}

type diffResult struct {
	Changes []change `json:"changes"`
}

func (r diffResult) page(p *page) {
	if len(r.Changes) == 0 {
		p.line("nothing would change")
		return
	}
	rows := make([][]string, 0, len(r.Changes))
	for _, c := range r.Changes {
		rows = append(rows, []string{c.Kind, c.Text})
	}
	p.table([]string{"becomes", "what"}, rows)
}

func newAgreementDiff(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "say what a new text would make possible and impossible, for whom",
		Long: `Compares two agreement texts by their meaning: which party could tell which other
party which type, on which channel, that it could not before, or no longer could;
what would be kept longer or shorter; and which other terms differ.`,
		Example: "  karaula agreement diff b01-al-me.agreement b01-al-me-2.agreement",
		Args:    positional("OLD", "NEW"),
		RunE: func(_ *cobra.Command, args []string) error {
			before, _, err := a.readText(args[0])
			if err != nil {
				return err
			}
			after, _, err := a.readText(args[1])
			if err != nil {
				return err
			}
			out := diffResult{Changes: []change{}}
			for _, c := range agreement.Diff(before, after) {
				d := change{Kind: c.Kind, From: c.From, To: c.To, Channel: c.Channel, Text: c.Text}
				if c.From != "" || c.Type != karaulav1.AlertType_ALERT_TYPE_UNSPECIFIED {
					d.Type = terms.TypeWord(c.Type)
				}
				out.Changes = append(out.Changes, d)
			}
			return a.show(out)
		},
	}
}

// isFile refuses a name that is not of an ordinary file, before it is replaced.
func isFile(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return problem.New(problem.Invalid, "%s is not an ordinary file; nothing was signed", path)
	}
	return nil
}
