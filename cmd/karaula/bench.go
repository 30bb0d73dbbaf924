package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"karaula/cmd/karaula/internal/bench"
	"karaula/internal/problem"
)

// benchResult is what a run of bench found out.
type benchResult struct{ *bench.Result }

func (r benchResult) page(p *page) {
	s, f, e, i, l, t := r.Setting, r.Floor, r.EndToEnd, r.Import, r.Loop, r.Latency
	p.line("Two nodes on %d cores, alerts of %d bytes (%d sealed), %s, %.2f ms a synced write",
		s.Cores, s.Size, s.Sealed, s.Filesystem, s.SyncMillis)
	p.blank()
	rate := func(x float64) string { return fmt.Sprintf("%.0f/s", x) }
	p.table([]string{"figure", "value", "means"}, [][]string{
		{"floor", rate(f.PerSecond), "seal to two, sign, verify, open one: all cores, nothing stored"},
		{
			"end to end",
			rate(e.PerSecond),
			fmt.Sprintf("%d alerts in %.1f s until accepted and receipted, all synced", e.Alerts, e.Seconds),
		},
		{
			"of the floor",
			fmt.Sprintf("%.0f %%", 100*e.OfFloor),
			fmt.Sprintf("end to end / floor; by processor time %.0f %%", 100*e.OfFloorCPU),
		},
		{
			"processor time", fmt.Sprintf("%.0f us", e.CPUMicros),
			fmt.Sprintf("of one alert, both nodes together; of one operation of the floor: %.0f us", f.CPUMicros),
		},
		{"import", rate(i.PerSecond), fmt.Sprintf("a register of %d rows until receipted, each row remembered on disk", i.Rows)},
		{
			"of end to end", fmt.Sprintf("%.0f %%", 100*i.OfEndToEnd),
			fmt.Sprintf("import / end to end; by processor time %.0f %%", 100*i.OfEndToEndCPU),
		},
		{"loop", rate(l.PerSecond), "one caller who waits for each alert's receipt; receipts are gathered for 100 ms"},
		{"times the loop", fmt.Sprintf("%.0f", l.Times), "end to end / loop"},
		{"loop, accepted", rate(l.AcceptedPerSecond), "the same caller, if he waited only until it is accepted"},
		{"times that loop", fmt.Sprintf("%.1f", l.AcceptedTimes), "end to end / loop, accepted"},
		{"accepted after", fmt.Sprintf("%.1f ms", l.AcceptedMillis), "in the loop, median"},
		{"receipt after", fmt.Sprintf("%.1f ms", l.ReceiptMillis), "in the loop, median"},
		{
			"latency p50",
			fmt.Sprintf("%.1f ms", t.P50Millis),
			fmt.Sprintf("said to accepted, one alert every %.0f ms", t.IntervalMillis),
		},
		{"latency p99", fmt.Sprintf("%.1f ms", t.P99Millis), fmt.Sprintf("of %d alerts", t.Alerts)},
		{
			"receipts",
			fmt.Sprintf("%.2f %%", 100*e.Share),
			fmt.Sprintf("%d statements of the recipient for %d alerts", e.Receipts, e.Alerts),
		},
		{"disk, sender", fmt.Sprintf("%d bytes", e.SenderDisk), "growth of its folder per alert: stream and journal"},
		{"disk, recipient", fmt.Sprintf("%d bytes", e.OtherDisk), "growth of its folder per alert: stream and verdicts"},
	})
}

func newBench(a *app) *cobra.Command {
	o := bench.Options{}
	var profile string
	var verbose bool
	c := &cobra.Command{
		Use:   "bench",
		Short: "measure two nodes end to end, beside what cryptography alone would allow",
		Long: `Starts two nodes in this process, each with its own folder, keys, broker and TLS
listener on loopback, and sends alerts from one to the other. Everything is
synced to disk as in production, and an alert counts when the recipient has
accepted it and its signed receipt is back.

All figures come from this one run. Compare ratios between machines, not
absolute numbers; docs/bench.md says what each line means.`,
		Example: `  karaula bench
  karaula bench --alerts 50000 --dir /srv/bench --output json
  karaula bench --profile cpu.pprof; go tool pprof -top cpu.pprof`,
		Args: positional(),
	}
	f := c.Flags()
	f.IntVar(&o.Alerts, "alerts", 10_000, "how many alerts go end to end")
	f.IntVar(&o.Size, "size", 1024, "bytes of one alert's content")
	f.StringVar(&o.Dir, "dir", "", "make the nodes' folders here and keep them (default: a temporary folder)")
	f.StringVar(&profile, "profile", "", "write a CPU profile of the end-to-end part to this file")
	f.BoolVar(&verbose, "verbose", false, "show the nodes' own logs on standard error")
	c.RunE = func(c *cobra.Command, _ []string) error {
		logs := io.Discard
		if verbose {
			logs = a.err
		}
		o.Logger, o.Version = slog.New(slog.NewTextHandler(logs, nil)), programVersion()
		o.Progress = func(text string) { a.note("%s", text) }
		if profile != "" {
			file, err := os.Create(profile)
			if err != nil {
				return problem.Wrap(problem.Failed, err, "the profile cannot be written; nothing was measured")
			}
			defer file.Close() //nolint:errcheck // a broken profile is noticed by its reader
			o.Loaded = func() func() {
				if err := pprof.StartCPUProfile(file); err != nil {
					a.note("no profile: %s", err)
				}
				return pprof.StopCPUProfile
			}
		}
		res, err := bench.Run(c.Context(), o)
		if err != nil {
			return err
		}
		if res.Setting.Filesystem == "tmpfs" {
			a.note("the folder is in memory (tmpfs): syncing costs nothing there; name a folder on a disk with --dir")
		}
		return a.show(benchResult{res})
	}
	return c
}
