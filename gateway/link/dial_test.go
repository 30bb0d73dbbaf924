package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"karaula/internal/problem"
)

// log collects what a link reports.
type log struct {
	mu   sync.Mutex
	list []string
}

func (l *log) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, s)
}

func (l *log) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.list, s)
}

// listen makes a link report into l.
func (l *log) listen(o *DialOptions) {
	o.OnUp = func() { l.add("up") }
	o.OnDown = func() { l.add("down") }
	o.OnTrouble = func(t Trouble) { l.add(string(t)) }
}

// eventually waits until f is true; it fails only after half a minute.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

func TestDialConnectsWithPinnedKeys(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	var l log
	nc, err := n.dial(l.listen)
	must(t, err)
	if !nc.IsConnected() || !l.has("up") {
		t.Error("not connected, or not reported")
	}
	if err := nc.Publish("k1.link.xk", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a subject that is not ours is denied", func() bool { return l.has(string(TroubleDenied)) })
	if !nc.IsConnected() {
		t.Error("a denied subject cut the link")
	}
}

func TestDialRefusesAnotherKeyThanTheCards(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	stranger := newParty(t, "al", "127.0.0.1:9")
	_, err := n.dial(func(o *DialOptions) {
		c := *n.al.card
		c.TLS = stranger.card.TLS
		o.Card = &c
	})
	if !problem.Is(err, problem.Verification) || problem.HintOf(err) == "" {
		t.Errorf("err = %v (hint %q), want a verification problem with a hint", err, problem.HintOf(err))
	}
}

func TestDialRefusalsOfTheBroker(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	stranger, err := nkeys.CreateUser()
	must(t, err)
	other := newParty(t, "me", "127.0.0.1:9")
	for name, change := range map[string]func(*DialOptions){
		"another nkey":                func(o *DialOptions) { o.Nkey = stranger },
		"another client certificate":  func(o *DialOptions) { o.Certificate = other.gw.TLS },
		"no client certificate":       func(o *DialOptions) { o.Certificate = tls.Certificate{} },
		"a neighbour's certificate":   func(o *DialOptions) { o.Certificate = n.al.gw.TLS }, // in the bundle, not pinned
		"certificate without its key": func(o *DialOptions) { o.Certificate.PrivateKey = other.gw.TLS.PrivateKey },
	} {
		if _, err := n.dial(change); !problem.Is(err, problem.NotAllowed) && !problem.Is(err, problem.Unreachable) {
			t.Errorf("%s: %v", name, err)
		} else if name == "another nkey" && !problem.Is(err, problem.NotAllowed) {
			t.Errorf("%s: %v, want not allowed", name, err)
		}
	}
}

func TestDialTriesEveryAddress(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	dead := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	nc, err := n.dial(func(o *DialOptions) {
		c := *n.al.card
		c.Address = []string{dead, c.Address[0]}
		o.Card = &c
	})
	must(t, err)
	if !nc.IsConnected() {
		t.Error("not connected over the second address")
	}
	_, err = n.dial(func(o *DialOptions) {
		c := *n.al.card
		c.Address = []string{dead}
		o.Card = &c
	})
	if !problem.Is(err, problem.Unreachable) {
		t.Errorf("err = %v, want unreachable", err)
	}
	_, err = n.dial(func(o *DialOptions) {
		c := *n.al.card
		c.Address = nil
		o.Card = &c
	})
	if !problem.Is(err, problem.Invalid) {
		t.Errorf("err = %v, want invalid", err)
	}
}

func TestDialGivesUpWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never says a word
	must(t, err)
	defer func() { _ = l.Close() }()
	c := *n.al.card
	c.Address = []string{l.Addr().String()}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Dial(ctx, DialOptions{
		Card: &c, Self: "me", Certificate: n.me.gw.TLS, Nkey: n.me.gw.NATS, Timeout: time.Hour,
	})
	if !problem.Is(err, problem.Unreachable) {
		t.Errorf("err = %v, want unreachable", err)
	}
}

func TestPatientDialComesUpLaterAndSurvivesARestart(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.stop()
	var l log
	nc, err := n.dial(func(o *DialOptions) { l.listen(o); o.Patient = true })
	must(t, err)
	if nc.IsConnected() || l.has("up") {
		t.Fatal("connected to nobody")
	}
	if _, err := nc.Request("k1.link.me", nil, time.Second); err == nil {
		t.Error("a request without a connection succeeded")
	}
	eventually(t, "the failure is reported", func() bool { return l.has(string(TroubleUnreachable)) })
	n.start()
	eventually(t, "connected after the start", func() bool { return nc.IsConnected() && l.has("up") })
	n.stop()
	eventually(t, "the cut is reported", func() bool { return l.has("down") })
	n.start()
	eventually(t, "connected after the restart", nc.IsConnected)
}

// TestHostileBrokerCannotCrashTheGateway shows with a real TLS connection that
// the line which panics nats.go 1.55 only cuts the link.
func TestHostileBrokerCannotCrashTheGateway(t *testing.T) {
	t.Parallel()
	al, me := newParty(t, "al", "127.0.0.1:9"), newParty(t, "me", "127.0.0.1:9")
	lis, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{al.br.TLS}, MinVersion: tls.VersionTLS13,
	})
	must(t, err)
	defer func() { _ = lis.Close() }()
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			go playHostile(conn)
		}
	}()
	c := *al.card
	c.Address = []string{lis.Addr().String()}
	var l log
	o := DialOptions{Card: &c, Self: "me", Certificate: me.gw.TLS, Nkey: me.gw.NATS}
	l.listen(&o)
	nc, err := Dial(t.Context(), o)
	must(t, err)
	defer nc.Close()
	must(t, nc.Publish("k1.link.me", nil))
	eventually(t, "the offence is reported and the link cut", func() bool {
		return l.has(string(TroubleProtocol)) && l.has("down")
	})
}

// playHostile is a broker that greets well and then announces 9 exabytes.
func playHostile(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	info := `INFO {"server_id":"x","tls_required":true,"nonce":"abc","max_payload":1048576,"headers":true}`
	_, _ = conn.Write([]byte(info + "\r\n"))
	in := bufio.NewReader(conn)
	if !hears(in, "PING") { // the end of the greeting: CONNECT comes before it
		return
	}
	_, _ = conn.Write([]byte("PONG\r\n"))
	if !hears(in, "PUB") { // the first words of the client, which is connected now
		return
	}
	_, _ = conn.Write([]byte("MSG a 1 9223372036854775800\r\nx"))
	_, _ = in.ReadByte()
}

// hears reads lines until one holds the verb; false at the end of the
// connection. A read of the connection may hold less or more than one line.
func hears(in *bufio.Reader, verb string) bool {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if strings.HasPrefix(line, verb) || strings.HasPrefix(line, "H"+verb) {
			return true
		}
	}
}
