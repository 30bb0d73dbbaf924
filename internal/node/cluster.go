package node

import (
	"net"
	"slices"
	"strconv"
	"strings"
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

// validName reports whether s may be a server's name.
func validName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", r)
	})
}
