package faults

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/desk"
	"karaula/gateway/pair"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// BuildNATS builds the stock nats-server of the version that the module names
// into a folder and gives its path.
func BuildNATS(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "nats-server")
	c := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/nats-io/nats-server/v2")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("nats-server was not built: %w: %s", err, out)
	}
	return path, nil
}

// machines is how many machines a cluster has.
const machines = 3

// Cluster is a party's node whose broker is three stock nats-servers, each on a
// machine of its own: a folder with a server and its agent. The gateway runs on
// the first one, or on the first two.
type Cluster struct {
	// Pair is set if there are two gateways.
	Pair bool
	// NATS is the stock nats-server.
	NATS string
	// Machines are the machines; the first one is the world's node.
	Machines []*Node
}

// plan has the first machine's card name all servers.
func (c *Cluster) plan(cfg *node.Config, hosts *Hosts) error {
	cfg.Advertise = []string{cfg.Listen}
	for i := range machines - 1 {
		at, err := freePortAt(hosts.machine(i + 1))
		if err != nil {
			return err
		}
		cfg.Advertise = append(cfg.Advertise, at)
	}
	return nil
}

// layOut makes the folders of the other machines as an operator does.
func (c *Cluster) layOut(ctx context.Context, first *Node, cfg *node.Config, hosts *Hosts) error {
	first.NATS, first.Cluster = c.NATS, c
	c.Machines = []*Node{first}
	args := []string{first.Dir}
	if c.Pair {
		args = []string{"--pair", first.Dir}
	}
	for i, client := range cfg.Advertise {
		host := hosts.of(first.Party)
		if i > 0 {
			host = hosts.machine(i)
		}
		route, err := freePortAt(host)
		if err != nil {
			return err
		}
		name := first.Party + "-" + strconv.Itoa(i+1)
		args = append(args, name, client, route)
		if i > 0 {
			c.Machines = append(c.Machines, &Node{
				Party: first.Party, Dir: first.Dir + "." + name, Bin: first.Bin, NATS: c.NATS, Cluster: c,
				Listen: client, Log: filepath.Join(filepath.Dir(first.Dir), name+".log"),
			})
		}
	}
	if out, err := exec.CommandContext(ctx, LayOut, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("the cluster was not laid out: %w: %s", err, out)
	}
	return nil
}

// LayOut is the script that makes the folders of a cluster, from this folder.
const LayOut = "../../../../deploy/cluster/lay-out"

// Start starts all servers and agents and waits until each agent says that it runs.
func (c *Cluster) Start(ctx context.Context) error {
	for _, n := range c.Machines {
		if err := n.Launch(ctx, Agent); err != nil { // writes what the server is started on
			return err
		}
	}
	for _, n := range c.Machines {
		if err := c.Serve(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// Serve sweeps the store of a machine, whose agent is there or has been, starts its
// server, and waits until it listens.
func (c *Cluster) Serve(ctx context.Context, n *Node) error {
	err := Until(ctx, func() string {
		if _, err := os.Stat(node.Layout{Dir: n.Dir}.NATSConf()); err != nil {
			return err.Error()
		}
		return ""
	})
	if err != nil {
		return err
	}
	a, err := n.Offline(ctx, "broker", "sweep", "--dir", n.Dir)
	if err == nil && a.Code != 0 {
		err = fmt.Errorf("the server's store was not swept: exit code %d: %s", a.Code, a.Err)
	}
	if err != nil {
		return err
	}
	if err := n.Launch(ctx, Server); err != nil {
		return err
	}
	var ended error
	err = Until(ctx, func() string {
		if n.PID(Server) == 0 {
			ended = fmt.Errorf("the server has ended: %s", n.Tail(500))
			return ""
		}
		conn, err := net.DialTimeout("tcp", n.Listen, time.Second) //nolint:noctx // loopback, at once
		if err != nil {
			return err.Error() + ": " + n.Tail(500)
		}
		_ = conn.Close() // it was there
		return ""
	})
	return errors.Join(ended, err)
}

// Gateways are the machines that have a gateway.
func (c *Cluster) Gateways() []*Node {
	if c.Pair {
		return c.Machines[:2]
	}
	return c.Machines[:1]
}

// Speaking gives the machine whose gateway speaks: it answers officers and says
// nothing against it, as one does that is cut off. If none does, one that answers;
// the first one if there is none.
func (c *Cluster) Speaking(ctx context.Context) *Node {
	var best *Node
	for _, n := range c.Gateways() {
		asking, cancel := context.WithTimeout(ctx, askTime)
		resp, err := desk.Dial(node.Layout{Dir: n.Dir}.Socket()).Status(asking, connect.NewRequest(&karaulav1.StatusRequest{}))
		cancel()
		if err != nil {
			continue
		}
		if best == nil {
			best = n
		}
		if !slices.ContainsFunc(resp.Msg.GetWarnings(), func(w string) bool { return strings.HasPrefix(w, pair.NoTurn) }) {
			return n
		}
	}
	if best == nil {
		return c.Machines[0]
	}
	return best
}

// askTime is how long an officer waits for a gateway's status before looking at the other one.
const askTime = 2 * time.Second

// StopGateways stops the gateways that run.
func (c *Cluster) StopGateways() error {
	var failed []error
	for _, n := range c.Machines {
		failed = append(failed, n.StopParts(Gateway))
	}
	return errors.Join(failed...)
}

// Connect connects to the servers as the gateway does.
func (c *Cluster) Connect() (*nats.Conn, error) { return c.connectTo(c.Machines...) }

// connectTo connects to one of some servers as the gateway does.
func (c *Cluster) connectTo(servers ...*Node) (*nats.Conn, error) {
	keys, err := keyring.LoadGateway(node.Layout{Dir: c.Machines[0].Dir}.GatewayKeys(), nil)
	if err != nil {
		return nil, err
	}
	user, err := keyring.User(keys.Own)
	if err != nil {
		return nil, err
	}
	return dial(servers, subject.RoleGateway, user, keys.Own.Sign, keys.TLS)
}

// ops connects to a server in the role that sees its statistics.
func (c *Cluster) ops(n *Node) (*nats.Conn, error) {
	keys, err := keyring.LoadBroker(node.Layout{Dir: n.Dir}.BrokerKeys(), nil)
	if err != nil {
		return nil, err
	}
	user, err := keys.Ops.PublicKey()
	if err != nil {
		return nil, err
	}
	return dial([]*Node{n}, subject.RoleOps, user, keys.Ops.Sign, keys.TLS)
}

// dial connects to one of some servers in a role.
func dial(servers []*Node, role, user string, sign nats.SignatureHandler, cert tls.Certificate) (*nats.Conn, error) {
	var urls []string
	for _, n := range servers {
		urls = append(urls, "tls://"+n.Listen)
	}
	return nats.Connect(
		strings.Join(urls, ","), nats.Nkey(user, sign), nats.TLSHandshakeFirst(), nats.MaxReconnects(-1),
		nats.IgnoreDiscoveredServers(),
		nats.Secure(&tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert},
			InsecureSkipVerify: true, //nolint:gosec // a test's own servers on loopback
		}),
		nats.CustomInboxPrefix(subject.Inbox(role)),
	)
}

// Whole waits until every stream has a leader and every copy of it is current.
func (c *Cluster) Whole(ctx context.Context) error {
	nc, err := c.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return Until(ctx, func() string { return lagging(ctx, js) })
}

// lagging says what a cluster lacks of being whole.
func lagging(ctx context.Context, js jetstream.JetStream) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	names := js.StreamNames(ctx)
	count := 0
	for name := range names.Name() {
		count++
		s, err := js.Stream(ctx, name)
		if err != nil {
			return name + ": " + err.Error()
		}
		info := s.CachedInfo().Cluster
		if info == nil || info.Leader == "" || len(info.Replicas) != machines-1 {
			return name + " has no leader, or not enough copies"
		}
		for _, r := range info.Replicas {
			if !r.Current || r.Offline || r.Lag > 0 {
				return name + ": the copy of " + r.Name + " is behind"
			}
		}
	}
	if err := names.Err(); err != nil {
		return err.Error()
	}
	if count == 0 {
		return "there are no streams"
	}
	return ""
}

// Stop stops the agents, and then the servers.
func (c *Cluster) Stop() error {
	var failed []error
	for _, part := range []Part{Agent, Server} {
		for _, n := range c.Machines {
			failed = append(failed, n.StopParts(part))
		}
	}
	return errors.Join(failed...)
}

// Clean kills whatever still runs.
func (c *Cluster) Clean() {
	for _, n := range c.Machines {
		n.Clean()
	}
}
