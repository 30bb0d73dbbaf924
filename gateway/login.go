package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/gateway/link"
	"karaula/internal/card"
	"karaula/internal/checkup"
	"karaula/internal/keyring"
	"karaula/internal/register"
)

// How long a login is tried that does not bring the link up, before another one is:
// longer than a broker takes to follow its register, and longer each time.
const (
	loginPause    = 500 * time.Millisecond
	loginPauseMax = 5 * time.Second
)

// login is as whom a partner's broker is met. The own card names one login; a partner
// that has an older card lets in an earlier one only, and is met by that until it has
// the new card. Which one a partner lets in is so the proof of which card it has.
type login struct {
	user  string    // public nkey with which the connection was made; empty before the first
	turn  bool      // the next connection is made with the one behind it
	tries int       // since one last let us in
	since time.Time // since when the connection that was made is down; zero: it is up
}

// another reports whether it is time to try another login, whyever the link is down:
// the NATS client does not say when it is refused while it connects again. Guarded by
// the partner's mu.
func (l *login) another(nc *nats.Conn, choices int, now time.Time) bool {
	switch {
	case nc == nil:
		return false
	case nc.IsConnected():
		l.tries, l.since = 0, time.Time{}
		return false
	case l.since.IsZero():
		l.since = now
	}
	if choices < 2 || now.Sub(l.since) < min(loginPauseMax, loginPause<<min(l.tries, 8)) {
		return false
	}
	l.turn, l.tries, l.since = true, l.tries+1, time.Time{}
	return true
}

// next chooses among the logins that the partner may know. Guarded by the partner's mu.
func (l *login) next(list []keyring.Login) keyring.Login {
	for i, by := range list {
		if by.User() == l.user {
			if l.turn {
				i++
			}
			return list[i%len(list)]
		}
	}
	return list[0]
}

// logins lists those that a partner may know: of the own card, then earlier ones.
func (g *Gateway) logins() []keyring.Login {
	own, ok := g.o.Register.View().Card(g.self)
	if !ok {
		return g.o.Keys.Keys().Logins()
	}
	// A card is issued when its keys are in the file, and may be seen before they are.
	list, ok := look(g.o.Keys, func(keys *keyring.Gateway) ([]keyring.Login, bool) {
		list := own.Logins(keys)
		return list, list[0].User() == own.NATS
	})
	if !ok {
		return own.Logins(g.o.Keys.Keys())
	}
	return list
}

// behind reports whether the partner lets us in by an earlier login only: it does not
// know our newest card. Known is false while the link is down.
func (p *partner) behind(own *card.Card) (behind, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nc == nil || !p.nc.IsConnected() {
		return false, false
	}
	return p.login.user != own.NATS, true
}

// offer brings the newest own card to a partner that does not know it. It may not be
// able to fetch it: the own broker may show a key that this card alone names.
func (p *partner) offer(ctx context.Context, client *link.Client, view *register.View) {
	own, ok := view.Card(p.g.self)
	if !ok {
		return
	}
	if behind, known := p.behind(own); !known || !behind {
		return
	}
	serial, err := client.Offer(ctx, own.Signed)
	p.try("own card", err)
	if err == nil {
		p.g.log.Info("the own card was brought to a partner that did not know it", "party", p.code, "serial", serial)
	}
}

// lacking lists the partners that are not known to have the newest own card, by code.
func (g *Gateway) lacking(own *card.Card) []string {
	var out []string
	for _, p := range g.allPartners() {
		if behind, known := p.behind(own); behind || !known {
			out = append(out, p.code)
		}
	}
	slices.Sort(out)
	return out
}

// renewal looks whether TLS keys and login are being renewed, and how far that is.
func (g *Gateway) renewal() checkup.Check {
	own, ok := g.o.Register.View().Card(g.self)
	if !ok {
		return checkup.Skip(checkup.KeyRenewal, "", "there is no card of our own")
	}
	keys := g.o.Keys.Keys()
	warn := func(text, hint string) checkup.Check {
		return checkup.Bad(checkup.Warn, checkup.KeyRenewal, "", text, hint)
	}
	const finish = "karaula key renew --finish --dir DIR"
	announced := len(own.Pins(keyring.RoleBroker)) > 1
	switch lacking := g.lacking(own); {
	case own.NATS != keys.Login().User():
		return warn("a login was made that no card names: a step was cut off, or its request is not signed yet",
			"take the card in (karaula card take), or repeat the step: karaula key renew --dir DIR, with --leaked if it had that")
	case !announced && len(keys.Earlier) == 0:
		return checkup.Good(checkup.KeyRenewal, "", "none is under way")
	case len(lacking) > 0:
		return warn(fmt.Sprintf("not known to have card %d: %s; earlier logins stay for them", own.Serial, strings.Join(lacking, ", ")),
			"wait until their links are up, or give them the card as a file; then "+finish)
	case announced:
		return warn(fmt.Sprintf("every partner has card %d, which announces the next certificate", own.Serial), finish)
	default:
		return warn(fmt.Sprintf("every partner has card %d; the earlier logins are still kept", own.Serial), finish)
	}
}
