package hostile

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/cmd/karaula/internal/faults"
	"karaula/cmd/karaula/internal/nodes"
	"karaula/gateway/link"
	"karaula/gateway/stream"
	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// The channel that is attacked, and the one that must not notice.
const (
	attacked  = "b02-al-xk"
	untouched = "b01-al-me"
	common    = "t01-al-me-xk" // of all three, in a world of its own
)

// World is three nodes: al, who is attacked, me, who is honest, and xk.
type World struct {
	t testing.TB
	// AL and ME run as processes.
	AL, ME *faults.Node
	// ToXK stands before xk's broker, which runs here until [World.Silence].
	ToXK *faults.Proxy
	// Voice says what xk says on the attacked channel; Keys are xk's.
	Voice *testworld.Voice
	Keys  *keyring.Gateway

	channel  string                  // on which xk speaks
	metrics  map[*faults.Node]string // where they are served
	parties  *testworld.World
	text     *agreement.Agreement
	xk       *nodes.Node
	xkDir    string
	xkListen string
	broker   *keyring.Broker
	own      *nats.Conn // xk's gateway user at its own broker
	out      *stream.Log
	cards    map[string]*card.Card
	answers  atomic.Pointer[answer]

	mu   sync.Mutex
	asks map[string]int
}

// Make makes the world and starts it. It ends with the test.
func Make(t testing.TB, bin string) *World {
	t.Helper()
	return make3(t, bin, attacked, map[string][]string{untouched: {"al", "me"}, attacked: {"al", "xk"}})
}

// MakeCommon makes a world in which all three share one channel.
func MakeCommon(t testing.TB, bin string) *World {
	t.Helper()
	return make3(t, bin, common, map[string][]string{common: {"al", "me", "xk"}})
}

// make3 makes a world with channels between parties, on one of which xk speaks.
func make3(t testing.TB, bin, channel string, channels map[string][]string) *World {
	t.Helper()
	w := &World{
		t: t, channel: channel, parties: testworld.New(t), metrics: map[*faults.Node]string{}, cards: map[string]*card.Card{},
	}
	w.parties.Now = time.Now()
	dir := t.TempDir()
	for _, party := range []string{"al", "me", "xk"} {
		w.makeNode(dir, bin, party)
	}
	w.agree(dir, channels)
	w.startXK()
	for _, n := range []*faults.Node{w.AL, w.ME} {
		t.Cleanup(n.Clean)
		w.must(n.Start(t.Context(), faults.Whole))
	}
	w.Voice = w.parties.Voice("xk", w.text, channel)
	return w
}

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// makeNode makes a folder with keys, and keeps the keys for the attacker's use.
func (w *World) makeNode(dir, bin, party string) {
	w.t.Helper()
	metrics, err := faults.FreePort()
	w.must(err)
	n, proxy, made, err := faults.MakeNode(dir, bin, party, func(c *node.Config) error {
		c.Metrics, c.Log.Level = metrics, "debug"
		return nil
	})
	w.must(err)
	w.t.Cleanup(proxy.Close)
	root, err := keyring.LoadRoot(made.RootKey, nil)
	w.must(err)
	keys, err := keyring.LoadGateway(made.Layout.GatewayKeys(), nil)
	w.must(err)
	w.parties.Adopt(&testworld.Party{Code: party, Root: root, Gateway: keys, Card: made.Card})
	w.cards[party], w.metrics[n] = made.Card, metrics
	switch party {
	case "al":
		w.AL = n
	case "me":
		w.ME = n
	default:
		w.ToXK, w.Keys, w.xkDir, w.xkListen = proxy, keys, n.Dir, n.Listen
		w.broker, err = keyring.LoadBroker(made.Layout.BrokerKeys(), nil)
		w.must(err)
	}
}

// agree makes the agreements, and has every node take in what concerns it.
func (w *World) agree(dir string, channels map[string][]string) {
	w.t.Helper()
	now := time.Now().Truncate(time.Second)
	sign := func(id string, codes ...string) []byte {
		return w.parties.Sign(w.parties.Text(
			id, codes,
			"valid-from "+agreement.FormatTime(testworld.Start.AddDate(-1, 0, 0)),
			"valid-from "+agreement.FormatTime(now.Add(-time.Minute)),
			"valid-until "+agreement.FormatTime(testworld.Start.AddDate(1, 0, 0)),
			"valid-until "+agreement.FormatTime(now.AddDate(1, 0, 0)),
		), codes...)
	}
	files := map[string][]byte{}
	for id, codes := range channels {
		files[id] = sign(id, codes...)
	}
	w.text = w.parties.Lint(files[w.channel])
	for _, party := range []string{"al", "me", "xk"} {
		reg, err := register.Open(node.Layout{Dir: filepath.Join(dir, party)}.Register(), party)
		w.must(err)
		for _, c := range w.cards {
			_, err = reg.AddCard(c.Signed, register.AddCardOptions{Fingerprint: c.Fingerprint()})
			w.must(err)
		}
		for id, codes := range channels {
			if slices.Contains(codes, party) {
				_, err = reg.AddAgreement(files[id])
				w.must(err)
			}
		}
	}
}

// startXK starts xk's broker in this process, and logs in as its gateway.
func (w *World) startXK() {
	w.t.Helper()
	var err error
	w.xk, err = nodes.Start(w.t.Context(), nodes.Options{Dir: w.xkDir, Broker: true, Logger: quiet()})
	w.must(err)
	w.t.Cleanup(func() { _ = w.xk.Stop() })
	w.own, err = w.xk.Agent.Broker().Connect(subject.RoleGateway, w.Keys.Own, &w.Keys.TLS)
	w.must(err)
	w.own.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}) // it answers more often than it may
	js, err := jetstream.New(w.own)
	w.must(err)
	w.out = stream.Open(js, subject.Out(subject.Actual(w.channel)))
}

// Silence stops xk's broker, so that something else can listen in its place.
func (w *World) Silence() {
	w.t.Helper()
	w.own.Close()
	w.must(w.xk.Stop())
}

// Publish puts bytes into the stream that others fetch, in order.
func (w *World) Publish(raws ...[]byte) {
	w.t.Helper()
	subj := subject.Say(subject.Actual(w.channel), "xk", "vehicle")
	for len(raws) > 0 {
		n, size := 0, 0
		for n < len(raws) && n < stream.MaxBatch && size < stream.MaxBatchBytes/2 {
			size += len(raws[n])
			n++
		}
		msgs := make([]stream.Msg, n)
		for i := range msgs {
			msgs[i] = stream.Msg{Subject: subj, Data: raws[i]}
		}
		_, last, err := w.out.End(w.t.Context())
		w.must(err)
		_, err = w.out.Append(w.t.Context(), msgs, last)
		w.must(err)
		raws = raws[n:]
	}
}

// Say says drafts as xk, now, and publishes them.
func (w *World) Say(drafts ...testworld.Draft) {
	w.t.Helper()
	raws := make([][]byte, len(drafts))
	for i, d := range drafts {
		w.parties.Now = time.Now()
		raws[i] = w.Voice.Say(d)
	}
	w.Publish(raws...)
}

// Dial connects xk to al's broker, with its keys.
func (w *World) Dial(denied func(string)) (*nats.Conn, error) {
	return link.Dial(w.t.Context(), link.DialOptions{
		Card: w.cards["al"], Self: "xk", Certificate: w.Keys.TLS, Nkey: w.Keys.NATS, OnDenied: denied,
	})
}

// Layout is where al's files are.
func (w *World) Layout() node.Layout { return node.Layout{Dir: w.AL.Dir} }

// heartbeat is the smallest statement.
func heartbeat() testworld.Draft { return testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT} }

// size is how many bytes lie in a folder.
func size(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
