package nodes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/signedtext"
)

// InitOptions says what node to make.
type InitOptions struct {
	Dir   string
	Party string
	Name  string
	// Listen is the one public port, host:port.
	Listen string
	// Advertise are the addresses in the card; empty: Listen.
	Advertise []string
	// RootKey is the root key's file; its successor lies beside it with the
	// suffix ".next".
	RootKey string
	Contact string
	// Metrics is the address of /metrics; empty: none.
	Metrics string
	// Passphrase seals all keys; nil leaves them readable to whoever reads the files.
	Passphrase keyring.Passphrase
	// Officer is the id of the user who makes the node; its role is supervisor.
	Officer string
	Now     time.Time
}

// Made is what was made.
type Made struct {
	Card        *card.Card
	Fingerprint string
	RootKey     string
	NextRootKey string
}

// nextSuffix is what the pre-made root that will follow is called.
const nextSuffix = ".next"

// Init makes a node's root keys, online keys, configuration and signed card.
// It is all or nothing: the folder is made beside its place and moved there at
// the end, and nothing that exists is touched.
func Init(o InitOptions) (made *Made, err error) {
	layout := node.Layout{Dir: filepath.Clean(o.Dir)}
	if err := initAllowed(layout, o); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(layout.Dir), 0o755); err != nil { //nolint:gosec // a folder above the node's own
		return nil, problem.Wrap(problem.Failed, err, "the folder above %s cannot be made; nothing was made", layout.Dir)
	}
	temp, err := os.MkdirTemp(filepath.Dir(layout.Dir), ".karaula-init-")
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the node's folder cannot be made; nothing was made")
	}
	defer os.RemoveAll(temp) //nolint:errcheck // nothing of worth is in it
	work := node.Layout{Dir: temp}
	if err := work.Make(); err != nil {
		return nil, err
	}
	root, next, err := saveRoots(o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(o.RootKey), os.Remove(o.RootKey+nextSuffix))
		}
	}()
	c, err := fillFolder(work, o, root, next)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(temp, layout.Dir); err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the node's folder cannot be put in its place; nothing was made")
	}
	return &Made{Card: c, Fingerprint: c.Fingerprint(), RootKey: o.RootKey, NextRootKey: o.RootKey + nextSuffix}, nil
}

// initAllowed refuses to overwrite, and a root key inside the node's folder.
func initAllowed(layout node.Layout, o InitOptions) error {
	if layout.Inside(o.RootKey) {
		return problem.New(problem.Invalid, "the root key would lie inside the node's folder; nothing was made").
			WithHint("the root key stays offline: --root-key FILE outside of %s", layout.Dir)
	}
	for _, path := range []string{layout.Dir, o.RootKey, o.RootKey + nextSuffix} {
		if _, err := os.Lstat(path); err == nil {
			return problem.New(problem.Conflict, "%s is there already; nothing was made", path).
				WithHint("another --dir or --root-key, or move it away yourself")
		} else if !errors.Is(err, fs.ErrNotExist) {
			return problem.Wrap(problem.Failed, err, "%s cannot be looked at; nothing was made", path)
		}
	}
	return nil
}

// saveRoots makes the root key and the one that will follow it.
func saveRoots(o InitOptions) (root *keyring.Root, next string, err error) {
	private, _, err := keyring.NewRoot(o.Party)
	if err != nil {
		return nil, "", err
	}
	nextPrivate, nextVKey, err := keyring.NewRoot(o.Party)
	if err != nil {
		return nil, "", err
	}
	if err := keyring.SaveRoot(o.RootKey, private, o.Passphrase); err != nil {
		return nil, "", err
	}
	if err := keyring.SaveRoot(o.RootKey+nextSuffix, nextPrivate, o.Passphrase); err != nil {
		return nil, "", errors.Join(err, os.Remove(o.RootKey))
	}
	parsed, err := keyring.ParseRoot(private)
	if err != nil {
		return nil, "", err
	}
	return parsed, nextVKey, nil
}

// fillFolder makes everything inside the node's folder.
func fillFolder(l node.Layout, o InitOptions, root *keyring.Root, next string) (*card.Card, error) {
	cfg := node.Default()
	cfg.Party, cfg.Name, cfg.Listen, cfg.Advertise, cfg.Metrics = o.Party, o.Name, o.Listen, o.Advertise, o.Metrics
	cfg.Officers = []node.Officer{{UID: os.Getuid(), ID: o.Officer, Role: node.RoleSupervisor}}
	text := node.Template(cfg)
	if _, err := node.Parse(text); err != nil {
		return nil, err
	}
	if err := os.WriteFile(l.Config(), text, 0o600); err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the configuration cannot be written; nothing was made")
	}
	gw, br, err := saveOnline(l, o)
	if err != nil {
		return nil, err
	}
	file, err := firstCard(cfg, gw, br, root, next, o)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(l.Card(o.Party), file, 0o644); err != nil { //nolint:gosec // a card is public
		return nil, problem.Wrap(problem.Failed, err, "the card cannot be written; nothing was made")
	}
	reg, err := register.Open(l.Register(), o.Party)
	if err != nil {
		return nil, err
	}
	if _, err := reg.AddCard(file, register.AddCardOptions{}); err != nil {
		return nil, err
	}
	return card.Open(file)
}

// saveOnline makes the keys of gateway and broker.
func saveOnline(l node.Layout, o InitOptions) (*keyring.Gateway, *keyring.Broker, error) {
	gw, err := keyring.NewGateway(o.Party, o.Now)
	if err != nil {
		return nil, nil, err
	}
	br, err := keyring.NewBroker(o.Party, o.Now)
	if err != nil {
		return nil, nil, err
	}
	if br.GatewayUser, err = keyring.User(gw.Own); err != nil {
		return nil, nil, err
	}
	if err := gw.Save(l.GatewayKeys(), o.Passphrase); err != nil {
		return nil, nil, err
	}
	return gw, br, br.Save(l.BrokerKeys(), o.Passphrase)
}

// firstCard signs the party's first card.
func firstCard(
	cfg *node.Config, gw *keyring.Gateway, br *keyring.Broker, root *keyring.Root, next string, o InitOptions,
) ([]byte, error) {
	c, err := card.Draft(gw, br, o.Now)
	if err != nil {
		return nil, err
	}
	c.Name, c.Serial, c.Address, c.Contact = o.Name, 1, cfg.Addresses(), o.Contact
	c.Root, c.NextRoot = root.VKey, signedtext.KeyDigest(next)
	c.Speaks = []uint32{1}
	return card.Issue(c, root.Signer)
}

// OfficerName makes an officer id of an operating-system user's name.
func OfficerName(user string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, user)
	if clean == "" {
		return "officer"
	}
	return clean
}
