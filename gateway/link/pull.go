package link

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/internal/problem"
	"karaula/internal/subject"
)

// Limits of a puller.
const (
	// pullBytes is how much may be on the way to us and waiting here. It stays
	// well below the 64 MiB that a nats-server holds back for a slow client
	// before it cuts it off.
	pullBytes = 32 << 20
	// handleMsgs and handleBytes are the most that is handed on at once.
	handleMsgs  = 1000
	handleBytes = 8 << 20
	// pullHeartbeat is how often a waiting pull shows that it is alive; after
	// silenceFactor of them without a sign it is made again.
	pullHeartbeat = 5 * time.Second
	silenceFactor = 2
)

// State is how fetching from a partner's channel goes, as a stable code.
type State string

// The states of a puller.
const (
	StateFlowing State = "flowing" // messages or heartbeats come
	StateSilent  State = "silent"  // no sign for two heartbeats: not permitted, or the broker hangs
	StateAbsent  State = "absent"  // the partner has no consumer for us there
	StateRefused State = "refused" // the consumer does not take our requests
	StateOverrun State = "overrun" // more came than was asked for; some was dropped
	StateJunk    State = "junk"    // something came that is no message of a stream
	StateCut     State = "cut"     // the connection is down
)

// PullOptions says what to fetch and who takes it.
type PullOptions struct {
	// Self is our own party code.
	Self string
	// Channel is the channel to fetch.
	Channel subject.Channel
	// Handle takes what has arrived, in the order of arrival, at least one
	// message and as many as wait already. The next messages are handed on when
	// it returns, so it may take its time; an error ends [Puller.Run] with it.
	Handle func(context.Context, []Message) error
	// OnState is told every change of state; may be nil; must return quickly.
	OnState func(State)
	// Window is the most messages on the way to us and waiting here; zero is
	// subject.MaxRequestBatch, which is also the most.
	Window int
	// Heartbeat is how often a waiting pull must show that it is alive; zero is 5 s.
	Heartbeat time.Duration
}

// Puller fetches what a partner says on one channel from the durable consumer
// that the partner's broker keeps for us.
type Puller struct {
	nc *nats.Conn
	o  PullOptions
	q  *queue

	inbox   string
	pulls   uint64 // how many pulls have been made; names their reply subjects
	due     int    // messages of the newest pull that have not been handled
	began   time.Time
	got     bool      // whether the newest pull has brought a message
	wait    backoff   // between pulls that bring nothing
	askAt   time.Time // when the next pull may be made
	silence time.Time // when the newest pull counts as lost
	state   State
	denied  chan struct{}
}

// NewPuller makes a puller over a connection that [Dial] made.
func NewPuller(nc *nats.Conn, o PullOptions) *Puller {
	if o.Window <= 0 || o.Window > subject.MaxRequestBatch {
		o.Window = subject.MaxRequestBatch
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = pullHeartbeat
	}
	if o.OnState == nil {
		o.OnState = func(State) {}
	}
	p := &Puller{nc: nc, o: o, inbox: nc.NewInbox(), wait: backoff{now: time.Now}, denied: make(chan struct{}, 1)}
	p.q = newQueue(o.Window+statusRoom, pullBytes+subject.MaxStreamMsg)
	return p
}

// statusRoom is room in the queue for statuses beside the messages asked for.
const statusRoom = 16

// Run fetches until ctx ends (then it returns nil), the connection is closed
// ([problem.Unreachable]) or Handle fails. It survives cuts: after a reconnect
// it asks again at once. What was fetched before a cut and is still waiting is
// handed on; what was fetched and not acknowledged comes again, later than
// newer messages.
func (p *Puller) Run(ctx context.Context) error {
	sub, err := p.nc.Subscribe(p.inbox+".*", p.q.put)
	if err != nil {
		return problem.Wrap(problem.Unreachable, err, "channel %q is not fetched", p.o.Channel.ID)
	}
	defer p.leave(sub)
	if err := sub.SetPendingLimits(p.o.Window+statusRoom, pullBytes+subject.MaxStreamMsg); err != nil {
		return problem.Wrap(problem.Unreachable, err, "channel %q is not fetched", p.o.Channel.ID)
	}
	status := p.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer p.nc.RemoveStatusListener(status)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !p.nc.IsClosed() {
		timer.Reset(p.step(time.Now()))
		select {
		case <-ctx.Done():
			return nil
		case s := <-status:
			p.cut(s)
		case <-p.denied:
			p.enter(StateSilent)
			p.end(time.Now(), false)
		case <-p.q.ready:
			if err := p.drain(ctx); err != nil {
				return err
			}
		case <-timer.C:
		}
	}
	return problem.New(problem.Unreachable, "the link was closed; channel %q is not fetched", p.o.Channel.ID)
}

// Denied tells that the broker did not permit the newest pull (see
// [DialOptions].OnDenied): the next one is made after a pause, instead of when
// the silence has become long. It never waits.
func (p *Puller) Denied() {
	select {
	case p.denied <- struct{}{}:
	default:
	}
}

// leave ends the subscription and waits until the partner's broker has noted
// it, so that it does not go on filling a pull that nobody hears any more:
// those messages would come again only after AckWait.
func (p *Puller) leave(sub *nats.Subscription) {
	if sub.Unsubscribe() == nil && p.nc.IsConnected() {
		_ = p.nc.FlushTimeout(time.Second) // a failure means a cut, which ends the pull too
	}
}

// Ack acknowledges a message and everything before it in the partner's stream,
// and waits for the partner's broker to say that it has noted it. The caller
// acks only what is stored without a gap before it: what is acknowledged and
// missing never comes again. A failure is a [problem.Unreachable], and is
// repaired by the next acknowledgement.
func (p *Puller) Ack(ctx context.Context, m Message) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
	}
	if _, err := p.nc.RequestWithContext(ctx, m.reply, []byte("+ACK")); err != nil {
		return problem.Wrap(problem.Unreachable, err, "channel %q: an acknowledgement was not confirmed", p.o.Channel.ID)
	}
	return nil
}

// step makes a pull if it is time for one, and says when to look again.
func (p *Puller) step(now time.Time) time.Duration {
	if !p.nc.IsConnected() {
		return maxBackoff // the status listener wakes us
	}
	waiting, bytes := p.q.size()
	if p.due > waiting {
		if now.Before(p.silence) {
			return p.silence.Sub(now)
		}
		p.enter(StateSilent)
		p.end(now, false)
	}
	if now.Before(p.askAt) {
		return p.askAt.Sub(now)
	}
	// Everything asked for has arrived. Ask for more once there is room worth asking for.
	if room := p.o.Window - waiting; room >= p.o.Window/4 && pullBytes-bytes >= subject.MaxStreamMsg {
		p.ask(now, waiting, room, pullBytes-bytes)
	}
	return p.o.Heartbeat
}

// pullRequest is JetStream's request for the next messages; times in nanoseconds.
type pullRequest struct {
	Expires   time.Duration `json:"expires"`
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
}

// ask makes a pull. A reply subject of its own tells its statuses from those
// of an older one.
func (p *Puller) ask(now time.Time, waiting, batch, bytes int) {
	raw, err := json.Marshal(pullRequest{
		Expires: subject.PullExpires, Batch: batch, MaxBytes: bytes, Heartbeat: p.o.Heartbeat,
	})
	if err != nil {
		return // four numbers always marshal
	}
	p.pulls++
	err = p.nc.PublishRequest(subject.Next(p.o.Channel, p.o.Self), p.current(), raw)
	if err != nil {
		p.askAt = now.Add(p.wait.next()) // the connection has just been cut
		return
	}
	// waiting is from before the request: what this pull brings may be here already.
	p.due, p.got, p.began = waiting+batch, false, now
	p.alive(now)
}

// current is the reply subject of the newest pull.
func (p *Puller) current() string { return p.inbox + "." + strconv.FormatUint(p.pulls, 10) }

// alive moves the moment at which the newest pull counts as lost.
func (p *Puller) alive(now time.Time) { p.silence = now.Add(silenceFactor * p.o.Heartbeat) }

// end forgets the newest pull. A pull that brought something, or waited for
// long, is followed by the next one at once; otherwise there is a pause.
func (p *Puller) end(now time.Time, normal bool) {
	waiting, _ := p.q.size()
	p.due = waiting
	if p.got || normal && now.Sub(p.began) >= subject.PullExpires/2 {
		p.wait.reset()
		p.askAt = time.Time{}
		return
	}
	p.askAt = now.Add(p.wait.next())
}

// cut notes that the connection was lost or is back.
func (p *Puller) cut(s nats.Status) {
	waiting, _ := p.q.size()
	p.due, p.askAt = waiting, time.Time{}
	p.wait.reset()
	if s != nats.CONNECTED {
		p.enter(StateCut)
	}
}

// enter reports a change of state.
func (p *Puller) enter(s State) {
	if p.state != s {
		p.state = s
		p.o.OnState(s)
	}
}

// drain hands on everything that waits.
func (p *Puller) drain(ctx context.Context) error {
	for ctx.Err() == nil {
		raw, dropped := p.q.take(handleMsgs, handleBytes)
		if dropped {
			p.enter(StateOverrun)
		}
		if len(raw) == 0 {
			return nil
		}
		batch := p.sort(raw, time.Now())
		p.step(time.Now()) // ask for more before the handler takes its time
		if len(batch) == 0 {
			continue
		}
		if err := p.o.Handle(ctx, batch); err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil
			}
			return err
		}
	}
	return nil
}

// sort keeps the messages of the stream and acts upon everything else.
func (p *Puller) sort(raw []*nats.Msg, now time.Time) []Message {
	batch := make([]Message, 0, len(raw))
	for _, m := range raw {
		msg, what := classify(m, p.o.Channel, p.o.Self)
		if what != arrivedMessage && what != arrivedJunk && !p.isCurrent(m) {
			continue // a status of an older pull
		}
		switch what {
		case arrivedMessage:
			batch = append(batch, msg)
			p.due--
			p.got = true
			p.alive(now)
			p.enter(StateFlowing)
		case arrivedHeartbeat:
			p.alive(now)
			p.enter(StateFlowing)
		case arrivedEnd:
			p.end(now, true)
			p.enter(StateFlowing)
		case arrivedAbsent:
			p.enter(StateAbsent)
			p.end(now, false)
		case arrivedRefusal:
			p.enter(StateRefused)
			p.end(now, false)
		case arrivedJunk:
			p.enter(StateJunk)
		}
	}
	return batch
}

// isCurrent reports whether a status is about the newest pull.
func (p *Puller) isCurrent(m *nats.Msg) bool {
	return strings.HasSuffix(m.Subject, p.current()) && len(m.Subject) == len(p.current())
}
