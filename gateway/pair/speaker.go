package pair

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"karaula/internal/journal"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Speaker is the right to speak, for as long as it holds.
type Speaker struct {
	c *Config

	// gate is held for writing while the other gateway comes into step: nothing is
	// signed meanwhile that it would not be told of.
	gate sync.RWMutex

	turn sync.Mutex // held while the state is being replaced

	mu       sync.Mutex // guards the fields below; never held while somebody is asked
	state    *karaulav1.PairState
	place    uint64
	renewed  time.Time // when the last sign of life that arrived was sent
	follower []byte    // life of the gateway that follows; nil: none does
	catching bool      // it follows, and is not in step yet
	behind   string    // why it is not in step, as was seen last
	sources  map[string]*source
	lost     chan struct{} // closed when another one speaks
	gone     sync.Once
}

// source is one channel's journal, and how far the follower has it.
type source struct {
	mu    sync.Mutex
	j     *journal.Journal
	to    []byte // the follower that the size is of
	acked uint64
	known bool
}

func newSpeaker(c *Config, st *karaulav1.PairState, place uint64, began time.Time) *Speaker {
	return &Speaker{
		c: c, state: st, place: place, renewed: began, sources: map[string]*source{}, lost: make(chan struct{}),
	}
}

// Lost is closed when the other gateway speaks: this one must end at once.
func (s *Speaker) Lost() <-chan struct{} { return s.lost }

// Err says why nothing may be said any more.
func (s *Speaker) Err() error {
	select {
	case <-s.lost:
		return errLost
	default:
		return nil
	}
}

// Holds reports whether this gateway may speak at this moment.
func (s *Speaker) Holds() bool {
	if s.Err() != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.renewed) < s.c.Lease
}

// InStep reports whether the other gateway has everything that was said.
func (s *Speaker) InStep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return inStep(s.state, s.c.Other)
}

// Behind says why the other gateway is not in step; empty: it is.
func (s *Speaker) Behind() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case inStep(s.state, s.c.Other):
		return ""
	case s.catching && !s.c.Whole():
		return "not all channels are open here yet"
	case s.catching:
		return "it is being given what it lacks"
	default:
		return cmp.Or(s.behind, "it has not asked to follow")
	}
}

func (s *Speaker) setBehind(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = why.Error()
}

// Run gives signs of life and lets the other gateway follow, until ctx ends or
// the right is lost.
func (s *Speaker) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	hellos := make(chan *karaulav1.PairHello, 1)
	sub, err := s.c.Conn.Subscribe(subject.PairTo(s.c.Self, "hello"), func(m *nats.Msg) { s.greet(m, hellos) })
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the other gateway cannot be heard")
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection may be gone
	tick := time.NewTicker(s.c.beatEvery())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.lost:
			return errLost
		case h := <-hellos:
			s.onHello(ctx, h, &work)
		case <-tick.C:
			if err := s.change(ctx, func(*karaulav1.PairState) {}); errors.Is(err, errLost) {
				return err
			}
		}
	}
}

// change replaces the state, with one more sign of life. It returns when it is
// known whether it was replaced.
func (s *Speaker) change(ctx context.Context, edit func(*karaulav1.PairState)) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	for {
		if s.Err() != nil {
			return errLost
		}
		s.mu.Lock()
		next, ok := proto.Clone(s.state).(*karaulav1.PairState)
		after := s.place
		s.mu.Unlock()
		if !ok {
			return errLost // cannot be
		}
		next.Beat++
		edit(next)
		began := time.Now()
		place, err := s.c.put(ctx, next, after)
		if own, ok := errors.AsType[errOwn](err); ok {
			s.adopt(own)
			continue
		}
		if errors.Is(err, errMoved) {
			s.gone.Do(func() { close(s.lost) })
			return errLost
		}
		if err != nil {
			return problem.Wrap(problem.Unreachable, err, "the own broker does not answer")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.state, s.place, s.renewed = next, place, began
		return nil
	}
}

// adopt goes on from a state that an earlier change has put there, which was given up
// before it was known. Whoever is not in step by it does not follow.
func (s *Speaker) adopt(own errOwn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.place = own.state, own.place
	if !s.catching && !inStep(s.state, s.c.Other) {
		s.follower = nil
	}
}

// HandOver says that nobody speaks, so that the other gateway, if it is in step,
// need not wait. Nothing may be said afterwards.
func (s *Speaker) HandOver(ctx context.Context) error {
	err := s.change(ctx, func(st *karaulav1.PairState) { st.Speaker = "" })
	s.gone.Do(func() { close(s.lost) })
	return err
}

// Replicate returns when what a journal holds may be published: the other gateway
// has it on disk, or is not in step any more. Whoever has signed something calls
// it before anything of it is published.
func (s *Speaker) Replicate(ctx context.Context, j *journal.Journal) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	src := s.source(j)
	if err := s.offer(ctx, src); err != nil {
		return err
	}
	for !s.Holds() { // the broker has not taken a sign of life for too long
		if err := s.Err(); err != nil {
			return err
		}
		if !pause(ctx, 20*time.Millisecond) {
			return problem.Wrap(problem.Unreachable, ctx.Err(), "the own broker does not answer")
		}
	}
	return nil
}

// offer gives a journal to whoever follows.
func (s *Speaker) offer(ctx context.Context, src *source) error {
	life, catching := s.following()
	if life == nil {
		return s.Err()
	}
	err := s.push(ctx, src, life)
	if err == nil {
		return nil
	}
	s.setBehind(err)
	s.c.Logger.Warn("the other gateway does not take in what is signed; it goes out of step", "why", err.Error())
	if catching {
		s.forget(life)
		return nil
	}
	return s.drop(ctx, life)
}

// drop takes the other gateway out of step.
func (s *Speaker) drop(ctx context.Context, life []byte) error {
	if now, catching := s.following(); !bytes.Equal(now, life) || catching {
		return s.Err() // somebody else has done it
	}
	if err := s.change(ctx, func(st *karaulav1.PairState) { st.InStep = []string{s.c.Self} }); err != nil {
		return err
	}
	s.forget(life)
	return nil
}

func (s *Speaker) following() (life []byte, catching bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.follower, s.catching
}

func (s *Speaker) forget(life []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(s.follower, life) {
		s.follower, s.catching = nil, false
	}
}

// source finds or makes the place of a journal.
func (s *Speaker) source(j *journal.Journal) *source {
	channel := j.State().Channel
	s.mu.Lock()
	defer s.mu.Unlock()
	src := s.sources[channel]
	if src == nil || src.j != j {
		src = &source{j: j}
		s.sources[channel] = src
	}
	return src
}

// push sends a follower what it lacks of a journal, and returns when it has
// answered that all of it is on disk.
func (s *Speaker) push(ctx context.Context, src *source, life []byte) error {
	src.mu.Lock()
	defer src.mu.Unlock()
	if !bytes.Equal(src.to, life) {
		src.to, src.known, src.acked = life, false, 0
	}
	at, since := src.j.Snapshot()
	for first := true; ; first = false {
		tree := at.Tree.Clone()
		rest := since
		for src.known && len(rest) > 0 && rest[0].Seq <= src.acked {
			tree.Append(rest[0].Leaf)
			rest = rest[1:]
		}
		if src.known && len(rest) == 0 && !first {
			return nil
		}
		if src.known && len(rest) == 0 && src.acked >= at.Tree.Size() {
			return nil
		}
		r, n := newRecord(at, rest)
		for _, e := range rest[:n] {
			tree.Append(e.Leaf)
		}
		a, err := s.tell(ctx, r, life)
		if err != nil {
			return err
		}
		if root := tree.Root(); a.GetSize() != tree.Size() || !bytes.Equal(a.GetRoot(), root[:]) {
			if src.known {
				src.known = false // once more, with everything
				continue
			}
			return fmt.Errorf("its journal of channel %s stands at %d instead of %d", at.Channel, a.GetSize(), tree.Size())
		}
		src.known, src.acked = true, tree.Size()
	}
}

// tell sends one record until it is answered, or the time for it is over.
func (s *Speaker) tell(ctx context.Context, r *karaulav1.PairRecord, life []byte) (*karaulav1.PairAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.answerTimeout())
	defer cancel()
	s.mu.Lock()
	r.Term, r.Life, r.To = s.state.GetTerm(), s.state.GetLife(), life
	s.mu.Unlock()
	raw, err := pack(s.c.Key, recordMark, r)
	if err != nil {
		return nil, err
	}
	data, err := s.ask(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("it does not answer: %w", err)
	}
	var a karaulav1.PairAnswer
	switch {
	case !unpack(s.c.Key, answerMark, data, &a):
		return nil, errors.New("it answers something else")
	case !bytes.Equal(a.GetLife(), life) || a.GetTerm() != r.GetTerm() || a.GetChannel() != r.GetBase().GetChannel() ||
		a.GetEpoch() != r.GetBase().GetEpoch():
		return nil, errors.New("it answers for another life, term or channel")
	case a.GetRefused() != "":
		return nil, errors.New(a.GetRefused())
	}
	return &a, nil
}

// ask asks until there is an answer or ctx ends: a question may get lost when a server
// of the broker goes. The answer to any of them will do, so one that is slow is not lost.
func (s *Speaker) ask(ctx context.Context, raw []byte) ([]byte, error) {
	inbox := s.c.Conn.NewInbox()
	answers := make(chan *nats.Msg, 1)
	sub, err := s.c.Conn.Subscribe(inbox, func(m *nats.Msg) {
		select {
		case answers <- m:
		default: // to an earlier question
		}
	})
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection may be gone
	for {
		_ = s.c.Conn.PublishRequest(subject.PairTo(s.c.Other, "record"), inbox, raw) // it is asked again
		select {
		case <-ctx.Done():
			return nil, ctx.Err() //nolint:wrapcheck // the caller says what it was about
		case m := <-answers:
			if len(m.Data) > 0 {
				return m.Data, nil
			}
			pause(ctx, 50*time.Millisecond) // nobody listens yet, or any more
		case <-time.After(s.c.answerTimeout() / 3):
		}
	}
}

// greet answers a gateway that wants to follow, at once: while the broker takes its
// time with a sign of life, the answer must not be late. That it follows is for [Speaker.Run].
func (s *Speaker) greet(m *nats.Msg, hellos chan<- *karaulav1.PairHello) {
	h := new(karaulav1.PairHello)
	if !unpack(s.c.Key, helloMark, m.Data, h) || h.GetName() != s.c.Other || len(h.GetLife()) != 16 {
		return
	}
	s.mu.Lock()
	a := &karaulav1.PairAnswer{Life: s.state.GetLife(), Term: s.state.GetTerm()}
	s.mu.Unlock()
	if raw, err := pack(s.c.Key, answerMark, a); err == nil {
		_ = m.Respond(raw) // it asks again
	}
	select {
	case hellos <- h:
	default: // it asks again
	}
}

// onHello begins to bring a gateway into step that wants to follow.
func (s *Speaker) onHello(ctx context.Context, h *karaulav1.PairHello, work *sync.WaitGroup) {
	s.mu.Lock()
	term, before, catching := s.state.GetTerm(), s.follower, s.catching
	s.mu.Unlock()
	if h.GetTerm() != term || catching || bytes.Equal(before, h.GetLife()) {
		return // of another term, known, or in the middle of it: it asks again
	}
	if before != nil {
		if err := s.drop(ctx, before); err != nil {
			return // it asks again
		}
	}
	s.mu.Lock()
	s.follower, s.catching = h.GetLife(), true
	s.mu.Unlock()
	work.Go(func() {
		if err := s.bring(ctx, h.GetLife()); err != nil {
			s.forget(h.GetLife())
			if ctx.Err() == nil {
				s.setBehind(err)
				s.c.Logger.Warn("the other gateway does not come into step", "why", err.Error())
			}
		}
	})
}

// bring gives a follower all journals, and then, while nothing is signed, what has
// come in the meantime, and declares it in step.
func (s *Speaker) bring(ctx context.Context, life []byte) error {
	for !s.c.Whole() {
		if !pause(ctx, s.c.lookEvery()) {
			return ctx.Err()
		}
	}
	if err := s.pushAll(ctx, life); err != nil {
		return err
	}
	s.gate.Lock()
	defer s.gate.Unlock()
	if now, _ := s.following(); !bytes.Equal(now, life) {
		return errors.New("it has gone")
	}
	if err := s.pushAll(ctx, life); err != nil {
		return err
	}
	err := s.change(ctx, func(st *karaulav1.PairState) { st.InStep = []string{s.c.Self, s.c.Other} })
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.catching, s.behind = false, ""
	s.mu.Unlock()
	s.c.Logger.Info("the other gateway is in step", "gateway", s.c.Other)
	return nil
}

func (s *Speaker) pushAll(ctx context.Context, life []byte) error {
	s.mu.Lock()
	var all []*source
	for _, src := range s.sources {
		all = append(all, src)
	}
	s.mu.Unlock()
	for _, src := range all {
		if err := s.push(ctx, src, life); err != nil {
			return err
		}
	}
	return nil
}
