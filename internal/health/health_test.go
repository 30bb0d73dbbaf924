package health_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"karaula/internal/health"
)

// serve starts the pages on loopback and gives their address.
func serve(t *testing.T, check health.Check) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "karaula_test_total", Help: "A test."})
	reg.MustRegister(c)
	c.Inc()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- health.Serve(ctx, l, reg, check) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHealthzSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	ok := true
	url := serve(t, func(context.Context) health.State {
		if ok {
			return health.State{OK: true, Checks: map[string]string{"broker": "ok"}}
		}
		return health.State{Checks: map[string]string{"broker": "does not answer"}}
	})
	if code, body := get(t, url+"/healthz"); code != http.StatusOK || !strings.Contains(body, `"ok":true`) {
		t.Errorf("healthy: %d %s", code, body)
	}
	ok = false
	code, body := get(t, url+"/healthz")
	var state health.State
	if err := json.Unmarshal([]byte(body), &state); err != nil {
		t.Fatal(err)
	}
	if code != http.StatusServiceUnavailable || state.OK || state.Checks["broker"] != "does not answer" {
		t.Errorf("ill: %d %+v", code, state)
	}
}

func TestMetricsAreServedAndNothingElse(t *testing.T) {
	t.Parallel()
	url := serve(t, func(context.Context) health.State { return health.State{OK: true} })
	if code, body := get(t, url+"/metrics"); code != http.StatusOK || !strings.Contains(body, "karaula_test_total 1") {
		t.Errorf("metrics: %d %s", code, body)
	}
	if code, _ := get(t, url+"/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("another page: %d", code)
	}
}

func TestABusyAddressIsAProblem(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := health.Listen(t.Context(), l.Addr().String(), prometheus.NewRegistry(), nil); err == nil {
		t.Error("listening on a busy address succeeded")
	}
}
