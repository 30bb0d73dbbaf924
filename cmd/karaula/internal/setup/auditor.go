package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// AuditorOptions say which auditor to make: Dir, Config's party and name, the
// root's file, passphrases and time are as in [Options].
type AuditorOptions struct {
	Options
	// NoLogin makes a card with which no broker lets the auditor in.
	NoLogin bool
}

// MakeAuditor makes an auditor's root keys and folder, or nothing at all. No node
// runs in that folder: it has keys, a card and a register.
func MakeAuditor(o AuditorOptions) (*Made, error) {
	m := &maker{o: o.Options, layout: node.Layout{Dir: filepath.Clean(o.Dir)}}
	m.text, m.fill = auditorConfig(o.Config), func(l node.Layout, pair rootPair) error { return m.auditor(l, pair, !o.NoLogin) }
	if err := m.check(); err != nil {
		return nil, err
	}
	if err := m.build(); err != nil {
		m.undo()
		return nil, err
	}
	return &Made{Layout: m.layout, Card: m.card, RootKey: m.root, NextRootKey: m.next}, nil
}

// auditorConfig is the node.yaml of an auditor's folder.
func auditorConfig(c *node.Config) []byte {
	return fmt.Appendf(nil, `# The folder of an auditor. No node runs in it: the listen address is never used.
party: %q
name: %q
listen: %q
`, c.Party, c.Name, c.Listen)
}

// auditor makes an auditor's keys and the card that names them.
func (m *maker) auditor(l node.Layout, pair rootPair, login bool) error {
	keys, err := keyring.NewAuditor(m.o.Config.Party, m.o.Now)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.AuditorKeys()), 0o700); err != nil {
		return problem.Wrap(problem.Failed, err, "nothing was made")
	}
	if err := keys.Save(l.AuditorKeys(), m.o.Passphrase); err != nil {
		return err
	}
	draft, err := card.DraftAuditor(keys, login, m.o.Now)
	if err != nil {
		return err
	}
	return m.issue(l, pair, draft)
}

// AuditorCard issues the next card of the auditor in dir, signed by the root key.
// With o.Rotate it makes new keys first: the old login is refused wherever the
// card is taken in, and old keys go on opening what was sealed to them.
func AuditorCard(dir string, o CardOptions, noLogin bool) (*card.Card, error) {
	i, err := begin(dir, "no card was issued")
	if err != nil {
		return nil, err
	}
	defer i.end()
	unlock, err := keyring.Exclusive(i.layout.AuditorKeys())
	if err != nil {
		return nil, err
	}
	defer unlock()
	keys, err := keyring.LoadAuditor(i.layout.AuditorKeys(), o.Passphrase)
	if err != nil {
		return nil, err
	}
	path := o.RootKey
	if path == "" {
		path = i.layout.RootKey()
	}
	root, err := keyring.LoadRoot(path, o.RootPassphrase)
	if err != nil {
		return nil, err
	}
	if root.VKey != i.before.Root {
		return nil, problem.New(problem.Verification,
			"%s is not the root key that signed the present card; no card was issued", path)
	}
	if o.Rotate {
		if err := keys.Rotate(o.Now); err != nil {
			return nil, err
		}
	}
	next, err := i.nextAuditor(keys, o.Now, noLogin)
	if err != nil {
		return nil, err
	}
	file, err := card.Issue(*next, root.Signer)
	if err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "no card was issued").WithHint("%s", problem.HintOf(err))
	}
	if o.Rotate { // before the card names them
		if err := keys.Replace(i.layout.AuditorKeys(), o.Passphrase); err != nil {
			return nil, err
		}
	}
	return i.take(file, o.Now)
}

// nextAuditor gives the auditor's next card, unsigned.
func (i *issue) nextAuditor(keys *keyring.Auditor, now time.Time, noLogin bool) (*card.Card, error) {
	if !now.Before(keys.Audit[0].Until) {
		return nil, problem.New(problem.Locked, "the auditor's keys have run out; no card was issued").
			WithHint("karaula auditor card --rotate --dir %s", i.layout.Dir)
	}
	c, err := card.DraftAuditor(keys, !noLogin, now)
	if err != nil {
		return nil, err
	}
	c.Name, c.Serial, c.Previous = i.cfg.Name, i.before.Serial+1, i.before.Digest
	c.Root, c.NextRoot, c.Contact = i.before.Root, i.before.NextRoot, i.before.Contact
	c.Until = earlier(year(c.Issued), c.Until)
	return &c, nil
}

// earlier gives the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
