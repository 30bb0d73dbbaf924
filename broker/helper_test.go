package broker

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// person is a test identity: an nkey and a self-signed certificate.
type person struct {
	user   nkeys.KeyPair
	public string
	cert   tls.Certificate
	pin    [32]byte
}

func newPerson(t testing.TB, name string) person {
	t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return person{
		user: user, public: public, pin: sha256.Sum256(leaf.RawSubjectPublicKeyInfo),
		cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf},
	}
}

func (p person) peer(code string) Peer {
	return Peer{
		Code: code, Ref: "card of " + code, NATSKeys: []string{p.public},
		Pins: [][32]byte{p.pin}, CertDER: p.cert.Certificate,
	}
}

// site is the broker of al with everybody who may connect to it.
type site struct {
	dir                         string
	server                      person // the broker's own certificate
	gateway, keeper, audit, ops person
	me, xk                      person
	plan                        Plan
	broker                      *Embedded
	conf                        string
	log                         *slog.Logger
}

// kinds are the words of what is not an alert.
var kinds = []string{"act", "receipt", "card", "agreement", "notice", "erase", "epoch", "heartbeat", "null"}

// quiet drops what the library tells of refusals.
var quiet = nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})

// says lets the owner say these types, and every kind.
func says(refs ...string) []Say {
	var out []Say
	for _, word := range append(refs, kinds...) {
		out = append(out, Say{Token: word, Ref: "clause of " + word})
	}
	return out
}

// newSite makes the plan of al: b01-al-me with me, t01-al-me-xk with both.
func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
	if testing.Verbose() {
		s.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	for _, p := range []*person{&s.server, &s.gateway, &s.keeper, &s.audit, &s.ops, &s.me, &s.xk} {
		*p = newPerson(t, "test")
	}
	for _, p := range []*person{&s.keeper, &s.audit, &s.ops} { // the broker's own certificate is theirs
		p.cert, p.pin = s.server.cert, s.server.pin
	}
	s.conf = filepath.Join(s.dir, "nats.conf")
	s.plan = Plan{
		Party: "al", ServerName: "al", Listen: "127.0.0.1:0", StoreDir: filepath.Join(s.dir, "jetstream"),
		TLS: TLSFiles{
			Cert: filepath.Join(s.dir, "tls.crt"), Key: filepath.Join(s.dir, "tls.key"),
			CA: filepath.Join(s.dir, "partners.pem"),
		},
		MaxStore: 8 << 30, OwnQuota: 64 << 20, Replicas: 1,
		Own: Users{
			Gateway: []string{s.gateway.public}, Keeper: []string{s.keeper.public},
			Audit: []string{s.audit.public}, Ops: []string{s.ops.public},
			Pins:    [][32]byte{s.gateway.pin, s.server.pin},
			CertDER: [][]byte{s.gateway.cert.Certificate[0], s.server.cert.Certificate[0]},
		},
		Peers: []Peer{s.me.peer("me"), s.xk.peer("xk")},
		Channels: []Channel{
			{
				ID: "b01-al-me", Ref: "b01-al-me v1, in force", Mode: karaulav1.Mode_MODE_ACTUAL,
				Say:      says("vehicle", "patrol"),
				Partners: []PartnerOf{{Code: "me", Fetch: true}}, Quota: 256 << 20, In: []string{"me"},
			},
			{
				ID: "t01-al-me-xk", Ref: "t01-al-me-xk v1, in force", Mode: karaulav1.Mode_MODE_ACTUAL,
				Say:      says("route"),
				Partners: []PartnerOf{{Code: "me", Fetch: true}, {Code: "xk", Fetch: true}}, Quota: 256 << 20,
				In: []string{"me", "xk"},
			},
		},
	}
	writeTestTLS(t, s)
	return s
}

func writeTestTLS(t testing.TB, s *site) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(s.server.cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		s.plan.TLS.Cert: {Type: "CERTIFICATE", Bytes: s.server.cert.Certificate[0]},
		s.plan.TLS.Key:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// start writes the plan, runs the broker and makes streams and consumers.
func (s *site) start(t testing.TB) {
	t.Helper()
	if _, err := Prepare(s.plan, s.conf); err != nil {
		t.Fatal(err)
	}
	b, err := Run(context.Background(), s.conf, &s.server.cert, s.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	s.broker = b
	s.keep(t)
}

// keep runs the keeper once.
func (s *site) keep(t testing.TB) {
	t.Helper()
	k := NewKeeper(s.own(t, subject.RoleKeeper, s.keeper), s.log)
	if _, err := k.Apply(context.Background(), s.plan); err != nil {
		t.Fatal(err)
	}
}

// apply writes the changed plan, reloads, and runs the keeper.
func (s *site) apply(t testing.TB) {
	t.Helper()
	if _, err := Prepare(s.plan, s.conf); err != nil {
		t.Fatal(err)
	}
	if err := s.broker.Reload(); err != nil {
		t.Fatal(err)
	}
	s.keep(t)
}

// own logs in within the process.
func (s *site) own(t testing.TB, role string, p person) *nats.Conn {
	t.Helper()
	nc, err := s.broker.Connect(role, p.user, &s.gateway.cert)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// dial logs in over TLS as somebody.
func (s *site) dial(t testing.TB, who person, inbox string, opts ...nats.Option) (*nats.Conn, error) {
	t.Helper()
	public := who.public
	opts = append([]nats.Option{
		nats.Nkey(public, who.user.Sign), nats.CustomInboxPrefix(subject.Inbox(inbox)),
		nats.TLSHandshakeFirst(), nats.Secure(s.clientTLS(who.cert)), nats.MaxReconnects(-1),
		nats.ReconnectWait(20 * time.Millisecond), nats.Timeout(3 * time.Second), nats.IgnoreDiscoveredServers(),
	}, opts...)
	nc, err := nats.Connect(s.broker.ClientURL(), opts...)
	if err == nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}

// clientTLS pins the broker's key, as a gateway does.
func (s *site) clientTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert},
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo) != s.server.pin {
				return x509.UnknownAuthorityError{}
			}
			return nil
		},
	}
}

// mustDial is dial for those who may.
func (s *site) mustDial(t testing.TB, who person, inbox string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := s.dial(t, who, inbox, opts...)
	if err != nil {
		t.Fatalf("%s could not connect: %v", inbox, err)
	}
	return nc
}

// rawConn logs in over TLS and gives the bare connection.
func rawConn(t testing.TB, s *site, who person) net.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.broker.ClientURL(), "tls://"), s.clientTLS(who.cert))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Nonce string `json:"nonce"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil {
		t.Fatal(err)
	}
	sig, err := who.user.Sign([]byte(info.Nonce))
	if err != nil {
		t.Fatal(err)
	}
	const connect = `CONNECT {"nkey":%q,"sig":%q,"headers":true,"protocol":1,"verbose":false}` + "\r\nPING\r\n"
	_, err = fmt.Fprintf(conn, connect,
		who.public, base64.RawURLEncoding.EncodeToString(sig))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
