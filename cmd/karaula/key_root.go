package main

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/keyring"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
)

func newKeyRoot(a *app) *cobra.Command {
	return group("root", "replace the root key: planned, stolen or lost",
		`The root key signs cards, agreements and grave notices. The next root takes over
from it: it was made together with it, lies elsewhere, and agreements and cards have
announced it by its digest. What the replaced root has signed counts afterwards only
if the change names it, so that a thief of it can neither go on nor backdate anything.

If the replaced root still is there, whoever else may have it: partners believe the
change by themselves. If it is lost, or the next root too, each partner compares a
fingerprint by telephone and accepts with karaula party root.`,
		newKeyRootChange(a), newKeyRootSign(a), newKeyRootTake(a))
}

// rootResult is a change of the root.
type rootResult struct {
	Party     string     `json:"party"`
	Notice    uint64     `json:"notice"` // serial
	File      string     `json:"file,omitempty"`
	Replaced  string     `json:"replaced"`  // fingerprint of the replaced root
	Next      string     `json:"next"`      // fingerprint of the root that takes over
	NextKey   string     `json:"next_vkey"` // its verifier key
	Announced bool       `json:"announced"` // partners believe it by themselves
	Stands    int        `json:"stands"`    // what the replaced root has signed and still counts
	Taken     bool       `json:"taken"`     // it has effect at this node
	Card      *uint64    `json:"card"`      // serial of the first card by the new root
	Effective time.Time  `json:"effective"`
	KeyFiles  *rootFiles `json:"key_files,omitempty"`
	// Falls are the agreement texts that went out of force here with it.
	Falls []fallenText `json:"falls,omitempty"`
}

// rootFiles are where the roots lie now.
type rootFiles struct {
	Root string `json:"root"`
	Next string `json:"next"`
}

func (r rootResult) page(p *page) {
	p.fields(
		field{"party", r.Party},
		field{"notice", strconv.FormatUint(r.Notice, 10)},
		field{"file", r.File},
		field{"replaced", r.Replaced},
		field{"root", r.Next},
		field{"stands", strconv.Itoa(r.Stands) + " cards, agreements and notices that the replaced root has signed"},
	)
	switch {
	case r.Card != nil:
		p.line("card %d is by the new root; partners learn of both by themselves", *r.Card)
	case r.Taken && !r.Announced:
		p.line("no partner believes it yet: read the fingerprint to each of them; they run karaula party root")
	}
	pageFalls(p, r.Falls)
	if f := r.KeyFiles; f != nil {
		p.line("the root key is %s now, the next one %s: keep them apart, offline; destroy the replaced one", f.Root, f.Next)
	}
}

func describeRoot(n *notice.Notice) rootResult {
	replaced, _ := signedtext.Fingerprint(n.Root)
	next, _ := signedtext.Fingerprint(n.Next)
	return rootResult{
		Party: n.Party, Notice: n.Serial, Replaced: replaced, Next: next, NextKey: n.Next,
		Stands: len(n.Stands), Effective: n.Effective,
	}
}

// rootKeyFlags adds the flags that name root keys.
func rootKeyFlags(c *cobra.Command, k *setup.RootKeys) {
	f := c.Flags()
	f.StringVar(&k.Old, "root-key", "", "file of the root that is replaced (default DIR.root, beside the folder)")
	f.StringVar(&k.Next, "next-root-key", "", "file of the root that takes over (default DIR.root.next)")
	f.StringVar(&k.After, "after", "", "new file for the root after that one; one that an attempt before has made is used")
	f.BoolVar(&k.Lost, "lost", false, "the replaced root is lost and does not sign: every partner must accept")
	f.BoolVar(&k.New, "new", false, "the next root is lost, too: make another one; every partner must accept")
}

func newKeyRootChange(a *app) *cobra.Command {
	var k setup.RootKeys
	var o setup.CardOptions
	var dir, reason, request string
	c := &cobra.Command{
		Use:   "change --reason TEXT --after FILE --dir DIR",
		Short: "put the next root in the place of the root, and issue its first card",
		Long: `Signs the notice by which the next root takes over, with the replaced root and the
next one, takes it in, and issues the first card by the new root, also while the node
runs. All own agreements, cards and notices stand, as far as the register holds them:
look at the list of agreements before. What else the replaced root has signed counts
no more, here and at the partners, and is kept there as evidence.

An attempt that was cut off is simply repeated. With --lost or --new no card is issued
yet: do that with karaula card issue --root-key when the partners have accepted. Where
the roots are on another machine: --request, there key root sign, here key root take.`,
		Example: `  karaula key root change --reason "planned change" --after /media/b/al.root.2 --dir al
  karaula key root change --reason "root stolen" --root-key /media/a/al.root \
      --next-root-key /media/b/al.root.next --after /media/c/al.root.2 --dir al
  karaula key root change --reason "root lost" --lost --after /media/c/al.root.2 --dir al
  karaula key root change --reason "root stolen" --request al.root-request --dir al`,
		Args: positional(),
	}
	dirFlag(c, &dir)
	c.Flags().StringVar(&reason, "reason", "", "why, for partners and auditors; no personal data")
	required(c, "reason")
	rootKeyFlags(c, &k)
	requestFlag(c, &request)
	pass := passphraseFlag(c, "the keys")
	rootPass := c.Flags().String("root-passphrase-file", "", "file whose first line is the passphrase of the root keys alone")
	c.RunE = func(c *cobra.Command, _ []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		draft, err := setup.DraftRootChange(dir, reason, a.now())
		if err != nil {
			return err
		}
		if request != "" {
			return a.requestRoot(draft, request)
		}
		o.Passphrase, k.Passphrase = pass(), pass()
		if *rootPass != "" {
			k.Passphrase = keyring.PassphraseFile(*rootPass)
		}
		o.Now, o.Loaded = a.now(), a.loaded(dir)
		if k.Old == "" {
			k.Old = n.RootKey()
		}
		if k.Next == "" {
			k.Next = n.NextRootKey()
		}
		out, err := a.changeRoot(c.Context(), n, draft, k, o)
		if err != nil {
			return err
		}
		return a.show(*out)
	}
	return c
}

// requestRoot writes what the machine with the roots is to sign.
func (a *app) requestRoot(draft *notice.Notice, request string) error {
	if _, err := os.Lstat(request); err == nil {
		return problem.New(problem.Conflict, "%s exists; no request was written", request)
	}
	if err := setup.WriteFile(request, draft.Request(), 0o644); err != nil {
		return err
	}
	out := describeRoot(draft)
	out.File = request
	return a.show(out)
}

// changeRoot does all of it on this machine. If the change is there already, from
// an attempt that was cut off, only the card is issued.
func (a *app) changeRoot(
	ctx context.Context, n *place, draft *notice.Notice, k setup.RootKeys, o setup.CardOptions,
) (*rootResult, error) {
	if k.After == "" {
		return nil, problem.New(problem.Invalid, "--after is missing; nothing was signed").
			WithHint("name a new file for the root after the next one, on a medium of its own")
	}
	if err := k.Inside(n.Dir); err != nil {
		return nil, err
	}
	o.RootKey, o.RootPassphrase = k.Next, k.Passphrase
	if begun, err := a.begunChange(n, k); err != nil {
		return nil, err
	} else if begun != nil {
		return a.firstCard(ctx, n, &setup.Changed{Notice: begun, Announced: true}, k, o)
	}
	file, _, err := setup.SignRootChange(draft, k)
	if err != nil {
		return nil, err
	}
	changed, err := setup.TakeRootChange(n.Dir, file, k.Lost || k.New)
	if err != nil {
		return nil, err
	}
	if changed.Announced {
		return a.firstCard(ctx, n, changed, k, o)
	}
	out := describeRoot(changed.Notice)
	out.Taken, out.KeyFiles = true, &rootFiles{k.Next, k.After}
	return &out, nil
}

// begunChange finds the change that an attempt before has taken in, if the card by
// the new root is still missing.
func (a *app) begunChange(n *place, k setup.RootKeys) (*notice.Notice, error) {
	v := n.reg.View()
	own, ok := v.Card(n.Party)
	root, _ := v.Root(n.Party)
	if !ok || own.Root == root || k.Lost || k.New {
		return nil, nil //nolint:nilnil // there is none
	}
	for _, c := range v.RootChanges(n.Party) {
		if c.Next == root && c.RootSaid {
			return c, nil
		}
	}
	return nil, problem.New(problem.Conflict, "the root was changed, and its first card is not issued yet; nothing was signed").
		WithHint("karaula card issue --root-key FILE --dir %s", n.Dir)
}

func (a *app) firstCard(
	ctx context.Context, n *place, changed *setup.Changed, k setup.RootKeys, o setup.CardOptions,
) (*rootResult, error) {
	issued, err := setup.IssueCard(ctx, n.Dir, o)
	if err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "the root was changed, and its first card is not issued yet").
			WithHint("karaula card issue --root-key %s --dir %s", k.Next, n.Dir)
	}
	out := describeRoot(changed.Notice)
	out.Taken, out.Announced, out.Card, out.KeyFiles = true, changed.Announced, &issued.Serial, &rootFiles{k.Next, k.After}
	return &out, nil
}

func newKeyRootSign(a *app) *cobra.Command {
	var k setup.RootKeys
	var out string
	c := &cobra.Command{
		Use:   "sign REQUEST --next-root-key FILE --after FILE --out NOTICE",
		Short: "sign a change of the root, on the machine that has the roots",
		Long: `Completes a request of karaula key root change and signs it. It needs no node. Look
at what stands before it is carried back: everything else that the replaced root has
signed counts no more. The next card is then made with karaula card issue --request,
and signed by the new root.`,
		Example: `  karaula key root sign al.root-request --root-key /media/a/al.root \
      --next-root-key /media/b/al.root.next --after /media/c/al.root.2 --out al.root-change`,
		Args: positional("REQUEST"),
	}
	rootKeyFlags(c, &k)
	c.Flags().StringVar(&out, "out", "", "new file for the notice")
	required(c, "next-root-key", "after", "out")
	pass := passphraseFlag(c, "the root keys")
	c.RunE = func(_ *cobra.Command, args []string) error {
		text, err := a.readFile(args[0], "request", notice.MaxFile)
		if err != nil {
			return err
		}
		draft, err := notice.OpenRequest(text)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(out); err == nil {
			return problem.New(problem.Conflict, "%s exists; nothing was signed", out)
		}
		k.Passphrase = pass()
		file, _, err := setup.SignRootChange(draft, k)
		if err != nil {
			return err
		}
		if err := setup.WriteFile(out, file, 0o644); err != nil {
			return err
		}
		signed, err := notice.Open(file)
		if err != nil {
			return err
		}
		r := describeRoot(signed)
		r.File, r.KeyFiles = out, &rootFiles{k.Next, k.After}
		return a.show(r)
	}
	return c
}

func newKeyRootTake(a *app) *cobra.Command {
	var dir string
	var lost bool
	c := &cobra.Command{
		Use:   "take NOTICE --dir DIR",
		Short: "take in the change of the own root that was signed elsewhere",
		Long: `Takes in the notice that karaula key root sign has made. In a cluster, and where a
second gateway stands by, a change without the replaced root is taken in on each
machine: nothing that comes over the network can put it there. An agreement that was
signed since the request was made is not named by it and goes out of force: that is said.`,
		Example: "  karaula key root take al.root-change --dir al",
		Args:    positional("NOTICE"),
	}
	dirFlag(c, &dir)
	c.Flags().BoolVar(&lost, "lost", false, "also if the replaced root has not signed it, or never announced the next one")
	c.RunE = func(_ *cobra.Command, args []string) error {
		file, err := a.readFile(args[0], "notice", notice.MaxFile)
		if err != nil {
			return err
		}
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		change, err := notice.Open(file)
		if err != nil {
			return err
		}
		falls := a.noteFalls(n.reg.View(), change)
		changed, err := setup.TakeRootChange(dir, file, lost)
		if err != nil {
			return err
		}
		out := describeRoot(changed.Notice)
		out.File, out.Taken, out.Announced, out.Falls = args[0], true, changed.Announced, falls
		a.note("issue the first card by the new root: karaula card issue --dir %s --request FILE", dir)
		return a.show(out)
	}
	return c
}
