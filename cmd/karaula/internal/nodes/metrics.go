package nodes

import (
	"context"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"karaula/internal/checkup"
)

// Metrics gives what the node counts, for readers in the same process.
func (n *Node) Metrics() prometheus.Gatherer { return n.reg }

// numbers collects what the node as a whole knows: its checks, what ends when,
// how much room there is, and which program this is.
type numbers struct {
	n                                           *Node
	state, expires, free, used, most, build, up *prometheus.Desc
	reloads, failed, floods                     *prometheus.Desc // of the broker's agent
}

func newNumbers(n *Node) *numbers {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &numbers{
		n:     n,
		state: desc("karaula_check_state", "Outcome of a check: 0 ok or skipped, 1 warn, 2 fail.", "check", "about"),
		expires: desc("karaula_expires_in_seconds",
			"Seconds until a card, key, certificate or agreement ends; negative: it has ended.", "check", "about"),
		free:  desc("karaula_disk_free_bytes", "Bytes that the node may still write on the disk of its store."),
		used:  desc("karaula_store_bytes", "Bytes of the broker's files on disk."),
		most:  desc("karaula_store_max_bytes", "Bytes that all streams together may take: store.max-bytes."),
		build: desc("karaula_build_info", "Always 1; which program this is.", "version", "go"),
		up:    desc("karaula_start_time_seconds", "When the node started."),

		reloads: desc("karaula_broker_reloads_total", "Changes of the broker's configuration that took effect."),
		failed:  desc("karaula_broker_plans_failed_total", "Plans of the broker that could not be had or put in force."),
		floods: desc("karaula_partner_barred_total",
			"How often the own broker has barred a partner that sent too much, by partner.", "party"),
	}
}

// Describe implements prometheus.Collector.
func (c *numbers) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.state, c.expires, c.free, c.used, c.most, c.build, c.up, c.reloads, c.failed, c.floods,
	} {
		out <- d
	}
}

// collectTimeout bounds the checks of one scrape.
const collectTimeout = 5 * time.Second

// Collect implements prometheus.Collector.
func (c *numbers) Collect(out chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	worst := map[[2]string]int{}
	for _, check := range c.n.Report(ctx) {
		key := [2]string{check.ID, check.About}
		worst[key] = max(worst[key], check.State.Level())
	}
	for key, level := range worst {
		set(c.state, float64(level), key[0], key[1])
	}
	now := time.Now()
	seen := map[[2]string]bool{}
	place := checkup.Place{Layout: c.n.Layout, Config: c.n.Config}
	for _, e := range append(checkup.Ends(c.n.Register.View(), now), place.APIEnds()...) {
		if key := [2]string{e.ID, e.About}; !seen[key] {
			seen[key] = true
			set(c.expires, e.At.Sub(now).Seconds(), e.ID, e.About)
		}
	}
	if free, used, err := place.Room(); err == nil {
		set(c.free, float64(free))
		set(c.used, float64(used))
	}
	set(c.most, float64(c.n.Config.Store.MaxBytes))
	set(c.build, 1, c.n.o.Version, runtime.Version())
	set(c.up, float64(c.n.started.Unix()))
	c.agent(out)
}

// agent collects what the broker's agent has done, where it runs in this process.
func (c *numbers) agent(out chan<- prometheus.Metric) {
	if c.n.Agent == nil {
		return
	}
	count := func(d *prometheus.Desc, v int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	s := c.n.Agent.Status()
	count(c.reloads, s.Reloads)
	count(c.failed, s.Failed)
	for party, times := range s.Floods {
		count(c.floods, times, party)
	}
}
