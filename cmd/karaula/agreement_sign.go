package main

import (
	"slices"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/agreement"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/signedtext"
	"karaula/internal/terms"
)

// signResult says who has signed a file now.
type signResult struct {
	File     string   `json:"file"`
	ID       string   `json:"id"`
	Version  uint64   `json:"version"`
	Digest   string   `json:"digest"` // of the text
	Signer   string   `json:"signer"` // who has signed now
	SignedBy []string `json:"signed_by"`
	Missing  []string `json:"missing"`  // parties that have not signed
	Complete bool     `json:"complete"` // all parties have
}

func (r signResult) page(p *page) {
	p.line("%s signed %s version %d in %s", r.Signer, r.ID, r.Version, r.File)
	if r.Complete {
		p.line("all parties have signed")
	} else {
		p.line("still to sign: %s", list(r.Missing))
	}
}

func newAgreementSign(a *app) *cobra.Command {
	var dir, path string
	c := &cobra.Command{
		Use:   "sign FILE --dir DIR",
		Short: "add this party's signature to an agreement file, in place",
		Long: `Adds the signature of the party's root key to the file, and keeps the signatures
that are there. What is signed is shown on standard error first. A text with
errors is never signed, nor one that names another root for a partner than the
node knows: signing is what pins the partners' roots.`,
		Example: `  karaula agreement sign b01-al-me.agreement --dir al
  karaula agreement sign b01-al-me.agreement --dir al --root-key /media/safe/al.root \
      --passphrase-file /run/secrets/root`,
		Args: positional("FILE"),
	}
	dirFlag(c, &dir)
	pass := rootFlags(c, &path, passphraseFlag(c, "the root key"))
	c.RunE = func(_ *cobra.Command, args []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		if path == "" {
			path = n.RootKey()
		}
		out, err := a.sign(n, args[0], path, pass())
		if err != nil {
			return err
		}
		return a.show(out)
	}
	return c
}

// sign signs a file with the root key at path.
func (a *app) sign(n *place, name, path string, pass keyring.Passphrase) (*signResult, error) {
	text, file, err := a.readText(name)
	if err != nil {
		return nil, err
	}
	if err := isFile(name); err != nil {
		return nil, err
	}
	v := n.reg.View()
	if err := checkRoots(v, text); err != nil {
		return nil, err
	}
	a.summarise(v, text)
	root, err := keyring.LoadRoot(path, pass)
	if err != nil {
		return nil, err
	}
	if root.Signer.Name() != n.Party {
		return nil, problem.New(problem.Verification, "%s is the root key of %s, not of %s; nothing was signed",
			path, root.Signer.Name(), n.Party)
	}
	var former []agreement.Party
	if before, ok := v.AgreementByDigest(text.Supersedes); ok {
		former = before.Agreement.Parties
	}
	file, err = agreement.SignFormer(file, root.Signer, former...)
	if err != nil {
		return nil, err
	}
	signed, err := agreement.Open(file, former...) // other signatures in it must be good too
	if err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "%s was not signed", name).WithHint("%s", problem.HintOf(err))
	}
	if err := setup.WriteFile(name, file, 0o644); err != nil {
		return nil, err
	}
	return &signResult{
		File: name, ID: text.ID, Version: text.Version, Digest: agreement.FormatDigest(text.Digest),
		Signer: root.Signer.Name(), SignedBy: signed.SignedBy, Missing: append([]string{}, signed.Missing()...),
		Complete: signed.Complete(),
	}, nil
}

// checkRoots refuses a text that names another root for a party than the one
// that the node knows.
func checkRoots(v *register.View, text *agreement.Agreement) error {
	for _, p := range text.Parties {
		known, _ := v.PinnedRoots(p.Code)
		if c, ok := v.Card(p.Code); ok {
			known = append(known, c.Root)
		}
		if len(known) > 0 && !slices.Contains(known, p.Root) {
			return problem.New(problem.Verification,
				"line %d names another root for %s than the one in the register; nothing was signed", p.Line, p.Code).
				WithHint("here: %s; in the register: %s; ask the authority of %s which one is right",
					fingerprint(p.Root), fingerprint(known[0]), p.Code)
		}
	}
	return nil
}

// fingerprint is what people compare of a root's verifier key.
func fingerprint(vkey string) string {
	f, err := signedtext.Fingerprint(vkey)
	if err != nil {
		return "unreadable"
	}
	return f
}

// summarise says on standard error what a signature would be given to.
func (a *app) summarise(v *register.View, text *agreement.Agreement) {
	a.note("to be signed: %s version %d, %q", text.ID, text.Version, text.Title)
	a.note("  digest %s", agreement.FormatDigest(text.Digest))
	a.note("  in force from %s until %s, then winding down for %s", agreement.FormatTime(text.ValidFrom),
		agreement.FormatTime(text.ValidUntil), agreement.FormatDuration(text.WindingDown))
	for _, p := range text.Parties {
		a.note("  party %s  %s  %s  (%s)", p.Code, fingerprint(p.Root), p.Name, a.basis(v, p))
	}
	for _, d := range text.Auditors {
		a.note("  auditor %s  %s  %s reads everything", d.Code, fingerprint(d.Root), d.Name)
	}
	for _, ch := range text.Channels {
		a.note("  channel %s, %s, read by %s", ch.ID, terms.ModeWord(ch.Mode), list(text.Codes()))
		for _, s := range ch.Says {
			a.note("    clause %d: %s", s.Clause, s.Describe())
		}
	}
}

// basis says what a party's root in a text agrees with.
func (a *app) basis(v *register.View, p agreement.Party) string {
	info, ok := infoOf(v, p.Code)
	switch {
	case !ok:
		return "no card here: compare the fingerprint by telephone"
	case info.Self:
		return "this party"
	case info.Pinned:
		return "pinned by " + list(info.PinnedBy)
	default:
		return "as its card says, unverified"
	}
}
