package main

import (
	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/gateway/desk"
	"karaula/internal/card"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// repairOptions are the flags of ledger repair.
type repairOptions struct {
	dir, cardFile string
	card          setup.CardOptions
	req           karaulav1.RepairRequest
}

func newLedgerRepair(a *app) *cobra.Command {
	o := &repairOptions{}
	c := &cobra.Command{
		Use:   "repair --channel ID --dir DIR",
		Short: "mend the own ledger of a halted channel, or open a new epoch",
		Long: `Looks at the own stream, the signing journal and what every partner holds of the own
ledger, says what is wrong, and puts back what is missing in the exact bytes that
were signed. The channel then goes on with the next number. Nothing is taken on
anybody's word: every statement is checked by its signature, number and root.

Every partner of the channel must answer, for any of them may hold more. Where more
was signed than anybody has, or two histories carry the own signature, a new epoch is
the way out: --new-epoch, with the root key, which issues the newer card that an
epoch needs. A card that was issued elsewhere is given as --card; one that the
register has already needs neither.

Works on a running node; for the roles supervisor and admin; recorded.`,
		Example: `  karaula ledger repair --channel b01-al-me --dir al --dry-run
  karaula ledger repair --channel b01-al-me --dir al
  karaula ledger repair --channel b01-al-me --dir al --new-epoch --root-key /media/safe/al.root`,
		Args: positional(),
	}
	dirFlag(c, &o.dir)
	f := c.Flags()
	f.StringVar(&o.req.Channel, "channel", "", "channel id")
	f.BoolVar(&o.req.DryRun, "dry-run", false, "only say what is wrong and what would be done")
	f.BoolVar(&o.req.NewEpoch, "new-epoch", false, "open a new epoch where the ledger cannot be continued")
	f.StringVar(&o.req.Reason, "reason", "", "of a new epoch: journal-lost, stream-lost or contested (default: as found)")
	f.StringSliceVar(&o.req.Without, "without", nil, "party that cannot be asked; only with --new-epoch")
	f.StringVar(&o.cardFile, "card", "", "newer own card for the new epoch, issued elsewhere")
	required(c, "channel")
	pass := passphraseFlag(c, "the keys")
	rootPass := rootFlags(c, &o.card.RootKey, pass)
	f.Lookup("root-key").Usage = "file of the root key, to issue a newer card for the new epoch"
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !o.req.GetNewEpoch() && (o.card.RootKey != "" || o.cardFile != "") {
			return errUsage(c, "--root-key and --card belong to --new-epoch")
		}
		o.card.Passphrase, o.card.RootPassphrase = pass(), rootPass()
		return a.repair(c, o)
	}
	return c
}

// repair asks the node; for a new epoch it first looks whether one is called for,
// so that no card is issued in vain.
func (a *app) repair(c *cobra.Command, o *repairOptions) error {
	node, err := client(o.dir)
	if err != nil {
		return err
	}
	ask := func(dry bool) (*karaulav1.RepairResponse, error) {
		req := &karaulav1.RepairRequest{
			Channel: o.req.GetChannel(), DryRun: dry, NewEpoch: o.req.GetNewEpoch(), Reason: o.req.GetReason(),
			Without: o.req.GetWithout(),
		}
		resp, err := node.Repair(c.Context(), connect.NewRequest(req))
		if err != nil {
			return nil, desk.FromConnect(err)
		}
		return resp.Msg, nil
	}
	if o.req.GetNewEpoch() && !o.req.GetDryRun() {
		if _, err := ask(true); err != nil {
			return err
		}
		if err := a.newerCard(c, o); err != nil {
			return err
		}
	}
	m, err := ask(o.req.GetDryRun())
	if err != nil {
		return err
	}
	result := ledgerRepairResult{
		State: m.GetState(), Found: append([]string{}, m.GetFound()...), Done: append([]string{}, m.GetDone()...),
		Next: m.GetNext(), Epoch: m.GetEpoch(), Size: m.GetSize(), PutBack: m.GetPutBack(), Stubs: m.GetStubs(),
		DryRun: o.req.GetDryRun(),
	}
	if c := m.GetContradiction(); c != nil {
		fork := describeFork(c)
		result.Fork = &fork
	}
	if err := a.show(result); err != nil {
		return err
	}
	return repairOutcome(m)
}

// repairOutcome gives the exit code of what a repair came to.
func repairOutcome(m *karaulav1.RepairResponse) error {
	var err *problem.Problem
	switch m.GetState() {
	case "waits":
		err = problem.New(problem.Unreachable, "not every partner can be asked; nothing was changed")
	case "lost":
		err = problem.New(problem.Verification, "more was signed than anybody shows; nothing was changed")
	case "revoked":
		err = problem.New(problem.Verification, "the own card revokes the key that has signed the last statements; nothing was changed")
	case "contested":
		err = problem.New(problem.Verification, "two histories carry the own signature; nothing was changed")
	default:
		return nil
	}
	if m.GetNext() == "" { // a dry run of the way out
		return nil
	}
	return err.WithHint("%s", m.GetNext())
}

// newerCard issues or takes in the card under which the epoch is opened.
func (a *app) newerCard(c *cobra.Command, o *repairOptions) error {
	switch {
	case o.cardFile != "":
		body, err := a.readFile(o.cardFile, "card", card.MaxFile)
		if err != nil {
			return err
		}
		n, err := a.open(o.dir)
		if err != nil {
			return err
		}
		_, err = n.reg.AddCard(body, register.AddCardOptions{})
		return err
	case o.card.RootKey != "":
		o.card.Now = a.now()
		_, err := setup.IssueCard(c.Context(), o.dir, o.card)
		return err
	default:
		return nil
	}
}
