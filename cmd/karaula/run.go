package main

import (
	"context"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/nodes"
	"karaula/gateway"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// runResult says that a node runs.
type runResult struct {
	Party  string   `json:"party"`
	Dir    string   `json:"dir"`
	Listen string   `json:"listen"`
	Runs   []string `json:"runs"` // broker, gateway
}

func (r runResult) page(p *page) {
	p.line("%s runs %s, listening on %s", r.Party, list(r.Runs), r.Listen)
}

// parts says what of a node to run.
type parts struct{ broker, gateway, agent bool }

// fit refuses what the configuration does not provide for.
func (p parts) fit(cfg *node.Config, dir string) error {
	switch {
	case p.agent && !cfg.Cluster.On():
		return problem.New(problem.Invalid, "node.yaml names no cluster; no agent was started").
			WithHint("karaula broker run --dir %s runs the broker within the process", dir)
	case p.broker && !p.agent && cfg.Cluster.On():
		return problem.New(problem.Invalid, "the broker of this node is a cluster of nats-servers; nothing was started").
			WithHint("karaula broker agent --dir %s, nats-server -c %s, and karaula gateway run --dir %s",
				dir, node.Layout{Dir: dir}.NATSConf(), dir)
	default:
		return nil
	}
}

func (p parts) words() []string {
	var out []string
	switch {
	case p.agent:
		out = append(out, "agent")
	case p.broker:
		out = append(out, "broker")
	}
	if p.gateway {
		out = append(out, "gateway")
	}
	return out
}

func newRun(a *app) *cobra.Command {
	return a.runCommand("run --dir DIR", "run a node: its broker and its gateway",
		`Runs the node of a folder until it is interrupted: broker and gateway in one
process. Everything that the node does follows from the folder: its keys, its
configuration, and the cards, agreements and notices of its register. Changes of
the register take effect without a restart.

Prints one line when the channels are open, and logs to standard error. Channels
on which nothing can be said yet are named there, with the reason: before the
first word on a channel, and after a restart, a partner must have said what it
holds of this node's statements.`,
		"  karaula run --dir al\n  karaula run --dir al --passphrase-file /run/secrets/karaula",
		parts{broker: true, gateway: true})
}

func newBroker(a *app) *cobra.Command {
	return group(
		"broker",
		"run a node's broker without its gateway",
		"The broker keeps and hands out sealed statements. It holds no key that opens them.",
		a.runCommand(
			"run --dir DIR",
			"run the broker of a node",
			`Runs only the broker of a node's folder until it is interrupted, and keeps its
configuration in step with the register.`,
			"  karaula broker run --dir al",
			parts{broker: true},
		),
		a.runCommand(
			"agent --dir DIR",
			"keep the configuration of a cluster's nats-server",
			`Runs beside the stock nats-server of this machine, where node.yaml has a cluster.
It writes DIR/broker/nats.conf, on which nats-server is started, has the server
read it again when the register changes, makes streams and consumers, and keeps
the register the same as on the cluster's other machines. The server runs without
it, but learns of no change.`,
			"  karaula broker agent --dir al\n  nats-server -c al/broker/nats.conf",
			parts{broker: true, agent: true},
		),
		newBrokerSweep(a),
	)
}

func newGateway(a *app) *cobra.Command {
	return group(
		"gateway",
		"run a node's gateway without its broker",
		"The gateway validates, seals, signs, receives and checks.",
		a.runCommand(
			"run --dir DIR",
			"run the gateway of a node",
			`Runs only the gateway of a node's folder until it is interrupted. It connects to
its broker over TLS, at the listen address, at broker.url or at the servers of
node.yaml. One of a pair stands by until it is the one that speaks; it prints its
line when it is in step with the other one.`,
			"  karaula gateway run --dir al",
			parts{gateway: true},
		),
		newTakeover(a),
	)
}

func (a *app) runCommand(use, short, long, example string, what parts) *cobra.Command {
	var dir, listen string
	c := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: positional()}
	dirFlag(c, &dir)
	c.Flags().StringVar(&listen, "listen", "", "another listen address than node.yaml's, host:port")
	pass := passphraseFlag(c, "the online keys")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.run(c.Context(), dir, listen, pass(), what)
	}
	return c
}

// run runs a node until the context ends or a part of it fails.
func (a *app) run(ctx context.Context, dir, listen string, pass keyring.Passphrase, what parts) error {
	cfg, err := node.Load(dir)
	if err != nil {
		return err
	}
	if exists(node.Layout{Dir: dir}.AuditorKeys()) {
		return problem.New(problem.Invalid, "%s is an auditor's folder; no node runs in it", dir).
			WithHint("karaula audit replay --broker PARTY --reason WHY --dir %s", dir)
	}
	if err := what.fit(cfg, dir); err != nil {
		return err
	}
	n, err := nodes.Start(ctx, nodes.Options{
		Dir: dir, Listen: listen, Passphrase: pass, Broker: what.broker, Gateway: what.gateway,
		Version: programVersion(), Logger: a.logger(cfg.Log),
	})
	if err != nil {
		return err
	}
	if err := a.untilReady(ctx, n, what); err != nil {
		return joinStop(err, n)
	}
	select {
	case <-ctx.Done():
		a.note("stopping")
		return n.Stop()
	case err := <-n.Failed():
		return joinStop(err, n)
	}
}

// Times of the word that a node can be used.
const (
	quietPatience = 3 * time.Second // for partners to say what they hold of us
	quietPause    = 50 * time.Millisecond
)

// untilReady says when the node can be used, and on which channels not yet.
func (a *app) untilReady(ctx context.Context, n *nodes.Node, what parts) error {
	if what.gateway {
		select {
		case <-n.Ready():
		case err := <-n.Failed():
			return err
		case <-ctx.Done():
			return nil
		}
		a.tellQuiet(ctx, n.Gateway)
	}
	return a.event(runResult{Party: n.Config.Party, Dir: n.Layout.Dir, Listen: n.Config.Listen, Runs: what.words()})
}

// tellQuiet waits a moment until something can be said on every channel, and
// then says where it cannot.
func (a *app) tellQuiet(ctx context.Context, g *gateway.Gateway) {
	quiet := g.Quiet()
	for deadline := time.Now().Add(quietPatience); len(quiet) > 0 && time.Now().Before(deadline); quiet = g.Quiet() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(quietPause):
		}
	}
	for _, id := range slices.Sorted(maps.Keys(quiet)) {
		a.note("nothing can be said on channel %s yet: %s", id, quiet[id])
	}
}

// joinStop stops a node after an error, which stays the first one.
func joinStop(err error, n *nodes.Node) error {
	if stop := n.Stop(); err == nil {
		return stop
	}
	return err
}

// logger logs to standard error as the configuration says.
func (a *app) logger(cfg node.LogConfig) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.err, o))
	}
	return slog.New(slog.NewTextHandler(a.err, o))
}

// programVersion is the version that status shows.
func programVersion() string {
	info, _ := debug.ReadBuildInfo()
	return version(info).Version
}
