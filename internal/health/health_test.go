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

	"karaula/internal/checkup"
	"karaula/internal/health"
	"karaula/internal/problem"
)

// serve starts the pages on loopback and gives their address.
func serve(t *testing.T, p health.Pages) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "karaula_test_total", Help: "A test."})
	reg.MustRegister(c)
	c.Inc()
	p.Metrics = reg
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- health.Serve(ctx, l, p) }()
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

func TestHealthzSaysWhetherToRestart(t *testing.T) {
	t.Parallel()
	var why error
	url := serve(t, health.Pages{Alive: func() error { return why }})
	if code, body := get(t, url+"/healthz"); code != http.StatusOK || !strings.Contains(body, `"ok":true`) {
		t.Errorf("alive: %d %s", code, body)
	}
	why = problem.New(problem.Failed, "stands still").WithHint("start it again")
	code, body := get(t, url+"/healthz")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "stands still") ||
		!strings.Contains(body, "start it again") {
		t.Errorf("still: %d %s", code, body)
	}
}

func TestReadyzSaysWhatStopsTheNode(t *testing.T) {
	t.Parallel()
	list := []checkup.Check{
		checkup.Bad(checkup.Fail, checkup.LinkTrip, "me", "away", ""), checkup.Good(checkup.BrokerAnswers, "", "connected"),
	}
	url := serve(t, health.Pages{Checks: func(context.Context) []checkup.Check { return list }})
	if code, body := get(t, url+"/readyz"); code != http.StatusOK || !strings.Contains(body, `"link.trip"`) {
		t.Errorf("a partner that is away stops nothing: %d %s", code, body)
	}
	list = append(list, checkup.Bad(checkup.Fail, checkup.ChannelHalted, "b01-al-me", "nothing is said", "repair"))
	code, body := get(t, url+"/readyz")
	var state health.State
	if err := json.Unmarshal([]byte(body), &state); err != nil {
		t.Fatal(err)
	}
	if code != http.StatusServiceUnavailable || state.OK || len(state.Checks) != 3 || state.Checks[2] != list[2] {
		t.Errorf("halted: %d %+v", code, state)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/plain")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(string(text), "not ok\n") ||
		!strings.Contains(string(text), "fail channel.halted b01-al-me nothing is said\n") {
		t.Errorf("text: %q, %v", text, err)
	}
}

func TestMetricsAreServedAndNothingElse(t *testing.T) {
	t.Parallel()
	url := serve(t, health.Pages{})
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
	if err := health.Listen(t.Context(), l.Addr().String(), health.Pages{}); err == nil {
		t.Error("listening on a busy address succeeded")
	}
}
