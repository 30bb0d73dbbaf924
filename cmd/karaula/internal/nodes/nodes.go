// Package nodes makes and runs nodes: it is where broker and gateway, which
// never import each other, are put together from one folder. The run, init,
// demo and bench commands share it.
//
// It must never decide anything: what a node does follows from its folder.
package nodes

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"karaula/broker"
	"karaula/gateway"
	"karaula/internal/health"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
)

// Options says which node to run, and how.
type Options struct {
	Dir string
	// Listen replaces the configuration's listen address; empty: it stands.
	Listen string
	// Passphrase opens sealed keys; nil if they are not sealed.
	Passphrase keyring.Passphrase
	// Broker and Gateway say what to run in this process. Where the broker is a
	// cluster, the broker's part is the agent beside this machine's nats-server.
	Broker, Gateway bool
	Version         string
	Logger          *slog.Logger
}

// Node is a node that runs in this process.
type Node struct {
	Layout   node.Layout
	Config   *node.Config
	Register *register.Register
	// Agent keeps the broker; nil if only the gateway runs here.
	Agent *broker.Agent
	// Gateway speaks; nil if only the broker runs here.
	Gateway *gateway.Gateway

	o      Options
	keys   *keyring.Live
	held   func() []tls.Certificate // of the broker; nil if only the gateway runs here
	api    tls.Certificate          // of the interface over the network, if there is one
	reg    *prometheus.Registry
	stop   []context.CancelFunc // in the order of stopping
	done   []chan error
	failed chan error
	gone   chan struct{}
	locks  []*os.File
	once   sync.Once

	started time.Time
	last    report
}

// Start starts a node and returns when its broker answers and its gateway has
// begun; [Node.Ready] tells when the channels are open.
func Start(ctx context.Context, o Options) (*Node, error) {
	layout := node.Layout{Dir: o.Dir}
	cfg, err := node.Load(o.Dir)
	if err != nil {
		return nil, err
	}
	if o.Listen != "" {
		cfg.Listen = o.Listen
	}
	reg, err := register.Open(layout.Register(), cfg.Party)
	if err != nil {
		return nil, err
	}
	n := &Node{
		Layout:   layout,
		Config:   cfg,
		Register: reg,
		o:        o,
		reg:      prometheus.NewRegistry(),
		failed:   make(chan error, 4),
		gone:     make(chan struct{}),
		started:  time.Now(),
	}
	n.reg.MustRegister(collectors.NewGoCollector())
	n.reg.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n.reg.MustRegister(newNumbers(n))
	if o.Gateway { // a locked key is better noticed before anything runs
		if n.keys, err = keyring.OpenLive(layout.GatewayKeys(), o.Passphrase); err != nil {
			return nil, err
		}
		if err := n.loadAPI(); err != nil {
			return nil, err
		}
	}
	if err := n.lock(); err != nil {
		return nil, err
	}
	if o.Broker {
		if err := n.startBroker(ctx); err != nil {
			return nil, errors.Join(err, n.Stop())
		}
	}
	if o.Gateway {
		if err := n.startGateway(ctx); err != nil {
			return nil, errors.Join(err, n.Stop())
		}
	}
	if address := n.metricsAddress(); address != "" {
		n.run(ctx, func(ctx context.Context) error { return health.Listen(ctx, address, n.pages()) })
	}
	return n, nil
}

// metricsAddress is where this process serves its metrics: of two processes of a
// node, each at its own address.
func (n *Node) metricsAddress() string {
	if n.o.Gateway {
		return n.Config.Metrics
	}
	return n.Config.Broker.Metrics
}

// loadAPI reads the certificate of the interface over the network.
func (n *Node) loadAPI() error {
	c := n.Config.API
	if c.Listen == "" {
		return nil
	}
	certificate, key := n.Layout.APIFiles(c)
	var err error
	n.api, err = keyring.LoadPEM(certificate, key, n.o.Passphrase)
	if problem.Is(err, problem.NotFound) && c.Certificate == "" {
		return problem.Wrap(problem.NotFound, err, "api.listen stands in node.yaml, but the interface has no certificate; nothing was started").
			WithHint("karaula api init --host NAME --dir %s", n.Layout.Dir)
	}
	return err
}

// lock takes the locks of the parts that run here.
func (n *Node) lock() error {
	for part, here := range map[string]bool{"broker": n.o.Broker, "gateway": n.o.Gateway} {
		if !here {
			continue
		}
		f, err := lock(n.Layout.Dir, part)
		if err != nil {
			return errors.Join(err, n.unlock())
		}
		n.locks = append(n.locks, f)
	}
	return nil
}

// unlock gives the locks back.
func (n *Node) unlock() error {
	var errs []error
	for _, f := range n.locks {
		errs = append(errs, f.Close())
	}
	n.locks = nil
	return errors.Join(errs...)
}

// run runs f until the node stops.
func (n *Node) run(ctx context.Context, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		err := f(ctx)
		if err != nil && ctx.Err() == nil {
			n.failed <- err
		}
		done <- err
	}()
	// What was started last is stopped first.
	n.stop = append([]context.CancelFunc{cancel}, n.stop...)
	n.done = append([]chan error{done}, n.done...)
}

func (n *Node) startBroker(ctx context.Context) error {
	live, err := keyring.OpenLiveBroker(n.Layout.BrokerKeys(), n.o.Passphrase)
	if err != nil {
		return err
	}
	own, err := n.Register.View().OwnCard()
	if err != nil {
		return err
	}
	keys := live.Keys()
	if !n.Config.Cluster.On() {
		n.leftKey()
	}
	shown := broker.Shown(keys.Certificates(), own)
	plan := func() (broker.Plan, time.Time, error) {
		view := n.Register.View() // first: keys are written before the card that names them
		live.Refresh()
		if why, news := live.Trouble(); news && why != "" { // a right that ends must end all the same
			n.o.Logger.Error("the broker's keys have changed and cannot be read; the old ones stay in use", "why", why)
		}
		return planOf(n.Layout, n.Config, view, live.Keys(), time.Now())
	}
	n.held = func() []tls.Certificate { return live.Keys().Certificates() }
	o := broker.AgentOptions{
		Plan:   plan,
		Config: n.Layout.NATSConf(),
		Keeper: keys.Keeper,
		Cert:   &shown,
		Held:   n.held,
		Log:    n.o.Logger.With("part", "broker"),
		Now:    time.Now,
	}
	if c := &n.Config.Cluster; c.On() {
		o.Remote = &broker.RemoteOptions{URL: "tls://" + c.Here().Client, Name: c.Server, Ops: keys.Ops, Held: n.Layout.StoreHeld()}
		o.Register, o.Retry = n.Register, time.Second
	}
	n.Agent, err = broker.Start(ctx, o)
	if err != nil {
		return err
	}
	n.run(ctx, n.Agent.Run)
	return nil
}

func (n *Node) startGateway(ctx context.Context) error {
	g, err := gateway.New(gateway.Options{
		Layout: n.Layout, Config: n.Config, Register: n.Register, Keys: n.keys, Connect: n.connect,
		Certificate: n.api, Version: n.o.Version, Checks: n.checks, Metrics: n.reg, Now: time.Now, Logger: n.o.Logger.With("part", "gateway"),
	})
	if err != nil {
		return err
	}
	n.Gateway = g
	n.run(ctx, g.Run)
	return nil
}

// connect connects the gateway to the own broker: within the process if it runs
// here, over TLS with the own card's pins otherwise.
func (n *Node) connect(context.Context) (*nats.Conn, error) {
	if n.Agent != nil && n.Agent.Broker() != nil {
		return n.Agent.Broker().ConnectBy(subject.RoleGateway, n.keys.Keys().Own, n.login)
	}
	return n.dialOwn()
}

// Ready is closed when the gateway's channels are open.
func (n *Node) Ready() <-chan struct{} { return n.Gateway.Ready() }

// Failed gives the error of a part that stopped by itself.
func (n *Node) Failed() <-chan error { return n.failed }

// Stopped is closed when the node has been stopped.
func (n *Node) Stopped() <-chan struct{} { return n.gone }

// Stop stops the gateway first and the broker last, and waits for both.
func (n *Node) Stop() error {
	var errs []error
	n.once.Do(func() {
		for i, cancel := range n.stop {
			cancel()
			errs = append(errs, <-n.done[i])
		}
		errs = append(errs, n.unlock())
		close(n.gone)
	})
	return errors.Join(errs...)
}

// pages are what the node serves to machines.
func (n *Node) pages() health.Pages {
	return health.Pages{Metrics: n.reg, Alive: n.alive, Checks: n.Report}
}
