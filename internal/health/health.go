// Package health serves a node's metrics and its state to machines: /metrics
// for Prometheus, /healthz for whoever restarts what stands still, and /readyz
// for whoever wants to know whether the node can work, and why not.
//
// It must never serve anything but numbers, ids and words, and never listen
// where the configuration does not say so.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"karaula/internal/checkup"
	"karaula/internal/problem"
)

// State is what /healthz and /readyz answer.
type State struct {
	// OK decides the status code: 200 or 503.
	OK bool `json:"ok"`
	// Checks are those that the answer rests on: of /readyz all, of /healthz the
	// one that failed.
	Checks []checkup.Check `json:"checks"`
}

// Pages are what is served. Each function must answer quickly.
type Pages struct {
	Metrics prometheus.Gatherer
	// Alive gives why the node should be started again; nil while it works.
	Alive func() error
	// Checks makes the node's checks. The node is ready while none that stops it fails.
	Checks func(ctx context.Context) []checkup.Check
}

// Times of the listener.
const (
	headerTimeout = 5 * time.Second
	checkTimeout  = 10 * time.Second
	stopTimeout   = 2 * time.Second
)

// Listen serves on address (host:port) until ctx ends.
func Listen(ctx context.Context, address string, p Pages) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return problem.Wrap(problem.Failed, err, "metrics cannot be served").
			WithHint("another address: metrics in node.yaml")
	}
	return Serve(ctx, l, p)
}

// Serve serves on a listener until ctx ends.
func Serve(ctx context.Context, l net.Listener, p Pages) error {
	srv := &http.Server{Handler: p.handler(), ReadHeaderTimeout: headerTimeout}
	stop := context.AfterFunc(ctx, func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		_ = srv.Shutdown(bye) // what is open after that is cut with the process
	})
	defer stop()
	if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return problem.Wrap(problem.Failed, err, "serving metrics stopped")
	}
	return nil
}

// handler gives the pages.
func (p Pages) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		s := State{OK: true, Checks: []checkup.Check{}}
		if err := p.Alive(); err != nil {
			s.OK = false
			s.Checks = append(s.Checks, checkup.Bad(checkup.Fail, checkup.GatewayRuns, "", err.Error(), problem.HintOf(err)))
		}
		answer(w, r, s)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		list := p.Checks(ctx)
		answer(w, r, State{OK: len(checkup.Stopping(list)) == 0, Checks: list})
	})
	return mux
}

// answer writes JSON, or for who asks for text/plain one line a check.
func answer(w http.ResponseWriter, r *http.Request, s State) {
	code := http.StatusOK
	if !s.OK {
		code = http.StatusServiceUnavailable
	}
	if strings.Contains(r.Header.Get("Accept"), "text/plain") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		word := map[bool]string{true: "ok", false: "not ok"}[s.OK]
		_, _ = fmt.Fprintln(w, word) // here and below: the caller has gone
		for _, c := range s.Checks {
			_, _ = fmt.Fprintln(w, c.State, c.ID, c.About, c.Text)
		}
		return
	}
	body, err := json.Marshal(s)
	if err != nil {
		http.Error(w, "the state cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n'))
}
