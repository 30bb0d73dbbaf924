package broker

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
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
	// metaGroup is the log in which the servers agree on what streams there are.
	metaGroup = "_meta_"
	// searchWithin is how long a search may take, the time that it waits included, so that
	// its answer still arrives.
	searchWithin = subject.RemainsWithin - 10*time.Second
	// healthPatience is how long a server may take to be current: one that erases much is
	// not, by its own count, for moments again and again.
	healthPatience = 10 * time.Second
	healthPause    = 100 * time.Millisecond
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
	// health asks the server how far it has caught up with a stream; 404 if it has none.
	health   func(stream string) (natsserver.HealthStatus, error)
	patience time.Duration // until it must have

	heard atomic.Bool // a question has come since the last subscription
}

// asked is a question that waits.
type asked struct {
	m     *nats.Msg
	q     *remains.Question
	until time.Time
}

func newWitness(r *remote, nc *nats.Conn, p Plan) *witness {
	return &witness{
		log: r.log, nc: nc, server: p.ServerName, account: subject.Account(p.Party), store: p.StoreDir,
		ask: func() (*natsserver.JSInfo, error) { return r.streamsOf(r.o.Name) }, copies: r.copyState, patience: healthPatience,
		health: func(stream string) (natsserver.HealthStatus, error) {
			return r.health(natsserver.HealthzOptions{Account: subject.Account(p.Party), Stream: stream, Details: true})
		},
	}
}

// run answers questions until ctx ends.
func (w *witness) run(ctx context.Context) {
	waiting := make(chan asked, maxAsked)
	for ctx.Err() == nil {
		sub, err := w.nc.Subscribe(subject.Remains(w.server), func(m *nats.Msg) { w.hear(m, waiting) })
		if err != nil { // only a closed connection refuses
			w.log.Error("the machine cannot be asked what is left of erased content; receipts wait", "why", err.Error())
			return
		}
		w.serve(ctx, waiting)
		_ = sub.Unsubscribe() // or the connection has ended
	}
}

// hear answers a question about copies at once, and has one that needs a search wait for
// the one before it. What cannot be read gets no answer.
func (w *witness) hear(m *nats.Msg, waiting chan<- asked) {
	w.heard.Store(true)
	q, err := remains.ParseQuestion(m.Data)
	if err != nil {
		return
	}
	if q.Copies {
		w.respond(m, &remains.Answer{Server: w.server, Copies: w.copies()})
		return
	}
	select {
	case waiting <- asked{m, q, time.Now().Add(searchWithin)}:
	default:
		w.respond(m, &remains.Answer{Server: w.server, Needles: len(q.Needles), Unknown: "its machine still answers earlier questions"})
	}
}

// serve searches until nothing was asked for some time: a server that had not read the
// configuration yet has refused the subscription, and does not say so here.
func (w *witness) serve(ctx context.Context, waiting <-chan asked) {
	anew := time.NewTicker(hearAnew)
	defer anew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-anew.C:
			if !w.heard.Swap(false) {
				return
			}
		case a := <-waiting:
			if time.Now().Before(a.until) { // or nobody waits any more
				w.respond(a.m, w.answer(ctx, a.q, a.until))
			}
		}
	}
}

func (w *witness) respond(m *nats.Msg, a *remains.Answer) {
	raw, err := a.Bytes()
	if err == nil {
		err = m.Respond(raw)
	}
	if err != nil {
		w.log.Warn("an answer about erased content was not sent", "why", err.Error())
	}
}

// answer looks for what a question asks about.
func (w *witness) answer(ctx context.Context, q *remains.Question, until time.Time) *remains.Answer {
	ctx, cancel := context.WithDeadlineCause(ctx, until, problem.New(problem.Failed, "the search would take longer than %s", searchWithin))
	defer cancel()
	a := &remains.Answer{Server: w.server, Needles: len(q.Needles)}
	store, log := map[int]bool{}, map[int]bool{}
	left, err := w.search(ctx, q, store, log)
	if err != nil {
		a.Unknown = err.Error()
	}
	a.Left = left
	a.Store, a.Log = slices.Sorted(maps.Keys(store)), slices.Sorted(maps.Keys(log))
	return a
}

// search adds to store and log the needles that lie there, and names a folder of log that
// belongs to nothing and holds some. A server that is catching up
// may have in memory what is in no file yet, and what is moved meanwhile is in none of the
// folders that are searched; so both before and behind it all must be as it should be.
func (w *witness) search(ctx context.Context, q *remains.Question, store, log map[int]bool) (left string, err error) {
	s, err := seek.New(q.Needles)
	if err != nil {
		return "", err
	}
	before, err := w.places(ctx, q.Stream)
	if err != nil {
		return "", err
	}
	for _, p := range before {
		found := map[int]bool{}
		if err := s.Folder(ctx, p.dir, found); err != nil {
			return left, err
		}
		if p.log {
			maps.Copy(log, found)
		} else {
			maps.Copy(store, found)
		}
		if p.left && len(found) > 0 {
			left = p.dir
		}
	}
	after, err := w.places(ctx, q.Stream)
	if err != nil {
		return left, err
	}
	if !slices.EqualFunc(before, after, place.same) {
		return left, problem.New(problem.Failed, "the server has opened or moved the stream %s meanwhile", q.Stream)
	}
	return left, nil
}

// place is a folder in which something of a stream lies, or may lie.
type place struct {
	dir  string
	is   fs.FileInfo
	log  bool
	left bool // it belongs to none of the server's streams
}

// same reports whether two are one folder, and not only have one name.
func (p place) same(other place) bool {
	return p.dir == other.dir && p.log == other.log && os.SameFile(p.is, other.is)
}

// places asks the server where it has what it has of a stream. What it says must be there,
// in the folder that this machine has given it, and the server must have caught up.
func (w *witness) places(ctx context.Context, stream string) ([]place, error) {
	if stream == subject.StubStream || filepath.Base(stream) != stream || strings.HasPrefix(stream, ".") {
		return nil, problem.New(problem.Invalid, "the stream %q is none of which content is erased", stream)
	}
	member, err := w.current(ctx, stream)
	if err != nil {
		return nil, err
	}
	info, err := w.ask()
	if err != nil {
		return nil, err
	}
	root := filepath.Join(w.store, natsserver.JetStreamStoreDir)
	if filepath.Clean(info.Config.StoreDir) != root {
		return nil, problem.New(problem.Failed, "the server has its store in %s and not in %s", info.Config.StoreDir, root)
	}
	groups, consumers := map[string]bool{}, map[string]bool{metaGroup: true}
	var has *natsserver.StreamDetail
	for _, account := range info.AccountDetails {
		for i, one := range account.Streams {
			groups[one.RaftGroup] = true
			for _, c := range one.ConsumerRaftGroups {
				consumers[c.RaftGroup] = true
			}
			if account.Name == w.account && one.Name == stream {
				has = &account.Streams[i]
			}
		}
	}
	if member != (has != nil) {
		return nil, problem.New(problem.Failed, "the server has just begun or ceased to have a copy of the stream %s", stream)
	}
	stores, err := storesOf(filepath.Join(root, w.account, "streams"), stream, has)
	if err != nil {
		return nil, err
	}
	logs, err := logsOf(filepath.Join(root, sysAccount, "_js_"), groups, consumers, has)
	return append(stores, logs...), err
}

// current waits until the server has caught up with a stream, and reports whether it is to
// have a copy of it.
func (w *witness) current(ctx context.Context, stream string) (member bool, err error) {
	for end := time.Now().Add(w.patience); ; {
		h, err := w.health(stream)
		switch {
		case err != nil:
			return false, err
		case h.StatusCode == http.StatusOK:
			return true, nil
		case h.StatusCode == http.StatusNotFound:
			return false, nil
		}
		some := len(h.Errors) > 0
		h.Errors = slices.DeleteFunc(h.Errors, func(e natsserver.HealthzError) bool { return e.Type == natsserver.HealthzErrorConsumer })
		switch {
		case some && len(h.Errors) == 0: // a consumer holds no content, and one with fewer copies is missed for ever
			return true, nil
		case time.Now().After(end):
			return false, problem.New(problem.Failed, "the server has not caught up: %s", worst(h))
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(healthPause):
		}
	}
}

// storesOf gives the folder of a stream, where the server has it, or once had it and it is
// left; and those, named with a dot before the name, that the server is deleting.
func storesOf(dir, stream string, has *natsserver.StreamDetail) ([]place, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && (has != nil || !errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	var out []place
	for _, e := range entries {
		if e.Name() != stream && !strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if out, err = add(out, filepath.Join(dir, e.Name()), place{left: has == nil || e.Name() != stream}); err != nil {
			return nil, err
		}
	}
	if has == nil {
		return out, nil
	}
	folder := filepath.Join(dir, stream)
	if !slices.ContainsFunc(out, func(p place) bool { return p.dir == folder }) {
		return nil, problem.New(problem.Failed, "the server has the stream %s, and there is no %s", stream, folder)
	}
	return out, holds(folder, has.State.Bytes)
}

// holds reports an error where the files of a stream have fewer bytes than the server says
// of its messages: they are another server's, or not written yet.
func holds(folder string, bytes uint64) error {
	files, err := os.ReadDir(filepath.Join(folder, "msgs"))
	if err != nil {
		return err
	}
	var have uint64
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".blk" {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		have += uint64(info.Size()) //nolint:gosec // a size is not negative
	}
	if have < bytes {
		return problem.New(problem.Failed, "the server says that its messages have %d bytes, and in %s there are %d", bytes, folder, have)
	}
	return nil
}

// logsOf gives the stream's own log, and those that belong to none of the server's
// streams: of consumers, and what may be left of a log that the stream once had.
func logsOf(dir string, groups, consumers map[string]bool, has *natsserver.StreamDetail) (out []place, err error) {
	if has != nil && has.RaftGroup == "" {
		return nil, problem.New(problem.Failed, "the server does not say which log the stream %s has", has.Name)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	own := false
	for _, e := range entries {
		mine := has != nil && e.Name() == has.RaftGroup
		if own = own || mine; !mine && groups[e.Name()] {
			continue
		}
		if out, err = add(out, filepath.Join(dir, e.Name()), place{log: true, left: !mine && !consumers[e.Name()]}); err != nil {
			return nil, err
		}
	}
	if has != nil && !own {
		return nil, problem.New(problem.Failed, "the log of the stream %s is not in %s", has.Name, dir)
	}
	return out, nil
}

// add adds a folder. One that is gone by now is none; [witness.search] looks twice.
func add(to []place, dir string, p place) ([]place, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return to, nil
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, problem.New(problem.Failed, "%s is no folder", dir)
	}
	p.dir, p.is = dir, info
	return append(to, p), nil
}
