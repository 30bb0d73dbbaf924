package setup

import (
	"context"
	"errors"
	"slices"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/problem"
)

// Renewal is a step of the renewal of TLS keys and login.
type Renewal int

// The steps. What is shown and let in follows from the card that is issued with
// each, so that a node that dies between two writes is one with more keys than it
// shows, and no more.
const (
	NoRenewal Renewal = iota
	// Announce makes the next keys. The card names the broker's next certificate
	// behind the present one, which goes on being shown.
	Announce
	// FollowUp lets the card name the announced certificate alone.
	FollowUp
	// Supersede makes keys that the card names alone, because somebody may have the
	// present and the announced ones.
	Supersede
)

// renew makes the keys of a step.
func (i *issue) renew(g *keyring.Gateway, b *keyring.Broker, o CardOptions) error {
	named := i.before.NATS == g.Login().User()
	switch o.Renew {
	case Announce:
		if len(i.before.Pins(keyring.RoleBroker)) > 1 {
			return problem.New(problem.Conflict, "card %d announces a certificate already; no other one was made", i.before.Serial).
				WithHint("karaula key renew --finish --dir %s", i.layout.Dir)
		}
		if named { // otherwise a run that was cut off has made one
			if err := g.RenewLogin(o.Now, true); err != nil {
				return err
			}
		}
		return b.Announce(o.Now)
	case FollowUp:
		b.Follow()
		if alone(i.before, g, b) {
			return problem.New(problem.Conflict, "card %d names the newest keys alone already; no other card is needed", i.before.Serial).
				WithHint("karaula key renew --finish --dir %s destroys the earlier ones", i.layout.Dir)
		}
		if !named || !slices.Contains(i.before.Pins(keyring.RoleBroker), keyring.Pin(b.TLS.Leaf)) {
			return problem.New(problem.Conflict, "no card has announced the keys that are to follow; nothing was changed").
				WithHint("the step before was cut off, repeat it: karaula key renew [--leaked] --dir %s", i.layout.Dir)
		}
		return nil
	case Supersede:
		shown := slices.Contains(i.before.Pins(keyring.RoleBroker), keyring.Pin(b.TLS.Leaf))
		return errors.Join(g.RenewLogin(o.Now, named), b.Supersede(o.Now, shown))
	default:
		return nil
	}
}

// alone reports whether a card names exactly the keys of a renewal that is done.
func alone(c *card.Card, g *keyring.Gateway, b *keyring.Broker) bool {
	return b.Next == nil && c.NATS == g.Login().User() &&
		slices.Equal(c.Pins(keyring.RoleBroker), [][32]byte{keyring.Pin(b.TLS.Leaf)}) &&
		slices.Equal(c.Pins(keyring.RoleGateway), [][32]byte{keyring.Pin(g.TLS.Leaf)})
}

// Finished is what the end of a renewal did.
type Finished struct {
	// Card is the card that names the new keys alone; nil if there was one.
	Card *card.Card
	// Logins and Certificates are how many earlier ones were destroyed.
	Logins, Certificates int
	// Again: the earlier certificates stay until this was said once more, when the other
	// machines of the cluster have gone over.
	Again bool
}

// Finish ends a renewal. Unless it was done already, a card is issued that names the
// new keys alone. Then the earlier ones are destroyed: the broker's, and, if every
// partner is known to have the newest card, the logins. It may be repeated. Which card
// that was is for [CardOptions.Upon] to say: nobody may have one that was issued since.
func Finish(ctx context.Context, dir string, o CardOptions, everybody bool) (*Finished, error) {
	i, err := begin(dir, "the renewal goes on")
	if err != nil {
		return nil, err
	}
	defer i.end()
	if err := i.ready(o.Upon); err != nil {
		return nil, err
	}
	out := &Finished{}
	g, b, err := i.keys(o.Passphrase)
	if err != nil {
		return nil, err
	}
	if !alone(i.before, g, b) {
		o.Renew = FollowUp
		if out.Card, err = i.issue(ctx, o); err != nil {
			return nil, err
		}
		out.Again = i.cfg.Cluster.On()
	}
	unlock, err := keyring.Exclusive(i.layout.GatewayKeys())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if g, b, err = i.keys(o.Passphrase); err != nil {
		return nil, err
	}
	if n := len(b.Earlier); n > 0 && !out.Again {
		b.Forget()
		if err := b.Replace(i.layout.BrokerKeys(), o.Passphrase); err != nil {
			return nil, err
		}
		out.Certificates = n
	}
	if n := len(g.Earlier); n > 0 && everybody {
		g.Earlier = nil
		if err := g.Replace(i.layout.GatewayKeys(), o.Passphrase); err != nil {
			return nil, err
		}
		out.Logins = n
	}
	return out, nil
}

// keys opens both key files.
func (i *issue) keys(pass keyring.Passphrase) (*keyring.Gateway, *keyring.Broker, error) {
	g, err := keyring.LoadGateway(i.layout.GatewayKeys(), pass)
	if err != nil {
		return nil, nil, err
	}
	b, err := keyring.LoadBroker(i.layout.BrokerKeys(), pass)
	return g, b, err
}

// keep writes both key files in the place of the old ones, the gateway's first: if it
// ends in between, and any card is issued then, that names a new login and the broker's
// old certificate. The other way round partners would not believe the broker any more,
// and be brought no card, as the login that they let in would be the newest.
func (i *issue) keep(g *keyring.Gateway, b *keyring.Broker, o CardOptions) error {
	if err := g.Replace(i.layout.GatewayKeys(), o.Passphrase); err != nil {
		return err
	}
	if o.Renew == NoRenewal {
		return nil
	}
	if err := b.Replace(i.layout.BrokerKeys(), o.Passphrase); err != nil {
		return problem.Wrap(problem.KindOf(err), err, "no card was issued; a new login is kept, and no new key of the broker").
			WithHint("mend that, and repeat the step")
	}
	return nil
}

// shows reports whether the certificates and the login that a card names are here.
func shows(c *card.Card, g *keyring.Gateway, b *keyring.Broker) bool {
	for _, pin := range c.Pins(keyring.RoleBroker) {
		if b.Certificate(pin) == nil {
			return false
		}
	}
	var users []string
	var pins [][32]byte
	for _, l := range g.Logins() {
		users, pins = append(users, l.User()), append(pins, keyring.Pin(l.TLS.Leaf))
	}
	return slices.Contains(users, c.NATS) && !slices.ContainsFunc(c.Pins(keyring.RoleGateway), func(pin [32]byte) bool {
		return !slices.Contains(pins, pin)
	})
}
