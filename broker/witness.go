package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"karaula/broker/seek"
	"karaula/internal/problem"
	"karaula/internal/remains"
	"karaula/internal/subject"
)

// A server that was away while something was erased is told so later, and overwrites
// nothing; and a stream's log keeps what it was told until it is compacted. No answer of
// a server tells of that (nats-server 2.15.2), so each machine looks into the files.

const (
	maxAsked = 4           // questions that may wait for the search that goes on
	hearAnew = time.Minute // between two subscriptions
)

// witness answers for one server of a cluster in which of its files something of erased
// content lies.
type witness struct {
	log     *slog.Logger
	nc      *nats.Conn // as keeper
	server  string
	account string // of the streams
	store   string // store_dir of the configuration that this machine writes
	ask     func() (*natsserver.JSInfo, error)
	copies  func() string // what the server's copies lack
	healthy func() error  // nil: the server has opened all streams that it has a copy of
}

func newWitness(r *remote, nc *nats.Conn, p Plan) *witness {
	return &witness{
		log: r.log, nc: nc, server: p.ServerName, account: subject.Account(p.Party), store: p.StoreDir,
		ask: func() (*natsserver.JSInfo, error) { return r.streamsOf(r.o.Name) }, copies: r.copyState,
		healthy: func() error {
			if lack := r.lacks(); lack != whole {
				return errors.New(lack)
			}
			return nil
		},
	}
}

// run answers one question after the other until ctx ends.
func (w *witness) run(ctx context.Context) {
	for ctx.Err() == nil {
		asked := make(chan *nats.Msg, maxAsked)
		sub, err := w.nc.ChanSubscribe(subject.Remains(w.server), asked)
		if err != nil { // only a closed connection refuses
			w.log.Error("the machine cannot be asked what is left of erased content; receipts wait", "why", err.Error())
			return
		}
		w.serve(ctx, asked)
		_ = sub.Unsubscribe() // or the connection has ended
	}
}

// serve answers what is asked, for some time: a server that had not read the
// configuration yet has refused the subscription, and does not say so here.
func (w *witness) serve(ctx context.Context, asked <-chan *nats.Msg) {
	anew := time.After(hearAnew)
	for {
		select {
		case <-ctx.Done():
			return
		case <-anew:
			return
		case m := <-asked:
			q, err := remains.ParseQuestion(m.Data)
			if err != nil {
				continue // nobody waits for an answer to that
			}
			raw, err := w.answer(q).Bytes()
			if err == nil {
				err = m.Respond(raw)
			}
			if err != nil {
				w.log.Warn("an answer about erased content was not sent", "why", err.Error())
			}
		}
	}
}

// answer looks for what a question asks about.
func (w *witness) answer(q *remains.Question) *remains.Answer {
	a := &remains.Answer{Server: w.server, Needles: len(q.Needles)}
	if q.Copies {
		a.Copies = w.copies()
		return a
	}
	store, log := map[int]bool{}, map[int]bool{}
	if err := w.search(q, store, log); err != nil {
		a.Unknown = err.Error()
	}
	a.Store, a.Log = slices.Sorted(maps.Keys(store)), slices.Sorted(maps.Keys(log))
	return a
}

// search adds to store and log the needles that lie there.
func (w *witness) search(q *remains.Question, store, log map[int]bool) error {
	s, err := seek.New(q.Needles)
	if err != nil {
		return err
	}
	before, err := w.places(q.Stream)
	if err != nil {
		return err
	}
	if before.stream != "" {
		if err := s.Folder(before.stream, store); err != nil {
			return err
		}
	}
	for _, dir := range before.logs {
		if err := s.Folder(dir, log); err != nil {
			return err
		}
	}
	after, err := w.places(q.Stream)
	if err != nil {
		return err
	}
	if before.stream != after.stream || !slices.Equal(before.logs, after.logs) {
		return problem.New(problem.Failed, "the server has opened or moved the stream %s meanwhile", q.Stream)
	}
	return nil
}

// places are the folders of a stream.
type places struct {
	stream string // empty: the server has none of it
	logs   []string
}

// places asks the server where it has what it has of a stream. What it says must be there,
// in the folder that this machine has given it.
func (w *witness) places(stream string) (places, error) {
	var none places
	if stream == subject.StubStream || filepath.Base(stream) != stream || stream == "." || stream == ".." {
		return none, problem.New(problem.Invalid, "the stream %q is none of which content is erased", stream)
	}
	info, err := w.ask()
	if err != nil {
		return none, err
	}
	root := filepath.Join(w.store, natsserver.JetStreamStoreDir)
	if filepath.Clean(info.Config.StoreDir) != root {
		return none, problem.New(problem.Failed, "the server has its store in %s and not in %s", info.Config.StoreDir, root)
	}
	groups, ours := map[string]string{}, ""
	for _, account := range info.AccountDetails {
		for _, one := range account.Streams {
			groups[one.RaftGroup] = one.Name
			if account.Name == w.account && one.Name == stream {
				ours = one.RaftGroup
				if ours == "" {
					return none, problem.New(problem.Failed, "the server does not say which log the stream %s has", stream)
				}
			}
		}
	}
	var p places
	p.stream = filepath.Join(root, w.account, "streams", stream)
	logs := filepath.Join(root, sysAccount, "_js_")
	if err := w.folders(&p, ours != ""); err != nil {
		return none, err
	}
	return p, w.logs(&p, logs, groups, ours)
}

// folders takes out of places the folder of a stream of which the server has no copy,
// where it is not there: one that it once had may be left.
func (w *witness) folders(p *places, has bool) error {
	err := folder(p.stream)
	if has {
		return err
	}
	if err := w.healthy(); err != nil {
		return problem.Wrap(problem.Failed, err, "the server has not opened all of its streams")
	}
	if errors.Is(err, fs.ErrNotExist) {
		p.stream = ""
		return nil
	}
	return err
}

// logs adds to places the stream's own log, and those that belong to none of the server's
// streams: of consumers, and what may be left of a log that the stream once had.
func (w *witness) logs(p *places, dir string, groups map[string]string, ours string) error {
	if ours != "" {
		p.logs = append(p.logs, filepath.Join(dir, ours))
		if err := folder(p.logs[0]); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, known := groups[e.Name()]; !known {
			p.logs = append(p.logs, filepath.Join(dir, e.Name()))
		}
	}
	slices.SortFunc(p.logs, cmp.Compare[string])
	return nil
}

// folder reports why there is no folder of a name.
func folder(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder", dir)
	}
	return err
}
