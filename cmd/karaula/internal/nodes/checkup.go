package nodes

import (
	"context"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"karaula/broker"
	"karaula/internal/checkup"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
)

// Times of the checks.
const (
	// reportAge is how old a report may be that several ask for: /readyz and
	// /metrics of several monitors cost no more than one.
	reportAge = 10 * time.Second
	// jumpLimit is how far the clock may be moved since the start.
	jumpLimit = 5 * time.Second
	// driftPause is between two looks at a difference that may be a change on its way.
	driftPause = 300 * time.Millisecond
)

// report keeps the last report for who asks soon again.
type report struct {
	mu   sync.Mutex
	at   time.Time
	list []checkup.Check
}

// Report gives the outcomes of all checks that ask no partner, at most
// reportAge old.
func (n *Node) Report(ctx context.Context) []checkup.Check {
	n.last.mu.Lock()
	defer n.last.mu.Unlock()
	if n.last.list != nil && time.Since(n.last.at) < reportAge {
		return slices.Clone(n.last.list)
	}
	list := n.checks(ctx)
	if n.Gateway != nil {
		list = append(list, n.Gateway.Checks(ctx)...)
	}
	checkup.Sort(list)
	if ctx.Err() == nil { // what was cut short is not kept
		n.last.list, n.last.at = list, time.Now()
	}
	return slices.Clone(list)
}

// checks makes those of the folder, the machine and the broker.
func (n *Node) checks(ctx context.Context) []checkup.Check {
	now := time.Now()
	place := checkup.Place{Layout: n.Layout, Config: n.Config, Now: time.Now, UID: os.Getuid()}
	list := append(place.Checks(ctx), checkup.Texts(n.Register, n.Config, now)...)
	list = append(list, n.jump(now))
	if own, ok := n.Register.View().Card(n.Config.Party); ok && n.Config.Broker.URL == "" {
		list = append(list, checkup.Listens(ctx, n.listens(), own, n.client(own)))
	}
	if n.Agent == nil {
		return append(list, checkup.Skip(checkup.BrokerPlan, "", "the broker runs apart; its log says if its plan is not in force"))
	}
	return append(append(list, n.drift(ctx)), n.floods(now)...)
}

// listens is where the broker really listens.
func (n *Node) listens() string {
	if n.Agent != nil && n.Agent.Broker() != nil {
		if url := n.Agent.Broker().ClientURL(); url != "" {
			return url[len("tls://"):]
		}
	}
	return n.Config.Listen
}

// jump compares the clock of the wall with the one that only goes forward.
func (n *Node) jump(now time.Time) checkup.Check {
	moved := now.Round(0).Sub(n.started.Round(0)) - now.Sub(n.started)
	if moved > jumpLimit || moved < -jumpLimit {
		return checkup.Bad(checkup.Warn, checkup.ClockJump, "",
			"the clock was moved by "+moved.Round(time.Second).String()+" since the node started",
			"look at what sets the clock: timedatectl, journalctl -u chrony; a restart of the node forgets it")
	}
	return checkup.Good(checkup.ClockJump, "", "not moved since the start")
}

// drift asks the broker's agent twice before it tells of a difference.
func (n *Node) drift(ctx context.Context) checkup.Check {
	err := n.Agent.Drift()
	for range 3 {
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(driftPause):
		}
		err = n.Agent.Drift()
	}
	if err != nil {
		return checkup.Bad(checkup.Fail, checkup.BrokerPlan, "", err.Error(), problem.HintOf(err))
	}
	return checkup.Good(checkup.BrokerPlan, "", "compiled, on disk, and in force")
}

func (n *Node) floods(now time.Time) []checkup.Check {
	barred := n.Agent.Status().Barred
	var out []checkup.Check
	for _, code := range slices.Sorted(maps.Keys(barred)) {
		out = append(out, checkup.Bad(checkup.Warn, checkup.BrokerFlood, code,
			"barred for another "+barred[code].Sub(now).Round(time.Second).String()+", because it sends too much",
			"call "+code+"'s duty desk; its gateway is broken, or somebody else has its keys"))
	}
	if len(out) == 0 {
		out = append(out, checkup.Good(checkup.BrokerFlood, "", "nobody is barred"))
	}
	return out
}

// Alive says why the node should be started again; nil while it works.
func (n *Node) alive() error {
	if n.Gateway == nil {
		return nil
	}
	return n.Gateway.Alive()
}

// Offline makes the checks of a node that does not run, or that does not answer.
func Offline(ctx context.Context, dir string, pass keyring.Passphrase, now time.Time) ([]checkup.Check, error) {
	layout := node.Layout{Dir: dir}
	cfg, err := node.Load(dir)
	if err != nil {
		return nil, err
	}
	reg, err := register.Open(layout.Register(), cfg.Party)
	if err != nil {
		return nil, err
	}
	place := checkup.Place{Layout: layout, Config: cfg, Now: func() time.Time { return now }, UID: os.Getuid()}
	list := append(place.Checks(ctx), checkup.Texts(reg, cfg, now)...)
	list = append(list, checkup.Free(ctx, cfg.Listen), compiled(layout, cfg, reg.View(), pass, now))
	for _, k := range checkup.All() {
		if k.Live && k.ID != checkup.GatewayRuns {
			list = append(list, checkup.Skip(k.ID, "", "the node does not run"))
		}
	}
	return list, nil
}

// compiled holds the configuration on disk against the one that the register gives.
func compiled(l node.Layout, cfg *node.Config, view *register.View, pass keyring.Passphrase, now time.Time) checkup.Check {
	keys, err := keyring.LoadBroker(l.BrokerKeys(), pass)
	if err != nil {
		return checkup.Skip(checkup.BrokerPlan, "", "the broker's keys are needed: %s", err.Error())
	}
	onDisk, err := os.ReadFile(l.NATSConf())
	if err != nil {
		return checkup.Skip(checkup.BrokerPlan, "", "there is no compiled configuration yet")
	}
	plan, _, err := planOf(l, cfg, view, keys, now)
	if err == nil {
		var text []byte
		if text, err = broker.Compile(plan); err == nil && string(text) == string(onDisk) {
			return checkup.Good(checkup.BrokerPlan, "", "what the broker last ran is what the agreements give")
		}
	}
	if err != nil {
		return checkup.Bad(checkup.Fail, checkup.BrokerPlan, "", err.Error(), problem.HintOf(err))
	}
	return checkup.Skip(checkup.BrokerPlan, "", "the configuration on disk is of an earlier moment; it is compiled anew at the start")
}

// planOf gives the broker's plan from what the folder holds.
func planOf(
	l node.Layout, cfg *node.Config, view *register.View, keys *keyring.Broker, now time.Time,
) (broker.Plan, time.Time, error) {
	own, err := view.OwnCard()
	if err != nil {
		return broker.Plan{}, time.Time{}, err
	}
	users, err := broker.OwnUsers(keys, own)
	if err != nil {
		return broker.Plan{}, time.Time{}, err
	}
	return broker.PlanFrom(view, cfg, l, users, now)
}
