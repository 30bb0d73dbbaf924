package link

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/testing/protocmp"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// serve starts al's link service.
func (n *node) serve(owner *testOwner, change func(*ServeOptions)) *Server {
	n.t.Helper()
	owner.card = n.al.card.Signed
	o := ServeOptions{
		Self: "al", Owner: owner,
		Key: func() keyring.SignKey { return n.al.gw.Link },
		Card: func(p string) (*card.Card, bool) {
			return n.me.card, p == "me"
		},
	}
	if change != nil {
		change(&o)
	}
	s, err := Serve(n.t.Context(), n.own, []string{"me"}, o)
	must(n.t, err)
	n.t.Cleanup(s.Close)
	must(n.t, n.own.Flush())
	return s
}

// client makes me's client over a connection.
func (n *node) client(nc *nats.Conn, change func(*ClientOptions)) *Client {
	o := ClientOptions{
		Self: "me", Partner: "al",
		Key:  func() keyring.SignKey { return n.me.gw.Link },
		Card: func() (*card.Card, bool) { return n.al.card, true },
	}
	if change != nil {
		change(&o)
	}
	return New(nc, o)
}

func TestEveryQuestionAcrossTwoAccounts(t *testing.T) {
	t.Parallel()
	n, owner := newNode(t), new(testOwner)
	heard := make(chan *karaulav1.Standing, 1)
	n.serve(owner, func(o *ServeOptions) {
		o.OnHello = func(_ string, theirs *karaulav1.Standing) { heard <- theirs }
	})
	nc, err := n.dial(nil)
	must(t, err)
	c, ctx := n.client(nc, nil), t.Context()

	s, err := c.Hello(ctx, standing(1))
	must(t, err)
	if d := cmp.Diff(standing(1), <-heard, protocmp.Transform()); d != "" {
		t.Errorf("what al heard: %s", d)
	}
	if d := cmp.Diff(standing(4), s, protocmp.Transform()); d != "" {
		t.Errorf("hello: %s", d)
	}
	r, err := c.Rewind(ctx, channel, 1, 5)
	must(t, err)
	if r.GetFromSeq() != 5 || r.GetLastSeq() != 9 {
		t.Errorf("rewind = %v", r)
	}
	file, err := c.GetCard(ctx, 0)
	must(t, err)
	if string(file) != string(n.al.card.Signed) {
		t.Error("another card came back")
	}
	notices, err := c.GetNotices(ctx, 1)
	must(t, err)
	if len(notices) != 2 || string(notices[0]) != "two" {
		t.Errorf("notices = %q", notices)
	}
	if text, err := c.GetAgreement(ctx, testLedger); err != nil || string(text) != "agreement" {
		t.Errorf("agreement = %q, %v", text, err)
	}
	stubs, err := c.GetStubs(ctx, testLedger, 1, 3, 1<<63)
	must(t, err)
	if len(stubs) != 7 || string(stubs[0][:6]) != "3 true" {
		t.Errorf("stubs = %q", stubs)
	}
	all, err := c.GetStatements(ctx, testLedger, 1, 3, 4)
	must(t, err)
	if len(all) != 2 || string(all[1][:7]) != "4 false" {
		t.Errorf("statements = %q", all)
	}
	edge, err := c.GetFrontier(ctx, testLedger, 1, 9)
	must(t, err)
	if len(edge) != 2 || edge[0][0] != 9 {
		t.Errorf("frontier = %x", edge)
	}
}

func TestRefusalsReachTheAskerAsKinds(t *testing.T) {
	t.Parallel()
	n, owner := newNode(t), &testOwner{big: MaxStatementBytes + 1}
	n.serve(owner, nil)
	nc, err := n.dial(nil)
	must(t, err)
	c, ctx := n.client(nc, nil), t.Context()
	other := [32]byte{9}
	for name, tc := range map[string]struct {
		ask  func() error
		code Code
		kind problem.Kind
	}{
		"another's channel": {
			func() error { _, err := c.Rewind(ctx, "b02-al-xk", 1, 1); return err },
			CodeNotAParty, problem.NotAllowed,
		},
		"no such card": {
			func() error { _, err := c.GetCard(ctx, 7); return err },
			CodeNotFound, problem.NotFound,
		},
		"no such text": {
			func() error { _, err := c.GetAgreement(ctx, other); return err },
			CodeNotFound, problem.NotFound,
		},
		"beyond the end": {
			func() error { _, err := c.GetStubs(ctx, testLedger, 1, 10, 12); return err },
			CodeNotFound, problem.NotFound,
		},
		"does not fit": {
			func() error { _, err := c.GetStatements(ctx, testLedger, 1, 1, 2); return err },
			CodeTooLarge, problem.Invalid,
		},
		"the owner has failed": {
			func() error { _, err := c.GetFrontier(ctx, other, 1, 2); return err },
			CodeFailed, problem.Unreachable,
		},
	} {
		err := tc.ask()
		var r *Refused
		if !errors.As(err, &r) || r.Code != tc.code || problem.KindOf(err) != tc.kind {
			t.Errorf("%s: %v (kind %v), want %q", name, err, problem.KindOf(err), tc.code)
		}
	}
	if _, err := c.Hello(ctx, nil); !problem.Is(err, problem.Invalid) {
		t.Errorf("an empty hello: %v, want invalid and not sent", err)
	}
}

func TestOnlyPartnersAreAnswered(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	s := n.serve(new(testOwner), nil)
	nc, err := n.dial(nil)
	must(t, err)
	c := n.client(nc, nil)
	_, err = c.Hello(t.Context(), standing(1))
	must(t, err)
	must(t, s.SetPartners([]string{"xk"}))
	must(t, n.own.Flush())
	if _, err = c.Hello(t.Context(), standing(1)); !problem.Is(err, problem.Unreachable) {
		t.Errorf("no longer a partner: %v, want unreachable", err)
	}
	must(t, s.SetPartners([]string{"me", "xk"}))
	must(t, n.own.Flush())
	_, err = c.Hello(t.Context(), standing(1))
	must(t, err)
	for _, wrong := range []string{"al", "*", "me.>", ""} {
		if err := s.SetPartners([]string{wrong}); !problem.Is(err, problem.Invalid) {
			t.Errorf("SetPartners(%q) = %v", wrong, err)
		}
	}
	s.Close()
	if err := s.SetPartners(nil); err == nil {
		t.Error("a closed service took partners")
	}
}

// TestAFloodingPartnerDelaysNobody: xk floods (on al's own account, as its
// imports would arrive there) while me asks.
func TestAFloodingPartnerDelaysNobody(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	xk := newParty(t, "xk", "127.0.0.1:9")
	owner := &testOwner{block: make(chan struct{})}
	var mu sync.Mutex
	outcomes := make(map[Code]int)
	s := n.serve(owner, func(o *ServeOptions) {
		o.Timeout = time.Hour // xk's worker hangs in the owner until it is let go
		o.Card = func(p string) (*card.Card, bool) {
			return map[string]*card.Card{"me": n.me.card, "xk": xk.card}[p], true
		}
		o.OnRequest = func(p string, c Code) {
			mu.Lock()
			defer mu.Unlock()
			if p == "xk" {
				outcomes[c]++
			}
		}
	})
	must(t, s.SetPartners([]string{"me", "xk"}))
	rewind := request(t, xk, "xk", "al", time.Now(), nil)
	for range 10 * queueLength {
		must(t, n.own.PublishRequest("k1.link.xk", n.own.NewInbox(), rewind))
	}
	must(t, n.own.Flush())
	eventually(t, "xk's worker is busy", func() bool {
		owner.mu.Lock()
		defer owner.mu.Unlock()
		return len(owner.rewinds) == 1
	})
	nc, err := n.dial(nil)
	must(t, err)
	_, err = n.client(nc, nil).Hello(t.Context(), standing(1))
	must(t, err)

	close(owner.block)
	eventually(t, "what waited is worked off", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return outcomes[outcomeDone] == 1 && outcomes[CodeReplayed] > 0
	})
	s.mu.Lock()
	dropped, err := s.peers["xk"].sub.Dropped()
	s.mu.Unlock()
	if err != nil || dropped < 8*queueLength {
		t.Errorf("dropped %d of the flood (%v), want nearly all", dropped, err)
	}
}

func TestServeStopsWithItsContext(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Serve(ctx, n.own, []string{"me"}, ServeOptions{Self: "al"})
	must(t, err)
	cancel()
	eventually(t, "no subscription is left", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.peers) == 0
	})
	s.Close()
}
