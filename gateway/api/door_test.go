package api_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"karaula/gateway/api"
	"karaula/internal/access"
	"karaula/internal/keyring"
	"karaula/internal/node"
)

func TestOnlyKnownCertificatesGetIn(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	known := h.let(t, access.Client{Name: "plates", Role: node.RoleSystem})
	if r := h.call(t, known, "Status", "{}"); r.code != http.StatusOK || !strings.Contains(r.body, `"party":"al"`) {
		t.Fatalf("a known client: %+v", r)
	}
	for name, cfg := range map[string]*tls.Config{
		"no certificate":      h.tls(),
		"unknown certificate": h.tls(h.credentials(t, "plates")),
		"the server's own":    h.tls(h.server),
		"TLS 1.2":             {MaxVersion: tls.VersionTLS12, RootCAs: h.tls().RootCAs, Certificates: h.tls(h.credentials(t, "x")).Certificates},
	} {
		if _, err := h.dial(t, cfg); err == nil {
			t.Errorf("%s: got in", name)
		}
	}
}

// Somebody else's certificate is of no use without its key.
func TestACertificateAloneLetsNobodyIn(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	cert := h.credentials(t, "plates")
	c := access.Client{Name: "plates", Role: node.RoleSystem, Fingerprint: keyring.Fingerprint(cert.Leaf), Until: cert.Leaf.NotAfter.Unix()}
	if err := access.Add(h.dir, c); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { _, err := h.dial(t, h.tls(cert)); return err == nil })
	stolen := h.credentials(t, "thief")
	stolen.Certificate, stolen.Leaf = cert.Certificate, nil
	if _, err := h.dial(t, h.tls(stolen)); err == nil {
		t.Error("got in with another key")
	}
}

// shownOut tries what must end the connections of a client that is inside.
func shownOut(t *testing.T, what func(h *house)) {
	t.Helper()
	h := start(t, nil)
	cert := h.credentials(t, "plates")
	c := access.Client{Name: "plates", Role: node.RoleSystem, Fingerprint: keyring.Fingerprint(cert.Leaf), Until: cert.Leaf.NotAfter.Unix()}
	if err := access.Add(h.dir, c); err != nil {
		t.Fatal(err)
	}
	var inside net.Conn
	until(t, func() bool {
		var err error
		inside, err = h.dial(t, h.tls(cert))
		return err == nil
	})
	what(h)
	if _, err := io.Copy(io.Discard, inside); err == nil { // returns when the connection is cut
		t.Log("closed in order")
	}
	if _, err := h.dial(t, h.tls(cert)); err == nil {
		t.Error("got in again")
	}
}

func TestWhoIsRemovedIsCutOff(t *testing.T) {
	t.Parallel()
	shownOut(t, func(h *house) {
		if err := access.Remove(h.dir, "plates"); err != nil {
			t.Error(err)
		}
	})
}

func TestAnExpiredCertificateIsCutOff(t *testing.T) {
	t.Parallel()
	shownOut(t, func(h *house) { h.pass(2 * time.Hour) })
}

func TestAnOfficersIDIsNoClients(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	other := h.let(t, access.Client{Name: "plates", Role: node.RoleSystem})
	cert := h.credentials(t, "chief")
	c := access.Client{Name: "chief", Role: node.RoleAdmin, Fingerprint: keyring.Fingerprint(cert.Leaf), Until: cert.Leaf.NotAfter.Unix()}
	if err := access.Add(h.dir, c); err != nil {
		t.Fatal(err)
	}
	h.let(t, access.Client{Name: "later", Role: node.RoleSystem}) // by now the folder was read
	if _, err := h.dial(t, h.tls(cert)); err == nil {
		t.Error("a client with the id of an officer got in")
	}
	if r := h.call(t, other, "Status", "{}"); r.code != http.StatusOK {
		t.Errorf("the others: %+v", r)
	}
	h.close()
	if strings.Contains(h.log.String(), "chief") {
		t.Errorf("the log names a person:\n%s", h.log)
	}
}

func TestConnectionsOfAClientAreBounded(t *testing.T) {
	t.Parallel()
	h := start(t, func(l *api.Limits) { l.Connections = 2 })
	cert := h.credentials(t, "plates")
	c := access.Client{Name: "plates", Role: node.RoleSystem, Fingerprint: keyring.Fingerprint(cert.Leaf), Until: cert.Leaf.NotAfter.Unix()}
	if err := access.Add(h.dir, c); err != nil {
		t.Fatal(err)
	}
	var first net.Conn
	until(t, func() bool {
		var err error
		first, err = h.dial(t, h.tls(cert))
		return err == nil
	})
	if _, err := h.dial(t, h.tls(cert)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.dial(t, h.tls(cert)); err == nil {
		t.Error("a third connection got in")
	}
	h.let(t, access.Client{Name: "cases", Role: node.RoleSystem}) // another client is not kept out
	_ = first.Close()
	until(t, func() bool { _, err := h.dial(t, h.tls(cert)); return err == nil })
}

// Strangers that only hold connections open keep nobody else waiting, and are cut
// off after the time for a handshake.
func TestSilentStrangersAreBounded(t *testing.T) {
	t.Parallel()
	h := start(t, func(l *api.Limits) { l.StrangersEach, l.Handshake = 3, 300*time.Millisecond })
	var silent []net.Conn
	for range 10 {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	for _, c := range silent {
		_, _ = io.Copy(io.Discard, c) // ends when the other side cuts it
		_ = c.Close()
	}
	h.let(t, access.Client{Name: "plates", Role: node.RoleSystem})
}
