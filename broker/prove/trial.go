package prove

import (
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"karaula/broker"
	"karaula/internal/problem"
	"karaula/internal/subject"
)

// trial is the third judge: a broker that runs from the test text, and everybody
// who tries.
type trial struct {
	law    *law
	cast   *cast
	plan   broker.Plan
	broker *broker.Embedded
	conns  map[who]*client
	hash   string // of the owner's account, in subjects of acks
	// fetched says who got something from which OUT stream: only there is
	// something to ack.
	fetched map[who]map[string]bool
	// trouble is what went wrong that no question is about.
	trouble []string
	tried   int
}

// files writes what the test text names into a folder, and gives its name.
func (c *cast) files(text []byte, l *law, dir string) (conf string, err error) {
	files := broker.TLSFiles{
		Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "partners.pem"),
	}
	test, err := c.substitute(text, files, filepath.Join(dir, "jetstream"))
	if err != nil {
		return "", err
	}
	if err := broker.WriteTLS(files, *c.server); err != nil {
		return "", err
	}
	var bundle []byte
	for _, der := range c.certs() {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	conf = filepath.Join(dir, l.owner+".conf")
	for name, body := range map[string][]byte{files.CA: bundle, conf: test} {
		if err := os.WriteFile(name, body, 0o600); err != nil {
			return "", problem.Wrap(problem.Failed, err, "the test configuration cannot be written")
		}
	}
	return conf, nil
}

// newTrial starts a broker and lets everybody log in who can.
func newTrial(ctx context.Context, l *law, c *cast, plan broker.Plan, conf string) (*trial, error) {
	t := &trial{law: l, cast: c, plan: plan, conns: map[who]*client{}, fetched: map[who]map[string]bool{}}
	var err error
	if t.broker, err = broker.Run(ctx, conf, nil, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	t.keep(ctx)
	for _, w := range l.everybody() {
		conn, err := dial(ctx, t.broker.ClientURL(), c.actors[w], c.server)
		if err != nil {
			continue // the question whether it may log in is answered by that
		}
		t.conns[w] = conn
		conn.sub(w.inbox()+".>", true)
	}
	return t, ctx.Err()
}

// keep has the keeper make streams and consumers, as in a node.
func (t *trial) keep(ctx context.Context) {
	keeper := t.cast.actors[who{t.law.owner, subject.RoleKeeper}]
	nc, err := t.broker.Connect(subject.RoleKeeper, keeper.user, keeper.cert)
	if err != nil {
		t.trouble = append(t.trouble, "the keeper cannot log in, so there are no streams")
		return
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := broker.NewKeeper(nc, slog.New(slog.DiscardHandler)).Apply(ctx, t.plan); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		t.trouble = append(t.trouble, "the keeper cannot make what the plan wants: "+first)
	}
}

func (t *trial) stop() {
	for _, c := range t.conns {
		c.close()
	}
	t.broker.Shutdown()
}

// place is where something is said.
type place struct {
	channel subject.Channel
	token   string
}

// deliveries has the gateway say every token on every channel, every partner
// fetch every channel, and gives what really arrived, by origin's channel, token
// and reader.
func (t *trial) deliveries(list []delivery) (arrived map[delivery]bool, err error) {
	gw := t.conns[who{t.law.owner, subject.RoleGateway}]
	arrived = map[delivery]bool{}
	if gw == nil {
		return arrived, nil
	}
	if err := t.sayAll(gw, list); err != nil {
		return nil, err
	}
	for w, conn := range t.conns {
		if w.Role != partner {
			continue
		}
		subjects, err := t.fetchAll(conn, w)
		if err != nil {
			return nil, fmt.Errorf("%s fetches: %w", w, err)
		}
		if conn.hash != "" {
			t.hash = conn.hash
		}
		for _, d := range list {
			key := d
			key.law = answer{}
			arrived[key] = arrived[key] || d.reader == w.Party && subjects[subject.Say(d.channel, d.origin, d.token)]
		}
	}
	return arrived, nil
}

// sayAll publishes and waits until everything is stored or refused.
func (t *trial) sayAll(gw *client, list []delivery) error {
	waits := map[string]string{} // subject by reply
	said := map[place]bool{}
	for _, d := range list {
		p := place{d.channel, d.token}
		if !said[p] {
			said[p] = true
			subj := subject.Say(d.channel, d.origin, d.token)
			waits[gw.pub(subj, "a word")] = subj
		}
	}
	if err := gw.flush(); err != nil {
		return err
	}
	return gw.await(func() bool {
		for reply, subj := range waits {
			if len(gw.got[reply]) == 0 && !gw.refused["PUB "+subj] {
				return false
			}
		}
		return true
	})
}

// fetchAll pulls whatever is there on every channel, and gives the subjects of
// what came.
func (t *trial) fetchAll(conn *client, w who) (map[string]bool, error) {
	left := make([]subject.Channel, 0, len(t.law.channels))
	for _, c := range t.law.channels {
		left = append(left, c.Subject())
	}
	for deadline := time.Now().Add(patience); len(left) > 0; {
		again, err := t.pullAll(conn, w, left)
		if err != nil {
			return nil, err
		}
		if left = again; len(left) > 0 && time.Now().After(deadline) {
			break // what is missing shows in the result
		}
	}
	conn.mu.Lock()
	defer conn.mu.Unlock()
	got := map[string]bool{}
	t.fetched[w] = map[string]bool{}
	for subj := range conn.got {
		for _, c := range t.law.channels {
			if strings.HasPrefix(subj, subject.Said(c.Subject())) {
				got[subj] = true
				t.fetched[w][subject.Out(c.Subject())] = true
			}
		}
	}
	return got, nil
}

// pullAll pulls once on each of some channels, and gives those where the consumer
// says that it has nothing although the stream has more than came: it hears of
// what is stored a moment later than whoever stored it.
func (t *trial) pullAll(conn *client, w who, channels []subject.Channel) (again []subject.Channel, err error) {
	replies := map[subject.Channel]string{}
	for _, c := range channels {
		replies[c] = conn.pub(subject.Next(c, w.Party), pull)
	}
	if err := conn.flush(); err != nil {
		return nil, err
	}
	err = conn.await(func() bool {
		for c, reply := range replies {
			if len(conn.got[reply]) == 0 && !conn.refused["PUB "+subject.Next(c, w.Party)] {
				return false // the end of a pull is a status on its own reply subject
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	state, err := t.state()
	if err != nil {
		return nil, err
	}
	conn.mu.Lock()
	defer conn.mu.Unlock()
	for c, reply := range replies {
		stored := state[subject.Account(t.law.owner)+"/"+subject.Out(c)].Msgs
		if got := conn.got[reply]; len(got) > 0 && got[0].yes && conn.count(subject.Said(c)) < stored {
			again = append(again, c)
		}
	}
	return again, nil
}

// serve answers the link service as the gateway, so that partners' requests end
// somewhere.
func (t *trial) serve(ctx context.Context) error {
	gw := who{t.law.owner, subject.RoleGateway}
	conn, err := dial(ctx, t.broker.ClientURL(), t.cast.actors[gw], t.cast.server)
	if err != nil {
		t.trouble = append(t.trouble, "the gateway cannot log in, so nobody answers the link service")
		return nil
	}
	conn.echo = true
	context.AfterFunc(ctx, conn.close)
	conn.sub(subject.Link("*"), true)
	return conn.flush()
}

// pull asks for all that is there, and ends with a status in any case.
const pull = `{"batch":1000,"no_wait":true}`

// chunk is how much is asked before the answers are waited for.
const chunk = 1000

// ask tries everything that somebody is asked about and gives for each question
// whether it worked. A refusal names the subject without the domain, so what is
// asked with it is asked apart.
func (t *trial) ask(w who, list []question) ([]bool, error) {
	var named, rest []question
	for _, q := range list {
		if plain(t.law.owner, q.subject) != q.subject {
			named = append(named, q)
		} else {
			rest = append(rest, q)
		}
	}
	first, err := t.askAll(w, rest)
	if err != nil {
		return nil, err
	}
	second, err := t.askAll(w, named)
	if err != nil {
		return nil, err
	}
	result := make([]bool, len(list))
	for i, q := range list {
		from := &first
		if plain(t.law.owner, q.subject) != q.subject {
			from = &second
		}
		result[i], *from = (*from)[0], (*from)[1:]
	}
	return result, nil
}

func (t *trial) askAll(w who, list []question) ([]bool, error) {
	t.tried += len(list)
	result := make([]bool, len(list))
	conn := t.conns[w]
	if conn == nil {
		return result, nil
	}
	conn.note(func() { clear(conn.refused) })
	replies := map[int]string{}
	for i, q := range list {
		switch q.act {
		case login:
			result[i] = true
		case subscribe:
			conn.sub(q.subject, false)
		case publish:
			body := "{}"
			switch {
			case strings.Contains(q.subject, "MSG.NEXT"):
				body = pull
			case strings.HasPrefix(q.subject, "$JS.ACK."):
				body = "" // an ack is empty
			}
			replies[i] = conn.pub(t.real(q.subject), body)
		}
		if i%chunk == chunk-1 {
			if err := conn.flush(); err != nil {
				return nil, fmt.Errorf("%s: %w", w, err)
			}
		}
	}
	if err := conn.flush(); err != nil {
		return nil, fmt.Errorf("%s: %w", w, err)
	}
	t.answered(conn, list, replies)
	for i, q := range list {
		switch q.act {
		case login:
		case subscribe:
			result[i] = !conn.was("SUB", q.subject)
		case publish:
			result[i] = !conn.was("PUB", t.real(q.subject)) && !conn.was("PUB", plain(t.law.owner, q.subject))
			if t.mustAnswer(w, q) && result[i] {
				got := conn.heard(replies[i])
				result[i] = len(got) > 0 && got[0].yes
			}
		}
	}
	return result, nil
}

// real puts the hash of the owner's account into the subject of an ack: the
// consumer listens to that one only.
func (t *trial) real(subj string) string {
	prefix := "$JS.ACK." + t.law.owner + "."
	if rest, ok := strings.CutPrefix(subj, prefix+"x."); ok && t.hash != "" {
		return prefix + t.hash + "." + rest
	}
	return subj
}

// mustAnswer reports whether a right is worth something only if somebody
// answers: for guests, whose account leads nowhere by itself.
func (t *trial) mustAnswer(w who, q question) bool {
	if q.act != publish || !q.law.yes || w.Role == subject.RoleGateway || w.Role == subject.RoleKeeper {
		return false
	}
	if ack := strings.Split(q.subject, "."); strings.HasPrefix(q.subject, "$JS.ACK.") {
		return t.fetched[w][ack[4]] // $JS.ACK.al.x.OUT_channel…
	}
	return true
}

// answered waits for the answers that there must be; what is missing shows in
// the result.
func (t *trial) answered(conn *client, list []question, replies map[int]string) {
	_ = conn.await(func() bool {
		for i, q := range list {
			if t.mustAnswer(conn.actor.who, q) && !conn.refused["PUB "+t.real(q.subject)] &&
				!conn.refused["PUB "+plain(t.law.owner, q.subject)] && len(conn.got[replies[i]]) == 0 {
				return false
			}
		}
		return true
	})
}

// injected tries to have the server write an answer where it does not belong:
// every request that somebody may make, with every reply subject that would
// store, delete or reach somebody else. It gives what worked.
func (t *trial) injected(w who, allowed []question) ([]string, error) {
	conn := t.conns[w]
	if conn == nil || len(allowed) == 0 {
		return nil, nil
	}
	targets, spies := t.targets(w)
	before, err := t.state()
	if err != nil {
		return nil, err
	}
	for _, q := range allowed {
		body := `{"seq":1}`
		if strings.Contains(q.subject, "MSG.NEXT") {
			body = pull
		}
		for _, reply := range targets {
			conn.pubTo(t.real(q.subject), reply, body)
			t.tried++
		}
	}
	if _, err := t.ask(w, allowed); err != nil { // answered in turn, so those before are too
		return nil, err
	}
	var list []string
	after, err := t.state()
	if err != nil {
		return nil, err
	}
	for name, s := range after {
		if s.stored() != before[name].stored() {
			list = append(list, fmt.Sprintf("%s has the server write into %s, by a reply subject", w, name))
		}
	}
	for spy, conn := range spies {
		if err := conn.flush(); err != nil {
			return nil, err
		}
		if len(conn.heard(spy)) > 0 {
			list = append(list, fmt.Sprintf("%s has the server write into the inbox of %s, by a reply subject", w, conn.actor.who))
		}
	}
	slices.Sort(list)
	return list, nil
}

// targets are reply subjects that would do harm, and who would hear of them.
func (t *trial) targets(w who) (list []string, spies map[string]*client) {
	for _, c := range t.law.channels {
		list = append(list,
			subject.Say(c.Subject(), t.law.owner, "vehicle"), subject.Say(c.Subject(), t.law.owner, "receipt"),
			"$JS.API.STREAM.PURGE."+subject.Out(c.Subject()), "$JS.API.STREAM.DELETE."+subject.Out(c.Subject()))
		for _, p := range t.law.parties {
			if p != t.law.owner {
				list = append(list, subject.In(c.Subject(), p))
			}
		}
	}
	list = append(list, "verdict.x", "stub.x", "quarantine.x", subject.Desk("look"))
	spies = map[string]*client{}
	for other, conn := range t.conns {
		if other != w {
			spy := other.inbox() + ".spy." + w.Party + w.Role
			list, spies[spy] = append(list, spy), conn
		}
	}
	return list, spies
}

// streamState is what a stream looks like.
type streamState struct {
	First, Last, Msgs, Moved uint64
	Consumers                int
}

// stored leaves out what fetching moves.
func (s streamState) stored() streamState {
	s.Moved = 0
	return s
}

// state is what all streams look like now, consumers' positions included.
func (t *trial) state() (map[string]streamState, error) {
	info, err := t.broker.Jsz()
	if err != nil {
		return nil, err
	}
	list := map[string]streamState{}
	for _, acc := range info.AccountDetails {
		for _, st := range acc.Streams {
			s := streamState{st.State.FirstSeq, st.State.LastSeq, st.State.Msgs, 0, len(st.Consumer)}
			s.Moved = moved(st)
			list[acc.Name+"/"+st.Name] = s
		}
	}
	return list, nil
}

func moved(st server.StreamDetail) uint64 {
	var n uint64
	for _, c := range st.Consumer {
		n += c.AckFloor.Stream + c.Delivered.Stream
	}
	return n
}
