package link

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/signedtext"
)

const channel = "b01-al-me"

// party is one side of a border: keys, card and, for al, a broker.
type party struct {
	name string
	root *keyring.Root
	next string
	gw   *keyring.Gateway
	br   *keyring.Broker
	card *card.Card
}

// newParty makes a party with a card that names an address.
func newParty(t testing.TB, name, address string) *party {
	t.Helper()
	private, _, err := keyring.NewRoot(name)
	must(t, err)
	root, err := keyring.ParseRoot(private)
	must(t, err)
	_, next, err := keyring.NewRoot(name)
	must(t, err)
	now := time.Now().Add(-time.Minute)
	gw, err := keyring.NewGateway(name, now)
	must(t, err)
	br, err := keyring.NewBroker(name, now)
	must(t, err)
	p := &party{name: name, root: root, next: next, gw: gw, br: br}
	p.card = p.issue(t, 1, address)
	return p
}

// issue makes a card of the party's present keys.
func (p *party) issue(t testing.TB, serial uint64, address string) *card.Card {
	t.Helper()
	c, err := card.Draft(p.gw, p.br, time.Now().Add(-time.Minute))
	must(t, err)
	c.Name, c.Serial, c.Root, c.Contact = "Test party "+p.name, serial, p.root.VKey, "duty desk"
	c.Address = []string{address}
	c.NextRoot = signedtext.KeyDigest(p.next)
	if p.card != nil {
		c.Previous = p.card.Digest
	}
	file, err := card.Issue(c, p.root.Signer)
	must(t, err)
	opened, err := card.Open(file)
	must(t, err)
	return opened
}

// node is al's broker with the account of me, as federation.md lays it out.
type node struct {
	t      testing.TB
	al, me *party
	dir    string
	port   int
	srv    *server.Server
	own    *nats.Conn // al's own account
	extra  string     // more imports for PEER_ME in the configuration text
}

// newNode makes two parties and starts al's broker with one channel stream.
func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), port: freePort(t)}
	n.al = newParty(t, "al", fmt.Sprintf("127.0.0.1:%d", n.port))
	n.me = newParty(t, "me", "127.0.0.1:9")
	n.start()
	js, err := n.own.JetStream()
	must(t, err)
	_, err = js.AddStream(&nats.StreamConfig{
		Name: "OUT_" + channel, Subjects: []string{"k1." + channel + ".al.>"}, Discard: nats.DiscardNew,
	})
	must(t, err)
	n.addConsumer(1)
	return n
}

// addConsumer makes me's consumer, delivering from a stream sequence on.
func (n *node) addConsumer(from uint64) { n.setConsumer(from, time.Hour) }

// setConsumer makes or changes me's consumer. What is not acknowledged comes
// again after ackWait: an hour unless a test wants to see it, so that no test
// depends on how fast it runs.
func (n *node) setConsumer(from uint64, ackWait time.Duration) {
	n.t.Helper()
	n.request("$JS.API.CONSUMER.DURABLE.CREATE.OUT_"+channel+".me", map[string]any{
		"stream_name": "OUT_" + channel,
		"config": map[string]any{
			"durable_name": "me", "ack_policy": "all", "deliver_policy": "by_start_sequence", "opt_start_seq": from,
			"ack_wait": int64(ackWait), "max_ack_pending": 5000, "max_waiting": 8, "max_batch": 5000,
			"max_expires": int64(30 * time.Second), "replay_policy": "instant",
		},
	})
}

// request makes one call of JetStream's API on al's own account.
func (n *node) request(subj string, body any) string {
	n.t.Helper()
	raw, err := json.Marshal(body)
	must(n.t, err)
	m, err := n.own.Request(subj, raw, 5*time.Second)
	must(n.t, err)
	if strings.Contains(string(m.Data), `"error"`) {
		n.t.Fatalf("%s: %s", subj, m.Data)
	}
	return string(m.Data)
}

// say publishes messages first to last into the channel stream.
func (n *node) say(first, last int) {
	n.t.Helper()
	js, err := n.own.JetStream()
	must(n.t, err)
	for i := first; i <= last; i++ {
		_, err := js.Publish("k1."+channel+".al.vehicle", fmt.Appendf(nil, "statement %d", i))
		must(n.t, err)
	}
}

// start starts the broker from its configuration text and connects al to it.
func (n *node) start() {
	n.t.Helper()
	opts, err := server.ProcessConfigFile(n.config())
	must(n.t, err)
	opts.NoSigs, opts.NoLog = true, true
	n.srv, err = server.NewServer(opts)
	must(n.t, err)
	go n.srv.Start()
	if !n.srv.ReadyForConnections(10 * time.Second) {
		n.t.Fatal("the broker did not start")
	}
	pub, err := n.al.gw.Own.PublicKey()
	must(n.t, err)
	n.own, err = nats.Connect("", nats.InProcessServer(n.srv), nats.Nkey(pub, n.al.gw.Own.Sign),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	must(n.t, err)
	own, srv := n.own, n.srv
	n.t.Cleanup(func() { own.Close(); srv.Shutdown(); srv.WaitForShutdown() })
}

// stop stops the broker.
func (n *node) stop() {
	n.own.Close()
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

// config writes the configuration that follows from one agreement of al and me.
func (n *node) config() string {
	n.t.Helper()
	writePEM(n.t, filepath.Join(n.dir, "partners.pem"), n.al.gw.TLS.Certificate[0], n.me.gw.TLS.Certificate[0])
	writePEM(n.t, filepath.Join(n.dir, "tls.crt"), n.al.br.TLS.Certificate[0])
	writeKey(n.t, filepath.Join(n.dir, "tls.key"), n.al.br.TLS.PrivateKey)
	own, err := n.al.gw.Own.PublicKey()
	must(n.t, err)
	pin := n.me.card.Pins(keyring.RoleGateway)[0]
	r := strings.NewReplacer("DIR", n.dir, "PORT", fmt.Sprint(n.port), "OWN", own, "PEERKEY", n.me.card.NATS,
		"PIN", fmt.Sprintf("%x", pin), "CH", channel, "EXTRA", n.extra)
	path := filepath.Join(n.dir, "nats.conf")
	must(n.t, os.WriteFile(path, []byte(r.Replace(configText)), 0o600))
	return path
}

const configText = `
server_name: al
listen: "127.0.0.1:PORT"
max_payload: 1056768
jetstream { store_dir: "DIR/js", domain: al, sync_interval: always, max_mem: 64MB, max_file: 256MB }
feature_flags { js_ack_fc_v2: true }
tls {
  cert_file: "DIR/tls.crt", key_file: "DIR/tls.key", ca_file: "DIR/partners.pem"
  verify: true, handshake_first: true, min_version: "1.3", timeout: 5
  pinned_certs: ["PIN"]
}
accounts {
  AL {
    jetstream: enabled
    users: [{ nkey: OWN }]
    exports: [
      { service: "$JS.API.CONSUMER.MSG.NEXT.OUT_CH.me", response_type: stream, threshold: "60s", accounts: [PEER_ME] }
      { service: "$JS.ACK.al.*.OUT_CH.me.*.*.*.*.*", accounts: [PEER_ME] }
      { service: "k1.link.me", accounts: [PEER_ME] }
    ]
  }
  PEER_ME {
    users: [{ nkey: PEERKEY, permissions: {
      publish: { allow: ["$JS.API.CONSUMER.MSG.NEXT.OUT_CH.me", "$JS.ACK.al.*.OUT_CH.me.*.*.*.*.*", "k1.link.me"] }
      subscribe: { allow: ["_INBOX_me.>"] }
    } }]
    limits: { max_connections: 4, max_subscriptions: 16, max_payload: 65536 }
    imports: [
      { service: { account: AL, subject: "$JS.API.CONSUMER.MSG.NEXT.OUT_CH.me" } }
      { service: { account: AL, subject: "$JS.ACK.al.*.OUT_CH.me.*.*.*.*.*" } }
      { service: { account: AL, subject: "k1.link.me" } }
    ]
  }
}
`

// dial connects me to al's broker.
func (n *node) dial(change func(*DialOptions)) (*nats.Conn, error) {
	o := DialOptions{Card: n.al.card, Self: "me", Certificate: n.me.gw.TLS, Nkey: n.me.gw.NATS}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	nc, err := Dial(ctx, o)
	if err == nil {
		n.t.Cleanup(nc.Close)
	}
	return nc, err
}

// writePEM writes certificates into a file.
func writePEM(t testing.TB, path string, ders ...[]byte) {
	t.Helper()
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	must(t, os.WriteFile(path, out, 0o600))
}

// writeKey writes a private key into a file.
func writeKey(t testing.TB, path string, key any) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}

// freePort finds a port of the loopback that is free now.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, l.Close()) }()
	return l.Addr().(*net.TCPAddr).Port
}

// must ends the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
