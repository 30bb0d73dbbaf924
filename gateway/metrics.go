package gateway

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"karaula/gateway/bus"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// metrics are the gateway's counters. Labels hold ids, words and codes only.
type metrics struct {
	published   *prometheus.CounterVec
	judged      *prometheus.CounterVec
	quarantined *prometheus.CounterVec
	requests    *prometheus.CounterVec
	erased      *prometheus.CounterVec
	stock       *prometheus.CounterVec
	lag         *prometheus.HistogramVec
	receipted   *prometheus.HistogramVec
	troubles    *prometheus.CounterVec
	clocks      *prometheus.GaugeVec
	impostors   *prometheus.CounterVec
}

// lagBuckets are seconds, from two nodes in a room to a partner that was away.
var lagBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600, 86400}

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
		stock: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "karaula_store_faults_total",
			Help: "Times that an own stream did not hold what was stored there, by stream and code " +
				"(gone, set-back, made-anew, strange).",
		}, []string{"stream", "code"}),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "karaula_said_to_judged_seconds", Help: "Time from an alert's said_at to its verdict here, by channel.",
			Buckets: lagBuckets,
		}, []string{"channel"}),
		receipted: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "karaula_said_to_receipted_seconds",
			Help:    "Time from an own alert's said_at to the partner's receipt here, by channel and partner.",
			Buckets: lagBuckets,
		}, []string{"channel", "party"}),
		troubles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "karaula_link_troubles_total",
			Help: "What was wrong with a partner's broker, its deliveries or its gateway's answers, by partner and code.",
		}, []string{"party", "code"}),
	}
	m.clocks = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "karaula_clocks",
		Help: "What parties owe and have not done, by kind, state (running, soon, overdue) and party.",
	}, []string{"kind", "state", "party"})
	m.impostors = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "karaula_revoked_key_used_total",
		Help: "Statements signed with an own key after it was revoked, by channel and by who shows them (the own code: the own stream).",
	}, []string{"channel", "party"})
	m.erased = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "karaula_statements_erased_total", Help: "Statements whose content was erased here, by channel and origin.",
	}, []string{"channel", "origin"})
	if reg == nil {
		return m, nil
	}
	var errs []error
	all := []prometheus.Collector{
		m.published, m.judged, m.quarantined, m.requests, m.lag, m.receipted, m.troubles, m.clocks, m.erased, m.stock, m.impostors,
	}
	for _, c := range all {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// begin has the counters of what alarms wait for begin at 0: of a series whose
// first value is 1, Prometheus sees no increase.
func (m *metrics) begin(channel, party string) {
	codes := karaulav1.Code(0).Descriptor().Values()
	for i := 1; i < codes.Len(); i++ {
		code := terms.CodeWord(karaulav1.Code(codes.Get(i).Number()))
		m.judged.WithLabelValues(channel, terms.ClassWord(karaulav1.VerdictClass_VERDICT_CLASS_REFUSED), code).Add(0)
		m.quarantined.WithLabelValues(channel, party, code).Add(0)
	}
	m.quarantined.WithLabelValues(channel, party, bus.Replayed).Add(0)
	m.impostors.WithLabelValues(channel, party).Add(0)
}
