package main

import (
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/demo"
	"karaula/internal/problem"
)

// demoEvent is one event of the demo.
type demoEvent struct{ demo.Event }

// marks shows people at a glance what an event is.
var marks = map[string]string{
	"ready": "==", "agreement": "  ", "note": "\n--", "say": "->", "received": "  ok", "not-for": "  --", "waits": "  ..",
	"refused": "XX", "cut": "!!", "back": "!!", "suspended": "!!", "resumed": "!!", "hostile": "!!", "put-aside": "  ok",
	"wrong": "WRONG", "summary": "\n==", "serving": "  ",
}

func (e demoEvent) page(p *page) { p.line("%s %s", marks[e.Event.Event], e.Text) }

func newDemo(a *app) *cobra.Command {
	var o demo.Options
	var script string
	var verbose, printScript bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "start six nodes and let them exchange alerts under their agreements",
		Long: `Starts six nodes (al ba me mk rs xk) in this process, each with its own folder,
keys, broker and TLS listener on loopback. They sign the example agreements and
play a script: alerts that are received by the parties of their agreement and by
nobody else, one that no agreement allows, a node that is cut off and comes
back, an agreement that is suspended and resumed, and a hostile partner.

Exits with 0 only if everything that should have arrived did, and nothing else.`,
		Example: `  karaula demo
  karaula demo --speed 0 --output json
  karaula demo --serve --dir demo-nodes
  karaula demo --print-script > mine.yaml; karaula demo --script mine.yaml`,
		Args: positional(),
	}
	f := c.Flags()
	f.StringVar(&o.Dir, "dir", "", "make the nodes' folders here and keep them (default: a temporary folder)")
	f.StringVar(&script, "script", "", "play this script, - for standard input")
	f.BoolVar(&printScript, "print-script", false, "print the built-in script and do nothing else")
	f.Float64Var(&o.Speed, "speed", 1, "how fast to go on: 2 is twice as fast, 0 without pauses")
	f.BoolVar(&o.Serve, "serve", false, "keep the nodes running after the script, until interrupted")
	f.BoolVar(&verbose, "verbose", false, "show the nodes' own logs on standard error")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if printScript {
			return a.write(demo.Text())
		}
		if o.Speed < 0 {
			return errUsage(c, "--speed is 0 or more")
		}
		if script != "" {
			body, err := a.readFile(script, "script", demo.MaxScript)
			if err != nil {
				return err
			}
			if o.Script, err = demo.ParseScript(body); err != nil {
				return err
			}
		}
		logs := io.Discard
		if verbose {
			logs = a.err
		}
		o.Logger = slog.New(slog.NewTextHandler(logs, nil))
		o.Version, o.Emit = programVersion(), func(e demo.Event) error { return a.event(demoEvent{e}) }
		began := time.Now()
		if err := demo.Run(c.Context(), o); err != nil {
			return problem.Wrap(problem.KindOf(err), err, "the demo failed after %.1f s", time.Since(began).Seconds())
		}
		return nil
	}
	return c
}
