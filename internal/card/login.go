package card

import (
	"crypto/tls"
	"slices"

	"karaula/internal/keyring"
)

// Logins lists the logins of the party's gateway in the order in which a partner may
// know them: the one that this card names, then earlier ones, which a partner knows
// that does not have this card yet. What no card names is not among them.
func (c *Card) Logins(g *keyring.Gateway) []keyring.Login {
	all := g.Logins()
	for i, l := range all {
		if l.User() == c.NATS {
			return all[i:]
		}
	}
	return all // the card and the keys do not belong together; whoever dials is told so
}

// Client gives the certificate with which the party's gateway meets its own broker,
// which lets in those that this card names.
func (c *Card) Client(g *keyring.Gateway) tls.Certificate {
	pins := c.Pins(keyring.RoleGateway)
	for _, l := range g.Logins() {
		if slices.Contains(pins, keyring.Pin(l.TLS.Leaf)) {
			return l.TLS
		}
	}
	return g.TLS
}
