// Package health serves a node's metrics and its state to machines: /metrics
// for Prometheus and /healthz for whoever restarts what does not answer.
//
// It must never serve anything but numbers, ids and words, and never listen
// where the configuration does not say so.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"karaula/internal/problem"
)

// State is what /healthz answers.
type State struct {
	// OK decides the status code: 200 or 503.
	OK bool `json:"ok"`
	// Checks gives every check's outcome, "ok" or what is wrong, without
	// personal data.
	Checks map[string]string `json:"checks"`
}

// Check gives the state now. It must answer quickly.
type Check func(ctx context.Context) State

// Times of the listener.
const (
	headerTimeout = 5 * time.Second
	checkTimeout  = 3 * time.Second
	stopTimeout   = 2 * time.Second
)

// Listen serves on address (host:port) until ctx ends.
func Listen(ctx context.Context, address string, metrics prometheus.Gatherer, check Check) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return problem.Wrap(problem.Failed, err, "metrics cannot be served").
			WithHint("another address: metrics in node.yaml")
	}
	return Serve(ctx, l, metrics, check)
}

// Serve serves on a listener until ctx ends.
func Serve(ctx context.Context, l net.Listener, metrics prometheus.Gatherer, check Check) error {
	srv := &http.Server{Handler: Handler(metrics, check), ReadHeaderTimeout: headerTimeout}
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

// Handler gives both pages.
func Handler(metrics prometheus.Gatherer, check Check) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		state := check(ctx)
		w.Header().Set("Content-Type", "application/json")
		if !state.OK {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(state) // the caller has gone
	})
	return mux
}
