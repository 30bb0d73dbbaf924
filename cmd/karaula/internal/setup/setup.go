// Package setup makes a party's root keys and the folder of its node, and
// issues the node's next card: what the init and card commands, the demo and
// the bench have in common.
//
// It must never overwrite a file that somebody made, never leave half a node
// behind, and never put a root key inside the node's folder unless its caller
// says that nothing there is real.
package setup

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/terms"
)

// DefaultListen is where a node listens unless told otherwise: for trying out
// on one machine only.
const DefaultListen = "127.0.0.1:7422"

// cardYears is how long a card says something, in years.
const cardYears = 1

// Options say which node to make.
type Options struct {
	// Dir is the node's folder. It must not exist, or be empty; the folder that
	// it lies in must exist.
	Dir string
	// Config is what becomes node.yaml, for instance [node.Default] with Party,
	// Name and Listen set.
	Config *node.Config
	// Contact is the authority's duty desk, for the card; may be empty.
	Contact string
	// RootKey is the file of the root key, and with ".next" after it of the next
	// root; empty means beside Dir.
	RootKey string
	// RootInside allows the root key in Dir: for demonstrations only.
	RootInside bool
	// Passphrase seals the online keys and RootPassphrase the root keys; nil
	// leaves them unsealed.
	Passphrase, RootPassphrase keyring.Passphrase
	// Now is when the keys and the card begin.
	Now time.Time
}

// Made is a node that was made.
type Made struct {
	Layout node.Layout
	Card   *card.Card
	// RootKey and NextRootKey are the files of the root keys.
	RootKey, NextRootKey string
}

// Make makes the root keys and the folder of a node, or nothing at all.
func Make(o Options) (*Made, error) {
	m := &maker{o: o, layout: node.Layout{Dir: filepath.Clean(o.Dir)}, text: node.Template(o.Config)}
	m.fill = m.online
	if err := m.check(); err != nil {
		return nil, err
	}
	if err := m.build(); err != nil {
		m.undo()
		return nil, err
	}
	return &Made{Layout: m.layout, Card: m.card, RootKey: m.root, NextRootKey: m.next}, nil
}

// maker makes one node and remembers what to take back.
type maker struct {
	o          Options
	layout     node.Layout
	text       []byte                                   // node.yaml
	fill       func(l node.Layout, pair rootPair) error // makes the keys and the card
	root, next string                                   // files of the root keys
	made       []string                                 // files and folders to remove if it fails
	card       *card.Card
}

// check refuses everything that can be refused before anything is written.
func (m *maker) check() error {
	if _, err := node.Parse(m.text); err != nil {
		return problem.Wrap(problem.Invalid, err, "nothing was made")
	}
	if err := checkAddresses(m.o.Config.Addresses()); err != nil {
		return err
	}
	if err := m.checkFolder(); err != nil {
		return err
	}
	m.root, m.next = m.layout.RootKey(), m.layout.NextRootKey()
	if m.o.RootKey != "" {
		m.root, m.next = m.o.RootKey, m.o.RootKey+".next"
	}
	if !m.o.RootInside && (m.layout.Inside(m.root) || m.layout.Inside(m.next)) {
		return problem.New(problem.Invalid, "the root key must not lie inside the node's folder; nothing was made").
			WithHint("name a file elsewhere with --root-key, best on a medium that can be taken away")
	}
	for _, file := range []string{m.root, m.next} {
		if _, err := os.Lstat(file); err == nil {
			return problem.New(problem.Conflict, "%s exists; nothing was made", file).
				WithHint("keys are never overwritten; name another file with --root-key")
		}
	}
	return nil
}

// checkFolder wants a folder that is not there, in one that is.
func (m *maker) checkFolder() error {
	above := filepath.Dir(m.layout.Dir)
	if info, err := os.Stat(above); err != nil || !info.IsDir() {
		return problem.New(problem.NotFound, "there is no folder %s to make the node in; nothing was made", above).
			WithHint("mkdir -p %s", above)
	}
	list, err := os.ReadDir(m.layout.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return problem.Wrap(problem.Conflict, err, "%s is there already; nothing was made", m.layout.Dir)
	case len(list) > 0:
		return problem.New(problem.Conflict, "the folder %s is not empty; nothing was made", m.layout.Dir).
			WithHint("name a new folder with --dir; a node is never overwritten")
	}
	return nil
}

// checkAddresses refuses what partners could not dial.
func checkAddresses(list []string) error {
	for _, a := range list {
		host, _, err := net.SplitHostPort(a)
		ip := net.ParseIP(host)
		if err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
			return problem.New(problem.Invalid, "partners cannot reach %q; nothing was made", a).
				WithHint("name the address that partners use with --advertise HOST:PORT")
		}
		if !card.ValidAddress(a) {
			return problem.New(problem.Invalid, "%q is not an address that a card may hold; nothing was made", a).
				WithHint("write host:port with a lower-case name or an IP address")
		}
	}
	return nil
}

// Loopback reports whether all addresses are reached on this machine only.
func Loopback(addresses []string) bool {
	for _, a := range addresses {
		host, _, err := net.SplitHostPort(a)
		ip := net.ParseIP(host)
		if err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// CheckParty refuses a party code that cannot be one, with the rule.
func CheckParty(code string) error {
	if !terms.ValidParty(code) {
		return problem.New(problem.Invalid, "%q is not a party code; nothing was made", strings.TrimSpace(code)).
			WithHint("a party code has 2 to 12 lower-case letters and digits and begins with a letter, like al")
	}
	return nil
}

// Operator gives the officers of a new node: the operating-system user who made
// it, who else could not talk to it. The id names the task, not the person.
func Operator() []node.Officer {
	return []node.Officer{{UID: os.Getuid(), ID: "operator", Role: node.RoleSupervisor}}
}
