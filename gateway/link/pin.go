package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"karaula/internal/keyring"
)

// errPin says that a broker showed a key that its card does not name.
var errPin = errors.New("its TLS key is not one that its card names")

// tlsConfig makes the client side of a link: TLS 1.3 only, our certificate,
// and the server's key compared with the pins of its card.
//
// InsecureSkipVerify switches off what Go would check instead: a chain to a
// certification authority and a host name. Neither says anything here. There
// is no authority above two states that could vouch for one of them, and the
// address in a card is a way to get there, not an identity: it may be a bare
// IP address, a tunnel or a port forward. The identity is the key, and the
// card that names it is signed by the root that the agreement pins.
// VerifyConnection runs on every handshake, also on resumed ones, and the
// handshake itself proves that the server holds the private key.
func tlsConfig(own tls.Certificate, pins [][32]byte) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{own},
		InsecureSkipVerify: true, //nolint:gosec // keys are pinned, see above
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !slices.Contains(pins, keyring.Pin(s.PeerCertificates[0])) {
				return errPin
			}
			return nil
		},
	}
}

// dialer opens guarded TLS connections for the NATS client. It does the whole
// handshake itself, before the first byte of NATS, so that the guard sees
// plain protocol.
type dialer struct {
	tls     *tls.Config
	timeout time.Duration
	ctx     context.Context // ends when the first Dial is given up; nil afterwards
	offence func()          // told of every connection that the guard cuts; may be nil

	mu   sync.Mutex
	last error // why the newest attempt failed; nil after a success
}

// SkipTLSHandshake tells the NATS client that the connection is TLS already.
func (d *dialer) SkipTLSHandshake() bool { return true }

// Dial connects and shakes hands within the timeout.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.dial(network, address)
	d.note(err)
	return conn, err
}

// dial is Dial without its memory.
func (d *dialer) dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	parent := d.ctx
	d.mu.Unlock()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, d.timeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, d.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return &guard{Conn: conn, offence: d.offence}, nil
}

// note keeps why the newest attempt failed.
func (d *dialer) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
}

// failure gives why the newest attempt failed, nil if it did not.
func (d *dialer) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// settle ends the time in which a context can cancel an attempt.
func (d *dialer) settle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ctx = nil
}
