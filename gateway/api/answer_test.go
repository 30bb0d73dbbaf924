package api_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/api"
	"karaula/internal/access"
	"karaula/internal/keyring"
	"karaula/internal/node"
)

// say is a desk that answers everything in its own way.
type say func(w http.ResponseWriter)

func (s say) Handler(...connect.HandlerOption) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/say" {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		s(w)
	})
}

func (say) Refuse(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusTeapot) }

// writeTime is the time for one piece of an answer in these tests: long enough for
// any machine to write a byte.
const writeTime = 3 * time.Second

// versions gives a client of each version of HTTP.
func versions(t *testing.T, h *house) map[string]*http.Client {
	t.Helper()
	cert := h.credentials(t, "plates")
	c := access.Client{Name: "plates", Role: node.RoleSystem, Fingerprint: keyring.Fingerprint(cert.Leaf), Until: cert.Leaf.NotAfter.Unix()}
	if err := access.Add(h.dir, c); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { _, err := h.dial(t, h.tls(cert)); return err == nil })
	one := &http.Client{Transport: &http.Transport{
		TLSClientConfig: h.tls(cert), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}}
	return map[string]*http.Client{"HTTP/1.1": one, "HTTP/2.0": h.client(cert)}
}

func TestASilentStreamGoesOn(t *testing.T) {
	t.Parallel()
	h := open(t, func(l *api.Limits) { l.Write, l.Read = writeTime, writeTime }, say(func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, "a")
		w.(http.Flusher).Flush() //nolint:forcetypeassert // it must be one
		time.Sleep(writeTime + time.Second)
		_, _ = io.WriteString(w, "b")
	}))
	for version, c := range versions(t, h) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			resp, err := c.Post("https://"+h.addr+"/say", "text/plain", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close() //nolint:errcheck // read
			got, err := io.ReadAll(resp.Body)
			if err != nil || string(got) != "ab" || resp.Proto != version {
				t.Errorf("%s: %q, %v", resp.Proto, got, err)
			}
		})
	}
}

func TestWhoDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	cut := make(chan error, 2)
	h := open(t, func(l *api.Limits) { l.Write = writeTime }, say(func(w http.ResponseWriter) {
		_, err := w.Write(make([]byte, 256<<20))
		cut <- err
	}))
	for version, c := range versions(t, h) {
		resp, err := c.Post("https://"+h.addr+"/say", "text/plain", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-cut; err == nil {
			t.Errorf("%s: all was written to somebody who reads nothing", version)
		}
		_ = resp.Body.Close()
	}
}
