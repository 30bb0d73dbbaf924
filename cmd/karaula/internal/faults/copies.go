package faults

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// otherBytes is what must never be so: a message is there or not.
const otherBytes = "has other bytes in one copy than in another one"

// copyReads is how often every stream is read through every server: which of the
// servers answers a read is theirs to choose.
const copyReads = 4

// Differing reads all streams through each of the servers, while nothing is said, and
// gives the messages that one copy gives and another one does not, or in other bytes.
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
		now := map[uint64]bool{}
		for _, m := range list {
			now[m.Seq] = true
			if was, ok := held[name][m.Seq]; ok && !bytes.Equal(was, m.Data) {
				out = append(out, fmt.Sprintf("%s: message %d %s", name, m.Seq, otherBytes))
			}
			held[name][m.Seq] = m.Data
		}
		for seq := range held[name] {
			if !now[seq] {
				out = append(out, fmt.Sprintf("%s: message %d is not given by every copy", name, seq))
			}
		}
	}
	return out, names.Err()
}
