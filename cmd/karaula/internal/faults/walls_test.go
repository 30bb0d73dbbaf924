package faults

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"karaula/broker"
	"karaula/internal/envelope"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/seal"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Places of a compiled configuration that keep people out.
var (
	permissions = regexp.MustCompile(`(?s)permissions: \{.*?\n {8}\}`)
	pinnedCerts = regexp.MustCompile(`(?s)\n {2}pinned_certs: \[.*?\n {2}\]`)
)

// widen opens a compiled configuration: no certificate is asked for, nobody has
// permissions, so that everybody may do everything, and a stranger is a user of
// the owner's account.
func widen(t *testing.T, conf string, stranger string) string {
	t.Helper()
	for what, change := range map[string]func(string) string{
		"pinned certificates": func(s string) string { return pinnedCerts.ReplaceAllString(s, "") },
		"verified certificates": func(s string) string {
			return strings.Replace(s, "  verify: true\n", "", 1)
		},
		"permissions": func(s string) string { return permissions.ReplaceAllString(s, "") },
		"users": func(s string) string {
			return strings.Replace(s, "users: [", "users: [\n{ nkey: \""+stranger+"\" }\n", 1)
		},
	} {
		changed := change(conf)
		if changed == conf {
			t.Fatalf("the configuration has no %s:\n%s", what, conf)
		}
		conf = changed
	}
	return conf
}

// runWide runs al's broker with everything open, in this process, on al's own
// store and address, and lets a stranger in.
func runWide(t *testing.T, n *Node) *nats.Conn {
	t.Helper()
	l := node.Layout{Dir: n.Dir}
	text, err := os.ReadFile(l.NATSConf())
	must(t, err)
	user, err := nkeys.CreateUser()
	must(t, err)
	public, err := user.PublicKey()
	must(t, err)
	conf := filepath.Join(t.TempDir(), "wide.conf")
	must(t, os.WriteFile(conf, []byte(widen(t, string(text), public)), 0o600))
	keys, err := keyring.LoadBroker(l.BrokerKeys(), nil)
	must(t, err)
	b, err := broker.Run(t.Context(), conf, &keys.TLS, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(b.Shutdown)
	nc, err := nats.Connect(b.ClientURL(), nats.Nkey(public, user.Sign), nats.TLSHandshakeFirst(),
		nats.Secure(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})) //nolint:gosec // a stranger believes whoever answers
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// The second wall alone: the broker lets a stranger do everything, who hears
// everything that is said and reads every stream. Still no word of any alert is
// there, and no key that anybody but the readers has opens a part.
func TestAnOpenBrokerGivesNoContent(t *testing.T) {
	t.Parallel()
	w := makeWorld(t)
	must(t, w.AL.Start(patient(t), Broker)) // compiles the configuration and makes the streams
	must(t, w.AL.Stop())
	stranger := runWide(t, w.AL)
	var mu sync.Mutex
	var all [][]byte
	keep := func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, []byte(m.Subject), bytes.Clone(m.Data))
	}
	_, err := stranger.Subscribe(">", keep)
	must(t, err)
	must(t, stranger.Flush())
	must(t, w.AL.Start(patient(t), Gateway))
	must(t, w.ME.Start(patient(t), Whole))
	words := []string{lookReason}
	list := exampleAlerts(t)
	for i, e := range list {
		sendAndLook(t, w, speaker(w, e, i), e)
		words = append(words, e.words...)
	}
	must(t, w.Settle(patient(t)))
	mu.Lock()
	heard := len(all) / 2
	mu.Unlock()
	read := readEverything(t, stranger, keep)
	must(t, w.Stop())

	mu.Lock()
	defer mu.Unlock()
	if heard < len(list) || read < len(list) {
		t.Fatalf("the stranger heard %d pieces and read %d messages; there were %d alerts", heard, read, len(list))
	}
	for _, f := range NewTraces(words).plain(bytes.Join(all, []byte{0})) {
		t.Errorf("the stranger has %q, %s", f.word, f.name)
	}
	parts := 0
	for _, raw := range all {
		p, err := envelope.Parse(raw)
		if err != nil {
			continue
		}
		parts += opensNothing(t, p, strangersKeys(t, w))
	}
	if parts < len(list) {
		t.Errorf("only %d sealed parts were tried", parts)
	}
	t.Logf("heard %d pieces, read %d messages, tried %d parts", heard, read, parts)
}

// readEverything reads every stream of the account from its beginning.
func readEverything(t *testing.T, nc *nats.Conn, keep func(*nats.Msg)) (messages int) {
	t.Helper()
	js, err := jetstream.New(nc)
	must(t, err)
	streams := js.ListStreams(t.Context())
	for info := range streams.Info() {
		all, err := readAll(t.Context(), js, info.Config.Name, "")
		must(t, err)
		messages += len(all)
		for _, m := range all {
			keep(&nats.Msg{Subject: m.Subject, Data: m.Data})
		}
	}
	must(t, streams.Err())
	return messages
}

// strangersKeys are keys that are no reader's: one of nobody's, and al's receiving
// keys, to which nothing that al itself said is sealed.
func strangersKeys(t *testing.T, w *World) map[string][]*age.HybridIdentity {
	t.Helper()
	nobody, err := age.GenerateHybridIdentity()
	must(t, err)
	keys := map[string][]*age.HybridIdentity{}
	for _, n := range w.Nodes() {
		own, err := keyring.LoadGateway(node.Layout{Dir: n.Dir}.GatewayKeys(), nil)
		must(t, err)
		keys[n.Party] = []*age.HybridIdentity{nobody, own.Seal[0].Identity, own.ExerciseSeal[0].Identity}
		keys[w.Partner(n).Party] = append(keys[w.Partner(n).Party], own.Archive[0].Identity)
	}
	return keys
}

// opensNothing tries keys that its readers do not have on every part of a
// statement, at every place.
func opensNothing(t *testing.T, p *envelope.Parsed, keys map[string][]*age.HybridIdentity) (tried int) {
	t.Helper()
	for i, part := range p.Statement.GetParts() {
		readers := len(part.GetRecipients())
		for _, key := range keys[p.Statement.GetOrigin()] {
			for at := range readers {
				if _, err := seal.Open(p.Envelope.GetParts()[i], key, at, readers); err == nil {
					t.Errorf("a stranger opens number %d of %s", p.Statement.GetSeq(), p.Statement.GetOrigin())
				}
			}
		}
		if p.Statement.GetKind() == karaulav1.Kind_KIND_ALERT {
			tried++
		}
	}
	return tried
}
