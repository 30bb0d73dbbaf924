package link

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// queueLength is how many requests of one partner may wait for its worker;
// more are dropped without an answer.
const queueLength = 32

// ServeOptions says who answers, with which key, and within which limits.
type ServeOptions struct {
	// Self is our own party code.
	Self string
	// Key gives our link key, asked for every reply so that it may be rotated.
	Key func() keyring.SignKey
	// Card gives a partner's card in force.
	Card func(partner string) (*card.Card, bool)
	// Owner has what is asked for.
	Owner Owner
	// Skew is how far a partner's clock may differ; zero is [DefaultSkew].
	Skew time.Duration
	// Rate and Burst limit one partner's requests; zero is [DefaultRate] per
	// second and [DefaultBurst].
	Rate  float64
	Burst int
	// Timeout bounds what the Owner may take for one request; zero is [DefaultTimeout].
	Timeout time.Duration
	// OnRequest is told the outcome of every request ("done", a refusal's code,
	// or why there was no reply), for metrics; may be nil.
	OnRequest func(partner string, outcome Code)
	// OnHello is told what a partner says it has, so that what is lacking here
	// can be fetched at once; may be nil; must return quickly.
	OnHello func(partner string, theirs *karaulav1.Standing)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// defaults fills in what was left out.
func (o *ServeOptions) defaults() {
	if o.Skew == 0 {
		o.Skew = DefaultSkew
	}
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	if o.Burst == 0 {
		o.Burst = DefaultBurst
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnRequest == nil {
		o.OnRequest = func(string, Code) {}
	}
	if o.OnHello == nil {
		o.OnHello = func(string, *karaulav1.Standing) {}
	}
}

// Server answers the link service of one node.
type Server struct {
	nc *nats.Conn
	o  ServeOptions

	ctx  context.Context
	stop context.CancelFunc

	mu    sync.Mutex
	peers map[string]*peer
}

// Serve answers the link service on the own broker until ctx ends or Close is
// called. Each partner has its own subscription with a worker and a bounded
// queue, so a partner that floods its link delays nobody else's.
func Serve(ctx context.Context, nc *nats.Conn, partners []string, o ServeOptions) (*Server, error) {
	o.defaults()
	ctx, stop := context.WithCancel(ctx)
	s := &Server{nc: nc, o: o, ctx: ctx, stop: stop, peers: make(map[string]*peer)}
	if err := s.SetPartners(partners); err != nil {
		s.Close()
		return nil, err
	}
	context.AfterFunc(ctx, s.Close)
	return s, nil
}

// SetPartners says who is answered from now on: every party with which an
// agreement is in force, suspended or winding down. Others are not heard any
// more; requests of theirs that wait are dropped.
func (s *Server) SetPartners(partners []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return problem.New(problem.Failed, "the link service has been stopped")
	}
	wanted := make(map[string]bool, len(partners))
	for _, name := range partners {
		if !terms.ValidParty(name) || name == s.o.Self {
			return problem.New(problem.Invalid, "the link service cannot answer %q; nothing was changed", name)
		}
		wanted[name] = true
	}
	for name, p := range s.peers {
		if !wanted[name] {
			_ = p.sub.Unsubscribe() // fails only when the connection is gone, and then it has happened
			delete(s.peers, name)
		}
	}
	for name := range wanted {
		if s.peers[name] != nil {
			continue
		}
		p := newPeer(s, name)
		sub, err := s.nc.Subscribe(subject.Link(name), p.receive)
		if err == nil {
			err = sub.SetPendingLimits(queueLength, queueLength*subject.MaxLinkRequest)
		}
		if err != nil {
			return problem.Wrap(problem.Unreachable, err, "the link service for %q was not started", name)
		}
		p.sub = sub
		s.peers[name] = p
	}
	return nil
}

// Close stops answering. It may be called more than once.
func (s *Server) Close() {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, p := range s.peers {
		_ = p.sub.Unsubscribe() // see SetPartners
		delete(s.peers, name)
	}
}
