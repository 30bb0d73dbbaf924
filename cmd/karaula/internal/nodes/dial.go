package nodes

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
)

// ownTimeout bounds one attempt to reach the own broker.
const ownTimeout = 5 * time.Second

// dialOwn connects to the own broker in another process: TLS with the pins of
// the own card, the gateway's certificate and its user of role gateway.
func dialOwn(cfg *node.Config, view *register.View, keys *keyring.Gateway) (*nats.Conn, error) {
	own, err := view.OwnCard()
	if err != nil {
		return nil, err
	}
	user, err := keyring.User(keys.Own)
	if err != nil {
		return nil, problem.Wrap(problem.Locked, err, "the gateway's nkey cannot be used")
	}
	return nats.Connect(ownURLs(cfg),
		nats.DontRandomize(),
		nats.Nkey(user, keys.Own.Sign),
		nats.Secure(pinned(keys.TLS, own.Pins(keyring.RoleBroker))),
		nats.TLSHandshakeFirst(),
		nats.CustomInboxPrefix(subject.Inbox(subject.RoleGateway)),
		nats.Name(subject.RoleGateway),
		nats.Timeout(ownTimeout),
		nats.PingInterval(2*time.Second), // a machine that is gone says nothing
		nats.MaxPingsOutstanding(2),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.IgnoreDiscoveredServers(),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1), // what cannot be sent fails at once; the gateway looks and tries again
	)
}

// ownURLs lists where the own broker is, the server of this machine first.
func ownURLs(cfg *node.Config) string {
	switch {
	case cfg.Cluster.On():
		urls := []string{"tls://" + cfg.Cluster.Here().Client}
		for _, s := range cfg.Cluster.Servers {
			if s.Name != cfg.Cluster.Server {
				urls = append(urls, "tls://"+s.Client)
			}
		}
		return strings.Join(urls, ",")
	case cfg.Broker.URL != "":
		return cfg.Broker.URL
	default:
		return "tls://" + cfg.Listen
	}
}

var errNotPinned = errors.New("the broker's key is not the one that the own card names")

// pinned is a TLS client that knows its server by key and nothing else.
func pinned(cert tls.Certificate, pins [][32]byte) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{cert},
		InsecureSkipVerify: true, //nolint:gosec // names and authorities mean nothing here: VerifyConnection compares the key
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errNotPinned
			}
			if !slices.Contains(pins, sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)) {
				return errNotPinned
			}
			return nil
		},
	}
}
