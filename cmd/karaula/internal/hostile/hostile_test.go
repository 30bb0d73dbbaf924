package hostile

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"karaula/cmd/karaula/internal/faults"
)

// bin is the real command, built once.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "karaula-hostile-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the temporary folder harms nobody
	if bin, err = faults.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// times is how many times as much is tried as in the short form.
func times(t *testing.T) int {
	t.Helper()
	text := os.Getenv("KARAULA_HOSTILE")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("KARAULA_HOSTILE=%q is no number of times", text)
	}
	return n
}

// some gives all of a list, or, in the short form, every third.
func (c *campaign) some(list []string) []string {
	if c.times > 1 {
		return list
	}
	var out []string
	for i := 0; i < len(list); i += 3 {
		out = append(out, list[i])
	}
	return out
}

// Bounds that hold whatever is tried. What validly signed statements leave behind adds up,
// one or two KiB for each; so what a try needs is measured against what there was before
// it, with what the collector has not collected yet.
const (
	maxGrown   = 600 << 20
	maxLatency = 30 * time.Second // al and me answer each other within milliseconds otherwise
)

// campaign is a world and what was printed about it.
type campaign struct {
	*World
	t     *testing.T
	times int
	quiet Figures
}

// tryOut does something hostile, and asks afterwards what must hold after
// everything. It gives what al has counted about it.
func (c *campaign) tryOut(name string, tries int, do func()) Counts {
	c.t.Helper()
	before, err := c.Counts(c.AL)
	c.must(err)
	f := c.Watch(do)
	if c.AL.PID(faults.Whole) == 0 {
		c.t.Fatalf("%s: al's process has ended:\n%s", name, c.AL.Tail(6000))
	}
	after, err := c.Counts(c.AL)
	c.must(err)
	seen, err := c.Seen()
	if err != nil || len(seen) > 0 {
		c.t.Errorf("%s: officers of al see %d alerts of xk (%v)", name, len(seen), err)
	}
	c.t.Logf("%-34s %7d tries %6.1f s | memory %4d MiB, %+4d, disk %+7.1f MiB | al-me: %3d alerts, %4d ms (%.1f of quiet)",
		name, tries, f.Took.Seconds(), f.Memory>>20, f.Grown>>20, float64(f.Disk)/(1<<20), f.Alerts,
		f.Latency.Milliseconds(), float64(f.Latency)/float64(max(c.quiet.Latency, 1)))
	if f.Grown > maxGrown {
		c.t.Errorf("%s: al needed %d MiB more than before", name, f.Grown>>20)
	}
	if f.Alerts == 0 || f.Latency > maxLatency || f.Lost > 0 {
		c.t.Errorf("%s: al and me felt it: %d alerts, %v, %d not said", name, f.Alerts, f.Latency, f.Lost)
	}
	grown := after.Since(before, "karaula_")
	for name := range grown.Since(nil, `karaula_statements_judged_total{channel="`+attacked+`",class="accepted"`) {
		c.t.Logf("    %s", name)
	}
	return grown
}

// until waits for a condition.
func (c *campaign) until(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if ok() {
			return
		}
	}
	now, _ := c.Counts(c.AL)
	c.t.Fatalf("%s: does not happen; al has counted\n%s %s\nlog of al:\n%s", what,
		now.Since(nil, "karaula_statements_judged_total").Show(),
		now.Since(nil, "karaula_quarantined_total").Show()+now.Since(nil, "karaula_link_troubles_total").Show(),
		c.AL.Tail(4000))
}

// counted waits until a metric of al has grown by so much.
func (c *campaign) counted(name string, from Counts, more float64) {
	c.t.Helper()
	c.until(fmt.Sprintf("%s grows by %g", name, more), func() bool {
		now, err := c.Counts(c.AL)
		return err == nil && now[name]-from[name] >= more
	})
}

// TestHostilePartner is the whole campaign. The order matters: what ends the
// channel comes late, and what ends xk's broker last.
func TestHostilePartner(t *testing.T) {
	t.Parallel()
	c := &campaign{World: Make(t, bin), t: t, times: times(t)}
	c.serveLink(honest)
	c.until("al hears xk", func() bool {
		s, err := c.AL.Status(t.Context())
		return err == nil && s.Link("xk") == "up" && s.Link("me") == "up"
	})
	for range 2 { // the first time everything is made ready
		c.quiet = c.Watch(func() { time.Sleep(2 * time.Second) })
	}
	t.Logf("quiet: memory %d MiB, al-me %d alerts, %v", c.quiet.Memory>>20, c.quiet.Alerts, c.quiet.Latency)
	only := os.Getenv("KARAULA_HOSTILE_ONLY")
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"says", c.says},
		{"names", c.quotesNothing},
		{"stream", c.floodsItsStream},
		{"asks", c.asksEverything},
		{"broker", c.floodsTheBroker},
		{"answers", c.answersNonsense},
		{"strangers", c.strangers},
		{"contradicts", c.contradictsItself},
		{"server", c.isAServer},
		{"agree", c.meAndAlAgree},
		{"names", c.quotesNothing},
	} {
		if only == "" || strings.Contains(only, step.name) {
			step.do()
		}
	}
}

// meAndAlAgree is the end: nothing between the honest two was lost.
func (c *campaign) meAndAlAgree() {
	c.t.Helper()
	c.until("al and me hold the same", func() bool {
		al, err1 := c.AL.Status(c.t.Context())
		me, err2 := c.ME.Status(c.t.Context())
		if err1 != nil || err2 != nil {
			return false
		}
		for _, a := range al.Channels {
			for _, m := range me.Channels {
				if a.Channel == untouched && m.Channel == untouched {
					return a.Said == m.Partners[0].Received && m.Said == a.Partners[0].Received &&
						a.Partners[0].Held == 0 && m.Partners[0].Held == 0
				}
			}
		}
		return false
	})
}
