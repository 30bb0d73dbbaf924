package main

import (
	"slices"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/keyring"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/signedtext"
)

// acceptResult is a partner's root that was accepted.
type acceptResult struct {
	Party       string `json:"party"`
	Fingerprint string `json:"fingerprint"` // of the root that takes over
	Replaced    string `json:"replaced"`    // fingerprint
	Announced   bool   `json:"announced"`   // the replaced root had announced it
	Notice      uint64 `json:"notice"`      // serial of the own notice that accepts it; 0: none was needed
	// Falls are the agreement texts that went out of force here with it.
	Falls []fallenText `json:"falls"`
}

func (r acceptResult) page(p *page) {
	announced := "no: the replaced root never named it"
	if r.Announced {
		announced = "yes, by the replaced root"
	}
	p.fields(
		field{"party", r.Party},
		field{"root", r.Fingerprint},
		field{"announced", announced},
		field{"replaced", r.Replaced},
	)
	if r.Notice > 0 {
		p.line("accepted by notice %d; agreements with %s that the change names go on under the new root", r.Notice, r.Party)
	} else {
		p.line("believed already; nothing was signed")
	}
	pageFalls(p, r.Falls)
}

func newPartyRoot(a *app) *cobra.Command {
	var dir, fingerprint, path, reason string
	c := &cobra.Command{
		Use:   "root PARTY [NOTICE] --fingerprint TEXT --dir DIR",
		Short: "accept a partner's new root key, after a telephone call",
		Long: `Where a partner's root key is lost, its change is not signed by it, and waits. Call
the authority, at a number that you know from elsewhere, and have the fingerprint of
the new root read to you. This signs with the own root key that it is believed: all
agreements with the partner that the change names then go on under the new root; those
that it does not name go out of force, and are listed before the root key is opened. The change is here already if the
partner's node could be reached; otherwise give its file.`,
		Example: `  karaula party root me --fingerprint "584E 1A7D 6E88 1C9B 7B4D D1A0 250C 4FD4" --dir al
  karaula party root me me.root-change --fingerprint "584E 1A7D 6E88 1C9B 7B4D D1A0 250C 4FD4" --dir al`,
		Args: cobra.RangeArgs(1, 2),
	}
	dirFlag(c, &dir)
	c.Flags().StringVar(&fingerprint, "fingerprint", "", "what the partner said by telephone")
	c.Flags().StringVar(&reason, "reason", "fingerprint compared by telephone", "why, for partners and auditors; no personal data")
	required(c, "fingerprint")
	pass := rootFlags(c, &path, passphraseFlag(c, "the root key"))
	c.RunE = func(_ *cobra.Command, args []string) error {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		if len(args) == 2 {
			file, err := a.readFile(args[1], "notice", notice.MaxFile)
			if err != nil {
				return err
			}
			if err := n.reg.BringNotice(file); err != nil {
				return err
			}
		}
		out, err := a.acceptRoot(n, args[0], fingerprint, reason, func() (*keyring.Root, error) {
			if path == "" {
				path = n.RootKey()
			}
			return keyring.LoadRoot(path, pass())
		})
		if err != nil {
			return err
		}
		return a.show(*out)
	}
	return c
}

// acceptRoot accepts the change of a partner's root whose fingerprint was told.
func (a *app) acceptRoot(
	n *place, party, fingerprint, reason string, open func() (*keyring.Root, error),
) (*acceptResult, error) {
	v := n.reg.View()
	told := func(c *notice.Notice) bool {
		f, err := signedtext.Fingerprint(c.Next)
		return err == nil && signedtext.SameFingerprint(f, fingerprint)
	}
	describe := func(c *notice.Notice) *acceptResult {
		d := describeRoot(c)
		return &acceptResult{Party: party, Fingerprint: d.Next, Replaced: d.Replaced, Announced: v.Announced(c), Falls: []fallenText{}}
	}
	for _, c := range v.RootChanges(party) {
		if told(c) {
			return describe(c), nil
		}
	}
	if party == n.Party {
		return nil, problem.New(problem.Invalid, "%s is this node's own party; nothing was signed", party).
			WithHint("karaula key root take NOTICE --dir %s", n.Dir)
	}
	change, err := waitingRoot(v, party, told)
	if err != nil {
		return nil, err
	}
	falls := a.noteFalls(v, change)
	root, err := open()
	if err != nil {
		return nil, err
	}
	own, err := setup.AcceptRoot(n.reg, n.Party, change, root, reason, a.now())
	if err != nil {
		return nil, err
	}
	out := describe(change)
	out.Notice, out.Falls = own.Serial, falls
	return out, nil
}

// waitingRoot finds the change that waits and whose fingerprint was told.
func waitingRoot(v *register.View, party string, told func(*notice.Notice) bool) (*notice.Notice, error) {
	waiting := v.WaitingRoots(party)
	for _, c := range slices.Backward(waiting) { // by serial: the last one that was told
		if told(c) {
			return c, nil
		}
	}
	here := make([]string, 0, len(waiting))
	for _, c := range waiting {
		here = append(here, describeRoot(c).Next)
	}
	if root, ok := v.Root(party); ok && len(here) == 0 && len(v.RootChanges(party)) > 0 {
		counts, _ := signedtext.Fingerprint(root)
		here = append(here, counts+", which counts already")
	}
	if len(here) == 0 {
		return nil, problem.New(problem.NotFound, "no change of the root of %s waits here; nothing was signed", party).
			WithHint("give the file that the authority of %s has sent: karaula party root %s NOTICE", party, party)
	}
	return nil, problem.New(problem.Verification, "the new root of %s has another fingerprint here than the one told; "+
		"nothing was signed", party).
		WithHint("here: %s; call the authority of %s again: somebody may be speaking in its name", list(here), party)
}
