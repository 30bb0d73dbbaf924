package broker

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"karaula/internal/problem"
	"karaula/internal/subject"
)

// freeAddr gives a loopback address on which nobody listens now.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // only the number counts
	return l.Addr().String()
}

// clustered makes the site's broker one server of three.
func clustered(t testing.TB) *site {
	t.Helper()
	s := newSite(t)
	s.plan.ServerName, s.plan.Replicas = "al-1", 3
	s.plan.Own.Server = s.server.pin
	here := freeAddr(t)
	s.plan.Cluster = &Cluster{
		Listen: here, Routes: []string{here, freeAddr(t), freeAddr(t)}, Pins: [][32]byte{s.server.pin},
	}
	if _, err := Prepare(s.plan, s.conf); err != nil {
		t.Fatal(err)
	}
	return s
}

// A stock server takes the text, knows the others by their key, and demands it
// in both directions.
func TestClusterIsCompiled(t *testing.T) {
	t.Parallel()
	s := clustered(t)
	o, err := server.ProcessConfigFile(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	c := o.Cluster
	if c.Name != "al" || len(o.Routes) != 3 || !c.NoAdvertise || c.TLSConfig == nil {
		t.Fatalf("name %q, %d routes, no advertise %v, TLS %v", c.Name, len(o.Routes), c.NoAdvertise, c.TLSConfig != nil)
	}
	if c.TLSConfig.ClientAuth != tls.RequireAndVerifyClientCert || c.TLSConfig.MinVersion != tls.VersionTLS13 {
		t.Error("a route needs no certificate, or an old TLS")
	}
	if len(c.TLSPinnedCerts) != 1 {
		t.Errorf("%d keys are pinned for routes, want the broker's own", len(c.TLSPinnedCerts))
	}
}

func TestClusterPlanIsChecked(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(c *Cluster){
		"all addresses":       func(c *Cluster) { c.Listen = "0.0.0.0:6222" },
		"a name":              func(c *Cluster) { c.Routes[1] = "al-2.example.org:6222" },
		"words in an address": func(c *Cluster) { c.Routes[2] = `127.0.0.1:6222" accounts {` },
		"no pin":              func(c *Cluster) { c.Pins = nil },
	} {
		s := clustered(t)
		spoil(s.plan.Cluster)
		if _, err := Compile(s.plan); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Whoever reaches the routes' port, a partner with a valid certificate of the
// cards included, gets no further than the handshake: a route may do everything.
func TestNobodyElseJoinsTheCluster(t *testing.T) {
	t.Parallel()
	s := clustered(t)
	srv, err := Run(context.Background(), s.conf, nil, s.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	for who, cert := range map[string]*tls.Certificate{
		"nobody": nil, "a partner": &s.me.cert, "the own gateway": &s.gateway.cert, "the broker": &s.server.cert,
	} {
		cfg := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}
		if cert != nil {
			cfg.Certificates = []tls.Certificate{*cert}
		}
		got := routeInfo(t, s.plan.Cluster.Listen, cfg)
		if want := who == "the broker"; got != want {
			t.Errorf("%s meets a route: %v, want %v", who, got, want)
		}
	}
}

// routeInfo reports whether a server behind a route's handshake takes what a
// route says: it answers a ping of a connected one.
func routeInfo(t testing.TB, addr string, cfg *tls.Config) bool {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()                                     //nolint:errcheck // the test's own
	_ = raw.SetDeadline(time.Now().Add(10 * time.Second)) // a dead end must not hang
	buf := make([]byte, 64<<10)
	conn := tls.Client(raw, cfg)
	if err := conn.Handshake(); err != nil {
		return false
	}
	if _, err := conn.Write([]byte(`CONNECT {"verbose":false,"tls_required":true,"name":"x","cluster":"al"}` + "\r\nPING\r\n")); err != nil {
		return false
	}
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return false
		}
		if strings.Contains(string(buf[:n]), "PONG") {
			return true
		}
	}
}

// The keeper may carry signed texts, and nobody else may.
func TestOnlyTheKeeperCarriesTexts(t *testing.T) {
	t.Parallel()
	s := clustered(t)
	for role, want := range map[string]bool{
		subject.RoleKeeper: true, subject.RoleGateway: false, subject.RoleAudit: false, subject.RoleOps: false,
	} {
		can := false
		for _, r := range rightsOf(s.plan, role).publish {
			can = can || strings.HasPrefix(r.subject, "register.")
		}
		if can != want {
			t.Errorf("%s may publish texts: %v", role, can)
		}
	}
}

// Of two gateways only the role gateway hears and tells, and says who speaks.
func TestOnlyGatewaysArePaired(t *testing.T) {
	t.Parallel()
	s := clustered(t)
	s.plan.Pair = true
	for _, role := range []string{subject.RoleGateway, subject.RoleKeeper, subject.RoleAudit, subject.RoleOps} {
		can := 0
		r := rightsOf(s.plan, role)
		for _, right := range append(r.publish, r.subscribe...) {
			if strings.HasPrefix(right.subject, "pair.") {
				can++
			}
		}
		if (can > 0) != (role == subject.RoleGateway) {
			t.Errorf("%s has %d rights about the pair", role, can)
		}
	}
}
