package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/broker/sweep"
	"karaula/internal/remains"
	"karaula/internal/subject"
)

const inStream = "IN_b01-al-me_me"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// trio is three real servers of a cluster, with the accounts of a broker.
type trio struct {
	t    *testing.T
	opts [3]*server.Options
	srv  [3]*server.Server
	nc   *nats.Conn
	js   jetstream.JetStream
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	c := &trio{t: t}
	var routes []*url.URL
	var ports []int
	for range c.srv {
		u, err := url.Parse("nats-route://" + freeAddr(t))
		must(t, err)
		var port int
		_, err = fmt.Sscanf(u.Port(), "%d", &port)
		must(t, err)
		routes, ports = append(routes, u), append(ports, port)
	}
	for i := range c.srv {
		sys, own := server.NewAccount(sysAccount), server.NewAccount("AL")
		c.opts[i] = &server.Options{
			ServerName: fmt.Sprintf("al-%d", i+1), Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true,
			JetStream: true, StoreDir: filepath.Join(t.TempDir(), "store"), SyncAlways: true,
			Cluster: server.ClusterOpts{Name: "al", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
			SystemAccount: sysAccount, Accounts: []*server.Account{sys, own},
			Users: users(sys, own),
		}
	}
	for i := range c.srv {
		c.start(i)
	}
	t.Cleanup(func() {
		c.nc.Close()
		for i := range c.srv {
			c.stop(i)
		}
	})
	eventually(t, "no leader", func() bool {
		return slices.ContainsFunc(c.srv[:], func(s *server.Server) bool { return s.JetStreamIsLeader() })
	})
	var urls []string
	for _, s := range c.srv {
		urls = append(urls, s.ClientURL())
	}
	var err error
	c.nc, err = nats.Connect(
		strings.Join(urls, ","), nats.UserInfo("gateway", "p"), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
	)
	must(t, err)
	c.js, err = jetstream.New(c.nc)
	must(t, err)
	for name, subj := range map[string]string{inStream: "in.>", subject.StubStream: "stub.>"} {
		eventually(t, "no stream", func() bool {
			_, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subj}, Replicas: 3})
			return err == nil
		})
	}
	return c
}

func users(sys, own *server.Account) []*server.User {
	return []*server.User{{Username: "gateway", Password: "p", Account: own}, {Username: "ops", Password: "p", Account: sys}}
}

func (c *trio) start(i int) {
	c.t.Helper()
	o := c.opts[i].Clone()
	if c.srv[i] != nil { // its accounts are used up
		sys, own := server.NewAccount(sysAccount), server.NewAccount("AL")
		o.Accounts, o.Users = []*server.Account{sys, own}, users(sys, own)
	}
	s, err := server.NewServer(o)
	must(c.t, err)
	s.Start()
	if !s.ReadyForConnections(wait) {
		c.t.Fatal("a server does not start")
	}
	must(c.t, func() error {
		acc, err := s.LookupAccount("AL")
		if err != nil || acc.JetStreamEnabled() {
			return err
		}
		return acc.EnableJetStream(nil, nil)
	}())
	c.srv[i] = s
}

func (c *trio) stop(i int) {
	c.srv[i].Shutdown()
	c.srv[i].WaitForShutdown()
}

func (c *trio) store(i int) string { return c.opts[i].StoreDir }

// remote is what stands beside a server.
func (c *trio) remote(i int) *remote {
	c.t.Helper()
	sys, err := nats.Connect(c.srv[i].ClientURL(), nats.UserInfo("ops", "p"))
	must(c.t, err)
	c.t.Cleanup(sys.Close)
	return &remote{o: RemoteOptions{Name: c.opts[i].ServerName}, log: slog.New(slog.DiscardHandler), sys: sys}
}

// witness is what answers for a server.
func (c *trio) witness(i int) *witness {
	c.t.Helper()
	w := newWitness(c.remote(i), c.nc, Plan{Party: "al", ServerName: c.opts[i].ServerName, StoreDir: c.store(i)})
	w.patience = 0
	return w
}

// keep stores a message that holds a needle.
func (c *trio) keep(needle, before, behind []byte) uint64 {
	c.t.Helper()
	var seq uint64
	eventually(c.t, "nothing can be stored", func() bool {
		ack, err := c.js.Publish(c.t.Context(), "in.x", slices.Concat(before, needle, behind))
		if err == nil {
			seq = ack.Sequence
		}
		return err == nil
	})
	return seq
}

func (c *trio) erase(seq uint64) {
	c.t.Helper()
	s, err := c.js.Stream(c.t.Context(), inStream)
	must(c.t, err)
	must(c.t, s.SecureDeleteMsg(c.t.Context(), seq))
}

// is says where the needles are in the files of a server, "store" and "log" for each.
func (c *trio) is(i int, needles ...[]byte) string {
	c.t.Helper()
	a := search(c.t, c.witness(i), inStream, needles...)
	if a.Unknown != "" {
		return "unknown: " + a.Unknown
	}
	var out []string
	for n := range needles {
		where := ""
		if slices.Contains(a.Store, n) {
			where += "store "
		}
		if slices.Contains(a.Log, n) {
			where += "log"
		}
		out = append(out, strings.TrimSpace(where))
	}
	return strings.Join(out, ", ")
}

// search has a witness answer, in time enough.
func search(t *testing.T, w *witness, stream string, needles ...[]byte) *remains.Answer {
	t.Helper()
	return w.answer(t.Context(), &remains.Question{Stream: stream, Needles: needles}, time.Now().Add(searchWithin))
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}

// What a server keeps of a message is found in its store and in its log, which
// compresses a large one; after the erasure it is in the log alone. What has taken its
// place is not found, nor what lies in the stream of stubs.
func TestWhatIsLeftIsFoundInStoreAndLog(t *testing.T) {
	t.Parallel()
	c := newTrio(t)
	small, large, never := random(64), random(64), random(64)
	one := c.keep(small, random(200), random(300))
	two := c.keep(large, bytes.Repeat([]byte("a"), 9000), bytes.Repeat([]byte("ab"), 9000))
	_, err := c.js.Publish(t.Context(), "stub.x", slices.Concat(random(50), never))
	must(t, err)
	for i := range c.srv {
		eventually(t, "it is not found", func() bool { return c.is(i, small, large, never) == "store log, store log, " })
	}
	group := ""
	info, err := c.witness(0).ask()
	must(t, err)
	for _, s := range info.AccountDetails[0].Streams {
		if s.Name == inStream {
			group = s.RaftGroup
		}
	}
	files, err := filepath.Glob(filepath.Join(c.store(0), "jetstream", sysAccount, "_js_", group, "msgs", "*.blk"))
	must(t, err)
	for _, f := range files {
		if raw, err := os.ReadFile(f); err != nil || len(raw) > 20_000 {
			t.Errorf("the log was not compressed, so nothing was tried: %d bytes, %v", len(raw), err)
		}
	}
	c.erase(one)
	c.erase(two)
	for i := range c.srv {
		eventually(t, "it is still in a store", func() bool { return c.is(i, small, large) == "log, log" })
	}
}

// Whoever writes a large message can have a log not show what stands in it: the log
// compresses, and copies what came before. What stands in the header comes first, and is
// found: so a tag is sought.
func TestWhatALogHidesIsFoundByItsTag(t *testing.T) {
	t.Parallel()
	c := newTrio(t)
	hidden, tag := random(32), []byte(base64.RawURLEncoding.EncodeToString(random(36)))
	var body []byte
	for i := 0; i < len(hidden); i += 8 {
		body = slices.Concat(body, hidden[i:i+8], random(8))
	}
	body = slices.Concat(body, bytes.Repeat([]byte("ab"), 9000), hidden, bytes.Repeat([]byte("ab"), 100))
	var seq uint64
	eventually(t, "nothing can be stored", func() bool {
		ack, err := c.js.PublishMsg(t.Context(), &nats.Msg{Subject: "in.x", Header: nats.Header{"Karaula-Tag": {string(tag)}}, Data: body})
		if err == nil {
			seq = ack.Sequence
		}
		return err == nil
	})
	for i := range c.srv {
		eventually(t, "it is not there", func() bool { return c.is(i, hidden, tag) == "store, store log" })
	}
	c.erase(seq)
	for i := range c.srv {
		eventually(t, "the tag is not found in the log alone", func() bool { return c.is(i, hidden, tag) == ", log" })
	}
}

// A server that was away is told what is deleted, and overwrites it with the sweep
// before its next start only. That is found, and that it is gone behind it.
func TestWhatAServerThatWasAwayHoldsIsFound(t *testing.T) {
	t.Parallel()
	c := newTrio(t)
	needle := random(64)
	c.keep(random(64), nil, random(100))
	seq := c.keep(needle, random(100), random(100))
	c.keep(random(64), nil, random(100))
	eventually(t, "it is not everywhere", func() bool { return strings.HasPrefix(c.is(2, needle), "store") })
	c.stop(2)
	eventually(t, "it is not erased", func() bool {
		s, err := c.js.Stream(t.Context(), inStream)
		return err == nil && (s.SecureDeleteMsg(t.Context(), seq) == nil || errors.Is(gone(t, s, seq), jetstream.ErrMsgNotFound))
	})
	for i := range 2 { // a server that is stopped has its log compacted
		eventually(t, "it is not overwritten", func() bool { return !strings.HasPrefix(c.is(i, needle), "store") })
	}
	for i := range 2 {
		c.stop(i)
	}
	for i := range c.srv {
		c.start(i)
	}
	eventually(t, "the servers do not catch up", func() bool {
		for i := range c.srv {
			state, err := c.witness(i).ask()
			if err != nil || msgs(state) != 2 {
				return false
			}
		}
		return true
	})
	eventually(t, "what the server that was away holds is not found", func() bool { return strings.HasPrefix(c.is(2, needle), "store") })
	c.stop(2)
	_, err := sweep.Store(c.store(2))
	must(t, err)
	c.start(2)
	eventually(t, "it is still there after sweep and start", func() bool {
		return !strings.HasPrefix(c.is(2, needle), "store") && !strings.HasPrefix(c.is(2, needle), "unknown")
	})
}

func gone(t *testing.T, s jetstream.Stream, seq uint64) error {
	t.Helper()
	_, err := s.GetMsg(t.Context(), seq)
	return err
}

// msgs counts the messages of the stream in the copy of a server.
func msgs(info *server.JSInfo) int {
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			if s.Name == inStream {
				return int(s.State.Msgs)
			}
		}
	}
	return -1
}

// odd is a search in which something is not as it should be.
type odd struct {
	t *testing.T
	*witness
	stream string
}

// Whatever is odd is not known, and so not gone.
func TestWhatIsOddIsNotKnown(t *testing.T) { //nolint:tparallel // its parts spoil one store
	t.Parallel()
	c := newTrio(t)
	needle := random(64)
	c.keep(needle, nil, nil)
	eventually(t, "it is not everywhere", func() bool { return strings.HasPrefix(c.is(0, needle), "store") })
	within := func(o *odd, more ...string) string {
		return filepath.Join(append([]string{o.store, "jetstream", "AL", "streams"}, more...)...)
	}
	catching := server.HealthStatus{
		StatusCode: http.StatusServiceUnavailable,
		Errors:     []server.HealthzError{{Type: server.HealthzErrorStream, Error: "it is catching up (invented)"}},
	}
	// second has something happen while the files are searched: behind the first asking.
	second := func(o *odd, happens func()) {
		n, ask := 0, o.ask
		o.ask = func() (*server.JSInfo, error) {
			if n++; n == 2 {
				happens()
			}
			return ask()
		}
	}
	for what, spoil := range map[string]func(o *odd){
		"another store": func(o *odd) { o.store = o.t.TempDir() },
		"a silent server": func(o *odd) {
			o.ask = func() (*server.JSInfo, error) { return nil, errors.New("it is away") }
		},
		"the stream of stubs": func(o *odd) { o.stream = subject.StubStream },
		"a way out":           func(o *odd) { o.stream = "../x" },
		"a server that is catching up": func(o *odd) {
			o.health = func(string) (server.HealthStatus, error) { return catching, nil }
		},
		"one that had to catch up during the search": func(o *odd) {
			n, health := 0, o.health
			o.health = func(stream string) (server.HealthStatus, error) {
				if n++; n > 1 {
					return catching, nil
				}
				return health(stream)
			}
		},
		"one that does not say how far it is": func(o *odd) {
			o.health = func(string) (server.HealthStatus, error) { return server.HealthStatus{}, errors.New("it is away") }
		},
		"a stream that it is to have, and has not": func(o *odd) {
			o.health = func(string) (server.HealthStatus, error) {
				return server.HealthStatus{StatusCode: http.StatusNotFound}, nil
			}
		},
		"files of fewer bytes than its messages have": func(o *odd) {
			ask := o.ask
			o.ask = func() (*server.JSInfo, error) {
				info, err := ask()
				for _, a := range info.AccountDetails {
					for i := range a.Streams {
						a.Streams[i].State.Bytes += 1 << 30
					}
				}
				return info, err
			}
		},
		"a stream without its folder": func(o *odd) {
			must(o.t, os.Rename(within(o, inStream), within(o, "aside")))
			o.t.Cleanup(func() { must(o.t, os.Rename(within(o, "aside"), within(o, inStream))) })
		},
		"a folder that is another one behind the search": func(o *odd) {
			second(o, func() {
				must(o.t, os.Rename(within(o, inStream), within(o, "aside")))
				must(o.t, os.CopyFS(within(o, inStream), os.DirFS(within(o, "aside"))))
			})
			o.t.Cleanup(func() {
				must(o.t, os.RemoveAll(within(o, inStream)))
				must(o.t, os.Rename(within(o, "aside"), within(o, inStream)))
			})
		},
		"a copy whose deletion begins meanwhile": func(o *odd) {
			second(o, func() { must(o.t, os.Mkdir(within(o, ".begins"), 0o700)) })
			o.t.Cleanup(func() { must(o.t, os.Remove(within(o, ".begins"))) })
		},
		"a link among the files": func(o *odd) {
			link := within(o, inStream, "msgs", "x.blk")
			must(o.t, os.Symlink("/dev/null", link))
			o.t.Cleanup(func() { must(o.t, os.Remove(link)) })
		},
	} {
		t.Run(what, func(t *testing.T) { //nolint:paralleltest // they spoil one store
			o := &odd{t, c.witness(0), inStream}
			spoil(o)
			if a := search(t, o.witness, o.stream, needle); a.Unknown == "" || a.Gone(0) {
				t.Errorf("%+v", a)
			}
		})
	}
	w := c.witness(0)
	if a := w.answer(t.Context(), &remains.Question{Stream: inStream, Needles: [][]byte{random(64)}}, time.Now()); a.Unknown == "" || a.Gone(0) {
		t.Errorf("a search that takes too long: %+v", a)
	}
	if a := search(t, w, inStream, needle, random(64)); a.Unknown != "" || a.Gone(0) || !a.Gone(1) {
		t.Errorf("behind all that: %+v", a)
	}
	old := filepath.Join(c.store(2), "jetstream", sysAccount, "_js_", "S-R3F-invented", "msgs")
	must(t, os.MkdirAll(old, 0o700))
	left := random(64)
	must(t, os.WriteFile(filepath.Join(old, "1.blk"), slices.Concat(random(100), left), 0o600))
	if got := c.is(2, left); got != "log" {
		t.Errorf("a log that belongs to no stream any more: %q", got)
	}
	if a := search(t, c.witness(2), inStream, left); a.Left != filepath.Dir(old) {
		t.Errorf("it is named %q", a.Left)
	}
	deleted := filepath.Join(c.store(2), "jetstream", "AL", "streams", "."+inStream, "msgs")
	must(t, os.MkdirAll(deleted, 0o700))
	must(t, os.WriteFile(filepath.Join(deleted, "1.blk"), slices.Concat(random(100), left), 0o600))
	if got := c.is(2, left); got != "store log" {
		t.Errorf("a copy that is being deleted: %q", got)
	}
	if a := search(t, c.witness(1), "IN_b01-al-me_xk", needle); a.Unknown != "" || len(a.Store) > 0 {
		t.Errorf("a stream of which the server has no copy: %+v", a)
	}
}

// Only the gateway asks, and only the machine of the server answers.
func TestWhoAsksWhatIsLeft(t *testing.T) {
	t.Parallel()
	s := clustered(t)
	here := subject.Remains(s.plan.ServerName)
	for _, role := range []string{subject.RoleGateway, subject.RoleKeeper, subject.RoleAudit, subject.RoleOps} {
		r := rightsOf(s.plan, role)
		asks := slices.ContainsFunc(r.publish, func(r right) bool { return strings.HasPrefix(r.subject, "remains.") })
		hears := slices.ContainsFunc(r.subscribe, func(r right) bool { return strings.HasPrefix(r.subject, "remains.") && r.subject != here })
		answers := slices.ContainsFunc(r.subscribe, func(r right) bool { return r.subject == here })
		if asks != (role == subject.RoleGateway) || answers != (role == subject.RoleKeeper) || hears {
			t.Errorf("%s: asks %v, answers %v, hears what others are asked %v", role, asks, answers, hears)
		}
	}
	if r := rightsOf(newSite(t).plan, subject.RoleKeeper); r.respond > 0 || len(r.subscribe) > 1 {
		t.Error("a broker that is alone is asked")
	}
}

// How the copies are is answered as it was found last, at once, while questions that
// need a search wait.
func TestTheCopiesAreAskedFor(t *testing.T) {
	t.Parallel()
	c := newTrio(t)
	r := &remote{}
	w := c.witness(0)
	w.copies = r.copyState
	begun, goOn := make(chan struct{}, 10), make(chan struct{})
	w.ask = func() (*server.JSInfo, error) {
		begun <- struct{}{}
		<-goOn
		return nil, errors.New("it is away (invented)")
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	ask := func(q *remains.Question) (*remains.Answer, error) {
		raw, err := q.Bytes()
		must(t, err)
		m, err := c.nc.Request(subject.Remains(w.server), raw, wait)
		if err != nil {
			return nil, err
		}
		return remains.ParseAnswer(m.Data, w.server, q)
	}
	eventually(t, "nobody listens", func() bool { _, err := ask(&remains.Question{Copies: true}); return err == nil })
	searched := make(chan error, 1)
	go func() {
		q := &remains.Question{Stream: inStream, Needles: [][]byte{random(64)}}
		a, err := ask(q)
		if err == nil && a.Unknown == "" {
			err = errors.New("it is answered without a search")
		}
		searched <- err
	}()
	<-begun
	is := func() string {
		a, err := ask(&remains.Question{Copies: true})
		must(t, err)
		return a.Copies
	}
	note := func(copies string) { r.copied.Store(&copies) }
	if got := is(); !strings.Contains(got, "not looked at yet") {
		t.Errorf("before the first look: %q", got)
	}
	note(whole)
	if got := is(); got != "" {
		t.Errorf("whole: %q", got)
	}
	note(damagedCopy + ": OUT_b01-al-me")
	if got := is(); !strings.HasPrefix(got, "the server's store is damaged") || !strings.HasSuffix(got, ": OUT_b01-al-me") {
		t.Errorf("damaged: %q", got)
	}
	note(notCaughtUp + ": 3 replicas behind")
	if got := is(); !strings.HasPrefix(got, "the server has not caught up") {
		t.Errorf("behind: %q", got)
	}
	close(goOn)
	must(t, <-searched)
}

// A server that is behind is asked again for some time, and nobody is asked for more than
// the stream that the question is about: of another one it may be behind for long.
func TestAServerIsGivenTimeToCatchUp(t *testing.T) {
	t.Parallel()
	c := newTrio(t)
	needle := random(64)
	c.keep(random(64), nil, nil)
	w := c.witness(1)
	w.patience = wait
	asked, health := 0, w.health
	w.health = func(stream string) (server.HealthStatus, error) {
		if stream != inStream {
			t.Errorf("it is asked about %q", stream)
		}
		if asked++; asked < 4 {
			return server.HealthStatus{StatusCode: http.StatusServiceUnavailable, Status: "not current (invented)"}, nil
		}
		return health(stream)
	}
	if a := search(t, w, inStream, needle); a.Unknown != "" || !a.Gone(0) || asked != 5 {
		t.Errorf("asked %d times: %+v", asked, a)
	}
	if h, err := health("IN_b01-al-me_xk"); err != nil || h.StatusCode != http.StatusNotFound {
		t.Errorf("of a stream that is not there: %+v, %v", h, err)
	}
}

// A question that is one too many is answered at once.
func TestOneQuestionTooMany(t *testing.T) {
	t.Parallel()
	c := newTrio(t)
	w := c.witness(0)
	full := make(chan asked)
	sub, err := c.nc.Subscribe(subject.Remains(w.server), func(m *nats.Msg) { w.hear(m, full) })
	must(t, err)
	defer sub.Unsubscribe() //nolint:errcheck // the connection ends as well
	q := &remains.Question{Stream: inStream, Needles: [][]byte{random(64)}}
	raw, err := q.Bytes()
	must(t, err)
	m, err := c.nc.Request(subject.Remains(w.server), raw, wait)
	must(t, err)
	if a, err := remains.ParseAnswer(m.Data, w.server, q); err != nil || a.Unknown == "" || a.Gone(0) {
		t.Errorf("%+v, %v", a, err)
	}
}

// A question that waited for so long that nobody waits for its answer is not searched for.
func TestAQuestionThatWaitedTooLongIsDropped(t *testing.T) {
	t.Parallel()
	searches := 0
	w := &witness{log: slog.New(slog.DiscardHandler), server: "al-1", health: func(string) (server.HealthStatus, error) {
		searches++
		return server.HealthStatus{}, errors.New("it is away (invented)")
	}}
	q := &remains.Question{Stream: inStream, Needles: [][]byte{random(64)}}
	waiting := make(chan asked, maxAsked)
	ctx, stop := context.WithCancel(t.Context())
	waiting <- asked{&nats.Msg{}, q, time.Now().Add(-time.Second)}
	waiting <- asked{&nats.Msg{}, q, time.Now().Add(time.Hour)}
	go func() {
		for len(waiting) > 0 {
			time.Sleep(time.Millisecond)
		}
		stop()
	}()
	w.serve(ctx, waiting)
	if searches != 1 {
		t.Errorf("%d searches, not 1", searches)
	}
}

// A consumer that lies on one server is missed by the other ones for ever, and holds no
// content: what is asked of the files is answered nevertheless.
func TestAConsumerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	c := newTrio(t)
	needle := random(64)
	c.keep(needle, nil, nil)
	eventually(t, "no consumer", func() bool {
		_, err := c.js.CreateOrUpdateConsumer(t.Context(), inStream, jetstream.ConsumerConfig{Durable: "reader", Replicas: 1})
		return err == nil
	})
	all := []*witness{c.witness(0), c.witness(1), c.witness(2)}
	eventually(t, "nobody misses the consumer", func() bool {
		missed := 0
		for _, w := range all {
			if h, err := w.health(inStream); err == nil && h.StatusCode != http.StatusOK {
				missed++
			}
		}
		return missed == 2
	})
	for i := range c.srv {
		eventually(t, "it is not found", func() bool { return c.is(i, needle) == "store log" })
	}
}
