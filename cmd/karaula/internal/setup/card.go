package setup

import (
	"context"
	"slices"
	"time"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
)

// CardOptions say what the next card of a node is to hold.
type CardOptions struct {
	// Address replaces the addresses of node.yaml.
	Address []string
	// Contact replaces the contact of the card before; nil keeps it.
	Contact *string
	// Rotate makes new sign, link, seal and archive keys first. The node must
	// not run.
	Rotate bool
	// RootKey is the file of the root key; empty means beside the folder.
	RootKey string
	// Passphrase opens the online keys and RootPassphrase the root key.
	Passphrase, RootPassphrase keyring.Passphrase
	// Now is when the card begins.
	Now time.Time
}

// IssueCard issues the next card of the node in dir from its current keys and
// configuration, takes it into the register, where a running node finds it, and
// writes it as the node's card file.
func IssueCard(ctx context.Context, dir string, o CardOptions) (*card.Card, error) {
	l := node.Layout{Dir: dir}
	cfg, err := node.Load(dir)
	if err != nil {
		return nil, err
	}
	reg, err := register.Open(l.Register(), cfg.Party)
	if err != nil {
		return nil, err
	}
	before, ok := reg.View().Card(cfg.Party)
	if !ok {
		return nil, problem.New(problem.NotFound, "the own card is not in the register; no card was issued").
			WithHint("karaula party add %s --dir %s", l.Card(cfg.Party), dir)
	}
	if o.Rotate {
		if err := notRunning(ctx, l); err != nil {
			return nil, err
		}
	}
	path := o.RootKey
	if path == "" {
		path = l.RootKey()
	}
	root, err := keyring.LoadRoot(path, o.RootPassphrase)
	if err != nil {
		return nil, err
	}
	if root.VKey != before.Root {
		return nil, problem.New(problem.Verification,
			"%s is not the root key that signed the present card; no card was issued", path)
	}
	file, err := issue(l, cfg, before, root, o)
	if err != nil {
		return nil, err
	}
	c, err := takeIn(l, cfg.Party, file, o.Now)
	if err != nil {
		return nil, err
	}
	return c, WriteFile(l.Card(cfg.Party), file, 0o644)
}

// issue makes the card's file, with new keys first if they are wanted. The new
// keys are kept before a card names them: the old ones stay beside them.
func issue(l node.Layout, cfg *node.Config, before *card.Card, root *keyring.Root, o CardOptions) ([]byte, error) {
	g, err := keyring.LoadGateway(l.GatewayKeys(), o.Passphrase)
	if err != nil {
		return nil, err
	}
	b, err := keyring.LoadBroker(l.BrokerKeys(), o.Passphrase)
	if err != nil {
		return nil, err
	}
	if o.Rotate {
		if err := g.Rotate(o.Now); err != nil {
			return nil, err
		}
	}
	if !o.Now.Before(g.Sign.Until) {
		return nil, problem.New(problem.Locked, "the online keys have run out; no card was issued").
			WithHint("karaula card issue --rotate --dir %s", l.Dir)
	}
	c, err := card.Draft(g, b, o.Now)
	if err != nil {
		return nil, err
	}
	c.Name, c.Serial, c.Previous = cfg.Name, before.Serial+1, before.Digest
	c.Root, c.NextRoot = before.Root, before.NextRoot
	if until := year(c.Issued); until.Before(c.Until) { // a card never outlives its sign key
		c.Until = until
	}
	c.Address, c.Contact, c.Revoked = cfg.Addresses(), before.Contact, slices.Clone(before.Revoked)
	if len(o.Address) > 0 {
		c.Address = o.Address
	}
	if o.Contact != nil {
		c.Contact = *o.Contact
	}
	if err := checkAddresses(c.Address); err != nil {
		return nil, err
	}
	file, err := card.Issue(c, root.Signer)
	if err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "no card was issued").WithHint("%s", problem.HintOf(err))
	}
	if o.Rotate {
		if err := g.Replace(l.GatewayKeys(), o.Passphrase); err != nil {
			return nil, err
		}
	}
	return file, nil
}

// notRunning refuses while a node answers: it has its keys in memory.
func notRunning(ctx context.Context, l node.Layout) error {
	conn, err := node.DialSocket(ctx, l.Socket())
	if err != nil {
		return nil //nolint:nilerr // nobody answers, which is what is wanted
	}
	_ = conn.Close()
	return problem.New(problem.Conflict, "the node in %s is running; its keys were not changed", l.Dir).
		WithHint("stop the node, issue the card, and start the node again")
}
