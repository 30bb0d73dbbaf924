package faults

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/subject"
)

// shown gives the pin of the certificate that a node's broker shows to whoever comes.
func shown(t *testing.T, n *Node) [32]byte {
	t.Helper()
	c, err := (&tls.Dialer{Config: &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // a test's own server on loopback
	}}).DialContext(patient(t), "tcp", n.Listen)
	must(t, err)
	defer c.Close() //nolint:errcheck // only looked at
	return keyring.Pin(c.(*tls.Conn).ConnectionState().PeerCertificates[0])
}

// goesOver waits until a node's broker does not show a certificate any more.
func goesOver(t *testing.T, n *Node, from [32]byte) {
	t.Helper()
	must(t, Until(patient(t), func() string {
		if shown(t, n) == from {
			return "the old certificate is shown"
		}
		return ""
	}))
}

// brokerKeys opens the broker's keys of a node.
func brokerKeys(t *testing.T, n *Node) *keyring.Broker {
	t.Helper()
	b, err := keyring.LoadBroker(node.Layout{Dir: n.Dir}.BrokerKeys(), nil)
	must(t, err)
	return b
}

// logins opens the gateway's logins of a node, newest first.
func logins(t *testing.T, n *Node) []keyring.Login {
	t.Helper()
	g, err := keyring.LoadGateway(node.Layout{Dir: n.Dir}.GatewayKeys(), nil)
	must(t, err)
	return g.Logins()
}

// logIn logs a guest in at a node's broker, for as long as that lets it.
func logIn(host *Node, l keyring.Login, guest string) (*nats.Conn, error) {
	return nats.Connect("tls://"+host.Listen, nats.Nkey(l.User(), l.NATS.Sign), nats.TLSHandshakeFirst(),
		nats.CustomInboxPrefix(subject.Inbox(guest)), nats.Timeout(patience), nats.NoReconnect(),
		nats.Secure(&tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{l.TLS},
			InsecureSkipVerify: true, //nolint:gosec // a test's own server on loopback
		}))
}

// letsIn says whether a node's broker lets a guest in; "" if it does.
func letsIn(host *Node, l keyring.Login, guest string) string {
	nc, err := logIn(host, l, guest)
	if err != nil {
		return err.Error()
	}
	nc.Close()
	return ""
}

// refuses waits until a node's broker does not let a guest in any more.
func refuses(t *testing.T, host *Node, l keyring.Login, guest string) {
	t.Helper()
	must(t, Until(patient(t), func() string {
		if letsIn(host, l, guest) == "" {
			return guest + " is let in by an old login"
		}
		return ""
	}))
}

// finishRenewal finishes a renewal as soon as every partner is known to have the card.
func finishRenewal(t *testing.T, n *Node) {
	t.Helper()
	must(t, Until(patient(t), func() string {
		a, err := n.Run(patient(t), "", "key", "renew", "--finish")
		if err != nil || a.Code != 0 {
			return fmt.Sprint(err, a.Err)
		}
		return ""
	}))
}

// TLS keys and logins are renewed while both sides speak: nothing is lost, and the
// old ones are refused afterwards.
func TestLinkKeysAreRenewedWhileBothSpeak(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	oldLogin, oldPin := logins(t, w.AL)[0], shown(t, w.AL)
	held, err := logIn(w.ME, oldLogin, "al") // by somebody who has copied the keys
	must(t, err)
	defer held.Close()
	var speaking sync.WaitGroup
	for _, n := range []*Node{w.AL, w.ME} {
		speaking.Go(func() { send(t, n, r[n.Party], 10, 1, 2) })
	}
	must(t, held.FlushTimeout(patience))
	command(t, w.AL, nil, "key", "renew")
	knows(t, w.ME, "al", 2)
	if shown(t, w.AL) != oldPin {
		t.Error("the announced certificate is shown already")
	}
	refuses(t, w.ME, oldLogin, "al")
	must(t, Until(patient(t), func() string {
		if !held.IsClosed() {
			return "a connection that was made by the old login is kept"
		}
		return ""
	}))
	finishRenewal(t, w.AL)
	speaking.Wait()
	knows(t, w.ME, "al", 3)
	send(t, w.AL, r["al"], 1)
	send(t, w.ME, r["me"], 1)
	goesOver(t, w.AL, oldPin)
	if b := brokerKeys(t, w.AL); len(b.Certificates()) != 1 || len(logins(t, w.AL)) != 1 {
		t.Errorf("%d certificates and %d logins are left", len(b.Certificates()), len(logins(t, w.AL)))
	}
	g, err := keyring.LoadGateway(node.Layout{Dir: w.AL.Dir}.GatewayKeys(), nil)
	must(t, err)
	if why := letsIn(w.AL, keyring.Login{NATS: g.Own, TLS: g.TLS}, subject.RoleGateway); why != "" {
		t.Errorf("the own gateway is not let in: %s", why)
	}
	refuses(t, w.AL, keyring.Login{NATS: g.Own, TLS: oldLogin.TLS}, subject.RoleGateway)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 16 || f.Alerts["me"] != 16 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
}

// Keys may have leaked while the partner is away: it has a card whose certificate
// nobody shows any more when it comes back, and is brought the new one.
func TestLeakedLinkKeysAreReplacedAtOnce(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 2)
	send(t, w.ME, r["me"], 2)
	must(t, w.Settle(patient(t)))
	stolen, pin := logins(t, w.AL)[0], shown(t, w.AL)
	must(t, w.ME.Kill(Whole))
	command(t, w.AL, nil, "key", "renew", "--leaked")
	goesOver(t, w.AL, pin)
	send(t, w.AL, r["al"], 2)
	a, err := w.AL.Run(patient(t), "", "key", "renew", "--finish")
	must(t, err)
	if a.Code != 8 || !strings.Contains(a.Err, "me") {
		t.Errorf("finished without me: exit code %d, %s%s", a.Code, a.Out, a.Err)
	}
	command(t, w.AL, nil, "key", "renew", "--leaked") // and once more, before me knows anything
	must(t, w.ME.Start(patient(t), Whole))
	knows(t, w.ME, "al", 3)
	refuses(t, w.ME, stolen, "al")
	send(t, w.ME, r["me"], 2)
	send(t, w.AL, r["al"], 1)
	finishRenewal(t, w.AL)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 5 || f.Alerts["me"] != 4 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
	if n := len(logins(t, w.AL)); n != 1 {
		t.Errorf("%d logins are left", n)
	}
}

// arrived waits until a node shows so many alerts of its partner. A world does not
// settle while a renewal is unfinished: the node warns of that. And while its gateway logs
// in anew it can record nothing, and so says what it holds to nobody.
func arrived(t *testing.T, n *Node, count int) {
	t.Helper()
	must(t, Until(patient(t), func() string {
		var list struct{ Alerts []struct{ Origin string } }
		a, err := n.Run(patient(t), "", "alert", "list", "--output", "json")
		must(t, err)
		if a.Code == int(problem.Unreachable) {
			return a.Err
		}
		if a.Code != 0 {
			t.Fatalf("alert list: exit code %d: %s", a.Code, a.Err)
		}
		must(t, json.Unmarshal([]byte(a.Out), &list))
		got := 0
		for _, a := range list.Alerts {
			if a.Origin != n.Party {
				got++
			}
		}
		if got != count {
			return fmt.Sprintf("%s shows %d alerts of its partner, want %d", n.Party, got, count)
		}
		return ""
	}))
}

// The node dies wherever a renewal can be cut off: it starts, both links work, and
// the step can be repeated.
func TestARenewalIsCutOff(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	root := w.AL.Dir + ".root"
	for round, step := range [][]string{{"renew"}, {"renew", "--finish", "--anyway"}, {"renew", "--leaked"}} {
		must(t, os.Rename(root, root+".away")) // the command ends after it has written what it made: no card is issued
		a, err := w.AL.Run(patient(t), "", append([]string{"key"}, step...)...)
		must(t, err)
		if a.Code == 0 {
			t.Fatalf("%v: done without the root key", step)
		}
		must(t, os.Rename(root+".away", root))
		request := fmt.Sprintf("%s.request%d", w.AL.Dir, round)
		command(t, w.AL, nil, append(append([]string{"key"}, step...), "--request", request)...)
		must(t, w.AL.Kill(Whole))
		must(t, w.AL.Start(patient(t), Whole))
		send(t, w.AL, r["al"], 1)
		send(t, w.ME, r["me"], 1)
		arrived(t, w.ME, 2*round+1)
		arrived(t, w.AL, 2*round+1)
		command(t, w.AL, nil, append([]string{"key"}, step...)...)
		must(t, w.AL.Kill(Whole))
		must(t, w.AL.Start(patient(t), Whole))
		knows(t, w.ME, "al", uint64(round)+2)
		send(t, w.AL, r["al"], 1)
		send(t, w.ME, r["me"], 1)
		arrived(t, w.ME, 2*round+2)
		arrived(t, w.AL, 2*round+2)
	}
	finishRenewal(t, w.AL)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 6 || f.Alerts["me"] != 6 {
		t.Errorf("al said %d and me %d alerts", f.Alerts["al"], f.Alerts["me"])
	}
}

// lineThief is somebody on the line who has a broker's old TLS key: it answers as the
// broker would, up to the greeting of NATS, and then says nothing.
type lineThief struct {
	addr string
	met  atomic.Int32 // connections on which its key was believed
}

// newThief listens with a stolen certificate.
func newThief(t *testing.T, stolen tls.Certificate) *lineThief {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{stolen}, ClientAuth: tls.RequireAnyClientCert,
	})
	must(t, err)
	th := &lineThief{addr: l.Addr().String()}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close() //nolint:errcheck // a test's own
				if c.(*tls.Conn).Handshake() != nil {
					return
				}
				_, _ = io.WriteString(c, `INFO {"server_id":"X","version":"2.15.0","max_payload":1048576,"proto":1,"headers":true,`+
					`"auth_required":true,"tls_required":true,"nonce":"AAAAAAAAAAAAAAA"}`+"\r\n")
				for buf := make([]byte, 4096); ; {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if bytes.Contains(buf[:n], []byte("PING")) {
						th.met.Add(1)
						_, _ = io.WriteString(c, "PONG\r\n")
					}
				}
			}()
		}
	}()
	return th
}

// Somebody on the line has the broker's old key and keeps the partner with it, so
// that it never hears of a new card there. The gateway brings the card the other way,
// and the partner believes the old key no more.
func TestAThiefDoesNotKeepThePartner(t *testing.T) {
	t.Parallel()
	w, r := makeWorld(t), records()
	start(t, w)
	send(t, w.AL, r["al"], 1)
	must(t, w.Settle(patient(t)))
	th := newThief(t, brokerKeys(t, w.AL).TLS)
	w.ToAL.Divert(th.addr)
	w.ToAL.Cut()
	must(t, w.ToAL.Mend())
	must(t, Until(patient(t), func() string {
		if th.met.Load() == 0 {
			return "the thief's broker is not believed"
		}
		return ""
	}))
	command(t, w.AL, nil, "key", "renew", "--leaked")
	knows(t, w.ME, "al", 2)
	finishRenewal(t, w.AL)
	var links struct {
		Links []struct{ Party, State, Trouble string }
	}
	must(t, Until(patient(t), func() string {
		command(t, w.ME, &links, "status")
		if len(links.Links) != 1 || links.Links[0].State == "up" || !strings.Contains(links.Links[0].Trouble, "pin-mismatch") {
			return fmt.Sprintf("me sees %+v", links.Links)
		}
		return ""
	}))
	before := th.met.Load()
	w.ToAL.Divert(w.AL.Listen)
	send(t, w.AL, r["al"], 1)
	f := settleAndWalk(t, w, r, Expect{})
	if f.Alerts["al"] != 2 || th.met.Load() != before {
		t.Errorf("al said %d alerts; the thief was believed %d times more", f.Alerts["al"], th.met.Load()-before)
	}
}

// copyKeys gives the other machines of a cluster the key files of the first one.
func copyKeys(t *testing.T, w *World) {
	t.Helper()
	from := node.Layout{Dir: w.Cluster.Machines[0].Dir}
	for i, n := range w.Cluster.Machines[1:] {
		to := node.Layout{Dir: n.Dir}
		files := [][2]string{{from.BrokerKeys(), to.BrokerKeys()}}
		if i == 0 && w.Cluster.Pair {
			files = append(files, [2]string{from.GatewayKeys(), to.GatewayKeys()})
		}
		for _, f := range files {
			body, err := os.ReadFile(f[0])
			must(t, err)
			must(t, setup.WriteFile(f[1], body, 0o600))
		}
	}
}

// The keys of a node with three servers and two gateways are renewed while alerts
// are sent: no server is restarted, and each shows the new certificate at the end.
func TestClusterRenewsItsLinkKeys(t *testing.T) {
	t.Parallel()
	w, r := makeCluster(t, true), records()
	load := Start(t.Context(), w.AL, r["al"], 2)
	must(t, r["al"].Await(patient(t), 3))
	step(t, w)
	old := shown(t, w.AL)
	command(t, w.AL, nil, "key", "renew")
	copyKeys(t, w)
	knows(t, w.ME, "al", 2)
	finishRenewal(t, w.Cluster.Speaking(patient(t)))
	for _, n := range w.Cluster.Machines {
		goesOver(t, n, old)
	}
	_, acked := r["al"].Count()
	must(t, r["al"].Await(patient(t), acked+3))
	finishRenewal(t, w.Cluster.Speaking(patient(t)))
	copyKeys(t, w)
	_, acked = r["al"].Count()
	must(t, r["al"].Await(patient(t), acked+3))
	step(t, w)
	endLoad(t, load)
	if b := brokerKeys(t, w.Cluster.Machines[2]); len(b.Certificates()) != 1 {
		t.Errorf("%d certificates are left", len(b.Certificates()))
	}
	finish(t, w, r)
}
