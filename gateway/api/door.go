package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"karaula/internal/access"
	"karaula/internal/bucket"
	"karaula/internal/keyring"
)

// door knows who may come in, and who is inside.
type door struct {
	o Options

	mu        sync.Mutex
	clients   map[[32]byte]*client // by fingerprint
	strangers map[string]int       // connections that have shown no certificate, by address
	waiting   int                  // all of them
	damaged   map[string]bool      // files that were complained about
	quiet     time.Time            // until then no refusal is logged
}

// client is one client and what it uses.
type client struct {
	access.Client
	rate *bucket.Bucket // guarded by the door

	conns  map[*conn]bool // guarded by the door
	flight int            // requests; guarded by the door
}

func newDoor(o Options) *door {
	return &door{o: o, clients: map[[32]byte]*client{}, strangers: map[string]int{}, damaged: map[string]bool{}}
}

// watch looks again and again who may come in, until ctx ends.
func (d *door) watch(ctx context.Context) {
	t := time.NewTicker(d.o.Limits.Look)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			d.look()
		}
	}
}

// look reads who may come in, and shows out who may no longer.
func (d *door) look() {
	list, bad, err := access.List(d.o.Clients)
	if err != nil { // nobody is let in whom nothing names
		d.o.Logger.Error("it cannot be read who may use the interface; nobody may", "why", err.Error())
	}
	now := d.o.Now()
	next := map[[32]byte]access.Client{}
	for _, c := range list {
		switch {
		case c.Until <= now.Unix():
		case d.isOfficer(c.Name):
			bad = append(bad, access.Damaged{File: c.Name + ".json", Err: errors.New("an officer of node.yaml has the same id")})
		default:
			next[c.Fingerprint] = c
		}
	}
	var out []*conn
	d.mu.Lock()
	for mark, c := range d.clients {
		if now, still := next[mark]; !still || now != c.Client {
			for cn := range c.conns {
				out = append(out, cn)
			}
			delete(d.clients, mark)
		}
	}
	for mark, c := range next {
		if d.clients[mark] == nil {
			d.clients[mark] = &client{Client: c, conns: map[*conn]bool{}, rate: bucket.New(d.o.Limits.Rate, d.o.Limits.Burst, now)}
		}
	}
	d.mu.Unlock()
	for _, cn := range out {
		cn.Close() //nolint:errcheck // who is shown out is not asked
	}
	d.complain(bad)
}

// complain logs each damaged file once. Its name may be an officer's id, so it is
// not logged.
func (d *door) complain(bad []access.Damaged) {
	for _, b := range bad {
		if !d.damaged[b.File] {
			d.damaged[b.File] = true
			d.o.Logger.Warn("a file of DIR/api/clients lets nobody in; karaula api client list --dir DIR names it")
		}
	}
	for name := range d.damaged {
		if !slices.ContainsFunc(bad, func(b access.Damaged) bool { return b.File == name }) {
			delete(d.damaged, name)
		}
	}
}

func (d *door) isOfficer(id string) bool {
	for _, o := range d.o.Officers {
		if o.ID == id {
			return true
		}
	}
	return false
}

// tls gives the configuration of the listener: a certificate that no file names
// ends the handshake, before anything else of the caller is read.
func (d *door) tls() *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{d.o.Certificate},
		ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
		NextProtos: []string{"h2", "http/1.1"},
	}
	refuseAll := errors.New("no connection of this listener")
	base.VerifyConnection = func(tls.ConnectionState) error { return refuseAll }
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		cn, ok := hello.Conn.(*conn)
		if !ok {
			return nil, refuseAll
		}
		c := base.Clone()
		c.GetConfigForClient = nil
		c.VerifyConnection = func(s tls.ConnectionState) error { return d.admit(cn, s.PeerCertificates) }
		return c, nil
	}
	return base
}

// The reasons for which a certificate is refused. The caller sees a TLS alert only.
var (
	errUnknown = errors.New("no client has this certificate")
	errTime    = errors.New("the certificate has expired or is not valid yet")
	errFull    = errors.New("the client has too many connections")
)

// admit makes a stranger's connection a client's, or says why not.
func (d *door) admit(cn *conn, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errUnknown
	}
	leaf, now := chain[0], d.o.Now()
	mark := keyring.Fingerprint(leaf)
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.clients[mark]
	err := error(nil)
	switch {
	case c == nil || cn.gone:
		err = errUnknown
	case now.After(leaf.NotAfter) || now.Before(leaf.NotBefore):
		err = errTime
	case len(c.conns) >= d.o.Limits.Connections:
		err = errFull
	}
	if err != nil {
		if now.After(d.quiet) { // a flood must not fill the log
			d.quiet = now.Add(time.Second)
			d.o.Logger.Info("a caller of the interface was refused", "certificate", access.FormatFingerprint(mark), "why", err.Error())
		}
		return err
	}
	d.leave(cn)
	c.conns[cn], cn.client = true, c
	return nil
}

// leave gives back what a connection holds. The door is locked.
func (d *door) leave(cn *conn) {
	switch {
	case cn.client != nil:
		delete(cn.client.conns, cn)
	case !cn.gone:
		d.waiting--
		if d.strangers[cn.from]--; d.strangers[cn.from] <= 0 {
			delete(d.strangers, cn.from)
		}
	}
	cn.gone = true
}

// listener hands out connections that the door has counted.
type listener struct {
	net.Listener
	d *door
}

// Accept implements net.Listener. Strangers beyond the limits are not kept waiting.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if cn, ok := l.d.greet(c); ok {
			return cn, nil
		}
		c.Close() //nolint:errcheck // a stranger too many
	}
}

// greet counts a stranger, if there is room for one.
func (d *door) greet(c net.Conn) (*conn, bool) {
	from, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		from = c.RemoteAddr().String()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting >= d.o.Limits.Strangers || d.strangers[from] >= d.o.Limits.StrangersEach {
		return nil, false
	}
	d.waiting++
	d.strangers[from]++
	return &conn{Conn: c, d: d, from: from}, true
}

// conn is one counted connection.
type conn struct {
	net.Conn
	d    *door
	from string // address without the port

	client *client // nil: a stranger; guarded by the door
	gone   bool    // gave its stranger's seat back; guarded by the door
}

// Close gives the seat back.
func (c *conn) Close() error {
	c.d.mu.Lock()
	c.d.leave(c)
	c.d.mu.Unlock()
	return c.Conn.Close()
}

type connKey struct{}

// knownConn keeps the counted connection in the context of its requests.
func knownConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		if cn, ok := t.NetConn().(*conn); ok {
			return context.WithValue(ctx, connKey{}, cn)
		}
	}
	return ctx
}
