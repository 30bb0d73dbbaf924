package gateway

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/gateway/erase"
	"karaula/gateway/inbox"
	"karaula/internal/border"
	"karaula/internal/checkup"
	"karaula/internal/envelope"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/remains"
	"karaula/internal/subject"
)

// In a cluster each server has a copy of its own, and a log. That one of them has erased
// something says nothing of the others, so nobody is told of an erasure before every
// server's machine has searched the server's files and found nothing of it, twice
// (docs/adr/0043).

// remnantPace is how often the servers' machines are asked, in real time.
type remnantPace struct {
	first, most time.Duration // pause before the next look; it doubles while nothing comes of it
	between     time.Duration // the two rounds of a look: what was under way between servers has arrived
	answer      time.Duration // for one machine to search its server's files
	copies      time.Duration // for it to say how its server's copies are
}

var usualPace = remnantPace{
	first: 15 * time.Second, most: time.Minute, between: 5 * time.Second, answer: subject.RemainsWithin,
	copies: 10 * time.Second,
}

const (
	// logPatience is how long a server's log usually takes to be compacted, and more.
	logPatience = time.Hour
	// storePatience is how long something may lie in a server's store that was erased.
	storePatience = 10 * time.Minute
	// silencePatience is how long nothing may be known of a server: one that is busy is not
	// current for moments, and one that starts for some minutes.
	silencePatience = 5 * time.Minute
	// inOneLook is how many erasures of a ledger one look is for: what one question holds.
	inOneLook = remains.MaxNeedles / (envelope.MaxSigners + erase.MaxTags)
	// ownSought is for how long behind its erasure own content is looked for anew after
	// a start: nobody is told that it is gone, so nothing says that it was found to be.
	ownSought = 31 * 24 * time.Hour
)

// remnants is what is known of erased content that a server may still hold.
type remnants struct {
	pace remnantPace // tests only: zero is the usual one

	mu      sync.Mutex
	waiting int               // erasures that are not told
	own     int               // own ones that are not known to be gone everywhere
	since   time.Time         // since when there are any
	silent  findings          // why nothing is known of a server; "" is all of them
	store   holdings          // what lies in a server's store
	log     holdings          // what lies in its log
	left    findings          // folders of it that belong to nothing, and hold something
	copies  map[string]string // what the copies of each server lack; nil: nobody was asked yet
}

// findings are something about servers, by their names.
type findings map[string]finding

type finding struct {
	since time.Time
	text  string
}

// ledgerOf is one party's ledger on a channel.
type ledgerOf struct {
	c      *channel
	origin string
}

// sought is one erasure, and what is sought of it.
type sought struct {
	erasure
	item    inbox.Unproved
	needles [][]byte
}

// erasure is one of a ledger.
type erasure struct {
	channel, origin string
	at              border.Position
}

func (e erasure) String() string {
	return fmt.Sprintf("number %d of %s on %s", e.at.Seq, e.origin, e.channel)
}

// holding is an erasure of which something lies in a server's files.
type holding struct {
	server string
	erasure
}

// holdings are what lies in servers' files, and since when that is known.
type holdings map[holding]time.Time

// looked is what one look has found out about servers, by their names.
type looked struct {
	silent, left    map[string]string
	store, log      map[holding]bool
	sought, waiting map[erasure]bool // what this look was for, and all that is not proved
}

func newLooked() *looked {
	return &looked{
		silent: map[string]string{}, left: map[string]string{}, store: map[holding]bool{}, log: map[holding]bool{},
		sought: map[erasure]bool{}, waiting: map[erasure]bool{},
	}
}

// mindRemnants has partners told of erasures once no server of the cluster holds anything
// of the content, until ctx ends.
func (g *Gateway) mindRemnants(ctx context.Context) {
	pace := g.remnants.pace
	if pace == (remnantPace{}) {
		pace = usualPace
	}
	pause := pace.first
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if proved, all := g.proveRemnants(ctx, pace); proved > 0 || all == 0 {
			pause = pace.first
		} else {
			pause = min(2*pause, pace.most)
		}
	}
}

// proveRemnants looks once for what is not proved, and says how much of it was proved
// now, of how much. Partners' content comes first: somebody waits for that receipt. It
// asks nobody while a server's machine gives no answer at all: nothing would come of it.
func (g *Gateway) proveRemnants(ctx context.Context, pace remnantPace) (proved, all int) {
	var partners, own []ledgerOf
	for _, c := range g.openChannels() {
		for _, p := range c.partners() {
			partners = append(partners, ledgerOf{c, p})
		}
		own = append(own, ledgerOf{c, g.self})
	}
	seen := newLooked()
	left := map[bool]int{} // own ones, and partners'
	answering := g.askCopies(ctx, pace, seen)
	for _, l := range slices.Concat(partners, own) {
		list := l.c.unproved(l.origin)
		for _, u := range list {
			seen.waiting[erasure{l.c.id, l.origin, u.Position}] = true
		}
		done := 0
		if len(list) > 0 && answering {
			if done, answering = l.c.prove(ctx, l.origin, l.c.turn(l.origin, list), pace, seen); !answering {
				answering = g.askCopies(ctx, pace, seen)
			}
		}
		all, proved = all+len(list), proved+done
		left[l.origin == g.self] += len(list) - done
	}
	if ctx.Err() == nil {
		g.remnants.note(left[false], left[true], seen, g.o.Now())
	}
	return proved, all
}

// turn gives as many erasures of a ledger as one look is for, others each time: what is
// not proved for long keeps nothing behind it waiting.
func (c *channel) turn(origin string, list []inbox.Unproved) []inbox.Unproved {
	if len(list) <= inOneLook {
		return list
	}
	begin := c.turns[origin] % len(list)
	c.turns[origin] = begin + inOneLook
	return slices.Concat(list[begin:], list[:begin])[:inOneLook]
}

// unproved lists what is erased of a ledger and not known to be gone from every server.
func (c *channel) unproved(origin string) []inbox.Unproved {
	if origin != c.g.self {
		if ear := c.ear(origin); ear != nil {
			return ear.Unproved()
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ownUnproved)
}

// prove looks for some erasures, takes note of those of which no server holds anything in
// two rounds in a row, and says how many these are, and whether every machine answered.
func (c *channel) prove(
	ctx context.Context, origin string, list []inbox.Unproved, pace remnantPace, seen *looked,
) (proved int, answered bool) {
	gone := c.soughtOf(ctx, origin, list, seen)
	for i := range 2 {
		if i > 0 && len(gone) > 0 {
			select {
			case <-ctx.Done():
				return 0, true
			case <-time.After(pace.between):
			}
		}
		if len(gone) == 0 {
			return 0, true
		}
		if gone, answered = c.round(ctx, origin, gone, pace, seen); !answered {
			return 0, false
		}
	}
	done := make([]inbox.Unproved, len(gone))
	for i, s := range gone {
		done[i] = s.item
	}
	if origin == c.g.self {
		c.ownProved(done)
	} else if len(done) > 0 {
		c.ear(origin).Proved(done, c.g.o.Now().UnixMicro())
		c.wake()
	}
	return len(done), true
}

// ownGone has own content looked for that was erased at a time, microseconds since 1970
// UTC. Called with c.mu held.
func (c *channel) ownGone(at int64, places ...border.Position) {
	if c.g.o.Config.Replicas <= 1 || c.g.o.Now().Sub(time.UnixMicro(at)) > ownSought {
		return
	}
	for _, place := range places {
		c.ownUnproved = append(c.ownUnproved, inbox.Unproved{Position: place})
	}
}

// ownProved forgets own content that is gone from every server.
func (c *channel) ownProved(done []inbox.Unproved) {
	gone := make(map[border.Position]bool, len(done))
	for _, u := range done {
		gone[u.Position] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ownUnproved = slices.DeleteFunc(c.ownUnproved, func(u inbox.Unproved) bool { return gone[u.Position] })
}

// soughtOf gives what is sought of some erasures: what lay in one message with the content,
// and is kept with the stub.
func (c *channel) soughtOf(ctx context.Context, origin string, list []inbox.Unproved, seen *looked) []sought {
	var out []sought
	for _, u := range list {
		which := erasure{c.id, origin, u.Position}
		leaf, ok := c.lists[origin].Erased(u.Position)
		if !ok {
			continue // it is being erased
		}
		stub, ok, err := c.eraser(origin).Stub(ctx, u.Position, leaf)
		if err != nil {
			if seen.silent[""] = err.Error(); ctx.Err() != nil || problem.Is(err, problem.Unreachable) {
				return out
			}
			continue
		}
		needles := c.needlesOf(stub)
		if !ok || len(needles) == 0 {
			seen.silent[""] = fmt.Sprintf("there is no stub of %s by which its content could be sought", which)
			continue
		}
		seen.sought[which] = true
		out = append(out, sought{which, u, needles})
	}
	return out
}

// needlesOf gives the tags of a statement's messages, and of the signatures by which it
// counts the halves that nobody can choose: own messages have no tags, and whoever signs
// can make the first half what lies in every file (RFC 8032, section 5.1.6: R is of the
// signer's r, S of the hash of it all).
func (c *channel) needlesOf(stub erase.Stub) (out [][]byte) {
	out = erase.TagsOf(stub.Header)
	p, ok := envelope.Peek(stub.Raw)
	if !ok || len(p.Said.GetCard()) != len([32]byte{}) {
		return out
	}
	by, ok := c.g.o.Register.View().CardByDigest([32]byte(p.Said.GetCard()))
	if !ok {
		return out
	}
	sigs, err := p.Signed(by.StatementKey)
	if err != nil {
		return out
	}
	for _, sig := range sigs {
		out = append(out, sig.GetSig()[ed25519.SignatureSize/2:])
	}
	return out
}

// round asks every server's machine once, and gives what none of them holds, and whether
// all have answered.
func (c *channel) round(
	ctx context.Context, origin string, list []sought, pace remnantPace, seen *looked,
) (gone []sought, answered bool) {
	g, log := c.g, c.log(origin)
	q := &remains.Question{Stream: log.Name()}
	for _, s := range list {
		q.Needles = append(q.Needles, s.needles...)
	}
	servers := g.o.Config.Cluster.Servers
	if len(servers) == 0 {
		seen.silent[""] = "cluster.servers of node.yaml names no server that could be asked"
		return nil, true
	}
	holders, err := log.Servers(ctx)
	if err != nil {
		seen.silent[""] = err.Error()
		return nil, true
	}
	whole := true
	for _, name := range strangers(holders, servers) {
		seen.silent[name], whole = "it has a copy of the stream "+log.Name()+", and cluster.servers of node.yaml does not name it", false
	}
	answers, failed := make([]*remains.Answer, len(servers)), make([]error, len(servers))
	var asked sync.WaitGroup
	for i, s := range servers {
		asked.Go(func() { answers[i], failed[i] = g.askServer(ctx, s.Name, q, pace.answer) })
	}
	asked.Wait()
	answered = true
	for i, s := range servers {
		switch a := answers[i]; {
		case failed[i] != nil:
			seen.silent[s.Name], answered = failed[i].Error(), false
		case a.Unknown != "":
			seen.silent[s.Name], whole = a.Unknown, false
		default:
			found(seen.store, s.Name, list, a.Store)
			found(seen.log, s.Name, list, a.Log)
			if a.Left != "" {
				seen.left[s.Name] = a.Left
			}
		}
	}
	if !whole || !answered {
		return nil, answered
	}
	at := 0
	for _, s := range list {
		everywhere := true
		for n := at; n < at+len(s.needles); n++ {
			for _, a := range answers {
				everywhere = everywhere && a.Gone(n)
			}
		}
		if at += len(s.needles); everywhere {
			gone = append(gone, s)
		}
	}
	return gone, true
}

// found notes the erasures of which something lies in a server's files: needles are
// numbers of what was sought, ascending.
func found(in map[holding]bool, server string, list []sought, needles []int) {
	end := 0
	for _, s := range list {
		for end += len(s.needles); len(needles) > 0 && needles[0] < end; needles = needles[1:] {
			in[holding{server, s.erasure}] = true
		}
	}
}

// strangers gives those who hold a copy and are none of the servers that are asked.
func strangers(holders []string, servers []node.ServerConfig) (out []string) {
	for _, name := range holders {
		if !slices.ContainsFunc(servers, func(s node.ServerConfig) bool { return s.Name == name }) {
			out = append(out, name)
		}
	}
	return out
}

// askCopies asks every server's machine whether its copies are whole, and reports whether
// all have answered.
func (g *Gateway) askCopies(ctx context.Context, pace remnantPace, seen *looked) bool {
	servers := g.o.Config.Cluster.Servers
	answers, failed := make([]*remains.Answer, len(servers)), make([]error, len(servers))
	var asked sync.WaitGroup
	for i, s := range servers {
		asked.Go(func() {
			answers[i], failed[i] = g.askServer(ctx, s.Name, &remains.Question{Copies: true}, pace.copies)
		})
	}
	asked.Wait()
	copies, all := map[string]string{}, true
	for i, s := range servers {
		if failed[i] != nil {
			copies[s.Name], seen.silent[s.Name], all = failed[i].Error(), failed[i].Error(), false
		} else {
			copies[s.Name] = answers[i].Copies
		}
	}
	if ctx.Err() == nil {
		g.remnants.mu.Lock()
		defer g.remnants.mu.Unlock()
		g.remnants.copies = copies
	}
	return all
}

// copyChecks are how the copies of each server are.
func (r *remnants) copyChecks() (out []checkup.Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.copies == nil {
		return []checkup.Check{checkup.Skip(checkup.ClusterCopies, "", "nobody was asked yet")}
	}
	for _, server := range slices.Sorted(maps.Keys(r.copies)) {
		if lack := r.copies[server]; lack != "" {
			out = append(out, checkup.Bad(checkup.Warn, checkup.ClusterCopies, server, lack,
				"see that its server and karaula broker agent run; docs/operating.md, \"Three servers\", says what to do"))
		} else {
			out = append(out, checkup.Good(checkup.ClusterCopies, server, "whole"))
		}
	}
	return out
}

// askServer asks the machine of one server.
func (g *Gateway) askServer(ctx context.Context, server string, q *remains.Question, within time.Duration) (*remains.Answer, error) {
	raw, err := q.Bytes()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	m, err := g.nc.RequestWithContext(ctx, subject.Remains(server), raw)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, problem.New(problem.Unreachable, "its machine does not answer: the server or its agent (karaula broker agent) is away, or older")
	case err != nil:
		return nil, problem.Wrap(problem.Unreachable, err, "its machine does not answer")
	}
	return remains.ParseAnswer(m.Data, server, q)
}

// note remembers what a look has shown.
func (r *remnants) note(waiting, own int, seen *looked, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting, r.own = waiting, own; waiting+own == 0 {
		r.since, r.silent, r.store, r.log, r.left = time.Time{}, nil, nil, nil, nil
		return
	}
	if r.since.IsZero() {
		r.since = now
	}
	r.silent = r.silent.next(seen.silent, nil, now)
	r.store, r.log = r.store.next(seen.store, seen, now), r.log.next(seen.log, seen, now)
	r.left = r.left.next(seen.left, seen.silent, now)
}

// count gives how many erasures are not proved, of partners' content and of own one.
func (r *remnants) count() (partners, own int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting, r.own
}

// next gives what is known behind one more look; of a server that does not answer nothing
// new is.
func (f findings) next(seen, silent map[string]string, now time.Time) findings {
	out := findings{}
	for server, before := range f {
		text, still := seen[server]
		if _, quiet := silent[server]; still {
			out[server] = finding{before.since, text}
		} else if quiet {
			out[server] = before
		}
	}
	for server, text := range seen {
		if _, known := out[server]; !known {
			out[server] = finding{now, text}
		}
	}
	return out
}

// next gives what is known behind one more look: what it was not for, and what lies on a
// server that does not answer, is as before.
func (h holdings) next(found map[holding]bool, seen *looked, now time.Time) holdings {
	out := holdings{}
	for at, since := range h {
		_, quiet := seen.silent[at.server]
		if found[at] || seen.waiting[at.erasure] && (quiet || !seen.sought[at.erasure]) {
			out[at] = since
		}
	}
	for at := range found {
		if _, known := out[at]; !known {
			out[at] = now
		}
	}
	return out
}

// lasting gives the servers that have held something for long enough, and what for longest.
func (h holdings) lasting(now time.Time, patience time.Duration) (servers []string, longest map[string]erasure) {
	longest, oldest := map[string]erasure{}, map[string]time.Time{}
	for at, since := range h {
		if before, known := oldest[at.server]; now.Sub(since) >= patience && (!known || since.Before(before)) {
			longest[at.server], oldest[at.server] = at.erasure, since
		}
	}
	return slices.Sorted(maps.Keys(longest)), longest
}

// lasting gives the servers of which something has been so for long enough.
func (f findings) lasting(now time.Time, patience time.Duration) (servers []string) {
	for _, server := range slices.Sorted(maps.Keys(f)) {
		if now.Sub(f[server].since) >= patience {
			servers = append(servers, server)
		}
	}
	return servers
}

// trouble says why erasures are not told, and what to do; empty while all is as it should
// be, or needs a few minutes only.
func (r *remnants) trouble(now time.Time) (text, hint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var why, next []string
	why = r.unknown(r.silent.lasting(now, silencePatience))
	if len(why) > 0 {
		next = append(next, "see that every server and karaula broker agent beside it run, and that the agent may read the server's store")
	}
	servers, longest := r.store.lasting(now, storePatience)
	for _, server := range servers {
		why = append(why, fmt.Sprintf("server %s still holds what was erased: %s", server, longest[server]))
		next = append(next, fmt.Sprintf("once %s has caught up, stop it and start it again", server))
	}
	servers, longest = r.log.lasting(now, logPatience)
	for _, server := range servers {
		why = append(why, fmt.Sprintf("the log of server %s still holds what was erased: %s", server, longest[server]))
		next = append(next, fmt.Sprintf("stop %s and start it again, while the others run: its log is compacted then", server))
	}
	for _, server := range r.left.lasting(now, logPatience) {
		why = append(why, fmt.Sprintf("server %s holds some of it in %s, which belongs to none of its streams", server, r.left[server].text))
		next = append(next, fmt.Sprintf("stop %s, remove that folder, and start it", server))
	}
	if len(why) == 0 {
		return "", ""
	}
	return fmt.Sprintf("not told to partners: %d erasures, not known to be gone: %d of our own, since %s: %s",
		r.waiting, r.own, r.since.UTC().Format(time.RFC3339), strings.Join(why, "; ")), strings.Join(next, "; ")
}

// unknown says why nothing is known of some servers. Called with r.mu held.
func (r *remnants) unknown(servers []string) (why []string) {
	for _, server := range servers {
		if server == "" {
			why = append(why, r.silent[server].text)
			continue
		}
		why = append(why, fmt.Sprintf("nothing is known of the files of server %s: %s", server, r.silent[server].text))
	}
	return why
}

// check is how erasures stand.
func (r *remnants) check(now time.Time) checkup.Check {
	if text, hint := r.trouble(now); text != "" {
		return checkup.Bad(checkup.Warn, checkup.ErasureTold, "", text, hint)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting+r.own > 0 {
		why := append([]string{"until no server's log holds the content"}, r.unknown(r.silent.lasting(now, 0))...)
		return checkup.Good(checkup.ErasureTold, "", "%d of partners' and %d of our own wait %s", r.waiting, r.own, strings.Join(why, "; "))
	}
	return checkup.Good(checkup.ErasureTold, "", "none waits")
}
