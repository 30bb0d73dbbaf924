package demo

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
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

// names are the invented authorities of the six parties.
var names = map[string]string{
	"al": "Border police of Albania (invented name)",
	"ba": "Border police of Bosnia and Herzegovina (invented name)",
	"me": "Border police of Montenegro (invented name)",
	"mk": "Border police of North Macedonia (invented name)",
	"rs": "Border police of Serbia (invented name)",
	"xk": "Border police of Kosovo* (invented name)",
}

// codes are the six parties in the order of their codes.
func codes() []string { return slices.Sorted(maps.Keys(names)) }

// stage is six nodes in one process.
type stage struct {
	dir        string
	version    string
	logger     *slog.Logger
	nodes      map[string]*nodes.Node
	agreements map[string]*agreement.Agreement
}

// build makes six nodes, has them exchange cards, signs the example agreements
// and takes them in, as people would do it with the commands.
func build(dir, version string, logger *slog.Logger) (*stage, error) {
	s := &stage{dir: dir, version: version, logger: logger, nodes: map[string]*nodes.Node{}}
	made, err := s.initAll()
	if err != nil {
		return nil, err
	}
	texts, err := s.signAll(made)
	if err != nil {
		return nil, err
	}
	return s, each(func(code string) error {
		reg, err := register.Open(filepath.Join(s.dir, code, "register"), code)
		if err != nil {
			return err
		}
		for _, m := range made {
			if _, err := reg.AddCard(m.Card.Signed, register.AddCardOptions{Fingerprint: m.Card.Fingerprint()}); err != nil {
				return err
			}
		}
		for id, file := range texts {
			if !slices.Contains(s.agreements[id].Codes(), code) {
				continue
			}
			if _, err := reg.AddAgreement(file); err != nil {
				return err
			}
		}
		return nil
	})
}

// each does something for all six at the same time.
func each(f func(code string) error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(names))
	for i, code := range codes() {
		wg.Go(func() { errs[i] = f(code) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// initAll makes the six folders.
func (s *stage) initAll() (map[string]*setup.Made, error) {
	ports, err := freePorts(len(names))
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	made := map[string]*setup.Made{}
	err = each(func(code string) error {
		cfg := node.Default()
		cfg.Party, cfg.Name, cfg.Listen = code, names[code], ports[slices.Index(codes(), code)]
		cfg.Officers = setup.Operator()
		m, err := setup.Make(setup.Options{
			Dir: filepath.Join(s.dir, code), Config: cfg, Contact: "duty desk, extension 000 (invented)", Now: time.Now(),
		})
		mu.Lock()
		defer mu.Unlock()
		made[code] = m
		return err
	})
	return made, err
}

// freePorts finds loopback ports that nobody listens on now.
func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
		if err != nil {
			return nil, problem.Wrap(problem.Failed, err, "no free port on loopback")
		}
		defer l.Close() //nolint:errcheck // only the number counts
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// signAll fills in the example agreements and has every party sign its own.
func (s *stage) signAll(made map[string]*setup.Made) (map[string][]byte, error) {
	var parties []agreement.Party
	for _, code := range codes() {
		c := made[code].Card
		parties = append(parties, agreement.Party{Code: code, Name: c.Name, Root: c.Root, Next: c.NextRoot})
	}
	from := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	s.agreements = map[string]*agreement.Agreement{}
	out := map[string][]byte{}
	for id, template := range examples.Agreements() {
		file, err := agreement.Fill(template, parties, from, from.AddDate(1, 0, 0))
		if err != nil {
			return nil, err
		}
		a, findings := agreement.Lint(file)
		if agreement.Errors(findings) > 0 {
			return nil, problem.New(problem.Failed, "the example agreement %s does not lint: %v", id, findings)
		}
		for _, code := range a.Codes() {
			root, err := keyring.LoadRoot(made[code].RootKey, nil)
			if err != nil {
				return nil, err
			}
			if file, err = agreement.Sign(file, root.Signer); err != nil {
				return nil, err
			}
		}
		s.agreements[id], out[id] = a, file
	}
	return out, nil
}

// start starts all nodes and waits until their channels are open.
func (s *stage) start(ctx context.Context) error {
	var mu sync.Mutex
	return each(func(code string) error {
		n, err := s.startOne(ctx, code)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		s.nodes[code] = n
		return nil
	})
}

// readyTimeout bounds how long a node may take to open its channels.
const readyTimeout = 60 * time.Second

func (s *stage) startOne(ctx context.Context, code string) (*nodes.Node, error) {
	n, err := nodes.Start(ctx, nodes.Options{
		Dir: filepath.Join(s.dir, code), Broker: true, Gateway: true, Version: s.version,
		Logger: s.logger.With("node", code),
	})
	if err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "node %s does not start", code)
	}
	select {
	case <-n.Ready():
		return n, nil
	case err := <-n.Failed():
		return nil, errors.Join(err, n.Stop())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), n.Stop())
	case <-time.After(readyTimeout):
		return nil, errors.Join(problem.New(problem.Failed, "node %s does not get ready", code), n.Stop())
	}
}

// stop stops all nodes.
func (s *stage) stop() error {
	return each(func(code string) error {
		if n := s.nodes[code]; n != nil {
			return n.Stop()
		}
		return nil
	})
}

// tempDir makes the folder for nodes that nobody wants to keep.
func tempDir() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "karaula-demo-")
	if err != nil {
		return "", nil, problem.Wrap(problem.Failed, err, "no folder for the nodes")
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil // a leftover in the temporary folder harms nobody
}
