package gateway

import (
	"context"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"karaula/gateway/stream"
)

// gaugeTimeout bounds how long the own broker may take to say how full it is.
const gaugeTimeout = 3 * time.Second

// gauges collects how things stand, when somebody asks.
type gauges struct {
	g     *Gateway
	descs []*prometheus.Desc

	linkUp, linkHeard, clockAhead                    *prometheus.Desc
	halted, said, journal                            *prometheus.Desc
	received, backlog, held, contested, silent, told *prometheus.Desc
	histories                                        *prometheus.Desc
	streamBytes, streamMost                          *prometheus.Desc
	unproved                                         *prometheus.Desc
}

func newGauges(g *Gateway) *gauges {
	c := &gauges{g: g}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc(name, help, labels, nil)
		c.descs = append(c.descs, d)
		return d
	}
	c.linkUp = desc("karaula_link_up", "1 if the link to a partner's broker is up.", "party")
	c.linkHeard = desc("karaula_link_heard_timestamp_seconds", "When a partner last answered or was fetched from.", "party")
	c.clockAhead = desc("karaula_clock_ahead_seconds",
		"How far a partner's clock was ahead of ours at its last answer; negative: behind.", "party")
	c.halted = desc("karaula_channel_halted", "1 if nothing can be said on a channel until it is repaired.", "channel")
	c.said = desc("karaula_statements_signed", "Last own number on a channel.", "channel")
	c.journal = desc("karaula_journal_bytes", "Size of a channel's signing journal.", "channel")
	c.received = desc("karaula_statements_received", "Last number of a partner that is stored here.", "channel", "party")
	c.backlog = desc("karaula_backlog_statements",
		"Own statements that a partner has not judged yet, by channel and partner.", "channel", "party")
	c.held = desc("karaula_statements_held", "Statements of a partner that wait for a card, key or text.", "channel", "party")
	c.contested = desc("karaula_channel_contested", "1 if a partner has contradicted itself on a channel.", "channel", "party")
	c.histories = desc("karaula_channel_two_histories",
		"1 if a partner has signed another history of a party's ledger than the one that is here.", "channel", "party", "origin")
	c.silent = desc("karaula_channel_silent", "1 if a partner says nothing on a channel though its link is up.", "channel", "party")
	c.told = desc("karaula_channel_heard_timestamp_seconds",
		"When a partner last said something on a channel; absent if not since the start.", "channel", "party")
	c.streamBytes = desc("karaula_stream_bytes", "Bytes that a stream of the own broker holds.", "stream")
	c.streamMost = desc("karaula_stream_max_bytes", "Bytes that a stream may hold.", "stream")
	c.unproved = desc("karaula_erasures_unproved",
		"Erasures of which a server of the cluster may still hold the content, of partners' (not told yet) or own content.", "content")
	return c
}

// Describe implements prometheus.Collector.
func (c *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *gauges) Collect(out chan<- prometheus.Metric) {
	if !c.g.begun.Load() {
		return
	}
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, p := range c.g.allPartners() {
		m := p.now()
		set(c.linkUp, truth(m.state == "up"), p.code)
		if !m.heardAt.IsZero() {
			set(c.linkHeard, seconds(m.heardAt), p.code)
		}
		if m.clock {
			set(c.clockAhead, m.ahead.Seconds(), p.code)
		}
	}
	for _, ch := range c.g.openChannels() {
		c.channel(ch, set)
	}
	c.rooms(set)
	if c.g.o.Config.Replicas > 1 {
		partners, own := c.g.remnants.count()
		set(c.unproved, float64(partners), "partner")
		set(c.unproved, float64(own), "own")
	}
}

func (c *gauges) channel(ch *channel, set func(d *prometheus.Desc, v float64, labels ...string)) {
	set(c.halted, truth(ch.writer.Halted() != nil), ch.label())
	set(c.said, float64(ch.writer.Head().GetSize()), ch.label())
	if info, err := os.Stat(c.g.o.Layout.Journal(ch.subject())); err == nil {
		set(c.journal, float64(info.Size()), ch.label())
	}
	seen := ch.attention()
	unlike := map[witness]bool{}
	for _, d := range ch.differences() {
		unlike[d.witness] = true
	}
	for _, p := range ch.partners() {
		ear := ch.ear(p)
		if ear == nil {
			continue
		}
		received, _, held, _, contested := ear.Status()
		for _, of := range ch.parties {
			if of != p {
				set(c.histories, truth(unlike[witness{p, of}]), ch.label(), p, of)
			}
		}
		set(c.received, float64(received), ch.label(), p)
		set(c.backlog, float64(ch.backlog(p)), ch.label(), p)
		set(c.held, float64(held), ch.label(), p)
		set(c.contested, truth(contested), ch.label(), p)
		set(c.silent, truth(seen.silent[p]), ch.label(), p)
		if at, ok := seen.heardAt[p]; ok {
			set(c.told, seconds(at), ch.label(), p)
		}
	}
}

func (c *gauges) rooms(set func(d *prometheus.Desc, v float64, labels ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), gaugeTimeout)
	defer cancel()
	for _, name := range c.g.streams() {
		bytes, most, err := stream.Open(c.g.js, name).Full(ctx)
		if err != nil {
			continue // what is not known is not told; broker.answers says why
		}
		set(c.streamBytes, float64(bytes), name)
		set(c.streamMost, float64(most), name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds gives a moment as seconds since 1970.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
