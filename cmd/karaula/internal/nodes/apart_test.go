package nodes

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// freeAddress gives an address on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A folder has one broker and one gateway, whatever address a second one is to
// listen on, and each of two processes serves metrics of its own.
func TestBrokerAndGatewayApart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "al")
	cfg := node.Default()
	cfg.Party, cfg.Name, cfg.Listen = "al", "Invented authority", freeAddress(t)
	cfg.Metrics, cfg.Broker.Metrics = freeAddress(t), freeAddress(t)
	cfg.Officers = setup.Operator()
	if _, err := setup.Make(setup.Options{Dir: dir, Config: cfg, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	start := func(listen string, broker, gateway bool) (*Node, error) {
		n, err := Start(context.Background(), Options{
			Dir: dir, Listen: listen, Broker: broker, Gateway: gateway, Logger: slog.New(slog.DiscardHandler),
		})
		if err == nil {
			t.Cleanup(func() {
				if err := n.Stop(); err != nil {
					t.Error(err)
				}
			})
		}
		return n, err
	}
	for _, part := range []struct{ broker, gateway bool }{{true, false}, {false, true}} {
		if _, err := start("", part.broker, part.gateway); err != nil {
			t.Fatal(err)
		}
		for _, listen := range []string{"", freeAddress(t)} {
			_, err := start(listen, part.broker, part.gateway)
			if !problem.Is(err, problem.Conflict) || !strings.Contains(problem.HintOf(err), "karaula status") {
				t.Errorf("a second one (%+v, listening on %q): %v, hint %q", part, listen, err, problem.HintOf(err))
			}
		}
	}
	if _, err := start(freeAddress(t), true, true); !problem.Is(err, problem.Conflict) {
		t.Errorf("a whole node beside its parts: %v", err)
	}
	broker, gateway := page(t, cfg.Broker.Metrics), page(t, cfg.Metrics)
	if !strings.Contains(broker, "karaula_broker_reloads_total 0") || !strings.Contains(broker, "karaula_store_bytes") {
		t.Errorf("the broker serves %s", broker)
	}
	if strings.Contains(gateway, "karaula_broker_reloads_total") || !strings.Contains(gateway, "karaula_build_info") {
		t.Errorf("the gateway serves %s", gateway)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Stat(filepath.Join(dir, "api.sock"))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// page gets the metrics at an address, as soon as they are served.
func page(t *testing.T, address string) string {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + address + "/metrics") //nolint:noctx // a test
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil && resp.StatusCode == http.StatusOK {
			return string(body)
		}
	}
	t.Fatalf("no metrics at %s: %s", address, last)
	return ""
}
