package nodes

import "github.com/prometheus/client_golang/prometheus"

// Metrics gives what the node counts, for readers in the same process.
func (n *Node) Metrics() prometheus.Gatherer { return n.reg }
