package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/book"
	"karaula/gateway/bus"
	"karaula/gateway/desk"
	"karaula/gateway/diary"
	"karaula/gateway/index"
	"karaula/gateway/link"
	"karaula/gateway/outbox"
	"karaula/gateway/pair"
	"karaula/gateway/stock"
	"karaula/gateway/stream"
	"karaula/internal/alert"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times of the gateway's own loop.
const (
	syncPause  = 200 * time.Millisecond // between two looks at the register
	stopGrace  = 5 * time.Second        // what is queued may take so long at a stop
	sweepPause = time.Minute            // between two looks at what must be found no more
)

// Gateway is one running gateway.
type Gateway struct {
	o    Options
	self string
	log  *slog.Logger

	nc         *nats.Conn
	js         jetstream.JetStream
	verdicts   *stream.Log
	quarantine *stream.Log
	deskLog    *stream.Log
	stubs      *stream.Log
	diary      *diary.Diary

	book       *book.Book     // of what is meant
	drills     *book.Book     // of what is practised
	drilling   sync.Map       // mode by id of the channels where nothing is meant
	index      *index.Index   // of what is meant
	drillIndex *index.Index   // of what is practised
	indexFile  *index.File    // of both indexes; nil if it cannot be used
	holidays   alert.Holidays // of the own country
	bus        bus.Bus
	desk       *desk.Desk
	checker    *border.Checker
	opener     opener
	server     *link.Server
	metrics    *metrics
	started    time.Time
	speaker    *pair.Speaker // nil where this gateway is alone

	sealSeats, openSeats chan struct{}

	stocking sync.Mutex              // guards shelves
	shelves  map[string]*stock.Shelf // of the streams that belong to no channel

	mu        sync.Mutex
	channels  map[string]*channel
	opening   map[string]bool
	repairing map[string]bool
	sweeping  map[string]bool         // channels that are not open and are being erased from
	ended     map[ledger.ID]endedHead // of channels that are over, as last read
	troubles  map[string]string       // why a channel isn't open, by channel
	faults    map[fault]string        // what is wrong with own streams
	partners  map[string]*partner
	clocks    clocks
	whole     bool // every channel that is wanted is open
	stopping  bool // nothing is opened any more
	work      sync.WaitGroup

	closedAt time.Time // when channels that are not open are looked at next; owned by the loop

	pruneAt time.Time    // when old keys are looked at next; owned by the loop
	marked  marked       // owned by the loop
	begun   atomic.Bool  // the own broker was reached; the fields above are set
	beat    atomic.Int64 // when the main loop last went round, microseconds since 1970
	attend  time.Time    // when partners were last attended to; of the main loop

	restored *node.Restored // nil if the folder was never restored

	remnants remnants // where the broker is a cluster

	alone bool // tests only: no partner is needed for a comparison

	ready     chan struct{}
	readyOnce sync.Once
}

// New makes a gateway; nothing runs before [Gateway.Run].
func New(o Options) (*Gateway, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	g := &Gateway{
		o: o, self: o.Config.Party, log: o.Logger, book: book.New(), drills: book.New(), opener: opener{o.Keys},
		holidays: alert.HolidaysOf(o.Config.Holidays),
		channels: map[string]*channel{}, opening: map[string]bool{}, repairing: map[string]bool{}, troubles: map[string]string{},
		faults: map[fault]string{}, shelves: map[string]*stock.Shelf{}, sweeping: map[string]bool{}, ended: map[ledger.ID]endedHead{},
		partners: map[string]*partner{}, ready: make(chan struct{}),
		sealSeats: make(chan struct{}, runtime.GOMAXPROCS(0)), openSeats: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	g.checker = &border.Checker{Self: g.self, Skew: o.Config.ClockSkew, Opener: g.opener}
	var err error
	if g.restored, err = o.Layout.LoadRestored(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	g.metrics = m
	if o.Metrics != nil {
		if err := o.Metrics.Register(newGauges(g)); err != nil {
			return nil, problem.Wrap(problem.Failed, err, "the metrics cannot be registered")
		}
	}
	return g, nil
}

// Ready is closed when every channel that was open at the start can be used.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// Desk gives the officers' interface, for callers in the same process.
func (g *Gateway) Desk() *desk.Desk { return g.desk }

// Listen begins to receive what happens, for callers in the same process.
func (g *Gateway) Listen() *bus.Listener { return g.bus.Listen() }

// Run connects to the own broker, keeps everything in step with the register,
// and answers officers, until ctx ends. It then stops in order: nothing new is
// taken, what is queued is said, the journals are closed.
func (g *Gateway) Run(ctx context.Context) error {
	g.started = g.o.Now()
	nc, err := g.o.Connect(ctx)
	if err != nil {
		return problem.Wrap(problem.Unreachable, err, "the own broker does not answer; the gateway does not start").
			WithHint("karaula broker run --dir DIR")
	}
	defer nc.Close()
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		g.log.Warn("the own broker objects", "why", err.Error())
	})
	g.nc = nc
	if g.js, err = jetstream.New(nc); err != nil {
		return problem.Wrap(problem.Failed, err, "the own broker cannot be used")
	}
	if ok, err := g.awaitTurn(ctx); !ok {
		return err
	}
	defer g.holdTurn(ctx)()
	g.verdicts = stream.Open(g.js, subject.VerdictStream)
	g.quarantine = stream.Open(g.js, subject.QuarantineStream)
	g.deskLog = stream.Open(g.js, subject.DeskStream)
	g.stubs = stream.Open(g.js, subject.StubStream)
	if err := g.openIndex(); err != nil {
		return err
	}
	defer func() {
		if err := g.indexFile.Close(); err != nil {
			g.log.Warn("the index file did not close cleanly; the next start opens more alerts", "why", err.Error())
		}
	}()
	opening, opened := g.whileHeld(ctx)
	defer opened()
	if err := g.openDiary(opening); err != nil {
		return err
	}
	defer g.diary.Close() //nolint:errcheck // every head in it was synced
	g.desk = desk.New(desk.Config{
		Self: g.self, Name: g.o.Config.Name, Register: g.o.Register.View,
		Book: g.book, Drills: g.drills, Exercises: g.exercises, Index: g.index, DrillIndex: g.drillIndex,
		Holidays: g.holidays,
		Complete: g.complete, Bus: &g.bus,
		Writer: g.writer, Closed: closed{g}, Open: g.open, Diary: g.diary, SignHead: g.signDeskHead, OfficerKey: g.o.Keys.Keys().Officer,
		ReadLedger: g.readLedger, ReadAside: g.readAside, Prove: g.proveFact, Skew: g.o.Config.ClockSkew,
		Status: g.status, KeyUse: g.keyUse, PruneKeys: g.pruneKeys, Ledgers: g.ledgers, Repair: g.repair,
		Checkup: g.checkup, TestLink: g.testLink, Now: g.o.Now, Logger: g.log,
	})
	g.begun.Store(true)
	if g.server, err = g.serveLink(ctx); err != nil {
		return err
	}
	defer g.server.Close()

	ctx, stopDesk := context.WithCancel(ctx)
	defer stopDesk()
	inner, stopInner := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInner()
	deskDone, err := g.serveDesk(ctx)
	if err != nil {
		return err
	}
	g.work.Go(func() { g.checkDiary(inner) })
	g.work.Go(func() { g.pruneDiary(inner) })
	g.work.Go(func() { g.mindStock(inner) })
	if g.o.Config.Replicas > 1 {
		g.work.Go(func() { g.mindRemnants(inner) })
	}
	err = g.mind(ctx, inner, stopDesk, deskDone)
	stopInner() // also what is being opened; what is queued is said under a time limit of its own
	g.stop(context.WithoutCancel(ctx))
	return err
}

// mind keeps the gateway in step until ctx ends, the desk breaks, or another
// gateway speaks.
func (g *Gateway) mind(ctx, inner context.Context, stopDesk func(), deskDone <-chan error) error {
	tick, sweep := time.NewTicker(syncPause), time.NewTicker(sweepPause)
	defer tick.Stop()
	defer sweep.Stop()
	g.sync(inner)
	for {
		select {
		case <-ctx.Done():
			return <-deskDone
		case <-g.lost():
			stopDesk()
			return errors.Join(g.speaker.Err(), <-deskDone)
		case err := <-deskDone:
			if err == nil && ctx.Err() == nil {
				err = errors.New("the desk stopped by itself")
			}
			return err
		case <-tick.C:
			g.sync(inner)
		case <-sweep.C:
			g.index.Sweep(g.o.Now())
			g.drillIndex.Sweep(g.o.Now())
			g.watchClocks(g.o.Now())
			g.indexFile.Flush() //nolint:errcheck // told when the file is closed
		}
	}
}

// sync opens and closes channels and links as the register says now.
func (g *Gateway) sync(ctx context.Context) {
	view, now := g.o.Register.View(), g.o.Now()
	wanted := map[string]*register.ChannelView{}
	partners := map[string]bool{}
	for _, cv := range view.Channels() {
		if !g.speaksOn(cv, now) {
			continue
		}
		wanted[cv.ID] = cv
		for _, p := range cv.Parties {
			if p != g.self {
				partners[p] = true
			}
		}
	}
	g.syncKeys()
	g.syncPartners(ctx, partners)
	g.syncChannels(ctx, wanted)
	g.syncRepudiated(view)
	g.mindKeys(ctx)
	g.mindClosed(ctx)
	g.beat.Store(now.UnixMicro())
	if now.Sub(g.attend) >= attendPause || now.Before(g.attend) {
		g.attend = now
		g.attendAll(view, now)
	}
}

// syncChannels opens what is wanted and not open, and closes the rest.
func (g *Gateway) syncChannels(ctx context.Context, wanted map[string]*register.ChannelView) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, c := range g.channels {
		if cv := wanted[id]; cv == nil || !slices.Equal(cv.Parties, c.parties) || cv.Joined != c.joined || c.setBack() {
			delete(g.channels, id)
			g.work.Go(func() { g.closeChannel(c) })
		}
	}
	for id, cv := range wanted {
		if g.channels[id] == nil && !g.opening[id] && !g.sweeping[id] {
			g.opening[id] = true
			g.work.Go(func() { g.tryOpen(ctx, cv) })
		}
	}
	g.whole = len(g.channels) == len(wanted) && len(g.opening) == 0
	if g.whole {
		g.readyOnce.Do(func() { close(g.ready) })
	}
}

// tryOpen opens a channel; what fails is tried again at the next look.
func (g *Gateway) tryOpen(ctx context.Context, cv *register.ChannelView) {
	c, err := g.openChannel(ctx, cv)
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.opening, cv.ID)
	if err == nil && g.stopping {
		g.work.Go(func() { g.closeChannel(c) })
		return
	}
	if err != nil {
		if why := err.Error(); g.troubles[cv.ID] != why {
			g.troubles[cv.ID] = why
			g.log.Info("channel is not open yet", "channel", cv.ID, "why", why)
		}
		return
	}
	delete(g.troubles, cv.ID)
	g.channels[cv.ID] = c
	g.log.Info("channel open", "channel", cv.ID)
}

func (g *Gateway) closeChannel(c *channel) {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	c.close(ctx)
	g.log.Info("channel closed", "channel", c.id)
}

// stop ends links first, then channels.
func (g *Gateway) stop(ctx context.Context) {
	g.mu.Lock()
	g.stopping = true
	partners, channels := g.partners, g.channels
	g.partners, g.channels = map[string]*partner{}, map[string]*channel{}
	g.mu.Unlock()
	for _, p := range partners {
		p.stop()
	}
	var all sync.WaitGroup
	for _, c := range channels {
		all.Go(func() {
			bye, cancel := context.WithTimeout(ctx, stopGrace)
			defer cancel()
			c.close(bye)
		})
	}
	all.Wait()
	g.work.Wait()
}

// writer gives the voice on an open channel.
func (g *Gateway) writer(id string) (*outbox.Writer, bool) {
	c := g.channel(id)
	if c == nil {
		return nil, false
	}
	return c.writer, true
}

func (g *Gateway) channel(id string) *channel {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.channels[id]
}

// openChannels gives the open channels, ordered by id.
func (g *Gateway) openChannels() []*channel {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.SortedFunc(maps.Values(g.channels), func(a, b *channel) int { return cmp.Compare(a.id, b.id) })
}

// complete reports whether the book and the index hold everything that the
// streams do: before that, not to be found does not mean not to be there.
func (g *Gateway) complete() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.whole && g.filled()
}

func (g *Gateway) connected() bool { return g.begun.Load() && g.nc.IsConnected() }

// since gives the seconds since a moment in microseconds since 1970.
func (g *Gateway) since(micros int64) float64 { return float64(g.o.Now().UnixMicro()-micros) / 1e6 }

// signer gives what finds the key that signs statements of a mode under an own card.
func (g *Gateway) signer(mode karaulav1.Mode) outbox.Signer {
	return func(card [32]byte) (envelope.Signer, error) { return signer(g.o.Keys, g.o.Register.View(), card, mode) }
}

// tell tells watchers, with the time.
func (g *Gateway) tell(events ...*karaulav1.WatchResponse) {
	for _, e := range events {
		e.At = g.o.Now().UnixMicro()
		g.markDrill(e)
	}
	g.bus.Tell(events...)
}

func contains[T comparable](list []T, x T) bool { return slices.Contains(list, x) }
