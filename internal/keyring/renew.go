package keyring

import (
	"crypto/tls"
	"time"

	"github.com/nats-io/nkeys"
)

// MaxEarlier bounds how many earlier logins a gateway keeps for partners that do
// not know its newest card yet.
const MaxEarlier = 4

// Login is with what a gateway logs in at partners' brokers: an nkey, and the
// client certificate without which nobody gets as far as the nkey.
type Login struct {
	NATS nkeys.KeyPair
	TLS  tls.Certificate
}

// User gives the public nkey of the login, "U…"; empty if it has none.
func (l Login) User() string {
	user, _ := User(l.NATS)
	return user
}

// Login is the newest login: the one that the next card names.
func (g *Gateway) Login() Login { return Login{g.NATS, g.TLS} }

// Logins lists all logins, newest first.
func (g *Gateway) Logins() []Login { return append([]Login{g.Login()}, g.Earlier...) }

// RenewLogin makes a new login. The one that was newest goes to Earlier, if a card
// has named it: a partner knows no other one until it has the next card. Nothing
// is written until [Gateway.Replace].
func (g *Gateway) RenewLogin(now time.Time, named bool) error {
	user, err := newUser()
	if err != nil {
		return err
	}
	cert, err := newTLS(g.Party, RoleGateway, now)
	if err != nil {
		return err
	}
	if named {
		g.Earlier = append([]Login{g.Login()}, g.Earlier...)
		g.Earlier = g.Earlier[:min(len(g.Earlier), MaxEarlier)]
	}
	g.NATS, g.TLS = user, cert
	return nil
}

// Announce makes the certificate that is to follow the present one, unless there
// is one already. Nothing is written until [Broker.Replace].
func (b *Broker) Announce(now time.Time) error {
	if b.Next != nil {
		return nil
	}
	cert, err := newTLS(b.Party, RoleBroker, now)
	b.Next = &cert
	return err
}

// Follow puts the announced certificate in the place of the present one, which
// stays until [Broker.Forget]: the broker shows what its card names.
func (b *Broker) Follow() {
	if b.Next != nil {
		b.Earlier = append([]tls.Certificate{b.TLS}, b.Earlier...)
		b.TLS, b.Next = *b.Next, nil
	}
}

// Supersede makes a certificate that follows at once. One that was announced is
// gone with it: a thief of this file has it, too. The one that was newest stays
// until [Broker.Forget], if a card has named it.
func (b *Broker) Supersede(now time.Time, named bool) error {
	cert, err := newTLS(b.Party, RoleBroker, now)
	if err != nil {
		return err
	}
	if named {
		b.Earlier = append([]tls.Certificate{b.TLS}, b.Earlier...)
	}
	b.TLS, b.Next = cert, nil
	return nil
}

// Forget takes the earlier certificates out, and reports whether there were any.
func (b *Broker) Forget() bool {
	had := len(b.Earlier) > 0
	b.Earlier = nil
	return had
}

// Certificates lists the broker's certificates: the newest that may be shown, the
// announced one, earlier ones.
func (b *Broker) Certificates() []tls.Certificate {
	out := []tls.Certificate{b.TLS}
	if b.Next != nil {
		out = append(out, *b.Next)
	}
	return append(out, b.Earlier...)
}

// Certificate finds the certificate with this pin; nil if it is not here.
func (b *Broker) Certificate(pin [32]byte) *tls.Certificate { return ByPin(b.Certificates(), pin) }

// ByPin finds the certificate with a pin in a list; nil if it is not there.
func ByPin(list []tls.Certificate, pin [32]byte) *tls.Certificate {
	for _, c := range list {
		if Pin(c.Leaf) == pin {
			return &c
		}
	}
	return nil
}
