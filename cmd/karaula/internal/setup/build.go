package setup

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/signedtext"
)

// build makes everything in a folder beside the node's, and moves it into place
// as the last step.
func (m *maker) build() error {
	temp, err := os.MkdirTemp(filepath.Dir(m.layout.Dir), ".karaula-init-")
	if err != nil {
		return problem.Wrap(problem.Failed, err, "nothing was made")
	}
	m.made = append(m.made, temp)
	draft := node.Layout{Dir: temp}
	root, err := m.roots(temp)
	if err != nil {
		return err
	}
	if err := m.fill(draft, root); err != nil {
		return err
	}
	if err := WriteFile(draft.Config(), m.text, 0o600); err != nil {
		return err
	}
	return m.place(temp)
}

// rootPair is a party's root key and the verifier key of the one after it.
type rootPair struct {
	root *keyring.Root
	next string
}

// roots makes and keeps the two root keys. A root key that may lie in the node's
// folder is written where that folder is being made.
func (m *maker) roots(temp string) (rootPair, error) {
	var pair rootPair
	for _, file := range []string{m.next, m.root} {
		private, vkey, err := keyring.NewRoot(m.o.Config.Party)
		if err != nil {
			return pair, err
		}
		at := file
		if rel, err := filepath.Rel(m.layout.Dir, file); err == nil && filepath.IsLocal(rel) {
			at = filepath.Join(temp, rel)
		}
		if err := keyring.SaveRoot(at, private, m.o.RootPassphrase); err != nil {
			return pair, err
		}
		m.made = append(m.made, at)
		if file == m.next {
			pair.next = vkey
			continue
		}
		if pair.root, err = keyring.ParseRoot(private); err != nil {
			return pair, err
		}
	}
	return pair, nil
}

// online makes the online keys and the card that names them.
func (m *maker) online(l node.Layout, pair rootPair) error {
	if err := l.Make(); err != nil {
		return err
	}
	g, err := keyring.NewGateway(m.o.Config.Party, m.o.Now)
	if err != nil {
		return err
	}
	b, err := keyring.NewBroker(m.o.Config.Party, m.o.Now)
	if err != nil {
		return err
	}
	if b.GatewayUser, err = keyring.User(g.Own); err != nil {
		return err
	}
	if err := errors.Join(g.Save(l.GatewayKeys(), m.o.Passphrase), b.Save(l.BrokerKeys(), m.o.Passphrase)); err != nil {
		return err
	}
	draft, err := card.Draft(g, b, m.o.Now)
	if err != nil {
		return err
	}
	draft.Address = m.o.Config.Addresses()
	return m.issue(l, pair, draft)
}

// issue signs the first card, and puts it where it belongs.
func (m *maker) issue(l node.Layout, pair rootPair, draft card.Card) error {
	draft.Root, draft.NextRoot = pair.root.VKey, signedtext.KeyDigest(pair.next)
	draft.Until = year(draft.Issued)
	draft.Name, draft.Contact = m.o.Config.Name, m.o.Contact
	file, err := card.Issue(draft, pair.root.Signer)
	if err != nil {
		return problem.Wrap(problem.KindOf(err), err, "nothing was made")
	}
	if m.card, err = takeIn(l, m.o.Config.Party, file, m.o.Now); err != nil {
		return err
	}
	return WriteFile(l.Card(m.o.Config.Party), file, 0o644)
}

// year is when a card that begins at t ends.
func year(t time.Time) time.Time { return t.AddDate(cardYears, 0, 0) }

// takeIn takes an own card into the node's register.
func takeIn(l node.Layout, party string, file []byte, now time.Time) (*card.Card, error) {
	reg, err := register.Open(l.Register(), party)
	if err != nil {
		return nil, err
	}
	reg.SetClock(func() time.Time { return now })
	res, err := reg.AddCard(file, register.AddCardOptions{})
	if err != nil {
		return nil, err
	}
	return res.Card, nil
}

// place moves the finished folder to where it belongs.
func (m *maker) place(temp string) error {
	// An empty folder may be in the way; one that has been filled since stays.
	_ = os.Remove(m.layout.Dir)
	if err := os.Rename(temp, m.layout.Dir); err != nil {
		return problem.Wrap(problem.Conflict, err, "the node could not be put in its place; nothing was made")
	}
	return syncDir(filepath.Dir(m.layout.Dir))
}

// undo removes what was made. The root keys are among it: without a card nobody
// has seen them.
func (m *maker) undo() {
	for _, path := range m.made {
		_ = os.RemoveAll(path) // best effort, the error that led here is told
	}
}
