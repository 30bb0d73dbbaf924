package pair

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/internal/durable"
	"karaula/internal/journal"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// standby follows the other gateway.
type standby struct {
	c    *Config
	life []byte

	mu       sync.Mutex
	closed   bool                        // nothing is taken in any more: this gateway takes over, or ends
	term     uint64                      // highest that was read
	journals map[string]*journal.Journal // by channel

	at      uint64    // place of the state that was read last; owned by Await
	older   time.Time // since when the state that is read is older than one that was seen
	since   time.Time // since when that one is there, without a failure to look in between
	greeted bool      // the speaker has answered this life
	told    string    // what was logged last
	forgot  time.Time // when the journals were last rid of what is published
}

// errStands says that this gateway goes on standing by.
var errStands = errors.New("stands by")

// Await stands by until this gateway is the one that speaks; nil if ctx ends
// before. An error means that it must not speak, and a person has to look.
func Await(ctx context.Context, c *Config) (speaker *Speaker, err error) {
	speaker, err = await(ctx, c)
	if errors.Is(err, errStands) {
		err = nil // stopped while it stood by
	}
	return speaker, err
}

func await(ctx context.Context, c *Config) (*Speaker, error) {
	s := &standby{c: c, life: newLife(), journals: map[string]*journal.Journal{}}
	sub, err := c.Conn.Subscribe(subject.PairTo(c.Self, "record"), s.onRecord)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the other gateway cannot be heard")
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection may be gone
	defer s.close()
	for {
		if speaker, err := s.look(ctx); !errors.Is(err, errStands) {
			return speaker, err
		}
		s.forget()
		if !pause(ctx, c.lookEvery()) {
			return nil, errStands
		}
	}
}

// forgetEvery is how long what is published stays in the journals of who stands by:
// who speaks erases content, and does not tell which.
const forgetEvery = 5 * time.Minute

// forget leaves nothing in the journals that is published.
func (s *standby) forget() {
	if time.Since(s.forgot) < forgetEvery {
		return
	}
	s.forgot = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for channel, j := range s.journals {
		if err := j.Forget(j.Confirmed()); err != nil {
			s.c.Logger.Error("a signing journal still holds what was published", "channel", channel, "why", err.Error())
		}
	}
}

// look reads the state and does what follows from it: [errStands], or a speaker.
func (s *standby) look(ctx context.Context) (*Speaker, error) {
	st, at, err := s.c.read(ctx)
	wish := readWish(s.c.WishFile)
	if errors.Is(err, errForged) {
		if wish != wishForce {
			return nil, err
		}
		err = nil
	}
	if err != nil { // silence counts only where it can be heard
		s.since = time.Time{}
		s.say("the state of the pair cannot be read", "why", err.Error())
		return nil, errStands
	}
	err = s.c.seen(st)
	if problem.Is(err, problem.Verification) && wish != wishForce && !s.c.stays(&s.older) {
		s.since = time.Time{}
		s.say("the state that was read is older than one that was seen; that server may have been cut off")
		return nil, errStands
	}
	if err != nil && wish != wishForce {
		return nil, err
	}
	s.older = time.Time{}
	s.mu.Lock()
	s.term = max(s.term, st.GetTerm())
	s.mu.Unlock()
	if at != s.at || s.since.IsZero() {
		s.at, s.since = at, time.Now()
	}
	if why := s.turn(st, wish); why != "" {
		return s.take(ctx, st, at, why)
	}
	s.follow(ctx, st)
	return nil, errStands
}

// turn says why this gateway may speak now; empty: it may not.
func (s *standby) turn(st *karaulav1.PairState, wish string) string {
	in := inStep(st, s.c.Self) && (s.greeted || !s.c.Restored)
	switch {
	case wish == wishForce:
		return "a person wants it, although it may be behind"
	case st == nil && s.c.First:
		return "there was no pair before"
	case !in:
		if wish != "" {
			s.say("cannot take over: this gateway is not in step")
		}
		return ""
	case st.GetSpeaker() == s.c.Self:
		return "it spoke before"
	case st.GetSpeaker() == "":
		return "the other one has handed over"
	case wish != "":
		return "a person wants it"
	case s.c.Automatic && time.Since(s.since) > s.c.silence():
		return "nothing has come from the other one for " + s.c.silence().String()
	default:
		return ""
	}
}

// take makes this gateway the speaker, unless the state is another one by now.
func (s *standby) take(ctx context.Context, st *karaulav1.PairState, at uint64, why string) (*Speaker, error) {
	s.setClosed(true) // what the former speaker signs from here on has no place any more
	last, err := s.c.lastTerm()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	next := &karaulav1.PairState{
		Term: max(st.GetTerm(), s.term, last) + 1, Speaker: s.c.Self, Life: s.life, InStep: []string{s.c.Self}, Beat: 1,
	}
	place, err := s.c.put(ctx, next, at)
	if err != nil {
		s.setClosed(false)
		s.since = time.Time{}
		if ctx.Err() == nil && !errors.Is(err, errMoved) {
			return nil, err
		}
		return nil, errStands
	}
	if err := s.c.seen(next); err != nil {
		return nil, err
	}
	if err := os.Remove(s.c.WishFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, problem.Wrap(problem.Failed, err, "the wish to take over cannot be removed")
	}
	s.close()
	s.c.Logger.Warn("this gateway speaks now", "gateway", s.c.Self, "term", next.GetTerm(), "because", why)
	return newSpeaker(s.c, next, place, began), nil
}

// follow asks the speaker to be told of everything, until it is so.
func (s *standby) follow(ctx context.Context, st *karaulav1.PairState) {
	if st.GetSpeaker() != s.c.Other {
		s.say("stands by, and nobody speaks")
		return
	}
	if s.greeted && inStep(st, s.c.Self) {
		if s.say("stands by in step", "speaker", st.GetSpeaker(), "term", st.GetTerm()) && s.c.OnStep != nil {
			s.c.OnStep()
		}
		return
	}
	s.say("stands by, not in step yet", "speaker", st.GetSpeaker(), "term", st.GetTerm())
	raw, err := pack(s.c.Key, helloMark, &karaulav1.PairHello{Name: s.c.Self, Life: s.life, Term: st.GetTerm()})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.answerTimeout())
	defer cancel()
	msg, err := s.c.Conn.RequestWithContext(ctx, subject.PairTo(s.c.Other, "hello"), raw)
	if err != nil {
		return // it is asked again
	}
	var a karaulav1.PairAnswer
	if unpack(s.c.Key, answerMark, msg.Data, &a) && bytes.Equal(a.GetLife(), st.GetLife()) {
		s.greeted = true
	}
}

// onRecord takes in what the speaker has signed, and answers how far the journal
// goes when that is on disk.
func (s *standby) onRecord(m *nats.Msg) {
	var r karaulav1.PairRecord
	if !unpack(s.c.Key, recordMark, m.Data, &r) {
		return // of somebody else
	}
	a := &karaulav1.PairAnswer{Life: s.life, Term: r.GetTerm(), Channel: r.GetBase().GetChannel(), Epoch: r.GetBase().GetEpoch()}
	j, err := s.takeIn(&r)
	if err != nil {
		a.Refused = err.Error()
	} else {
		st := j.State()
		root := st.Tree.Root()
		a.Size, a.Root = st.Tree.Size(), root[:]
	}
	if raw, err := pack(s.c.Key, answerMark, a); err == nil {
		_ = m.Respond(raw) // an answer that does not come is no answer
	}
}

func (s *standby) takeIn(r *karaulav1.PairRecord) (*journal.Journal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, errors.New("this gateway takes over, or ends")
	case r.GetTerm() < s.term:
		return nil, errors.New("the term is over")
	case !bytes.Equal(r.GetTo(), s.life):
		return nil, errors.New("it is meant for an earlier life")
	}
	s.term = r.GetTerm()
	b, err := readBase(r)
	if err != nil {
		return nil, err
	}
	channel := b.state.Channel
	j := s.journals[channel]
	if j == nil {
		if j, err = journal.Open(s.c.JournalPath(channel), b.state); err != nil && !problem.Is(err, problem.Conflict) &&
			!problem.Is(err, problem.Verification) {
			return nil, err
		}
	}
	if j == nil || !b.continues(j.State()) {
		if j, err = s.begin(j, b); err != nil {
			return nil, err
		}
	}
	s.journals[channel] = j
	if err := j.Append(b.after(j.State().Tree.Size())); err != nil {
		return nil, err
	}
	return j, j.Confirm(min(b.state.Tree.Size(), j.State().Tree.Size()), b.state.Offset)
}

// begin puts the journal aside that does not fit, and begins at the base.
func (s *standby) begin(j *journal.Journal, b *base) (*journal.Journal, error) {
	if !b.whole {
		return nil, errors.New("it does not follow what is here; the whole is needed")
	}
	if j != nil {
		delete(s.journals, b.state.Channel)
		if err := j.Close(); err != nil {
			return nil, err
		}
		s.c.Logger.Warn("the signing journal was behind, or held what was never published; it was put aside",
			"channel", b.state.Channel, "had", j.State().Tree.Size(), "confirmed", b.state.Tree.Size())
	}
	return journal.Begin(s.c.JournalPath(b.state.Channel), b.state)
}

func (s *standby) setClosed(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = yes
}

// close ends taking in, and gives the journals back.
func (s *standby) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for channel, j := range s.journals {
		if err := j.Close(); err != nil {
			s.c.Logger.Error("a signing journal did not close", "channel", channel, "why", err.Error())
		}
	}
	clear(s.journals)
}

// say logs what is so, once until something else is; it reports whether it did.
func (s *standby) say(what string, args ...any) bool {
	if s.told == what {
		return false
	}
	s.told = what
	s.c.Logger.Info("pair", append([]any{"gateway", s.c.Self, "state", what}, args...)...)
	return true
}

// What a person may want.
const (
	wishPlain = "takeover"
	wishForce = "takeover although behind"
)

// Wish writes down that a person wants a gateway to take over. With force it does
// so although it may not have everything that was said; its channels then stop
// where the broker has more than its journal.
func Wish(path string, force bool) error {
	wish := wishPlain
	if force {
		wish = wishForce
	}
	if err := durable.Replace(path, []byte(wish+"\n"), 0o600); err != nil {
		return problem.Wrap(problem.Failed, err, "the wish to take over was not written down")
	}
	return nil
}

// readWish gives what a person wants; empty: nothing.
func readWish(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	if wish := strings.TrimSpace(string(raw)); wish == wishPlain || wish == wishForce {
		return wish
	}
	return ""
}
