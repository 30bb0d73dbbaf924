package main

import (
	"context"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/setup"
	"karaula/gateway/desk"
	"karaula/internal/agreement"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// renewResult is what a step of a renewal did.
type renewResult struct {
	Step         string           `json:"step"`           // announced, superseded, finished
	Issued       *cardIssueResult `json:"card,omitempty"` // none if the card named the new keys alone already
	Waiting      []string         `json:"waiting"`        // partners that are not known to have the newest card
	Logins       int              `json:"logins"`         // earlier logins that were destroyed
	Certificates int              `json:"certificates"`   // earlier certificates of the broker that were destroyed
	Again        bool             `json:"again"`          // finish once more, when every machine has gone over
}

func (r renewResult) page(p *page) {
	if r.Issued != nil {
		r.Issued.page(p)
		p.blank()
	}
	switch {
	case r.Issued != nil && r.Issued.Request:
		p.line("The keys are kept; they are used when the card is taken in.")
	case r.Step == "announced":
		p.line("The broker shows its present certificate until: karaula key renew --finish, when doctor says that every partner knows.")
	case r.Step == "superseded":
		p.line("The broker shows the new certificate only. When doctor says that every partner knows: karaula key renew --finish.")
	default:
		p.line("destroyed: %d earlier certificates, %d earlier logins", r.Certificates, r.Logins)
	}
	if len(r.Waiting) > 0 {
		p.line("not known to have the newest card: %s; the earlier logins stay for them", strings.Join(r.Waiting, ", "))
	}
	if r.Again {
		p.line("Finish once more when every machine of the cluster has gone over.")
	}
}

// renewWords are the steps as results name them.
var renewWords = map[setup.Renewal]string{setup.Announce: "announced", setup.Supersede: "superseded", setup.FollowUp: "finished"}

func newKeyRenew(a *app) *cobra.Command {
	var o setup.CardOptions
	var dir, request string
	var leaked, finish, anyway bool
	c := &cobra.Command{
		Use:   "renew --dir DIR",
		Short: "renew the TLS keys and the NATS key of links",
		Long: `Renews what links are made with: the broker's TLS key, and the TLS and NATS keys
with which the gateway logs in at partners' brokers. Two steps, each with the root
key, while the node runs and alerts flow:

Without a flag the new keys are made, and a card announces them. The broker goes on
showing its present certificate. Partners take the card in by themselves; who was
away does it on its return. karaula doctor (key.renewal) says who lacks it.

With --finish a card names the new keys alone: the broker shows the new certificate,
partners refuse the old one, and the earlier keys are destroyed. It refuses while a
partner is not known to have the card that announced them, unless --anyway: earlier
logins stay for that partner then, and by these the gateway brings it the card.

With --leaked everything is done in one step, because somebody may have the present
keys: the card names the new keys alone, and the broker shows them at once. Partners
that cannot reach the broker by the card that they have are brought the new one; their
link is down for seconds. Then --finish destroys the earlier logins.

Every step may be repeated when it was cut off.`,
		Example: `  karaula key renew --dir al
  karaula key renew --finish --dir al
  karaula key renew --leaked --root-key /media/safe/al.root --dir al`,
		Args: positional(),
	}
	dirFlag(c, &dir)
	c.Flags().BoolVar(&leaked, "leaked", false, "somebody may have the present keys: go over at once")
	c.Flags().BoolVar(&finish, "finish", false, "go over to the announced keys, and destroy the earlier ones")
	c.Flags().BoolVar(&anyway, "anyway", false, "with --finish: also if a partner is not known to have the newest card")
	c.MarkFlagsMutuallyExclusive("leaked", "finish")
	requestFlag(c, &request)
	pass := passphraseFlag(c, "the keys")
	rootPass := rootFlags(c, &o.RootKey, pass)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if anyway && !finish {
			return errUsage(c, "--anyway goes with --finish")
		}
		o.Passphrase, o.RootPassphrase, o.Now, o.Loaded = pass(), rootPass(), a.now(), a.loaded(dir)
		switch {
		case finish:
			return a.finishRenewal(c.Context(), dir, request, anyway, o)
		case leaked:
			o.Renew = setup.Supersede
		default:
			o.Renew = setup.Announce
		}
		issued, err := a.nextCard(c.Context(), dir, request, o)
		if err != nil {
			return err
		}
		return a.show(renewResult{Step: renewWords[o.Renew], Issued: issued, Waiting: []string{}})
	}
	return c
}

// finishRenewal goes over to keys that were announced, and destroys earlier ones.
func (a *app) finishRenewal(ctx context.Context, dir, request string, anyway bool, o setup.CardOptions) error {
	waiting, serial, err := a.lacking(ctx, dir)
	if err != nil && !anyway {
		return err
	}
	if len(waiting) > 0 && !anyway {
		return problem.New(problem.Conflict,
			"not known to have the newest card, and so the new keys: %s; nothing was changed", strings.Join(waiting, ", ")).
			WithHint("wait until the link is up; or give them the card as a file, and then: karaula key renew --finish --anyway --dir %s", dir)
	}
	o.Upon = serial
	out := renewResult{Step: renewWords[setup.FollowUp], Waiting: waiting}
	if request != "" {
		o.Renew = setup.FollowUp
		if out.Issued, err = a.nextCard(ctx, dir, request, o); err != nil {
			return err
		}
		return a.show(out)
	}
	done, err := setup.Finish(ctx, dir, o, len(waiting) == 0 && err == nil)
	if err != nil {
		return err
	}
	out.Logins, out.Certificates, out.Again = done.Logins, done.Certificates, done.Again
	if done.Card != nil {
		n, err := a.open(dir)
		if err != nil {
			return err
		}
		out.Issued = &cardIssueResult{File: n.Card(done.Card.Party), Card: describeCard(done.Card)}
	}
	return a.show(out)
}

// lacking lists the partners that are not known to have the newest own card, and gives its
// serial, as the running node sees it: a link that is up by an earlier login, or not up.
func (a *app) lacking(ctx context.Context, dir string) (out []string, serial uint64, err error) {
	n, err := a.open(dir)
	if err != nil {
		return nil, 0, err
	}
	own, err := n.reg.View().OwnCard()
	if err != nil {
		return nil, 0, err
	}
	out = []string{}
	for _, cv := range n.reg.View().Channels() {
		if phase := cv.PhaseAt(a.now()); phase != agreement.InForce && phase != agreement.WindingDown {
			continue // there is no link for it
		}
		for _, p := range cv.Parties {
			if p != n.Party && slices.Contains(cv.Parties, n.Party) && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return out, own.Serial, nil
	}
	node, err := client(dir)
	if err != nil {
		return out, own.Serial, err
	}
	resp, err := node.Status(ctx, connect.NewRequest(&karaulav1.StatusRequest{}))
	if err != nil {
		return out, own.Serial, desk.FromConnect(err)
	}
	if resp.Msg.GetOwnCardSerial() < own.Serial {
		// What it says of links is about the card before, which every partner has.
		return out, own.Serial, problem.New(problem.Conflict,
			"the running node has not taken in its newest card yet, so nobody knows who has it; nothing was changed").
			WithHint("repeat it in a moment; if the node runs an older version of the program, start it again")
	}
	for _, l := range resp.Msg.GetLinks() {
		if l.GetState() == "up" && !l.GetEarlierLogin() {
			out = slices.DeleteFunc(out, func(p string) bool { return p == l.GetParty() })
		}
	}
	return out, own.Serial, nil
}
