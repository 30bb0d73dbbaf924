package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"karaula/cmd/karaula/internal/nodes"
	"karaula/cmd/karaula/internal/setup"
	"karaula/deploy/examples"
	"karaula/internal/agreement"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
)

// Who speaks to whom, and where.
const (
	sender    = "al"
	recipient = "me"
	channel   = "b01-al-me"
)

// readyTimeout bounds how long a node may take to open its channel.
const readyTimeout = 60 * time.Second

// stage is two nodes.
type stage struct {
	o        Options
	dir      string
	made     map[string]*setup.Made
	from, to *nodes.Node
	op       *operation
}

// codes lists the two parties.
func codes() []string { return []string{sender, recipient} }

// build makes two nodes that know each other's cards and have signed one agreement.
func build(o Options, dir string) (*stage, error) {
	s := &stage{o: o, dir: dir, made: map[string]*setup.Made{}}
	for _, code := range codes() {
		listen, err := freePort()
		if err != nil {
			return nil, err
		}
		cfg := node.Default()
		cfg.Party, cfg.Name, cfg.Listen = code, "Border police "+code+" (invented name)", listen
		cfg.Officers = setup.Operator()
		s.made[code], err = setup.Make(setup.Options{
			Dir: filepath.Join(dir, code), Config: cfg, Contact: "duty desk (invented)", Now: time.Now(),
		})
		if err != nil {
			return nil, err
		}
	}
	file, err := s.agree()
	if err != nil {
		return nil, err
	}
	for _, code := range codes() {
		reg, err := register.Open(s.made[code].Layout.Register(), code)
		if err != nil {
			return nil, err
		}
		for _, m := range s.made {
			if _, err := reg.AddCard(m.Card.Signed, register.AddCardOptions{Fingerprint: m.Card.Fingerprint()}); err != nil {
				return nil, err
			}
		}
		if _, err := reg.AddAgreement(file); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// agree fills in the example agreement of the two, with room for the run, and
// has both sign it.
func (s *stage) agree() ([]byte, error) {
	var parties []agreement.Party
	for _, code := range codes() {
		c := s.made[code].Card
		parties = append(parties, agreement.Party{Code: code, Name: c.Name, Root: c.Root, Next: c.NextRoot})
	}
	from := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	file, err := agreement.Fill(examples.Agreements()[channel], parties, from, from.AddDate(1, 0, 0))
	if err != nil {
		return nil, err
	}
	gib := 1 + 4*s.o.Alerts*(s.o.Size+8<<10)>>30
	file = bytes.Replace(file, []byte("\nquota 1GiB\n"), fmt.Appendf(nil, "\nquota %dGiB\n", gib), 1)
	for _, code := range codes() {
		root, err := keyring.LoadRoot(s.made[code].RootKey, nil)
		if err != nil {
			return nil, err
		}
		if file, err = agreement.Sign(file, root.Signer); err != nil {
			return nil, err
		}
	}
	return file, nil
}

// freePort finds a loopback port that nobody listens on now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return "", problem.Wrap(problem.Failed, err, "no free port on loopback")
	}
	return l.Addr().String(), l.Close()
}

// start starts both nodes and waits until their channel is open.
func (s *stage) start(ctx context.Context) (err error) {
	if s.from, err = s.startOne(ctx, sender); err != nil {
		return err
	}
	s.to, err = s.startOne(ctx, recipient)
	return err
}

func (s *stage) startOne(ctx context.Context, code string) (*nodes.Node, error) {
	n, err := nodes.Start(ctx, nodes.Options{
		Dir: filepath.Join(s.dir, code), Broker: true, Gateway: true, Version: s.o.Version,
		Logger: s.o.Logger.With("node", code),
	})
	if err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "node %s does not start", code)
	}
	select {
	case <-n.Ready():
		return n, nil
	case err = <-n.Failed():
	case <-ctx.Done():
		err = problem.Wrap(problem.Failed, ctx.Err(), "stopped")
	case <-time.After(readyTimeout):
		err = problem.New(problem.Failed, "node %s does not get ready", code)
	}
	return nil, errors.Join(err, n.Stop())
}

// stop stops both nodes.
func (s *stage) stop() error {
	var errs []error
	for _, n := range []*nodes.Node{s.from, s.to} {
		if n != nil {
			errs = append(errs, n.Stop())
		}
	}
	return errors.Join(errs...)
}

// folder gives the folder to work in, and what removes it if nobody wants it.
func folder(dir string) (string, func(), error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", nil, problem.Wrap(problem.Failed, err, "the folder for the nodes cannot be made")
		}
		return dir, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "karaula-bench-")
	if err != nil {
		return "", nil, problem.Wrap(problem.Failed, err, "no folder for the nodes")
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil // a leftover in the temporary folder harms nobody
}
