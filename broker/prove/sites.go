package prove

import (
	"crypto/sha256"
	"time"

	"github.com/nats-io/nkeys"

	"karaula/broker"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
)

// Other makes the broker of another party as it would be compiled from the same
// agreements: readers are judged at the brokers where they read. Its own users
// get keys of the moment, because nobody else knows theirs. The view is the
// node's register as that party would see it.
func Other(view *register.View, at time.Time) (Site, error) {
	party := view.Self()
	users, err := someUsers(view, party)
	if err != nil {
		return Site{}, err
	}
	cfg := node.Default()
	cfg.Party, cfg.Listen = party, "127.0.0.1:0"
	plan, _, err := broker.PlanFrom(view, cfg, node.Layout{Dir: "/" + party}, users, at)
	if err != nil {
		return Site{}, err
	}
	text, err := broker.Compile(plan)
	return Site{View: view, Plan: plan, Text: text}, err
}

// someUsers are the users of another party's broker: its card says with which
// certificates they come, and nobody knows their nkeys.
func someUsers(view *register.View, party string) (broker.Users, error) {
	var u broker.Users
	for _, list := range []*[]string{&u.Gateway, &u.Keeper, &u.Audit, &u.Ops} {
		pair, err := nkeys.CreateUser()
		if err != nil {
			return u, problem.Wrap(problem.Failed, err, "no test keys were made")
		}
		public, err := pair.PublicKey()
		if err != nil {
			return u, problem.Wrap(problem.Failed, err, "no test keys were made")
		}
		*list = []string{public}
	}
	if card, ok := view.Card(party); ok {
		for _, role := range []string{"gateway", "broker"} {
			for _, t := range card.TLS {
				if t.Role == role {
					u.Pins, u.CertDER = append(u.Pins, t.Pin), append(u.CertDER, t.DER)
				}
			}
		}
	}
	if len(u.Pins) == 0 {
		u.Pins = [][32]byte{sha256.Sum256([]byte("no card of " + party))}
	}
	return u, nil
}
