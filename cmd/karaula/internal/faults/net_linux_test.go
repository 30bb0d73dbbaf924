package faults

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// network is a few hosts on one wire, each a network namespace of its own, which the
// test's own namespace reaches too.
type network struct {
	t     *testing.T
	id    int
	hosts int
}

// makeNetwork makes one. Where that is not permitted, the test is skipped and says so.
func makeNetwork(t *testing.T, hosts int) *network {
	t.Helper()
	n := &network{t, rand.IntN(250), hosts} //nolint:gosec // guards nothing
	t.Cleanup(func() {
		for i := range hosts {
			_ = exec.Command("ip", "netns", "del", n.name(i)).Run()  //nolint:noctx // it may not be there
			_ = exec.Command("ip", "link", "del", n.inside(i)).Run() //nolint:noctx // likewise
		}
		_ = exec.Command("ip", "link", "del", n.wire()).Run() //nolint:noctx // likewise
	})
	if out, err := exec.Command("ip", "link", "add", n.wire(), "type", "bridge").CombinedOutput(); err != nil { //nolint:noctx // at once
		skip(t, fmt.Sprintf("no networks can be made here: %v: %s", err, strings.TrimSpace(string(out))))
	}
	n.ip("addr", "add", n.outside()+"/24", "dev", n.wire())
	n.ip("link", "set", n.wire(), "up")
	for i := range hosts {
		n.ip("netns", "add", n.name(i))
		n.ip("link", "add", n.inside(i), "type", "veth", "peer", "name", "eth0", "netns", n.name(i))
		n.ip("link", "set", n.inside(i), "master", n.wire(), "up")
		n.ip("-n", n.name(i), "addr", "add", n.host(i)+"/24", "dev", "eth0")
		n.ip("-n", n.name(i), "link", "set", "eth0", "up")
		n.ip("-n", n.name(i), "link", "set", "lo", "up")
	}
	return n
}

func (n *network) name(i int) string   { return fmt.Sprintf("karaula%d-%d", n.id, i+1) }
func (n *network) inside(i int) string { return fmt.Sprintf("kv%d-%d", n.id, i+1) } // the end of its cable outside
func (n *network) wire() string        { return fmt.Sprintf("kw%d", n.id) }
func (n *network) host(i int) string   { return fmt.Sprintf("10.213.%d.%d", n.id, i+1) }
func (n *network) outside() string     { return fmt.Sprintf("10.213.%d.254", n.id) }

// in gives what runs a command on a host.
func (n *network) in(i int) []string { return []string{"ip", "netns", "exec", n.name(i)} }

func (n *network) ip(args ...string) { n.run("ip", args...) }

func (n *network) run(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil { //nolint:noctx // at once
		n.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// split has a host neither reach some others nor be reached by them: nothing says so
// to either side. Everybody else still reaches all of them.
func (n *network) split(host int, from ...int) {
	for _, other := range from {
		n.ip("-n", n.name(host), "route", "add", "blackhole", n.host(other)+"/32")
		n.ip("-n", n.name(other), "route", "add", "blackhole", n.host(host)+"/32")
	}
}

// join ends a split.
func (n *network) join(host int, from ...int) {
	for _, other := range from {
		n.ip("-n", n.name(host), "route", "del", "blackhole", n.host(other)+"/32")
		n.ip("-n", n.name(other), "route", "del", "blackhole", n.host(host)+"/32")
	}
}

// loses has a host lose so many of 100 packets in either direction.
func (n *network) loses(host, percent int) {
	n.t.Helper()
	nft := func(words ...string) {
		n.run("ip", append(n.in(host)[1:], append([]string{"nft"}, words...)...)...)
	}
	nft("add", "table", "ip", "bad")
	for _, hook := range []string{"input", "output"} {
		nft("add", "chain", "ip", "bad", hook, "{ type filter hook "+hook+" priority 0; }")
		nft("add", "rule", "ip", "bad", hook, "ip", "protocol", "tcp", "numgen", "random", "mod", "100", "<", fmt.Sprint(percent), "drop")
	}
}

// A link with latency and loss: the backlog arrives in order, and nothing twice.
func TestALinkThatLosesPackets(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("nft"); err != nil {
		skip(t, err.Error())
	}
	net := makeNetwork(t, 1)
	w, err := makeWorldWith(t.TempDir(), bin, nil, &Hosts{
		Of: map[string]string{"al": net.outside(), "me": net.host(0)}, Proxies: net.outside(),
	})
	must(t, err)
	cleanWorld(t, w)
	w.ME.In = net.in(0)
	r := records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	must(t, w.Settle(patient(t)))
	net.loses(0, lost)
	for _, p := range []*Proxy{w.ToAL, w.ToME} {
		p.Delay(latency)
	}
	rounds := 1
	if long() {
		rounds = 10
	}
	for range rounds {
		must(t, w.ME.Stop()) // a backlog grows
		send(t, w.AL, r["al"], 60)
		must(t, w.ME.Start(patient(t), Whole))
		send(t, w.ME, r["me"], 5, 1)
		send(t, w.AL, r["al"], 5, 1)
		must(t, w.Settle(patient(t)))
	}
	f := settleAndWalk(t, w, r, Expect{})
	tell(t, "%d backlogs over a link with %d %% loss and %s more each way: %s", rounds, lost, latency, f)
}

// What the bad link does: loss in 100 packets, and latency one way.
const (
	lost    = 5
	latency = 80 * time.Millisecond
)
