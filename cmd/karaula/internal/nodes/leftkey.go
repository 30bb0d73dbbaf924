package nodes

import "os"

// leftKey warns of the broker's TLS key as a file: this broker has it in memory,
// and does not need one. A stock server does; whoever compiled a configuration
// for one, and then went back to this command, should remove it.
func (n *Node) leftKey() {
	if _, err := os.Stat(n.Layout.TLSKey()); err == nil {
		n.o.Logger.Warn("the broker's TLS key lies unsealed in a file that this broker does not need; remove it",
			"file", n.Layout.TLSKey())
	}
}
