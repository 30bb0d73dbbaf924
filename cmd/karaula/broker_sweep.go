package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"karaula/broker/sweep"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// sweepResult says what was found in a store.
type sweepResult struct {
	Streams     int      `json:"streams"`
	Blocks      int      `json:"blocks"`
	Bytes       int64    `json:"bytes"`
	Overwritten int      `json:"overwritten"` // messages that were noted as deleted and still there
	Unnoted     int      `json:"unnoted"`     // other messages that the server remembers as deleted
	Leftovers   int      `json:"leftovers"`   // files that were removed
	Unread      []unread `json:"unread"`      // files that could not be swept, or not to their end
}

type unread struct {
	File string `json:"file"`
	Why  string `json:"why"`
}

func (r sweepResult) page(p *page) {
	p.line("%d messages overwritten, %d files removed; %d blocks of %d streams looked through",
		r.Overwritten+r.Unnoted, r.Leftovers, r.Blocks, r.Streams)
	for _, u := range r.Unread {
		p.line("not swept: %s: %s", u.File, u.Why)
	}
}

func newBrokerSweep(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "sweep --dir DIR",
		Short: "overwrite what an interrupted erasure left in a cluster's server",
		Long: `Run it on each of a cluster's machines before its nats-server starts; the unit
does. A server that was stopped in the middle of an erasure, or failed at it, has
noted a message as deleted and not overwritten it, and never does by itself. Nor does
one that was away when it was erased, and was told of it later. This overwrites it.
Nothing else is changed; what cannot be read is named and left.

While the server runs nothing is done. A broker that runs within karaula needs no
such command: it does this by itself whenever it starts.

A server that has held streams and whose store is empty now must not start: its disk may
not be mounted, and two empty servers of three empty the third one. This fails then, with
exit code 8. Whoever has emptied the store has to remove broker/store-held, too.`,
		Example: "  karaula broker sweep --dir al && nats-server -c al/broker/nats.conf",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	c.RunE = func(*cobra.Command, []string) error { return a.sweep(dir) }
	return c
}

func (a *app) sweep(dir string) error {
	cfg, err := node.Load(dir)
	if err != nil {
		return err
	}
	if !cfg.Cluster.On() {
		return problem.New(problem.Invalid, "node.yaml names no cluster; nothing was swept").
			WithHint("the broker of this node sweeps its store by itself whenever it starts")
	}
	for _, address := range []string{cfg.Listen, cfg.Cluster.Here().Route} {
		if err := unused(address); err != nil {
			return err
		}
	}
	l := node.Layout{Dir: dir}
	if err := stillThere(l); err != nil {
		return err
	}
	r, err := sweep.Store(l.Store())
	if err != nil {
		return err
	}
	out := sweepResult{
		Streams: r.Streams, Blocks: r.Blocks, Bytes: r.Bytes,
		Overwritten: r.Overwritten, Unnoted: r.Unnoted, Leftovers: r.Leftovers, Unread: []unread{},
	}
	for _, u := range r.Unread {
		out.Unread = append(out.Unread, unread(u))
	}
	return a.show(out)
}

// stillThere fails if the store holds nothing though it did: two of three servers that
// start so are a majority, and empty the third one (nats-server 2.15.2).
func stillThere(l node.Layout) error {
	if _, err := os.Stat(l.StoreHeld()); errors.Is(err, fs.ErrNotExist) {
		return nil // it never held any, or who emptied it has removed the file
	} else if err != nil {
		return problem.Wrap(problem.Failed, err, "whether the store has held streams cannot be found out; nothing was swept")
	}
	if empty, err := sweep.Empty(l.Store()); err != nil || !empty {
		return err
	}
	return problem.New(problem.Conflict, "%s is empty, and was not before; the server must not start: "+
		"two servers that start empty would empty the third one, too", l.Store()).
		WithHint("mount its disk; or, if it is to copy everything from the others, or has none to hold any more, "+
			"see that the others run (karaula doctor), remove %s, and start again", l.StoreHeld())
}

// unused fails if something listens at an address, which is the server, or will be
// taken for it. Where it cannot be listened at for another reason, no server can.
func unused(address string) error {
	l, err := net.Listen("tcp", address) //nolint:noctx // at once
	if errors.Is(err, syscall.EADDRINUSE) {
		return problem.Wrap(problem.Conflict, err, "something listens at %s, probably the server; nothing was swept", address).
			WithHint("stop nats-server first: what it has open must not be changed")
	}
	if err != nil {
		return nil //nolint:nilerr // as it says above
	}
	return l.Close()
}
