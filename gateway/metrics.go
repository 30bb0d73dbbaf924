package gateway

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the gateway's counters. Labels hold ids, words and codes only.
type metrics struct {
	published   *prometheus.CounterVec
	judged      *prometheus.CounterVec
	quarantined *prometheus.CounterVec
	requests    *prometheus.CounterVec
	lag         *prometheus.HistogramVec
	linkUp      *prometheus.GaugeVec
}

// backlogs collects how far partners are behind, when somebody asks.
type backlogs struct {
	g    *Gateway
	desc *prometheus.Desc
}

func newBacklogs(g *Gateway) *backlogs {
	return &backlogs{g, prometheus.NewDesc("karaula_backlog_statements",
		"Own statements that a partner has not judged yet, by channel and partner.", []string{"channel", "party"}, nil)}
}

// Describe implements prometheus.Collector.
func (b *backlogs) Describe(out chan<- *prometheus.Desc) { out <- b.desc }

// Collect implements prometheus.Collector.
func (b *backlogs) Collect(out chan<- prometheus.Metric) {
	for _, c := range b.g.openChannels() {
		for _, p := range c.partners() {
			n := c.backlog(p)
			out <- prometheus.MustNewConstMetric(b.desc, prometheus.GaugeValue, float64(n), c.id, p)
		}
	}
}

// newMetrics makes the metrics and registers them, if there is a registry.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "karaula_statements_published_total",
			Help: "Own statements that the own broker has stored, by channel and subject token.",
		}, []string{"channel", "token"}),
		judged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "karaula_statements_judged_total",
			Help: "Verdicts about partners' statements, by channel, class and reason code.",
		}, []string{"channel", "class", "code"}),
		quarantined: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "karaula_quarantined_total",
			Help: "Pieces of bytes without a place in any ledger, by channel, link and reason code.",
		}, []string{"channel", "party", "code"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "karaula_link_requests_total", Help: "Link requests of partners, by partner and outcome.",
		}, []string{"party", "outcome"}),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "karaula_said_to_judged_seconds", Help: "Time from an alert's said_at to its verdict here, by channel.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600, 86400},
		}, []string{"channel"}),
		linkUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "karaula_link_up", Help: "1 if the link to a partner's broker is up.",
		}, []string{"party"}),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	all := []prometheus.Collector{m.published, m.judged, m.quarantined, m.requests, m.lag, m.linkUp}
	for _, c := range all {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}
