package setup

import (
	"bytes"
	"context"
	"os"
	"slices"
	"time"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// CardOptions say what the next card of a node is to hold.
type CardOptions struct {
	// Address replaces the addresses of node.yaml.
	Address []string
	// Contact replaces the contact of the card before; nil keeps it.
	Contact *string
	// Rotate makes new keys first, of these Uses, or of all that are renewed
	// together if there are none.
	Rotate bool
	Uses   []karaulav1.KeyUse
	// Renew makes new TLS keys and a new login, or goes over to them.
	Renew Renewal
	// Revoke is added to the revocations of the card before.
	Revoke []card.Revocation
	// RootKey is the file of the root key; empty means beside the folder.
	RootKey string
	// Passphrase opens the online keys and RootPassphrase the root key.
	Passphrase, RootPassphrase keyring.Passphrase
	// Loaded waits until a running node has these new keys; nil if none runs, or
	// nobody can ask it. Its error stops the card.
	Loaded func(ctx context.Context, ids [][16]byte) error
	// Upon is the serial of the own card on which this was decided. If another one is
	// the newest by now, nothing is done; 0 takes any.
	Upon uint64
	// Now is when the card begins.
	Now time.Time
}

// IssueCard issues the next card of the node in dir from its current keys and
// configuration, takes it into the register, where a running node finds it, and
// writes it as the node's card file.
func IssueCard(ctx context.Context, dir string, o CardOptions) (*card.Card, error) {
	i, err := begin(dir, "no card was issued")
	if err != nil {
		return nil, err
	}
	defer i.end()
	return i.issue(ctx, o)
}

// issue issues the next card, as [IssueCard] does.
func (i *issue) issue(ctx context.Context, o CardOptions) (*card.Card, error) {
	path := o.RootKey
	if path == "" {
		path = i.layout.RootKey()
	}
	root, err := keyring.LoadRoot(path, o.RootPassphrase)
	if err != nil {
		return nil, err
	}
	if counts, _ := i.reg.View().Root(i.cfg.Party); root.VKey != counts {
		return nil, problem.New(problem.Verification,
			"%s is not the root key that counts now; no card was issued", path).
			WithHint("after a change of the root the next one signs: --root-key FILE")
	}
	next, err := i.draft(ctx, o)
	if err != nil {
		return nil, err
	}
	file, err := card.Issue(*next, root.Signer)
	if err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "no card was issued").WithHint("%s", problem.HintOf(err))
	}
	return i.take(file, o.Now)
}

// RequestCard makes what [IssueCard] would sign, as a file for the machine that
// has the root key: see [card.OpenRequest]. New keys are kept in the folder.
func RequestCard(ctx context.Context, dir string, o CardOptions) ([]byte, *card.Card, error) {
	i, err := begin(dir, "no request was made")
	if err != nil {
		return nil, nil, err
	}
	defer i.end()
	next, err := i.draft(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	return next.Encode(), next, nil
}

// TakeCard takes the own card that the root key has signed elsewhere into the
// register and as the node's card file.
//
// A card that repudiates what this node itself has said is refused unless
// repudiate says that it is meant.
func TakeCard(
	ctx context.Context, dir string, file []byte, pass keyring.Passphrase, repudiate bool, now time.Time,
) (*card.Card, error) {
	i, err := begin(dir, "the card was not taken in")
	if err != nil {
		return nil, err
	}
	defer i.end()
	c, err := card.Open(file)
	if err != nil {
		return nil, err
	}
	if c.Party != i.cfg.Party {
		return nil, problem.New(problem.Invalid, "this is a card of %s, not of %s; it was not taken in", c.Party, i.cfg.Party).
			WithHint("a partner's card: karaula party add CARD --dir %s", dir)
	}
	if c.Serial > i.before.Serial {
		if err := i.holds(c, pass); err != nil {
			return nil, err
		}
		if err := i.stillGood(ctx, c, repudiate); err != nil {
			return nil, err
		}
	}
	return i.take(file, now)
}

// issue is one card on its way.
type issue struct {
	layout node.Layout
	cfg    *node.Config
	reg    *register.Register
	before *card.Card
	above  uint64 // the serial that a card of a restored folder must be above
	end    func() // lets others change the card again
}

// begin opens the folder of a node that has a card, and keeps others from changing that
// until end is called; undone says what was not done where it cannot.
func begin(dir, undone string) (*issue, error) {
	i := &issue{layout: node.Layout{Dir: dir}}
	var err error
	if i.cfg, err = node.Load(dir); err != nil {
		return nil, err
	}
	if i.end, err = lockCard(i.layout, i.cfg.Party, undone, cardPatience); err != nil {
		return nil, err
	}
	if err := i.read(undone); err != nil {
		i.end()
		return nil, err
	}
	return i, nil
}

// read reads the register and the present card.
func (i *issue) read(undone string) (err error) {
	if i.reg, err = register.Open(i.layout.Register(), i.cfg.Party); err != nil {
		return err
	}
	if i.before, err = i.reg.View().OwnCard(); err != nil {
		return problem.Wrap(problem.KindOf(err), err, "%s", undone).WithHint("%s", problem.HintOf(err))
	}
	return nil
}

// cardFile sees to it that the card file is the present card: a command that took that in
// may have been killed before it wrote the file. A file that is newer is the copy of a card
// that the register has lost, and another one must not get its serial.
func (i *issue) cardFile() error {
	path := i.layout.Card(i.cfg.Party)
	file, err := os.ReadFile(path)
	if err == nil && bytes.Equal(file, i.before.Signed) {
		return nil
	}
	if c, bad := card.Open(file); err == nil && bad == nil && c.Party == i.cfg.Party && c.Serial > i.before.Serial {
		return problem.New(problem.Conflict, "%s is card %d, and the register has no newer one than card %d; nothing was changed",
			path, c.Serial, i.before.Serial).WithHint("karaula party add %s --dir %s", path, i.layout.Dir)
	}
	return WriteFile(path, i.before.Signed, 0o644)
}

// draft gives the next card, unsigned. New keys are kept, beside the old ones,
// before a card names them, so that a running node can have them by then.
func (i *issue) draft(ctx context.Context, o CardOptions) (*card.Card, error) {
	if err := i.afterRestore(); err != nil {
		return nil, err
	}
	if err := i.ready(o.Upon); err != nil {
		return nil, err
	}
	unlock, err := keyring.Exclusive(i.layout.GatewayKeys())
	if err != nil {
		return nil, err
	}
	defer unlock()
	g, b, err := i.keys(o.Passphrase)
	if err != nil {
		return nil, err
	}
	if err := i.renew(g, b, o); err != nil {
		return nil, err
	}
	changed := o.Rotate || o.Renew != NoRenewal
	if o.Rotate {
		if err := g.Rotate(o.Now, o.Uses...); err != nil {
			return nil, err
		}
	}
	made, err := g.Complete(o.Now)
	if err != nil {
		return nil, err
	}
	next, err := i.fill(g, b, o)
	if err != nil {
		return nil, err
	}
	if !changed && !made {
		return next, nil
	}
	if err := i.keep(g, b, o); err != nil {
		return nil, err
	}
	return next, i.loaded(ctx, next, o)
}

// ready refuses what was decided on another card than the present one, and sees to it that
// the card file is that one.
func (i *issue) ready(upon uint64) error {
	if upon != 0 && upon != i.before.Serial {
		return problem.New(problem.Conflict, "card %d was issued meanwhile, and this was decided on card %d; nothing was changed",
			i.before.Serial, upon).WithHint("look at it, and say this again: karaula doctor --dir %s", i.layout.Dir)
	}
	return i.cardFile()
}

// fill gives the next card from keys, configuration and the card before.
func (i *issue) fill(g *keyring.Gateway, b *keyring.Broker, o CardOptions) (*card.Card, error) {
	if !o.Now.Before(g.Sign.Until) {
		return nil, problem.New(problem.Locked, "the online keys have run out; no card was issued").
			WithHint("karaula key rotate --dir %s", i.layout.Dir)
	}
	c, err := card.Draft(g, b, o.Now)
	if err != nil {
		return nil, err
	}
	c.Name, c.Serial, c.Previous = i.cfg.Name, max(i.before.Serial, i.above)+1, i.before.Digest
	c.Root, c.NextRoot = i.before.Root, i.before.NextRoot
	for _, n := range i.reg.View().RootChanges(i.cfg.Party) {
		if root, _ := i.reg.View().Root(i.cfg.Party); n.Next == root && c.Root != root {
			c.Root, c.NextRoot = root, n.After
		}
	}
	if until := year(c.Issued); until.Before(c.Until) { // a card never outlives its sign key
		c.Until = until
	}
	c.Address, c.Contact = i.cfg.Addresses(), i.before.Contact
	c.Revoked = append(slices.Clone(i.before.Revoked), o.Revoke...)
	if len(o.Address) > 0 {
		c.Address = o.Address
	}
	if o.Contact != nil {
		c.Contact = *o.Contact
	}
	if err := checkAddresses(c.Address); err != nil {
		return nil, err
	}
	if _, err := card.OpenRequest(c.Encode()); err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "no card was issued").WithHint("%s", problem.HintOf(err))
	}
	return &c, nil
}

// loaded waits until a running node has the keys of the next card.
func (i *issue) loaded(ctx context.Context, next *card.Card, o CardOptions) error {
	if o.Loaded == nil {
		return nil
	}
	var ids [][16]byte
	for _, k := range next.Keys {
		ids = append(ids, k.ID)
	}
	return o.Loaded(ctx, ids)
}

// holds refuses a card with keys whose private halves are not here.
func (i *issue) holds(c *card.Card, pass keyring.Passphrase) error {
	g, b, err := i.keys(pass)
	if err != nil {
		return err
	}
	if !shows(c, g, b) {
		return problem.New(problem.Conflict, "the card names certificates or a login that are not in %s; it was not taken in", i.layout.Dir).
			WithHint("copy gateway/keys and broker/keys from the machine where the request was made, or make the request again on this one")
	}
	for _, k := range c.Keys {
		if !slices.ContainsFunc(g.Held(), func(h keyring.Held) bool { return h.ID == k.ID }) {
			return problem.New(problem.Conflict,
				"the card names key %x, which is not among the keys of %s; it was not taken in", k.ID, i.layout.Dir).
				WithHint("make the request again on this machine, with the keys that are here")
		}
	}
	return nil
}

// take takes the signed card in.
func (i *issue) take(file []byte, now time.Time) (*card.Card, error) {
	c, err := takeIn(i.layout, i.cfg.Party, file, now)
	if err != nil {
		return nil, err
	}
	return c, WriteFile(i.layout.Card(i.cfg.Party), file, 0o644)
}
