package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/internal/agreement"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/subject"
	"karaula/internal/testbroker"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
	"karaula/proto/gen/karaula/v1/karaulav1connect"
)

const channelID = "b01-al-me"

// house is al's gateway over a real broker. Its partner me is a card, a root
// and a voice: what me's gateway would do, a test does.
type house struct {
	t      testing.TB
	w      *testworld.World
	text   *agreement.Agreement
	broker *testbroker.Broker
	dir    string

	gateway *Gateway
	ctx     context.Context // an officer's
	desk    karaulav1connect.NodeServiceClient
	cancel  context.CancelFunc
	done    chan error

	config func(*node.Config) // changes what the next gateway is started with; may be nil
	pace   remnantPace

	metrics *prometheus.Registry // of the gateway that runs
	logs    logs

	mu    sync.Mutex
	clock time.Time
}

// logs keeps what a gateway logs.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String gives everything so far.
func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newHouse(t testing.TB) *house {
	t.Helper()
	return newHouseOn(t, channelID, "al", "me")
}

// newHouseOn makes a house whose text has one channel, between al and others.
func newHouseOn(t testing.TB, channel string, parties ...string) *house {
	t.Helper()
	h := &house{
		t: t, w: testworld.New(t, parties...), broker: testbroker.Start(t), clock: testworld.Start,
		dir: filepath.Join(t.TempDir(), "al"),
	}
	h.text = h.w.Agree(h.w.Text(channel, parties))
	if err := (node.Layout{Dir: h.dir}).Make(); err != nil {
		t.Fatal(err)
	}
	for _, ch := range h.text.Channels {
		on := subject.On(ch.ID, ch.Mode)
		h.broker.Stream(subject.Out(on), subject.SayAll(on, "al"))
		for _, p := range parties[1:] {
			h.broker.Stream(subject.InStream(on, p), subject.In(on, p))
		}
	}
	h.broker.Stream(subject.VerdictStream, "verdict.>")
	h.broker.Stream(subject.StubStream, "stub.>")
	h.broker.Stream(subject.QuarantineStream, "quarantine.>")
	h.broker.Stream(subject.DeskStream, "desk.>")
	return h
}

// start starts the gateway and waits until its channels are open.
func (h *house) start() {
	h.t.Helper()
	h.launch()
	select {
	case <-h.gateway.Ready():
	case err := <-h.done:
		h.t.Fatal(err)
	}
}

// launch starts the gateway.
func (h *house) launch() {
	h.t.Helper()
	cfg := node.Default()
	cfg.Party, cfg.Name = "al", "Invented authority"
	cfg.Officers = []node.Officer{{UID: os.Getuid(), ID: "operator", Role: node.RoleSupervisor}}
	if h.config != nil {
		h.config(cfg)
	}
	h.metrics = prometheus.NewRegistry()
	g, err := New(Options{
		Layout: node.Layout{Dir: h.dir}, Config: cfg, Register: h.w.Parties["al"].Register(),
		Keys: keyring.Fixed(h.w.Parties["al"].Gateway), Connect: func(context.Context) (*nats.Conn, error) { return h.broker.Dial() },
		Now: h.now, Logger: slog.New(slog.NewTextHandler(&h.logs, nil)), Metrics: h.metrics,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.remnants.pace = h.pace
	g.alone = true // me is no gateway that could say what it holds
	h.gateway, h.cancel, h.done = g, cancel, make(chan error, 1)
	h.ctx, h.desk = ctx, desk.Dial(g.o.Layout.Socket())
	go func() { h.done <- g.Run(ctx) }()
	h.until("the desk", func() bool {
		c, err := node.DialSocket(ctx, g.o.Layout.Socket())
		return err == nil && c.Close() == nil && g.begun.Load() // what Run sets is there, and tests may read it
	})
	h.t.Cleanup(h.stop)
}

// stop stops the gateway, once.
func (h *house) stop() {
	h.t.Helper()
	if h.cancel == nil {
		return
	}
	h.cancel()
	h.cancel = nil
	if err := <-h.done; err != nil {
		h.t.Errorf("the gateway stopped with: %v", err)
	}
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clock
}

// route is an alert that everybody may say.
func route() *karaulav1.Alert {
	a := testworld.Alert(karaulav1.AlertType_ALERT_TYPE_ROUTE)
	a.Id = book.IDText(desk.NewAlertID(testworld.Start))
	return a
}

// until waits for a condition; only a broken program makes it fail.
func (h *house) until(what string, cond func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return
		}
	}
	h.t.Fatalf("%s does not happen", what)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// series gives the sum of what a counter or gauge says under some labels, and how many
// series there are.
func (h *house) series(name string, labels map[string]string) (sum float64, n int) {
	h.t.Helper()
	families, err := h.metrics.Gather()
	must(h.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			has := map[string]string{}
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			differs := false
			for label, value := range labels {
				differs = differs || has[label] != value
			}
			if f.GetName() == name && !differs {
				sum, n = sum+m.GetCounter().GetValue()+m.GetGauge().GetValue(), n+1
			}
		}
	}
	return sum, n
}
