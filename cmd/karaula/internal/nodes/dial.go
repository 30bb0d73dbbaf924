package nodes

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/broker"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/subject"
)

// ownTimeout bounds one attempt to reach the own broker.
const ownTimeout = 5 * time.Second

// dialOwn connects to the own broker in another process: TLS with the pins of
// the own card, the gateway's certificate and its user of role gateway. Card and
// certificate are looked up at each handshake: they may have been renewed.
func (n *Node) dialOwn() (*nats.Conn, error) {
	if _, err := n.Register.View().OwnCard(); err != nil {
		return nil, err
	}
	cfg, keys := n.Config, n.keys.Keys()
	user, err := keyring.User(keys.Own)
	if err != nil {
		return nil, problem.Wrap(problem.Locked, err, "the gateway's nkey cannot be used")
	}
	return nats.Connect(ownURLs(cfg),
		nats.DontRandomize(),
		nats.Nkey(user, keys.Own.Sign),
		nats.Secure(n.pinned()),
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
func (n *Node) pinned() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return n.login(), nil
		},
		InsecureSkipVerify: true, //nolint:gosec // names and authorities mean nothing here: VerifyConnection compares the key
		VerifyConnection: func(s tls.ConnectionState) error {
			own, err := n.Register.View().OwnCard()
			if err != nil || len(s.PeerCertificates) == 0 ||
				!slices.Contains(own.Pins(keyring.RoleBroker), keyring.Pin(s.PeerCertificates[0])) {
				return errNotPinned
			}
			return nil
		},
	}
}

// login gives the certificate with which the gateway meets the own broker now.
func (n *Node) login() *tls.Certificate {
	n.keys.Refresh()
	own, err := n.Register.View().OwnCard()
	if err != nil {
		return &n.keys.Keys().TLS
	}
	c := own.Client(n.keys.Keys())
	return &c
}

// client gives a certificate of ours that the own broker lets in.
func (n *Node) client(own *card.Card) tls.Certificate {
	if n.keys != nil {
		return own.Client(n.keys.Keys())
	}
	return broker.Shown(n.held(), own)
}
