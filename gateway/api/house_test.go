package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"karaula/gateway/api"
	"karaula/gateway/desk"
	"karaula/internal/access"
	"karaula/internal/keyring"
	"karaula/internal/node"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// house is an interface on loopback before a desk without a gateway: whatever
// passes door and roles fails loudly, but for Status.
type house struct {
	dir    string // of the clients
	addr   string
	server tls.Certificate
	log    *bytes.Buffer // read it after close

	mu    sync.Mutex
	now   time.Time
	close func()
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// start serves until the test ends; change may change the limits.
func start(t *testing.T, change func(*api.Limits)) *house {
	t.Helper()
	return open(t, change, nil)
}

// open is start with another desk, if one is given.
func open(t *testing.T, change func(*api.Limits), behind api.Desk) *house {
	t.Helper()
	h := &house{dir: filepath.Join(t.TempDir(), "clients"), now: time.Now(), log: &bytes.Buffer{}}
	var err error
	if h.server, err = keyring.NewInterface("al", []string{"127.0.0.1"}, h.now, h.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	limits := api.DefaultLimits()
	limits.Look = 10 * time.Millisecond
	if change != nil {
		change(&limits)
	}
	logger := slog.New(slog.NewTextHandler(h.log, nil))
	if behind == nil {
		behind = desk.New(desk.Config{
			Self: "al", Logger: logger, Now: h.clock,
			Status: func(context.Context) *karaulav1.StatusResponse { return &karaulav1.StatusResponse{Party: "al"} },
		})
	}
	l, err := api.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- api.Serve(ctx, l, api.Options{
			Certificate: h.server, Clients: h.dir, Officers: []node.Officer{{UID: 1, ID: "chief", Role: node.RoleSupervisor}},
			Desk: behind, Limits: limits, Now: h.clock, Logger: logger,
		})
	}()
	h.close = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.close)
	return h
}

// credentials makes a certificate that nobody knows.
func (h *house) credentials(t *testing.T, name string) tls.Certificate {
	t.Helper()
	cert, err := keyring.NewClient(name, h.clock(), h.clock().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// let lets a client in, and waits until it is.
func (h *house) let(t *testing.T, c access.Client) *http.Client {
	t.Helper()
	cert := h.credentials(t, c.Name)
	c.Fingerprint, c.Until = keyring.Fingerprint(cert.Leaf), cert.Leaf.NotAfter.Unix()
	if err := access.Add(h.dir, c); err != nil {
		t.Fatal(err)
	}
	client := h.client(cert)
	until(t, func() bool {
		resp, err := client.Get("https://" + h.addr + "/")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return true
	})
	return client
}

// until waits for what must come; a test that hangs is ended from outside.
func until(t *testing.T, what func() bool) {
	t.Helper()
	for !what() {
		select {
		case <-t.Context().Done():
			t.Fatal("it never came")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (h *house) tls(certs ...tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(h.server.Leaf)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: certs, NextProtos: []string{"http/1.1"}}
}

// client speaks HTTP/2 with these certificates.
func (h *house) client(certs ...tls.Certificate) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: h.tls(certs...), ForceAttemptHTTP2: true}}
}

// reply is what came back.
type reply struct {
	code   int
	body   string
	header http.Header
}

const service = "/karaula.v1.NodeService/"

// call posts JSON; header pairs follow.
func (h *house) call(t *testing.T, c *http.Client, method, body string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+h.addr+service+method, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Content-Type" {
			req.Header.Set(header[i], header[i+1])
			continue
		}
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, string(got), resp.Header}
}

// dial makes a TLS connection and tries to use it; the error is the handshake's,
// which in TLS 1.3 reaches the client with the first answer.
func (h *house) dial(t *testing.T, cfg *tls.Config) (net.Conn, error) {
	t.Helper()
	d := tls.Dialer{Config: cfg}
	c, err := d.DialContext(t.Context(), "tcp", h.addr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return nil, err
	}
	if _, err := c.Read(make([]byte, 1<<12)); err != nil {
		return nil, err
	}
	return c, nil
}

// bomb is far more than a request may be, packed into little.
func bomb(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, `{"reason":"`+strings.Repeat("x", 2*api.MaxBody)+`"}`); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
