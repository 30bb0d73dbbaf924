// Package node knows the folder of a node: where each file lies in it, what its
// configuration says, and how to meet on its socket.
//
// It must never hold or read a key, and the configuration must never hold a
// secret or anything that an agreement decides: whom to talk to and about what
// follows from signed texts alone.
package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"karaula/internal/problem"
	"karaula/internal/subject"
)

// Layout names the files of a node; Dir is its folder.
type Layout struct{ Dir string }

func (l Layout) in(parts ...string) string {
	return filepath.Join(append([]string{l.Dir}, parts...)...)
}

// Config is the configuration, node.yaml.
func (l Layout) Config() string { return l.in("node.yaml") }

// Card is the party's own signed card, for example al.card.
func (l Layout) Card(party string) string { return l.in(party + ".card") }

// Register is the folder of partners' cards, agreements and notices: public.
func (l Layout) Register() string { return l.in("register") }

// GatewayKeys are the online keys of the gateway: secret.
func (l Layout) GatewayKeys() string { return l.in("gateway", "keys") }

// Journals is the folder of the signing journals.
func (l Layout) Journals() string { return l.in("gateway", "journal") }

// Spoken gives the ids of the channels on which something was signed, with a signing
// journal of their own.
func (l Layout) Spoken() []string {
	paths, _ := filepath.Glob(filepath.Join(l.Journals(), "*.journal")) // only a bad pattern fails
	for i, path := range paths {
		paths[i] = strings.TrimPrefix(strings.TrimSuffix(filepath.Base(path), ".journal"), "x.")
	}
	return paths
}

// Journal is the signing journal of a channel. That of an exercise has a name
// that no channel's id can be.
func (l Layout) Journal(ch subject.Channel) string {
	name := ch.ID + ".journal"
	if ch.Exercise {
		name = "x." + name
	}
	return l.in("gateway", "journal", name)
}

// Index is the gateway's sealed index of alerts, which can be made again.
func (l Layout) Index() string { return l.in("gateway", "index") }

// DeskHead keeps the newest place in the ledger of what officers did.
func (l Layout) DeskHead() string { return l.in("gateway", "desk.head") }

// Restored says from which backup the folder was restored; not there if it never was.
func (l Layout) Restored() string { return l.in("gateway", "restored") }

// PairTerm keeps the highest term of the pair that this gateway has seen.
func (l Layout) PairTerm() string { return l.in("gateway", "pair.term") }

// PairWish is there while a person wants this gateway to take over.
func (l Layout) PairWish() string { return l.in("gateway", "pair.takeover") }

// Import is what an import of a register's file on a channel has to remember. It
// holds no content, but the key of its hashes: secret.
func (l Layout) Import(register, channel string) string {
	return l.in("imports", register+"."+channel+".state")
}

// AuditorKeys are the keys of an auditor, in whose folder no node runs: secret.
func (l Layout) AuditorKeys() string { return l.in("auditor", "keys") }

// Audits is where an auditor keeps what it has looked at, and why.
func (l Layout) Audits() string { return l.in("auditor", "audits") }

// BrokerKeys are the keys of the broker: secret, but open no content.
func (l Layout) BrokerKeys() string { return l.in("broker", "keys") }

// NATSConf is the compiled configuration of nats-server.
func (l Layout) NATSConf() string { return l.in("broker", "nats.conf") }

// Partners is the bundle of certificates that may connect.
func (l Layout) Partners() string { return l.in("broker", "partners.pem") }

// TLSCert is the broker's certificate for nats-server.
func (l Layout) TLSCert() string { return l.in("broker", "tls.crt") }

// TLSKey is the broker's TLS key for nats-server: secret.
func (l Layout) TLSKey() string { return l.in("broker", "tls.key") }

// Store is the folder of JetStream.
func (l Layout) Store() string { return l.in("broker", "jetstream") }

// StoreHeld is there when the server beside a cluster's agent has held streams: from then
// on it must not be started with an empty store unasked.
func (l Layout) StoreHeld() string { return l.in("broker", "store-held") }

// Socket is the Unix socket on which the node answers its officers.
func (l Layout) Socket() string { return l.in("api.sock") }

// APICertificate is what national systems see of the node's interface, as
// `karaula api init` makes it.
func (l Layout) APICertificate() string { return l.in("api", "server.crt") }

// APIKey is its private key: secret.
func (l Layout) APIKey() string { return l.in("api", "server.key") }

// APIClients is the folder that says who may use the interface over the network.
func (l Layout) APIClients() string { return l.in("api", "clients") }

// APIFiles gives the files of certificate and key that a configuration means.
func (l Layout) APIFiles(c APIConfig) (certificate, key string) {
	if c.Certificate == "" {
		return l.APICertificate(), l.APIKey()
	}
	at := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return l.in(name)
	}
	return at(c.Certificate), at(c.Key)
}

// RootKey is where the root key lies unless a command names another file:
// beside the folder, never in it.
func (l Layout) RootKey() string { return l.beside(".root") }

// NextRootKey is the pre-made root key that will follow, beside the folder.
func (l Layout) NextRootKey() string { return l.beside(".root.next") }

// beside names a file next to the folder, also where Dir is "." or relative.
func (l Layout) beside(suffix string) string {
	dir, err := filepath.Abs(l.Dir)
	if err != nil {
		dir = filepath.Clean(l.Dir)
	}
	return dir + suffix
}

// Inside reports whether path lies in the node's folder, where a root key must
// not be. Symbolic links are followed as far as they exist.
func (l Layout) Inside(path string) bool {
	dir, err1 := realPath(l.Dir)
	file, err2 := realPath(path)
	if err1 != nil || err2 != nil {
		return true // not to be told: the safe answer
	}
	rel, err := filepath.Rel(dir, file)
	return err != nil || rel == "." || filepath.IsLocal(rel)
}

// realPath follows links in the longest part of path that exists.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		resolved, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(resolved, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return "", err
		}
		path, rest = filepath.Dir(path), filepath.Join(filepath.Base(path), rest)
	}
}

// MakeAPI creates the folders of the interface, like Make.
func (l Layout) MakeAPI() error {
	if err := os.MkdirAll(l.APIClients(), 0o700); err != nil {
		return problem.Wrap(problem.Failed, err, "the folder of the interface was not made")
	}
	return nil
}

// Make creates the node's folders, readable by their owner alone. Folders that
// exist are kept as they are.
func (l Layout) Make() error {
	for _, dir := range []string{l.Dir, l.Register(), l.Journals(), l.Store()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return problem.Wrap(problem.Failed, err, "the node's folder was not made")
		}
	}
	return nil
}
