package faults

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"karaula/broker"
	"karaula/gateway/stream"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/register"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Store is what a stopped node has on disk about the channel, as its bytes say.
type Store struct {
	Party string
	// Out and In are the streams, message by message.
	Out []stream.Stored
	In  map[string][]stream.Stored // by origin
	// Verdicts are the judgements about each origin, in the order they were made.
	Verdicts map[string][]*karaulav1.Judgement
	// Aside counts what was put aside, by origin.
	Aside map[string]int
	// Journal holds every envelope that the signing journal's file still has, and
	// Base how many statements came before them.
	Journal [][]byte
	Base    uint64
	// Second is what the journal of the other gateway of a pair still has.
	Second [][]byte

	Keys *keyring.Gateway
	View *register.View
}

// Read reads a stopped node's store. It starts a broker on a copy of it, in
// temp, so that nothing in the node's folder changes. The servers of a cluster
// must run, and are asked.
func Read(ctx context.Context, n *Node, partners []string, temp string) (*Store, error) {
	l := node.Layout{Dir: n.Dir}
	keys, err := keyring.LoadGateway(l.GatewayKeys(), nil)
	if err != nil {
		return nil, err
	}
	reg, err := register.Open(l.Register(), n.Party)
	if err != nil {
		return nil, err
	}
	s := &Store{
		Party: n.Party, Keys: keys, View: reg.View(), In: map[string][]stream.Stored{},
		Verdicts: map[string][]*karaulav1.Judgement{}, Aside: map[string]int{},
	}
	if err := s.readJournal(l.Journal(subject.Actual(Channel))); err != nil {
		return nil, err
	}
	if n.Cluster != nil && n.Cluster.Pair {
		if err := s.readSecond(node.Layout{Dir: n.Cluster.Machines[1].Dir}.Journal(subject.Actual(Channel))); err != nil {
			return nil, err
		}
	}
	if n.Cluster != nil { // its streams are where most of its servers say that they are
		nc, err := n.Cluster.Connect()
		if err != nil {
			return nil, err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return nil, err
		}
		return s, s.readStreams(ctx, js, partners)
	}
	b, err := runCopy(ctx, l, temp)
	if err != nil {
		return nil, err
	}
	defer b.Shutdown()
	nc, err := b.Connect(subject.RoleGateway, keys.Own, &keys.TLS)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return s, s.readStreams(ctx, js, partners)
}

// runCopy starts a broker on a copy of a node's store, with the node's own
// configuration but for the place of the store and the port.
func runCopy(ctx context.Context, l node.Layout, temp string) (*broker.Embedded, error) {
	store := filepath.Join(temp, "jetstream")
	if err := Copy(l.Store(), store); err != nil {
		return nil, err
	}
	conf, err := os.ReadFile(l.NATSConf())
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	var out []string
	replaced := 0
	for line := range strings.SplitSeq(string(conf), "\n") {
		switch {
		case strings.HasPrefix(line, "listen: "):
			line = `listen: "` + port + `"`
			replaced++
		case strings.HasPrefix(line, "  store_dir: "):
			line = `  store_dir: "` + store + `"`
			replaced++
		}
		out = append(out, line)
	}
	if replaced != 2 {
		return nil, fmt.Errorf("%s does not look as expected: the store was not read", l.NATSConf())
	}
	file := filepath.Join(temp, "nats.conf")
	if err := os.WriteFile(file, []byte(strings.Join(out, "\n")), 0o600); err != nil {
		return nil, err
	}
	keys, err := keyring.LoadBroker(l.BrokerKeys(), nil)
	if err != nil {
		return nil, err
	}
	return broker.Run(ctx, file, &keys.TLS, slog.New(slog.DiscardHandler))
}

func (s *Store) readStreams(ctx context.Context, js jetstream.JetStream, partners []string) error {
	var err error
	if s.Out, err = readAll(ctx, js, subject.Out(subject.Actual(Channel)), ""); err != nil {
		return err
	}
	for _, p := range partners {
		if s.In[p], err = readAll(ctx, js, subject.InStream(subject.Actual(Channel), p), ""); err != nil {
			return err
		}
		records, err := readAll(ctx, js, subject.VerdictStream, subject.Verdict(Channel, p))
		if err != nil {
			return err
		}
		for _, m := range records {
			var r karaulav1.VerdictRecord
			if err := proto.Unmarshal(m.Data, &r); err != nil {
				return fmt.Errorf("verdict record %d of %s cannot be read: %w", m.Seq, s.Party, err)
			}
			s.Verdicts[p] = append(s.Verdicts[p], r.GetJudgements()...)
		}
		aside, err := readAll(ctx, js, subject.QuarantineStream, subject.Quarantine(Channel, p))
		if err != nil {
			return err
		}
		s.Aside[p] = len(aside)
	}
	return nil
}

func readAll(ctx context.Context, js jetstream.JetStream, name, subj string) ([]stream.Stored, error) {
	var out []stream.Stored
	err := stream.Open(js, name).Read(ctx, 1, subj, func(m stream.Stored) error {
		out = append(out, m)
		return nil
	})
	return out, err
}

// frameHead is the length of what stands before a record of the journal
// (docs/spec/journal.md): its length and two checksums, which are the journal
// package's to check.
const frameHead = 12

// readSecond reads the journal of the other gateway: the longer one counts, and
// what the other one has is kept for comparison.
func (s *Store) readSecond(path string) error {
	var o Store
	if err := o.readJournal(path); err != nil {
		return err
	}
	if o.Base+uint64(len(o.Journal)) > s.Base+uint64(len(s.Journal)) {
		s.Base, o.Base = o.Base, s.Base
		s.Journal, o.Journal = o.Journal, s.Journal
	}
	s.Second = o.Journal
	return nil
}

// readJournal collects the envelopes of a journal's file, by its description
// and not by the package that wrote it. A torn last record counts as not there.
func (s *Store) readJournal(path string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for len(raw) >= frameHead {
		size := int(binary.BigEndian.Uint32(raw))
		if size > len(raw)-frameHead {
			return nil
		}
		var r karaulav1.JournalRecord
		if err := proto.Unmarshal(raw[frameHead:frameHead+size], &r); err != nil {
			if len(raw) == frameHead+size {
				return nil
			}
			return fmt.Errorf("a record of %s cannot be read: %w", path, err)
		}
		if r.GetOpen() != nil {
			s.Base = r.GetOpen().GetSize()
		}
		s.Journal = append(s.Journal, r.GetSigned().GetEnvelopes()...)
		raw = raw[frameHead+size:]
	}
	return nil
}
