package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/gateway/bus"
	"karaula/gateway/inbox"
	"karaula/gateway/link"
	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times of a link.
const (
	linkPause  = 200 * time.Millisecond // between two looks at what a link needs
	helloPause = 30 * time.Second       // between two greetings without news
	helloRetry = 2 * time.Second        // after a greeting that failed
)

// partner is the link to one party: a connection to its broker, greetings, and
// a puller per channel.
type partner struct {
	g    *Gateway
	code string

	mu      sync.Mutex
	nc      *nats.Conn
	client  *link.Client
	card    [32]byte // the card the connection was made with
	login   login
	state   string // up, down, unverified
	since   time.Time
	trouble string
	last    map[string]string // what could not be taken in, and why
	heardAt time.Time
	met     meeting   // what the last greeting told
	hello   time.Time // next greeting
	greeted time.Time // last greeting
	told    uint64    // generation of the register at the last greeting
	pulls   map[subject.Channel]context.CancelFunc
	pullers map[subject.Channel]*link.Puller
	shows   func(seq uint64) ([]byte, error) // tests only: in place of the link

	cancel context.CancelFunc
	work   sync.WaitGroup
}

// partner gives the link to a party, making it if there is none yet.
func (g *Gateway) partner(code string) *partner {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.partners[code]
}

// syncPartners starts links to the parties that are wanted and ends the others.
func (g *Gateway) syncPartners(ctx context.Context, wanted map[string]bool) {
	g.mu.Lock()
	var codes []string
	for code, p := range g.partners {
		if !wanted[code] {
			delete(g.partners, code)
			g.work.Go(p.stop)
		}
	}
	for code := range wanted {
		codes = append(codes, code)
		if g.partners[code] == nil {
			p := &partner{
				g:       g,
				code:    code,
				state:   "down",
				since:   g.o.Now(),
				pulls:   map[subject.Channel]context.CancelFunc{},
				pullers: map[subject.Channel]*link.Puller{},
			}
			run, cancel := context.WithCancel(ctx)
			p.cancel = cancel
			g.partners[code] = p
			p.work.Go(func() { p.run(run) })
		}
	}
	g.mu.Unlock()
	if err := g.server.SetPartners(codes); err != nil {
		g.log.Warn("the link service cannot be offered", "why", err.Error())
	}
}

func (p *partner) stop() {
	p.cancel()
	p.work.Wait()
}

// run keeps the link as the register wants it until ctx ends.
func (p *partner) run(ctx context.Context) {
	tick := time.NewTicker(linkPause)
	defer tick.Stop()
	defer p.hangUp()
	for {
		p.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look dials, greets and pulls as far as each is due.
func (p *partner) look(ctx context.Context) {
	view := p.g.o.Register.View()
	c, ok := view.Card(p.code)
	if !ok {
		p.enter("unverified", "no card of this party is known")
		return
	}
	choices := len(p.g.logins())
	p.mu.Lock()
	stale := p.nc != nil && p.card != c.Digest || p.login.another(p.nc, choices, p.g.o.Now())
	p.mu.Unlock()
	if stale {
		p.hangUp()
	}
	if !p.dial(ctx, c) {
		return
	}
	if p.helloDue(view) {
		p.greet(ctx)
	}
	p.syncPulls(ctx, view)
}

// dial makes the connection if there is none; it then reconnects by itself.
func (p *partner) dial(ctx context.Context, c *card.Card) bool {
	p.mu.Lock()
	nc := p.nc
	p.mu.Unlock()
	if nc != nil {
		return nc.IsConnected()
	}
	list := p.g.logins()
	p.mu.Lock()
	by := p.login.next(list)
	p.login.user, p.login.turn = by.User(), false
	p.mu.Unlock()
	nc, err := link.Dial(ctx, link.DialOptions{
		Card: c, Self: p.g.self, Certificate: by.TLS, Nkey: by.NATS, Patient: true,
		OnUp:      func() { p.up() },
		OnDown:    func() { p.enter("down", "the connection was lost") },
		OnTrouble: func(t link.Trouble) { p.count(string(t)); p.note(string(t)) },
		OnDenied:  p.denied,
	})
	if err != nil {
		p.enter("down", err.Error())
		return false
	}
	p.mu.Lock()
	p.nc, p.card = nc, c.Digest
	p.client = link.New(nc, link.ClientOptions{
		Self: p.g.self, Partner: p.code, Key: p.g.linkKey, Skew: p.g.o.Config.ClockSkew, Now: p.g.o.Now,
		Card:    func() (*card.Card, bool) { return p.g.o.Register.View().Card(p.code) },
		OnClock: p.clock,
	})
	p.hello = time.Time{}
	p.mu.Unlock()
	return nc.IsConnected()
}

// denied tells the puller of a channel that the partner's broker does not let
// us fetch there: not yet, or not now.
func (p *partner) denied(subj string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for channel, puller := range p.pullers {
		if subj == subject.Next(channel, p.g.self) {
			puller.Denied()
		}
	}
}

func (p *partner) up() {
	p.mu.Lock()
	p.hello = time.Time{}
	p.mu.Unlock()
	p.enter("up", "")
}

// enter changes the link's state and tells watchers.
func (p *partner) enter(state, why string) {
	p.mu.Lock()
	changed := p.state != state
	p.state, p.trouble = state, why
	if changed {
		p.since = p.g.o.Now()
	}
	p.mu.Unlock()
	if !changed {
		return
	}
	p.g.log.Info("link", "party", p.code, "state", state, "why", why)
	p.g.tell(&karaulav1.WatchResponse{Event: bus.Link, Party: p.code, Text: "link to " + p.code + " is " + state})
}

// news reports whether it is not the same failure as the last time: what a
// partner offers is for the partner to decide, and how often; what we log is not.
func (p *partner) news(what string, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[string]string{}
	}
	was := p.last[what]
	p.last[what] = err.Error()
	return was != err.Error()
}

// count counts a trouble by its code.
func (p *partner) count(code string) { p.g.metrics.troubles.WithLabelValues(p.code, code).Inc() }

func (p *partner) note(trouble string) {
	p.mu.Lock()
	p.trouble = trouble
	p.mu.Unlock()
}

// hangUp closes the connection and ends the pullers.
func (p *partner) hangUp() {
	p.mu.Lock()
	for ch, cancel := range p.pulls {
		cancel()
		delete(p.pulls, ch)
	}
	nc := p.nc
	p.nc, p.client = nil, nil
	p.mu.Unlock()
	if nc != nil {
		nc.Close()
	}
	p.enter("down", "closed")
}

// helloDue reports whether it is time to greet: after a (re)connect, when our
// register has changed, while a channel waits to be compared, and now and then.
func (p *partner) helloDue(view *register.View) bool {
	waiting := p.g.waitsFor(p.code)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.g.o.Now()
	if !now.Before(p.greeted.Add(compareRetry)) && waiting {
		return true
	}
	return p.told != view.Generation() || !now.Before(p.hello)
}

// greet tells the partner what we have, hears what it has, and fetches what we lack.
func (p *partner) greet(ctx context.Context) {
	view := p.g.o.Register.View()
	client := p.asker()
	if client == nil {
		return
	}
	p.offer(ctx, client, view)
	theirs, err := client.Hello(ctx, p.g.standing(view, p.code))
	if code := answerCode(err); code != "" {
		p.count(code)
	}
	if errors.Is(err, link.ErrUnknownKey) { // it has a new card that has not reached us yet
		if err = p.FetchCard(ctx, 0, [32]byte{}); err == nil {
			theirs, err = client.Hello(ctx, p.g.standing(view, p.code))
		}
	}
	p.meet(theirs, err)
	now := p.g.o.Now()
	p.mu.Lock()
	p.hello, p.greeted = now.Add(helloPause), now
	if err != nil {
		p.hello = now.Add(helloRetry)
		p.trouble = err.Error()
	} else {
		p.heardAt, p.told, p.trouble = now, view.Generation(), ""
	}
	p.mu.Unlock()
	if err == nil {
		p.learn(ctx, theirs)
	}
}

// answerCode says in a word what is wrong with an answer of a partner's gateway;
// "" where nothing is, or nobody answered.
func answerCode(err error) string {
	var refused *link.Refused
	switch {
	case errors.As(err, &refused):
		return "answer-" + string(refused.Code)
	case errors.Is(err, link.ErrUnknownKey):
		return "answer-unknown-key"
	case problem.Is(err, problem.Verification):
		return "answer-not-valid"
	default:
		return ""
	}
}

func (p *partner) asker() *link.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

// syncPulls runs one puller for each channel from which we may fetch now.
func (p *partner) syncPulls(ctx context.Context, view *register.View) {
	wanted := map[subject.Channel]bool{}
	now := p.g.o.Now()
	for _, cv := range view.Channels() {
		phase := cv.PhaseAt(now)
		open := phase == agreement.InForce || phase == agreement.WindingDown
		if open && contains(cv.Parties, p.code) && cv.Suspended[p.g.self] == nil && cv.Suspended[p.code] == nil &&
			p.ear(cv.ID) != nil {
			wanted[cv.Subject()] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for ch, cancel := range p.pulls {
		if !wanted[ch] {
			cancel()
			delete(p.pulls, ch)
		}
	}
	if p.nc == nil {
		return
	}
	for ch := range wanted {
		if p.pulls[ch] != nil {
			continue
		}
		run, cancel := context.WithCancel(ctx)
		p.pulls[ch] = cancel
		nc := p.nc
		p.work.Go(func() { p.pull(run, nc, ch) })
	}
}

func (p *partner) ear(channel string) *inbox.Inbox {
	c := p.g.channel(channel)
	if c == nil {
		return nil
	}
	return c.ear(p.code)
}

// pull hands what arrives on a channel to its ear until ctx ends.
func (p *partner) pull(ctx context.Context, nc *nats.Conn, channel subject.Channel) {
	var puller *link.Puller
	handle := func(ctx context.Context, batch []link.Message) error {
		ear := p.ear(channel.ID)
		if ear == nil {
			return problem.New(problem.Unreachable, "channel %s is closed", channel.ID)
		}
		p.mu.Lock()
		p.heardAt = p.g.o.Now()
		p.mu.Unlock()
		for _, m := range batch {
			ack := func() error { return puller.Ack(ctx, m) }
			if err := ear.Deliver(ctx, inbox.Delivery{Data: m.Data, StreamSeq: m.StreamSeq, Ack: ack}); err != nil {
				return err
			}
		}
		return nil
	}
	puller = link.NewPuller(nc, link.PullOptions{
		Self: p.g.self, Channel: channel, Handle: handle,
		OnState: func(s link.State) {
			p.g.log.Debug("fetching", "party", p.code, "channel", channel.ID, "state", string(s))
			switch s {
			case link.StateRefused, link.StateOverrun, link.StateJunk:
				p.count("fetch-" + string(s))
			default: // what happens without anybody's fault
			}
		},
	})
	p.mu.Lock()
	p.pullers[channel] = puller
	p.mu.Unlock()
	if err := puller.Run(ctx); err != nil && ctx.Err() == nil {
		p.g.log.Info("fetching ended", "party", p.code, "channel", channel.ID, "why", err.Error())
	}
	p.mu.Lock()
	if p.pullers[channel] == puller {
		delete(p.pullers, channel)
	}
	if ctx.Err() == nil {
		delete(p.pulls, channel) // the next look starts it again
	}
	p.mu.Unlock()
}

// FetchCard implements inbox.Partner.
func (p *partner) FetchCard(ctx context.Context, serial uint64, _ [32]byte) error {
	client := p.asker()
	if client == nil {
		return problem.New(problem.Unreachable, "the link to %s is down", p.code)
	}
	file, err := client.GetCard(ctx, serial)
	if err != nil {
		return err
	}
	_, err = p.g.o.Register.AddCard(file, register.AddCardOptions{History: serial > 0})
	return err
}

// FetchAgreement implements inbox.Partner.
func (p *partner) FetchAgreement(ctx context.Context, digest [32]byte) error {
	client := p.asker()
	if client == nil {
		return problem.New(problem.Unreachable, "the link to %s is down", p.code)
	}
	file, err := client.GetAgreement(ctx, digest)
	if err != nil {
		return err
	}
	_, err = p.g.o.Register.AddAgreement(file)
	return err
}

// FetchEdge implements inbox.Partner: whoever shares the channel may have the
// right edge of its ledgers, so if the origin does not give the right one, the
// others are asked.
func (p *partner) FetchEdge(
	ctx context.Context, channel string, led [32]byte, epoch, size uint64, root [32]byte,
) ([][32]byte, error) {
	edge, err := p.edge(ctx, led, epoch, size, root)
	cv, ok := p.g.o.Register.View().Channel(channel)
	if err == nil || !ok {
		return edge, err
	}
	for _, code := range cv.Parties {
		other := p.g.partner(code)
		if other == nil || other == p {
			continue
		}
		if edge, otherErr := other.edge(ctx, led, epoch, size, root); otherErr == nil {
			return edge, nil
		}
	}
	return nil, err
}

// edge asks for a right edge and checks it.
func (p *partner) edge(ctx context.Context, led [32]byte, epoch, size uint64, root [32]byte) ([][32]byte, error) {
	client := p.asker()
	if client == nil {
		return nil, problem.New(problem.Unreachable, "the link to %s is down", p.code)
	}
	edge, err := client.GetFrontier(ctx, led, epoch, size)
	if err != nil {
		return nil, err
	}
	if _, err := ledger.FromFrontier(size, edge, root); err != nil {
		return nil, problem.Wrap(problem.Verification, err, "%s gives a right edge that is none", p.code)
	}
	return edge, nil
}

// Statements implements inbox.Partner.
func (p *partner) Statements(ctx context.Context, led [32]byte, epoch, from, to uint64) ([][]byte, error) {
	client := p.asker()
	if client == nil {
		return nil, problem.New(problem.Unreachable, "the link to %s is down", p.code)
	}
	return client.GetStatements(ctx, led, epoch, from, to)
}

// Rewind implements inbox.Partner.
func (p *partner) Rewind(ctx context.Context, channel string, epoch, from uint64) error {
	client := p.asker()
	if client == nil {
		return problem.New(problem.Unreachable, "the link to %s is down", p.code)
	}
	_, err := client.Rewind(ctx, channel, epoch, from)
	return err
}

// linkKey gives the key of the own card: what the key file has beyond it, no
// partner knows yet.
func (g *Gateway) linkKey() keyring.SignKey {
	c, ok := g.o.Register.View().Card(g.self)
	if !ok {
		return g.o.Keys.Keys().Link
	}
	for _, k := range c.Keys {
		if k.Use != karaulav1.KeyUse_KEY_USE_LINK {
			continue
		}
		if own, ok := look(g.o.Keys, func(keys *keyring.Gateway) (keyring.SignKey, bool) { return keys.LinkKey(k.ID[:]) }); ok {
			return own
		}
	}
	return g.o.Keys.Keys().Link
}
