package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/desk"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// HeaderOfficer names the officer for whom a system asks, where it may.
const HeaderOfficer = "Karaula-Officer"

// guard lets a request in as the client whose connection it came on.
func (d *door) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slow := http.NewResponseController(w)
		_ = slow.SetReadDeadline(time.Now().Add(d.o.Limits.Read)) // both versions of HTTP have deadlines
		_ = slow.SetWriteDeadline(time.Time{})                    // that of the answer before
		c, done, err := d.enter(r.Context())
		if err != nil {
			d.o.Desk.Refuse(w, r, err)
			return
		}
		defer done()
		who, err := officer(c, r.Header)
		if err != nil {
			d.o.Desk.Refuse(w, r, err)
			return
		}
		r = r.WithContext(desk.AsOfficer(r.Context(), who))
		r.Body = &body{r.Body, slow}
		out := &answer{w, slow, d.o.Limits.Write, r.ProtoMajor >= 2}
		next.ServeHTTP(out, r)
		out.hurry() // for what is still to be flushed
	})
}

// enter takes a seat for one request of the connection's client.
func (d *door) enter(ctx context.Context) (*client, func(), error) {
	cn, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return nil, nil, problem.New(problem.Locked, "no client certificate was shown; nothing was done")
	}
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	c := cn.client
	switch {
	case c == nil || d.clients[c.Fingerprint] != c || c.Until <= now.Unix():
		return nil, nil, problem.New(problem.Locked, "the certificate lets nobody in any more; nothing was done")
	case c.flight >= d.o.Limits.Flight:
		return nil, nil, busy("%d requests of this client are being answered; nothing was done", c.flight)
	case !c.rate.Take(now):
		return nil, nil, busy("more than %.0f requests in a second; nothing was done", d.o.Limits.Rate)
	}
	c.flight++
	return c, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		c.flight--
	}, nil
}

// busy is the answer to who asks too much.
func busy(format string, args ...any) error {
	err := connect.NewError(connect.CodeResourceExhausted, problem.New(problem.Unreachable, format, args...))
	err.Meta().Set("Retry-After", "1")
	return err
}

// officer says as whom a client asks. What it may not say is refused, never
// passed over: whoever sends it believes that it counts.
func officer(c *client, h http.Header) (desk.Officer, error) {
	who := desk.Officer{ID: c.Name, Role: c.Role}
	named := h.Values(HeaderOfficer)
	switch {
	case h.Get("Origin") != "" || h.Get("Sec-Fetch-Site") != "":
		return who, problem.New(problem.Locked, "the interface does not answer web pages; nothing was done")
	case len(h.Values("Idempotency-Key")) > 0:
		return who, problem.New(problem.Invalid, "the interface takes no Idempotency-Key; nothing was done").
			WithHint("give each alert an id: with its version it is the key, and holds for ever (docs/api.md)")
	case !c.NamesOfficers && len(named) > 0:
		return who, problem.New(problem.Locked, "this client may not name officers with %s; nothing was done", HeaderOfficer).
			WithHint("karaula api client add NAME --role system --names-officers --dir DIR")
	case !c.NamesOfficers:
		return who, nil
	case len(named) != 1 || !node.ValidOfficer(named[0]):
		return who, problem.New(problem.Invalid,
			"%s must name one officer, with 1 to 64 letters, digits, dots, hyphens and underscores; nothing was done", HeaderOfficer)
	}
	who.ID += "/" + named[0] // no id of the node has a slash: it shows who vouches for the name
	return who, nil
}

// body lifts the time limit when a request has been read: an answer may take longer.
type body struct {
	io.ReadCloser
	slow *http.ResponseController
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.slow.SetReadDeadline(time.Time{})
	}
	return n, err
}

// answer gives each piece of an answer its time: who does not take it is cut off.
// Between two pieces a stream may be silent for as long as it is.
type answer struct {
	http.ResponseWriter
	slow *http.ResponseController
	time time.Duration
	// cuts: a time that runs out ends the answer, though nothing is being written
	// (HTTP/2).
	cuts bool
}

// hurry begins the time of a piece.
func (a *answer) hurry() { _ = a.slow.SetWriteDeadline(time.Now().Add(a.time)) }

// rest ends it.
func (a *answer) rest() {
	if a.cuts {
		_ = a.slow.SetWriteDeadline(time.Time{})
	}
}

// Write implements io.Writer.
func (a *answer) Write(p []byte) (int, error) {
	a.hurry()
	defer a.rest()
	return a.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (a *answer) Flush() {
	a.hurry()
	defer a.rest()
	_ = a.slow.Flush()
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
