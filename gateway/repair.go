package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"karaula/gateway/erase"
	"karaula/gateway/link"
	"karaula/gateway/outbox"
	"karaula/gateway/repair"
	"karaula/internal/border"
	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times of a repair.
const (
	askTimeout    = 20 * time.Second // one question to a partner
	reopenTimeout = 30 * time.Second // until the channel is open again
	reopenLook    = 50 * time.Millisecond
	backTimeout   = 10 * time.Second // for a channel that is being read back already
)

// asked is a partner that is asked for what it holds of an own ledger.
type asked struct {
	p   *partner
	led ledger.ID
}

var _ repair.Partner = asked{}

// ask asks the partner, again after a pause where it was asked too often.
func (a asked) ask(ctx context.Context, question func(context.Context, *link.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for {
		client := a.p.asker()
		if client == nil {
			return problem.New(problem.Unreachable, "the link to %s is down", a.p.code)
		}
		err := question(ctx, client)
		var no *link.Refused
		if !errors.As(err, &no) || no.Code != link.CodeTooOften {
			return err
		}
		select {
		case <-ctx.Done():
			return problem.New(problem.Unreachable, "%s did not answer in time", a.p.code)
		case <-time.After(max(no.RetryAfter, 100*time.Millisecond)):
		}
	}
}

// Head implements [repair.Partner].
func (a asked) Head(ctx context.Context) (head *karaulav1.Head, err error) {
	err = a.ask(ctx, func(ctx context.Context, c *link.Client) error {
		theirs, err := c.Hello(ctx, a.p.g.standing(a.p.g.o.Register.View(), a.p.code))
		for _, h := range theirs.GetSeenHeads() {
			if string(h.GetLedger()) == string(a.led[:]) {
				head = h
			}
		}
		return err
	})
	return head, err
}

// Stubs implements [repair.Partner].
func (a asked) Stubs(ctx context.Context, epoch, from, to uint64) (out [][]byte, err error) {
	err = a.ask(ctx, func(ctx context.Context, c *link.Client) error {
		out, err = c.GetStubs(ctx, a.led, epoch, from, to)
		return err
	})
	return out, err
}

// Statements implements [repair.Partner].
func (a asked) Statements(ctx context.Context, epoch, from, to uint64) (out [][]byte, err error) {
	err = a.ask(ctx, func(ctx context.Context, c *link.Client) error {
		out, err = c.GetStatements(ctx, a.led, epoch, from, to)
		return err
	})
	return out, err
}

// repair says what is wrong with the own ledger of a channel, and mends it.
func (g *Gateway) repair(ctx context.Context, req *karaulav1.RepairRequest) (*karaulav1.RepairResponse, error) {
	id := req.GetChannel()
	if err := g.awaitBack(ctx, id); err != nil {
		return nil, err
	}
	g.mu.Lock()
	c, why, busy := g.channels[id], g.troubles[id], g.repairing[id]
	if c != nil && !busy {
		g.repairing[id] = true
	}
	g.mu.Unlock()
	switch {
	case busy:
		return nil, problem.New(problem.Conflict, "channel %s is being repaired already; nothing was done", id)
	case c == nil && why != "":
		return nil, problem.New(problem.Unreachable, "channel %s is not open: %s; nothing was done", id, why)
	case c == nil:
		return nil, problem.New(problem.NotFound, "there is no open channel %q; nothing was done", id).
			WithHint("karaula ledger list --dir DIR")
	}
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.repairing, id)
	}()
	r := &repairing{g: g, c: c, req: req, out: &karaulav1.RepairResponse{}}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	if !req.GetDryRun() && r.c.writer.Halted() == nil {
		g.settleStock(id)
	}
	return r.out, nil
}

// awaitBack waits for a channel that is being read back.
func (g *Gateway) awaitBack(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, backTimeout)
	defer cancel()
	for {
		g.mu.Lock()
		reading := g.channels[id] == nil && g.opening[id] && !g.repairing[id]
		g.mu.Unlock()
		if !reading {
			return nil
		}
		select {
		case <-ctx.Done():
			return beingRead(id)
		case <-time.After(reopenLook):
		}
	}
}

func beingRead(id string) error {
	return problem.New(problem.Unreachable,
		"channel %s is being read back just now: that is no fault, and nothing was done", id).
		WithHint("wait until karaula status shows it open, then ask again: karaula ledger repair --channel %s", id)
}

// repairing is one call of repair.
type repairing struct {
	g   *Gateway
	c   *channel
	req *karaulav1.RepairRequest
	out *karaulav1.RepairResponse

	survey *repair.Survey
}

func (r *repairing) done(format string, args ...any) {
	r.out.Done = append(r.out.Done, fmt.Sprintf(format, args...))
}

func (r *repairing) run(ctx context.Context) error {
	halted := r.c.writer.Halted()
	if halted != nil {
		r.out.Found = append(r.out.Found, "halted: "+halted.Error())
	}
	if problem.Is(halted, problem.Failed) && !r.req.GetDryRun() {
		// The journal could not be written: what it holds is known when it is read again.
		if err := r.reopened(ctx, func() error { return nil }); err != nil {
			return err
		}
		r.done("the signing journal was read again")
	}
	var err error
	cfg := r.config()
	if cfg.Stubs, err = erase.ReadStubs(ctx, r.g.stubs, r.c.id, r.g.self); err != nil {
		return problem.Wrap(problem.Unreachable, err, "what was erased of channel %s cannot be read", r.c.id)
	}
	if r.survey, err = repair.Take(ctx, cfg); err != nil {
		return err
	}
	s := r.survey
	r.out.State, r.out.Found = string(s.State), append(r.out.Found, s.Found...)
	r.out.Epoch, r.out.Size, r.out.PutBack = s.Head.Epoch, s.Head.Seq, s.Missing
	if f := s.Fork; f != nil {
		r.out.Contradiction = &karaulav1.Contradiction{
			Epoch: f.Position.Epoch, Contest: &karaulav1.Contest{Size: f.Position.Seq}, First: f.First, Second: f.Second,
		}
	}
	switch {
	case r.req.GetNewEpoch():
		return r.newEpoch(ctx)
	case s.State == repair.Fine && r.c.writer.Halted() == nil:
		return nil
	case s.State == repair.Fine, s.State == repair.Mendable:
		return r.mend(ctx)
	default:
		r.out.PutBack = 0
		r.out.Next = r.advice()
		return nil
	}
}

// advice says what to do where nothing can be put back now.
func (r *repairing) advice() string {
	id := r.c.id
	if r.survey.State == repair.Waits {
		return fmt.Sprintf("wait until %v can be reached and repeat, or open a new epoch: karaula ledger repair --channel %s "+
			"--new-epoch --root-key FILE --without PARTY", r.survey.Away, id)
	}
	return fmt.Sprintf("open a new epoch: karaula ledger repair --channel %s --new-epoch --root-key FILE --reason %s",
		id, r.survey.Reason)
}

// config gathers what is known of the own ledger.
func (r *repairing) config() repair.Config {
	c, g := r.c, r.g
	books := c.writer.Books()
	cfg := repair.Config{
		Ledger: c.ledger(g.self), Channel: c.id, Self: g.self, Mode: c.mode, Checker: g.checker, View: g.o.Register.View,
		Log: c.out, Journal: books.Journal, Pending: books.Pending, Copied: books.Copied,
		Partners: map[string]repair.Partner{}, Signed: c.signedHeads(),
	}
	if k, ok := g.restored.Floor(cfg.Ledger.String()); ok {
		cfg.Floor = border.Position{Epoch: k.Epoch, Seq: k.Size}
	}
	for _, code := range c.partners() {
		if p := g.partner(code); p != nil && !slices.Contains(r.req.GetWithout(), code) {
			cfg.Partners[code] = asked{p, cfg.Ledger}
		}
	}
	return cfg
}

// mend puts back what is missing, and begins a journal where the old one is gone.
func (r *repairing) mend(ctx context.Context) error {
	s := r.survey
	r.done("%d statements are put back into the stream, in their exact bytes", s.Missing)
	if s.Rewrite {
		r.done("the signing journal begins anew behind number %d of epoch %d; the old file is kept", s.Head.Seq, s.Head.Epoch)
	}
	if r.req.GetDryRun() {
		return nil
	}
	err := r.reopened(ctx, func() error {
		stubs, err := s.Mend(ctx)
		r.out.Stubs = stubs
		if err != nil || !s.Rewrite {
			return err
		}
		return journal.Rebuild(r.g.o.Layout.Journal(r.c.subject()), s.JournalState(), nil, r.keep())
	})
	if err != nil {
		return err
	}
	r.out.State = "mended"
	return nil
}

// keep names the file that an old journal is kept as.
func (r *repairing) keep() string {
	return fmt.Sprintf("%s.kept-%d", r.g.o.Layout.Journal(r.c.subject()), r.g.o.Now().UnixMicro())
}

// newEpoch opens a new epoch behind the last head that holds.
func (r *repairing) newEpoch(ctx context.Context) error {
	s, view := r.survey, r.g.o.Register.View()
	if err := r.mayOpen(); err != nil {
		return err
	}
	s.LeaveBehind()
	card, ok := view.Card(r.g.self)
	if r.req.GetDryRun() {
		r.done("epoch %d is opened under a newer card; it continues number %d of epoch %d",
			s.Head.Epoch+1, s.Head.Seq, s.Head.Epoch)
		return nil
	}
	if !ok || card.Serial <= s.CardSerial() {
		return problem.New(problem.Locked,
			"a new epoch needs a newer own card than %d, signed by the root key; nothing was done", s.CardSerial()).
			WithHint("karaula card issue --dir DIR --root-key FILE, then repeat")
	}
	signer, err := r.g.signer(r.c.mode)(card.Digest)
	if err != nil {
		return err
	}
	text := s.Agreement()
	if cv, ok := view.Channel(r.c.id); ok && text == [32]byte{} {
		text = cv.Agreement.Digest
	}
	reason := r.req.GetReason()
	switch {
	case reason != "":
	case s.Vain != nil:
		reason = "contested"
	default:
		reason = s.Reason
	}
	led := r.c.ledger(r.g.self)
	first, err := outbox.OpenEpoch(outbox.Opening{
		Ledger: led, Channel: r.c.id, Self: r.g.self, Mode: r.c.mode, Reason: reason, SaidAt: r.g.o.Now().UnixMicro(),
		Continues: &karaulav1.Head{Ledger: led[:], Epoch: s.Head.Epoch, Size: s.Head.Seq, Root: s.Root[:]},
		Agreement: text, Card: card.Digest, CardSerial: card.Serial,
	}, signer)
	if err != nil {
		return err
	}
	err = r.reopened(ctx, func() error {
		stubs, err := s.Mend(ctx)
		r.out.Stubs = stubs
		if err != nil {
			return err
		}
		begin := journal.State{Ledger: led, Channel: r.c.id, Epoch: s.Head.Epoch + 1, Tree: &ledger.Tree{}}
		return journal.Rebuild(r.g.o.Layout.Journal(r.c.subject()), begin, []journal.Entry{first}, r.keep())
	})
	if err != nil {
		return err
	}
	r.out.State, r.out.Epoch, r.out.Size = "mended", s.Head.Epoch+1, 1
	r.done("epoch %d is open; it continues number %d of epoch %d, what was said beyond that is void",
		s.Head.Epoch+1, s.Head.Seq, s.Head.Epoch)
	return nil
}

// mayOpen refuses a new epoch where the old one can go on, or where a partner
// was not asked and not left out on purpose.
func (r *repairing) mayOpen() error {
	s := r.survey
	for _, code := range r.req.GetWithout() {
		if !slices.Contains(r.c.partners(), code) {
			return problem.New(problem.Invalid, "%q is no partner on channel %s; nothing was done", code, r.c.id)
		}
	}
	if len(s.Away) > 0 {
		return problem.New(problem.Unreachable, "%v cannot be asked, and may hold more; no epoch was opened", s.Away).
			WithHint("repeat when it can be reached, or name it: --without PARTY")
	}
	if s.Vain != nil && s.State == repair.Fine {
		return nil
	}
	ahead := time.UnixMicro(r.c.lastSaid()).Sub(r.g.o.Now()) > r.g.o.Config.ClockSkew
	left := len(r.req.GetWithout()) > 0 && s.State == repair.Mendable
	switch {
	case s.State == repair.Lost, s.State == repair.Contested, s.State == repair.Revoked, r.c.isContested(), ahead, left:
		return nil
	default:
		return problem.New(problem.Conflict, "the ledger on channel %s needs no new epoch; none was opened", r.c.id).
			WithHint("karaula ledger repair --channel %s", r.c.id)
	}
}

// reopened does something while the channel is closed, and waits until it is open again.
func (r *repairing) reopened(ctx context.Context, do func() error) error {
	g, id := r.g, r.c.id
	g.mu.Lock()
	if g.channels[id] != r.c || g.stopping {
		g.mu.Unlock()
		return beingRead(id)
	}
	delete(g.channels, id)
	g.opening[id] = true // nobody else opens it
	g.mu.Unlock()
	g.closeChannel(r.c)
	err := do()
	g.mu.Lock()
	delete(g.opening, id)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(reopenTimeout); time.Now().Before(deadline); {
		if c := g.channel(id); c != nil {
			r.c = c
			return c.writer.Halted()
		}
		select {
		case <-ctx.Done():
			return problem.Wrap(problem.Unreachable, ctx.Err(), "channel %s is not open again yet", id)
		case <-time.After(reopenLook):
		}
	}
	return problem.New(problem.Unreachable, "what was to be put back is put back; channel %s is still being read back", id).
		WithHint("wait until karaula status --dir DIR shows it open; nothing else is needed")
}
