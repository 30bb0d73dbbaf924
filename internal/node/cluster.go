package node

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// On reports whether the broker is a cluster.
func (c *ClusterConfig) On() bool { return c.Server != "" }

// Here gives the server of this machine.
func (c *ClusterConfig) Here() ServerConfig {
	for _, s := range c.Servers {
		if s.Name == c.Server {
			return s
		}
	}
	return ServerConfig{}
}

// On reports whether there are two gateways.
func (p *PairConfig) On() bool { return p.Gateway != "" }

// Automatic reports whether silence is enough for the other one to take over.
func (p *PairConfig) Automatic() bool { return p.Takeover == TakeoverAutomatic }

// Other gives the name of the other gateway.
func (p *PairConfig) Other() string {
	for _, name := range p.Gateways {
		if name != p.Gateway {
			return name
		}
	}
	return ""
}

// cluster checks the servers of a cluster.
func (v *validator) cluster(c *Config) {
	list := c.Cluster.Servers
	if !c.Cluster.On() {
		if len(list) > 0 {
			v.fault("cluster.server", "is missing, though servers are named")
		}
		return
	}
	if !slices.Contains([]int{3, 5}, len(list)) {
		v.fault("cluster.servers", "not 3 or 5 servers")
	}
	if c.Replicas != 3 && c.Replicas != len(list) {
		v.fault("replicas", "a cluster of %d servers keeps 3 copies, or %d", len(list), len(list))
	}
	if c.Broker.URL != "" {
		v.fault("broker.url", "not beside cluster: the gateway finds the servers in cluster.servers")
	}
	if c.Cluster.Here().Name == "" {
		v.fault("cluster.server", "none of servers has this name")
	}
	taken := map[string]bool{}
	for i, s := range list {
		at := "cluster.servers." + strconv.Itoa(i)
		if !validName(s.Name) {
			v.fault(at, "name is not 1 to 64 letters, digits, dots and hyphens")
		}
		if !validDial(s.Client) {
			v.fault(at, "client is not host:port")
		}
		if host, _, err := net.SplitHostPort(s.Route); err != nil || !validListen(s.Route) || net.ParseIP(host) == nil {
			v.fault(at, "route is not an IP address and port")
		} else if net.ParseIP(host).IsUnspecified() {
			v.fault(at, "route must be one address of the private network, not all of the machine's")
		}
		for _, one := range []string{s.Name, s.Client, s.Route} {
			if taken[one] {
				v.fault(at, "%s stands twice", one)
			}
			taken[one] = true
		}
	}
}

// pair checks the two gateways.
func (v *validator) pair(c *Config) {
	v.span("pair.lease", c.Pair.Lease, time.Second, time.Hour)
	if !slices.Contains([]string{TakeoverAutomatic, TakeoverManual}, c.Pair.Takeover) {
		v.fault("pair.takeover", "not automatic or manual")
	}
	if !c.Pair.On() {
		if len(c.Pair.Gateways) > 0 {
			v.fault("pair.gateway", "is missing, though gateways are named")
		}
		return
	}
	names := c.Pair.Gateways
	if len(names) != 2 || names[0] == names[1] || !slices.Contains(names, c.Pair.Gateway) {
		v.fault("pair.gateways", "not two names, one of which is pair.gateway")
	}
	for i, name := range names {
		if !validGateway(name) {
			v.fault("pair.gateways."+strconv.Itoa(i), "not 1 to 32 lower-case letters, digits and hyphens")
		}
	}
	if !c.Cluster.On() {
		v.fault("pair.gateway", "a pair needs a cluster")
	}
}

// validName reports whether s may be a server's name.
func validName(s string) bool {
	return s != "" && len(s) <= 64 && onlyOf(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
}

// validGateway reports whether s may be a gateway's name, which is a token of
// subjects.
func validGateway(s string) bool {
	return s != "" && len(s) <= 32 && onlyOf(s, "abcdefghijklmnopqrstuvwxyz0123456789-")
}

// onlyOf reports whether s has only these letters.
func onlyOf(s, letters string) bool { return strings.Trim(s, letters) == "" }
