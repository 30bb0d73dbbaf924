package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/node"
)

// auditorResult says what was made of an auditor.
type auditorResult struct {
	Party       string `json:"party"`
	Name        string `json:"name"`
	Dir         string `json:"dir"`
	Fingerprint string `json:"fingerprint"` // of the root key
	Root        string `json:"root"`        // verifier key, for the agreement's line
	Card        string `json:"card"`        // file to give to the parties
	RootKey     string `json:"root_key"`    // file
	NextRootKey string `json:"next_root_key"`
	Login       bool   `json:"login"`  // the card has a login for parties' brokers
	Sealed      bool   `json:"sealed"` // the keys are sealed with a passphrase
}

func (r auditorResult) page(p *page) {
	p.fields(
		field{"auditor", r.Party + "  " + r.Name},
		field{"fingerprint", r.Fingerprint},
		field{"login", yesNo(r.Login)},
		field{"card", r.Card},
	)
	p.blank()
	p.line("Next:")
	p.line("  move %s and %s to media that stay offline, in two places", r.RootKey, r.NextRootKey)
	p.line("  give %s to the parties, and compare fingerprints by telephone", r.Card)
	p.line("  this line is for the agreement:")
	p.line("  auditor %s %q root=%s", r.Party, r.Name, r.Root)
	p.line("  take the parties' cards and the signed agreement in:")
	p.line("  karaula party add CARD --dir %s", r.Dir)
	p.line("  karaula agreement add FILE --dir %s", r.Dir)
}

func newAuditor(a *app) *cobra.Command {
	return group("auditor", "keep an auditor's own keys, card and login",
		`An auditor whom an agreement names reads everything that is said under it and says
nothing. It has a folder of its own, on a machine of its own: keys that open what is
sealed to it, a login at the parties' brokers that reads the streams of that
agreement's channels and reaches nothing else, and a register. The login works
while an agreement that names the auditor is open, at every party's broker that has
the auditor's newest card; karaula agreement prove shows it.`,
		newAuditorInit(a), newAuditorCard(a))
}

func newAuditorInit(a *app) *cobra.Command {
	cfg := node.Default()
	cfg.Listen = setup.DefaultListen
	o := setup.AuditorOptions{Options: setup.Options{Config: cfg}}
	c := &cobra.Command{
		Use:   "init --code CODE --name NAME --dir DIR",
		Short: "make an auditor's root keys and folder",
		Long: `Makes the root key and the next root key of an auditor (two files outside the
folder), and its folder: keys, the card that the parties need, and an empty register.
No node runs there. Nothing is ever overwritten; if anything fails, nothing is left
behind.`,
		Example: `  karaula auditor init --code dpa --name "Data protection authority" --dir dpa`,
		Args:    positional(),
	}
	f := c.Flags()
	f.StringVar(&cfg.Party, "code", "", "the auditor's code, like dpa")
	f.StringVar(&cfg.Name, "name", "", "name of the authority, for people")
	f.StringVar(&o.Contact, "contact", "", "how to reach the authority; no person's name")
	f.BoolVar(&o.NoLogin, "no-login", false, "a card without a login: the auditor reads at a node, or what it is given")
	f.StringVar(&o.Dir, "dir", "", "the auditor's folder")
	_ = c.MarkFlagDirname("dir")
	required(c, "code", "name", "dir")
	pass := passphraseFlag(c, "the keys, which are sealed with it")
	rootPass := rootFlags(c, &o.RootKey, pass)
	c.RunE = func(*cobra.Command, []string) error {
		o.Passphrase, o.RootPassphrase, o.Now = pass(), rootPass(), a.now()
		if err := setup.CheckParty(cfg.Party); err != nil {
			return err
		}
		made, err := setup.MakeAuditor(o)
		if err != nil {
			return err
		}
		if o.Passphrase == nil {
			a.note("the keys are not sealed with a passphrase: whoever can read the files reads what %s may", cfg.Party)
			a.hint("for real use give --passphrase-file FILE")
		}
		r := auditorResult{
			Party: cfg.Party, Name: cfg.Name, Dir: made.Layout.Dir, Fingerprint: made.Card.Fingerprint(), Root: made.Card.Root,
			Card: made.Layout.Card(cfg.Party), RootKey: made.RootKey, NextRootKey: made.NextRootKey, Login: made.Card.NATS != "",
			Sealed: o.Passphrase != nil,
		}
		if o.RootKey == "" { // said as the folder was named, not as an absolute path
			r.RootKey, r.NextRootKey = filepath.Clean(o.Dir)+".root", filepath.Clean(o.Dir)+".root.next"
		}
		return a.show(r)
	}
	return c
}

func newAuditorCard(a *app) *cobra.Command {
	var dir string
	var noLogin bool
	var o setup.CardOptions
	c := &cobra.Command{
		Use:   "card --dir DIR",
		Short: "issue an auditor's next card, signed by its root key",
		Long: `Issues the auditor's next card: before the present one ends, with --rotate with new
keys, or with --no-login without a login. Every party that takes the card in (karaula
party add) then lets the auditor's old keys in no more, within a second. Old keys stay
in the folder: they open what was sealed to them.`,
		Example: `  karaula auditor card --dir dpa
  karaula auditor card --rotate --dir dpa --root-key /media/safe/dpa.root`,
		Args: positional(),
	}
	dirFlag(c, &dir)
	c.Flags().BoolVar(&o.Rotate, "rotate", false, "make new keys first")
	c.Flags().BoolVar(&noLogin, "no-login", false, "without a login")
	pass := passphraseFlag(c, "the keys")
	rootPass := rootFlags(c, &o.RootKey, pass)
	c.RunE = func(*cobra.Command, []string) error {
		o.Passphrase, o.RootPassphrase, o.Now = pass(), rootPass(), a.now()
		issued, err := setup.AuditorCard(dir, o, noLogin)
		if err != nil {
			return err
		}
		return a.show(cardIssueResult{File: node.Layout{Dir: dir}.Card(issued.Party), Card: describeCard(issued)})
	}
	return c
}
