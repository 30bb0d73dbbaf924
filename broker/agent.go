package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/sys/unix"

	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
)

// AgentOptions say what an [Agent] works with. Plan, Config and Keeper are
// needed; the rest has defaults.
type AgentOptions struct {
	// Plan gives the plan as of now, and when it will change by itself (zero:
	// not). It is asked at least every Poll and should be cheap.
	Plan func() (Plan, time.Time, error)

	Config string           // name of the configuration file, written and reloaded
	Keeper nkeys.KeyPair    // user of role keeper; not Plan's business, which knows its public half
	Cert   *tls.Certificate // the broker's certificate, among Plan.Own's; nil: from Plan.TLS. See [Run]
	// Held gives the broker's certificates whose keys are here, where the plan may come
	// to ask for another one (Plan.Own.Server); nil: it never does.
	Held func() []tls.Certificate

	Poll  time.Duration // how often the plan is asked for; default 250 ms
	Every time.Duration // how often streams and consumers are looked at without a change; default 1 min
	Retry time.Duration // how long after a failure it is tried again; default 5 s
	// Remote is the server beside this process, where it is a process of its own
	// (see [RemoteOptions]); nil: the agent runs one itself.
	Remote *RemoteOptions
	// Register is kept the same as those of the cluster's other machines; nil: the
	// broker is on one machine.
	Register *register.Register

	Flood FloodOptions
	Log   *slog.Logger
	Now   func() time.Time
}

// Agent keeps a running broker as its plan wants it: when the plan changes, it
// stops consumers that may not go on, writes the configuration, reloads, cuts
// partners that lost a right, and makes streams and consumers. Each of the
// three walls is put up even if another one fails.
type Agent struct {
	o      AgentOptions
	broker *Embedded // nil if the server is a process of its own
	server control
	nc     *nats.Conn
	keeper *Keeper
	flood  *floodWatch
	cert   atomic.Pointer[tls.Certificate] // that the server shows; nil: from the plan's files

	mu     sync.Mutex
	status Status
	text   []byte // the configuration that the server was last given

	want  Plan      // last plan that was asked for, bars included
	live  Plan      // plan of the configuration that the server runs
	fresh bool      // want is in force whole: configuration, streams and consumers
	taken bool      // the server has read what is written
	again time.Time // when to look at streams and consumers, or to try again
}

// control is what an agent needs of the nats-server whose configuration it keeps.
type control interface {
	// Reload makes it read its configuration again.
	Reload() error
	// kick closes every connection of an account and says how many there were.
	kick(account string) int
	// traffic gives what an account has sent since the server started.
	traffic(account string) (msgs, bytes int64)
	// runs reports whether the configuration that it runs is the one of the file.
	runs(configFile string) (bool, error)
	// Shutdown ends what the agent has begun.
	Shutdown()
}

// Status is what an agent has done so far.
type Status struct {
	Applied time.Time            // when a plan last came into force
	Reloads int                  // changes of the configuration that took effect
	Failed  int                  // plans that could not be had or not be put in force
	Problem string               // the last failure, empty when the plan is in force
	Floods  map[string]int       // how often a partner was barred, since the start
	Barred  map[string]time.Time // until when
}

// Start writes the plan, starts the broker, and makes streams and consumers.
// [Agent.Run] then keeps it all; without it nothing changes any more. The end
// of ctx does not stop the broker, so that a gateway can finish before it:
// [Agent.Run] does when it returns, or else [Embedded.Shutdown].
func Start(ctx context.Context, o AgentOptions) (*Agent, error) {
	o.defaults()
	a := &Agent{o: o, flood: newFloodWatch(o.Flood)}
	plan, _, err := o.Plan()
	if err != nil {
		return nil, err
	}
	a.cert.Store(o.Cert)
	if o.Remote != nil { // a process of its own reads its key from a file
		if err := WriteTLS(plan.TLS, *o.Cert); err != nil {
			return nil, err
		}
	}
	if _, err := Prepare(plan, o.Config); err != nil {
		return nil, err
	}
	if o.Remote != nil {
		err = a.startRemote(ctx)
	} else {
		err = a.startEmbedded(ctx)
	}
	if err != nil {
		return nil, err
	}
	a.keeper = NewKeeper(a.nc, o.Log)
	a.want, a.live = plan, plan
	a.given(plan)
	a.keep(ctx, plan)
	return a, nil
}

func (a *Agent) startEmbedded(ctx context.Context) (err error) {
	if a.broker, err = Run(context.WithoutCancel(ctx), a.o.Config, a.o.Cert, a.o.Log); err != nil {
		return err
	}
	a.server, a.taken = a.broker, true
	if a.nc, err = a.broker.ConnectBy(subject.RoleKeeper, a.o.Keeper, a.present()); err != nil {
		a.broker.Shutdown()
	}
	return err
}

func (a *Agent) startRemote(ctx context.Context) error {
	r := &remote{o: *a.o.Remote, held: a.held, log: a.o.Log}
	var err error
	if a.nc, err = r.start(ctx, a.o.Keeper); err != nil {
		return err
	}
	a.server = r
	// It may have been started with an older text, before this process was.
	if err := a.server.Reload(); err != nil {
		a.note(err)
		return nil // tried again with the next change or look
	}
	a.taken = true
	return nil
}

// RunAgent is [Start] and [Agent.Run]: a broker from beginning to end.
func RunAgent(ctx context.Context, o AgentOptions) error {
	a, err := Start(ctx, o)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// Broker is the server that the agent runs; nil if it is a process of its own.
func (a *Agent) Broker() *Embedded { return a.broker }

// Status says what was done so far.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.Floods, s.Barred = maps.Clone(a.flood.counts()), maps.Clone(a.flood.barred(a.o.Now()))
	return s
}

// Run follows the plan until ctx ends, then stops the broker and waits for it.
func (a *Agent) Run(ctx context.Context) error {
	defer a.server.Shutdown()
	defer a.nc.Close()
	var beside sync.WaitGroup
	defer beside.Wait()
	if r, ok := a.server.(*remote); ok {
		beside.Go(func() { r.watch(ctx) })
		w := newWitness(r, a.nc, a.live)
		beside.Go(func() { w.run(ctx) })
	}
	if a.o.Register != nil {
		beside.Go(func() { newCourier(a.nc, a.o.Register, a.o.Log).run(ctx, a.o.Poll) })
	}
	for {
		wait := a.step(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// step looks once, and says how long to wait for the next look.
func (a *Agent) step(ctx context.Context) time.Duration {
	now := a.o.Now()
	a.revive(ctx)
	for _, code := range a.flood.look(now, a.server.traffic) {
		a.o.Log.Warn("a guest floods the broker and is barred", "party", code, "until", a.flood.barred(now)[code])
	}
	plan, next, err := a.o.Plan()
	if err != nil {
		a.note(err)
		return a.o.Poll
	}
	a.hold(&plan, now)
	a.flood.watch(plan)
	switch {
	case !reflect.DeepEqual(plan, a.want):
		a.change(ctx, plan, now)
	case !now.Before(a.again):
		if a.fresh && a.taken {
			a.keep(ctx, plan)
		} else {
			a.change(ctx, plan, now)
		}
	}
	if until := next.Sub(now); !next.IsZero() && until > 0 && until < a.o.Poll {
		return until
	}
	return a.o.Poll
}

// revive starts an embedded broker again that has stopped writing to a stream,
// because its disk was full: as soon as there is room. After any other failure it
// does not: what a disk could not sync may still be read, and be gone after a loss
// of power, so nothing may be concluded from what the stream shows then.
func (a *Agent) revive(ctx context.Context) {
	if a.broker == nil || a.broker.broken() == "" {
		return
	}
	why := a.broker.broken()
	if !diskFull(why) {
		a.note(problem.New(problem.Failed, "a disk has failed, and the broker writes no more to a stream: %s", why).
			WithHint("stop the node, mend the disk, start the machine again, and then karaula ledger repair for each channel that is halted"))
		return
	}
	if err := a.broker.again(ctx); err != nil {
		a.note(err)
		return
	}
	a.o.Log.Warn("the broker was started again, because its disk had been full", "why", why)
	a.fresh, a.again = false, a.o.Now() // look at everything
}

// diskFull reports whether what the server said of a failed write is that there was
// no room, when it wrote and not when it synced.
func diskFull(why string) bool {
	full := strings.Contains(why, unix.ENOSPC.Error()) || strings.Contains(why, unix.EDQUOT.Error())
	return full && strings.Contains(why, ": write ")
}

// hold keeps what a running server cannot change, so that a change of the
// configuration never stands in the way of a change of rights, and leaves
// barred partners out.
func (a *Agent) hold(plan *Plan, now time.Time) {
	plan.Listen, plan.StoreDir, plan.ServerName = a.live.Listen, a.live.StoreDir, a.live.ServerName
	plan.Cluster = a.live.Cluster.with(plan.Cluster)
	plan.MaxStore = max(plan.MaxStore, a.live.MaxStore)
	barred := a.flood.barred(now)
	plan.Peers, plan.Auditors = slices.Clone(plan.Peers), slices.Clone(plan.Auditors)
	for i := range plan.Peers {
		_, out := barred[plan.Peers[i].Code]
		plan.Peers[i].Barred = plan.Peers[i].Barred || out
	}
	for i := range plan.Auditors {
		_, out := barred[plan.Auditors[i].Code]
		plan.Auditors[i].Barred = plan.Auditors[i].Barred || out
	}
}

// change puts a plan in force. First the consumers that may not go on stop:
// pulls that wait already survive a reload. Then the configuration changes.
// Then the connections of those who lost a right are cut, and with them the
// pulls that they left waiting.
func (a *Agent) change(ctx context.Context, plan Plan, now time.Time) {
	a.want = plan
	var failed []error
	if err := a.keeper.Stop(ctx, plan); err != nil {
		failed = append(failed, err)
	}
	lost := losers(a.live, plan)
	if err := a.reload(ctx, plan); err != nil {
		failed = append(failed, err)
	}
	for _, account := range lost {
		if n := a.server.kick(account); n > 0 {
			a.o.Log.Info("a guest lost a right and was disconnected", "account", account, "connections", n)
		}
	}
	if err := errors.Join(failed...); err != nil {
		a.fresh, a.again = false, now.Add(a.o.Retry)
		a.note(err)
		return
	}
	a.keep(ctx, plan)
}

// reload writes the configuration and lets the server read it, if it says
// something new or was not taken the last time.
func (a *Agent) reload(ctx context.Context, plan Plan) error {
	changed, err := Prepare(plan, a.o.Config)
	if err != nil {
		return err
	}
	if changed {
		a.taken = false // whatever fails from here on, the server is told with the next try
	}
	other, err := a.show(plan)
	if err != nil {
		return err
	}
	if other {
		a.taken = false
		a.o.Log.Info("the broker shows the certificate that its card names first now")
	}
	if !a.taken {
		if err := a.server.Reload(); err != nil {
			return err
		}
		a.taken = true
		a.count(func(s *Status) { s.Reloads++ })
	}
	a.live = plan
	a.given(plan)
	if other {
		a.comeBack(ctx)
	}
	return nil
}

// keep makes streams and consumers.
func (a *Agent) keep(ctx context.Context, plan Plan) {
	now := a.o.Now()
	kept, err := a.keeper.Apply(ctx, plan)
	if !kept.Empty() {
		a.o.Log.Info("streams and consumers follow the plan", "made", kept.Made, "changed", kept.Changed,
			"paused", kept.Paused, "resumed", kept.Resumed, "dropped", kept.Dropped)
	}
	if err != nil {
		a.fresh, a.again = false, now.Add(a.o.Retry)
		a.note(err)
		return
	}
	a.fresh, a.again = true, now.Add(a.o.Every)
	if !a.taken {
		a.again = now.Add(a.o.Retry)
	}
	a.count(func(s *Status) { s.Applied, s.Problem = now, "" })
}

// note remembers a failure, and logs it once until another one comes.
func (a *Agent) note(err error) {
	text := err.Error()
	a.count(func(s *Status) {
		s.Failed++
		if s.Problem != text {
			a.o.Log.Error("the plan is not in force", "error", text, "hint", problem.HintOf(err))
		}
		s.Problem = text
	})
}

func (a *Agent) count(f func(*Status)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.status)
}

// losers lists the accounts of partners and auditors that may do less under next
// than they may now.
func losers(live, next Plan) []string {
	var out []string
	for _, peer := range live.Peers {
		stays := slices.ContainsFunc(next.Peers, peer.stays)
		if !stays || !within(grantsOf(live, peer.Code), grantsOf(next, peer.Code)) {
			out = append(out, subject.PeerAccount(peer.Code))
		}
	}
	for _, old := range live.Auditors {
		i := slices.IndexFunc(next.Auditors, func(a Auditor) bool { return old.stays(a.Peer) })
		if i < 0 || !within(auditorGrants(live, old), auditorGrants(next, next.Auditors[i])) {
			out = append(out, subject.AuditorAccount(old.Code))
		}
	}
	return out
}

// stays reports whether a guest is another one, and not barred anew.
func (p Peer) stays(next Peer) bool { return next.Code == p.Code && (!next.Barred || p.Barred) }

// within reports whether all of some grants are among others.
func within(some, others []grant) bool {
	return !slices.ContainsFunc(some, func(g grant) bool {
		return !slices.ContainsFunc(others, func(o grant) bool { return o.subject == g.subject })
	})
}

func (o *AgentOptions) defaults() {
	if o.Poll == 0 {
		o.Poll = 250 * time.Millisecond
	}
	if o.Every == 0 {
		o.Every = time.Minute
	}
	if o.Retry == 0 {
		o.Retry = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}
