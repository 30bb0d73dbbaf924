package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/agreement"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/register"
	"karaula/internal/terms"
)

// Channel is the one channel of a world.
const Channel = "b01-al-me"

// World is two nodes with one agreement, and a proxy before each of them. The
// cards name the proxies, so that each link can be cut by itself.
type World struct {
	Dir    string
	AL, ME *Node
	// ToAL and ToME stand before AL and ME: me dials ToAL.
	ToAL, ToME *Proxy
	// Agreement is the signed text.
	Agreement []byte
	// Cluster is AL's, where AL's broker is one.
	Cluster *Cluster
}

// Make makes a world in a folder: keys, cards, the agreement signed by both and
// taken in by both. Nothing runs yet but the proxies.
func Make(dir, bin string) (*World, error) { return makeWorldWith(dir, bin, nil, nil) }

// Hosts says where nodes are: at addresses that other network namespaces have. Nil
// is loopback for everybody.
type Hosts struct {
	Of      map[string]string // the address of a party, of its first machine
	Proxies string            // where proxies listen
	More    []string          // of the other machines of a cluster
}

// loopback is where nodes are unless they have hosts.
const loopback = "127.0.0.1"

// of gives the address of a party.
func (h *Hosts) of(party string) string {
	if h == nil {
		return loopback
	}
	return h.Of[party]
}

// proxies gives the address of the proxies.
func (h *Hosts) proxies() string {
	if h == nil {
		return loopback
	}
	return h.Proxies
}

// machine gives the address of one of a party's other machines, from 1.
func (h *Hosts) machine(i int) string {
	if h == nil {
		return loopback
	}
	return h.More[i-1]
}

// makeWorldWith makes a world in which AL's broker is a cluster, unless it is nil.
func makeWorldWith(dir, bin string, cluster *Cluster, hosts *Hosts) (*World, error) {
	w := &World{Dir: dir, Cluster: cluster}
	made := map[string]*setup.Made{}
	for _, party := range []string{"al", "me"} {
		cluster := cluster
		if party != "al" {
			cluster = nil
		}
		var cfg *node.Config
		n, proxy, m, err := makeNodeAt(hosts, dir, bin, party, func(c *node.Config) error {
			cfg = c
			if cluster == nil {
				return nil
			}
			return cluster.plan(c, hosts)
		})
		if err != nil {
			return nil, err
		}
		if party == "al" {
			w.AL, w.ToAL = n, proxy
		} else {
			w.ME, w.ToME = n, proxy
		}
		if cluster != nil {
			if err := cluster.layOut(context.Background(), n, cfg, hosts); err != nil {
				return nil, err
			}
		}
		made[party] = m
	}
	return w, w.agree(made)
}

// MakeNode makes the node of a party in a folder below dir, and a proxy before it
// that its card names. What else its configuration says, edit may change.
func MakeNode(dir, bin, party string, edit func(*node.Config) error) (*Node, *Proxy, *setup.Made, error) {
	return makeNodeAt(nil, dir, bin, party, edit)
}

// makeNodeAt makes a node where it is.
func makeNodeAt(
	hosts *Hosts, dir, bin, party string, edit func(*node.Config) error,
) (*Node, *Proxy, *setup.Made, error) {
	listen, err := freePortAt(hosts.of(party))
	if err != nil {
		return nil, nil, nil, err
	}
	proxy, err := newProxyAt(hosts.proxies(), listen)
	if err != nil {
		return nil, nil, nil, err
	}
	n := &Node{
		Party: party, Dir: filepath.Join(dir, party), Bin: bin, Listen: listen, Log: filepath.Join(dir, party+".log"),
	}
	cfg := node.Default()
	cfg.Party, cfg.Name, cfg.Listen = party, "Border police of "+party+" (invented)", listen
	cfg.Advertise, cfg.Officers = []string{proxy.Addr()}, setup.Operator()
	cfg.Log.Level = "info"
	if err := edit(cfg); err != nil {
		return nil, nil, nil, err
	}
	made, err := setup.Make(setup.Options{Dir: n.Dir, Config: cfg, Now: time.Now()})
	return n, proxy, made, err
}

// agree has both parties sign the agreement and take in everything.
func (w *World) agree(made map[string]*setup.Made) error {
	var parties []agreement.Party
	for _, code := range []string{"al", "me"} {
		c := made[code].Card
		parties = append(parties, agreement.Party{Code: code, Name: c.Name, Root: c.Root, Next: c.NextRoot})
	}
	types := terms.Types()
	text, err := agreement.Template(Channel, parties, types, time.Now().Add(-time.Minute))
	if err != nil {
		return err
	}
	if w.Agreement, err = w.Sign(text); err != nil {
		return err
	}
	for _, n := range w.Nodes() {
		reg, err := register.Open(node.Layout{Dir: n.Dir}.Register(), n.Party)
		if err != nil {
			return err
		}
		for _, m := range made {
			if _, err := reg.AddCard(m.Card.Signed, register.AddCardOptions{Fingerprint: m.Card.Fingerprint()}); err != nil {
				return err
			}
		}
		if _, err := reg.AddAgreement(w.Agreement); err != nil {
			return err
		}
	}
	return nil
}

// Sign has both parties sign a text.
func (w *World) Sign(text []byte) ([]byte, error) {
	for _, n := range w.Nodes() {
		root, err := keyring.LoadRoot(node.Layout{Dir: n.Dir}.RootKey(), nil)
		if err != nil {
			return nil, err
		}
		if text, err = agreement.Sign(text, root.Signer); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// Amend gives version 2 of the world's agreement, signed by both.
func (w *World) Amend(title string) ([]byte, error) {
	old, findings := agreement.Lint(w.Agreement)
	if old == nil {
		return nil, fmt.Errorf("the agreement does not lint: %v", findings)
	}
	digest := agreement.FormatDigest(old.Digest)
	text := strings.Replace(string(old.Text), "version 1\n", "version 2\nsupersedes "+digest+"\nfirst "+digest+"\n", 1)
	text = strings.Replace(text, `title "`+old.Title+`"`, `title "`+title+`"`, 1)
	return w.Sign([]byte(text))
}

// Nodes gives both nodes.
func (w *World) Nodes() []*Node { return []*Node{w.AL, w.ME} }

// Node gives a node by its party.
func (w *World) Node(party string) *Node {
	if party == "al" {
		return w.AL
	}
	return w.ME
}

// Partner gives the other node.
func (w *World) Partner(n *Node) *Node {
	if n == w.AL {
		return w.ME
	}
	return w.AL
}

// Stop stops everything that runs, as an operator does. Of a cluster the agents
// and servers go on: see [Cluster.Stop].
func (w *World) Stop() error {
	if w.Cluster != nil {
		return errors.Join(w.Cluster.StopGateways(), w.ME.Stop())
	}
	return errors.Join(w.AL.Stop(), w.ME.Stop())
}

// Clean kills what still runs and ends the proxies.
func (w *World) Clean() {
	if w.Cluster != nil {
		w.Cluster.Clean()
	}
	for _, n := range w.Nodes() {
		n.Clean()
	}
	w.ToAL.Close()
	w.ToME.Close()
}

// FreePort finds a loopback address on which nobody listens now, below the ports
// that the system gives to outgoing connections: a node that was killed must
// find its own again.
func FreePort() (string, error) { return freePortAt(loopback) }

// freePortAt finds a free port of an address. One of another network namespace
// cannot be tried from here; nobody else is there.
func freePortAt(host string) (string, error) {
	l, err := listenLow(host)
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Sprintf("%s:%d", host, lowPort()), nil
	}
	if err != nil {
		return "", err
	}
	defer l.Close() //nolint:errcheck // only the number counts
	return l.Addr().String(), nil
}

func lowPort() int { return 12000 + rand.N(20000) } //nolint:gosec // guards nothing

func listenLow(host string) (net.Listener, error) {
	var last error
	for range 200 {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, lowPort())) //nolint:noctx // at once
		if err == nil {
			return l, nil
		}
		last = err
	}
	return nil, last
}

// Copy copies a folder as it is; to must not exist.
func Copy(from, to string) error { return os.CopyFS(to, os.DirFS(from)) }
