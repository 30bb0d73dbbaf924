package nodes

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"karaula/cmd/karaula/internal/setup"
	"karaula/gateway/desk"
	"karaula/internal/agreement"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/register"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// yard is a set of real nodes in this process, that meet over TLS on loopback,
// and the agreement of some of them in its versions.
type yard struct {
	t     *testing.T
	dir   string
	made  map[string]*setup.Made
	texts []*agreement.Agreement

	mu    sync.Mutex
	nodes map[string]*Node
	logs  bytes.Buffer
}

const yardChannel = "b01-al-me"

// newYard makes the nodes' folders, each with everybody's card.
func newYard(t *testing.T, codes ...string) *yard {
	t.Helper()
	y := &yard{t: t, dir: t.TempDir(), made: map[string]*setup.Made{}, nodes: map[string]*Node{}}
	for _, code := range codes {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
		y.must(err)
		cfg := node.Default()
		cfg.Party, cfg.Name, cfg.Listen = code, "Invented authority of "+code, l.Addr().String()
		cfg.Officers = setup.Operator()
		y.must(l.Close())
		y.made[code], err = setup.Make(setup.Options{Dir: filepath.Join(y.dir, code), Config: cfg, Now: time.Now()})
		y.must(err)
	}
	for _, code := range codes {
		for _, m := range y.made {
			_, err := y.register(code).AddCard(m.Card.Signed, register.AddCardOptions{Fingerprint: m.Card.Fingerprint()})
			y.must(err)
		}
	}
	t.Cleanup(func() {
		for code := range y.made {
			y.stop(code)
		}
		if t.Failed() {
			t.Log(y.log())
		}
	})
	return y
}

func (y *yard) must(err error) {
	y.t.Helper()
	if err != nil {
		y.t.Fatal(err)
	}
}

// Write implements io.Writer: it collects the nodes' logs.
func (y *yard) Write(p []byte) (int, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.logs.Write(p)
}

func (y *yard) log() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.logs.String()
}

// register gives a node's register: the running node's, or that of its folder.
func (y *yard) register(code string) *register.Register {
	y.t.Helper()
	if n := y.nodes[code]; n != nil {
		return n.Register
	}
	r, err := register.Open(y.made[code].Layout.Register(), code)
	y.must(err)
	return r
}

// agree writes the next version of the agreement between these parties, has
// everybody sign who must, and gives it to some.
func (y *yard) agree(parties []string, to ...string) {
	y.t.Helper()
	var lines []agreement.Party
	for _, code := range parties {
		c := y.made[code].Card
		lines = append(lines, agreement.Party{Code: code, Name: c.Name, Root: c.Root, Next: c.NextRoot})
	}
	types := []karaulav1.AlertType{karaulav1.AlertType_ALERT_TYPE_ROUTE}
	text, err := agreement.Template(yardChannel, lines, types, time.Now().Add(-time.Minute))
	y.must(err)
	var former []agreement.Party
	if n := len(y.texts); n > 0 {
		old := y.texts[n-1]
		former = old.Parties
		head := fmt.Sprintf("version %d\nsupersedes %s\nfirst %s\n", n+1, agreement.FormatDigest(old.Digest),
			agreement.FormatDigest(y.texts[0].Digest))
		text = []byte(strings.Replace(string(text), "version 1\n", head, 1))
	}
	a, findings := agreement.Lint(text)
	if a == nil {
		y.t.Fatal(findings)
	}
	signers := slices.Clone(parties)
	for _, p := range former {
		if !slices.Contains(signers, p.Code) {
			signers = append(signers, p.Code)
		}
	}
	for _, code := range signers {
		root, err := keyring.LoadRoot(y.made[code].RootKey, nil)
		y.must(err)
		text, err = agreement.SignFormer(text, root.Signer, former...)
		y.must(err)
	}
	y.texts = append(y.texts, a)
	for _, code := range to {
		_, err := y.register(code).AddAgreement(text)
		y.must(err)
	}
}

func (y *yard) start(codes ...string) {
	y.t.Helper()
	for _, code := range codes {
		n, err := Start(context.Background(), Options{
			Dir: y.made[code].Layout.Dir, Broker: true, Gateway: true,
			Logger: slog.New(slog.NewTextHandler(y, nil)).With("node", code),
		})
		y.must(err)
		y.nodes[code] = n
		select {
		case <-n.Ready():
		case err := <-n.Failed():
			y.t.Fatal(err)
		case <-time.After(time.Minute):
			y.t.Fatalf("%s does not get ready", code)
		}
	}
}

func (y *yard) stop(code string) {
	y.t.Helper()
	if n := y.nodes[code]; n != nil {
		delete(y.nodes, code)
		y.must(n.Stop())
	}
}

// loseReceived stops a node and loses what it has received, as a broken disk does.
func (y *yard) loseReceived(code string) {
	y.t.Helper()
	y.stop(code)
	for _, dir := range y.received(code) {
		y.must(os.RemoveAll(dir))
	}
}

// copyReceived keeps what a stopped node has received; the call that it gives
// puts that in the place of what is there then.
func (y *yard) copyReceived(code string) (putBack func()) {
	y.t.Helper()
	kept := filepath.Join(y.t.TempDir(), "received")
	for i, dir := range y.received(code) {
		y.must(os.CopyFS(filepath.Join(kept, strconv.Itoa(i)), os.DirFS(dir)))
	}
	return func() {
		y.t.Helper()
		y.stop(code)
		for i, dir := range y.received(code) {
			y.must(os.RemoveAll(dir))
			y.must(os.CopyFS(dir, os.DirFS(filepath.Join(kept, strconv.Itoa(i)))))
		}
	}
}

// received gives the folders of the streams that hold what a node has received.
func (y *yard) received(code string) []string {
	y.t.Helper()
	found, err := filepath.Glob(filepath.Join(y.made[code].Layout.Store(), "jetstream", "*", "streams", "IN_*"))
	y.must(err)
	if len(found) == 0 {
		y.t.Fatal("there is nothing received")
	}
	return found
}

// say has a node say n alerts, and gives their numbers.
func (y *yard) say(code string, n int) []uint64 {
	y.t.Helper()
	var out []uint64
	for range n {
		a := testworld.Alert(karaulav1.AlertType_ALERT_TYPE_ROUTE)
		a.Id = ""
		y.until(code+" says an alert", func() string {
			resp, err := y.desk(code).Send(y.t.Context(), connect.NewRequest(
				&karaulav1.SendRequest{Channel: yardChannel, Alerts: []*karaulav1.Alert{a}}))
			if err != nil {
				return err.Error()
			}
			out = append(out, resp.Msg.GetSent()[0].GetSeq())
			return ""
		})
	}
	return out
}

func (y *yard) desk(code string) deskClient {
	return desk.Dial(y.made[code].Layout.Socket())
}

// list gives what a node has accepted from an origin or said itself: the numbers, ascending.
func (y *yard) list(code, origin string) (numbers []uint64, rows []*karaulav1.AlertRow) {
	resp, err := y.desk(code).List(y.t.Context(), connect.NewRequest(&karaulav1.ListRequest{Limit: 1000}))
	if err != nil {
		return nil, nil
	}
	for _, row := range resp.Msg.GetAlerts() {
		accepted := code == origin || row.GetClass() == karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED
		if row.GetOrigin() == origin && accepted {
			numbers, rows = append(numbers, row.GetSeq()), append(rows, row)
		}
	}
	slices.Sort(numbers)
	return numbers, rows
}

// sees waits until a node has accepted exactly these numbers of an origin.
func (y *yard) sees(code, origin string, want ...uint64) {
	y.t.Helper()
	y.until(fmt.Sprintf("%s sees %v of %s", code, want, origin), func() string {
		if got, _ := y.list(code, origin); !slices.Equal(got, want) {
			s, err := y.desk(code).Status(y.t.Context(), connect.NewRequest(&karaulav1.StatusRequest{}))
			if err != nil {
				return err.Error()
			}
			return fmt.Sprintf("it sees %v: %v", got, s.Msg)
		}
		return ""
	})
}

// until waits until what gives an empty reason; only a broken program makes it fail.
func (y *yard) until(what string, why func() string) {
	y.t.Helper()
	last := ""
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if last = why(); last == "" {
			return
		}
	}
	y.t.Fatalf("%s: %s", what, last)
}
