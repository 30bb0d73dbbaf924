package faults

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// copyReads is how often every stream is read through every server: which of the
// servers answers a read is theirs to choose.
const copyReads = 4

// Differing reads all streams through each of the servers, while nothing is said, and
// gives the messages that one copy holds in other bytes than another one.
func (c *Cluster) Differing(ctx context.Context) ([]string, error) {
	held := map[string]map[uint64][]byte{} // by stream and place
	var out []string
	for range copyReads {
		for _, n := range c.Machines {
			differ, err := c.readCopies(ctx, n, held)
			if err != nil {
				return nil, err
			}
			out = append(out, differ...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// readCopies reads all streams through one server, and compares them with what was
// read before.
func (c *Cluster) readCopies(ctx context.Context, n *Node, held map[string]map[uint64][]byte) ([]string, error) {
	nc, err := c.connectTo(n)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	var out []string
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		list, err := readAll(ctx, js, name, "")
		if err != nil {
			return nil, err
		}
		if held[name] == nil {
			held[name] = map[uint64][]byte{}
		}
		for _, m := range list {
			if was, ok := held[name][m.Seq]; ok && !bytes.Equal(was, m.Data) {
				out = append(out, fmt.Sprintf("%s: message %d has other bytes in one copy than in another one", name, m.Seq))
			}
			held[name][m.Seq] = m.Data
		}
	}
	return out, names.Err()
}
