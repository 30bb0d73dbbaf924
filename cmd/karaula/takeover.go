package main

import (
	"github.com/spf13/cobra"

	"karaula/gateway/pair"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// takeoverResult says that a gateway was told to take over.
type takeoverResult struct {
	Party   string `json:"party"`
	Gateway string `json:"gateway"`
	Behind  bool   `json:"although_behind"` // also if it may not have everything
}

func (r takeoverResult) page(p *page) {
	p.line("gateway %s of %s takes over as soon as it runs and may; its log says when", r.Gateway, r.Party)
}

func newTakeover(a *app) *cobra.Command {
	var dir string
	var behind bool
	c := &cobra.Command{
		Use:   "takeover --dir DIR",
		Short: "have the gateway that stands by speak",
		Long: `Tells the gateway of this folder, one of a pair, to speak from now on. It does so if
it is in step: if its journals hold everything that was published. The other one,
if it still runs, says nothing more and ends; started again, it stands by.

With --although-behind it does so in any case. That is for the day on which the
other machine is lost for good: what only that one's journal held is missing here,
and channels on which the broker holds more stop until they are repaired. Never
use it while the other gateway may still speak.`,
		Example: "  karaula gateway takeover --dir al.al-2",
		Args:    positional(),
	}
	dirFlag(c, &dir)
	c.Flags().BoolVar(&behind, "although-behind", false, "also if it may not have everything that was said")
	c.RunE = func(*cobra.Command, []string) error {
		cfg, err := node.Load(dir)
		if err != nil {
			return err
		}
		if !cfg.Pair.On() {
			return problem.New(problem.Invalid, "node.yaml names no pair; there is nothing to take over").
				WithHint("docs/operating.md says how two gateways are set up")
		}
		if err := pair.Wish(node.Layout{Dir: dir}.PairWish(), behind); err != nil {
			return err
		}
		return a.show(takeoverResult{Party: cfg.Party, Gateway: cfg.Pair.Gateway, Behind: behind})
	}
	return c
}
