package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/internal/problem"
	"karaula/internal/subject"
)

// catch collects what a puller hands on.
type catch struct {
	mu   sync.Mutex
	msgs []Message
	log  log
}

func (c *catch) handle(_ context.Context, batch []Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.msgs = append(c.msgs, batch...)
	return nil
}

// seqs gives the stream numbers in the order of arrival.
func (c *catch) seqs() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]int, len(c.msgs))
	for i, m := range c.msgs {
		out[i] = int(m.StreamSeq) //nolint:gosec // a test's numbers are small
	}
	return out
}

// at gives a message by its place in the order of arrival.
func (c *catch) at(i int) Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.msgs[i]
}

// numbers lists the numbers from first to last.
func numbers(first, last int) []int {
	var out []int
	for i := first; i <= last; i++ {
		out = append(out, i)
	}
	return out
}

// pull runs a puller until the test ends.
func (n *node) pull(nc *nats.Conn, c *catch, change func(*PullOptions)) *Puller {
	o := PullOptions{
		Self: "me", Channel: subject.Actual(channel), Handle: c.handle, Heartbeat: 500 * time.Millisecond,
		OnState: func(s State) { c.log.add(string(s)) },
	}
	if change != nil {
		change(&o)
	}
	p := NewPuller(nc, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	n.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !problem.Is(err, problem.Unreachable) {
			n.t.Errorf("Run = %v", err)
		}
	})
	return p
}

func TestPullerFetchesInOrderAndAcksAreConfirmed(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.say(1, 20)
	nc, err := n.dial(nil)
	must(t, err)
	var c catch
	p := n.pull(nc, &c, nil)
	eventually(t, "20 messages", func() bool { return len(c.seqs()) == 20 })
	n.say(21, 30) // while a pull waits
	eventually(t, "30 messages", func() bool { return len(c.seqs()) == 30 })
	if got := c.seqs(); !slices.Equal(got, numbers(1, 30)) {
		t.Errorf("order = %v", got)
	}
	if m := c.at(6); string(m.Data) != "statement 7" || m.Delivered != 1 || m.ConsumerSeq != 7 {
		t.Errorf("message 7 = %+v", m)
	}
	must(t, p.Ack(t.Context(), c.at(29)))
	if got := n.consumer().AckFloor.Stream; got != 30 {
		t.Errorf("the owner's ack floor is %d after a confirmed ack, want 30", got)
	}
	if !c.log.has(string(StateFlowing)) {
		t.Error("the state was not reported")
	}
}

// consumer asks the owner's side how far me has come.
func (n *node) consumer() *nats.ConsumerInfo {
	n.t.Helper()
	js, err := n.own.JetStream()
	must(n.t, err)
	info, err := js.ConsumerInfo("OUT_"+channel, "me")
	must(n.t, err)
	return info
}

// cut closes me's connection and waits until the broker has noticed. What it
// sends into a connection that is going counts as delivered.
func (n *node) cut(nc *nats.Conn) {
	n.t.Helper()
	nc.Close()
	eventually(n.t, "the broker has noticed the cut", func() bool { return n.srv.NumClients() == 1 })
}

// TestSmallWindowsNeverStallOrExceed: with a window of 8 everything comes, and
// no more than a window is ever on the way or waiting while the handler is slow.
func TestSmallWindowsNeverStallOrExceed(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.say(1, 200)
	nc, err := n.dial(nil)
	must(t, err)
	var c catch
	var p *Puller
	gate := make(chan struct{})
	most := 0
	ready := make(chan struct{})
	p = n.pull(nc, &c, func(o *PullOptions) {
		o.Window = 8
		o.Handle = func(ctx context.Context, batch []Message) error {
			<-ready
			select {
			case <-gate:
			case <-time.After(10 * time.Millisecond): // slow: the queue fills meanwhile
			}
			waiting, _ := p.q.size()
			most = max(most, waiting+len(batch))
			return c.handle(ctx, batch)
		}
	})
	close(ready)
	eventually(t, "40 messages", func() bool { return len(c.seqs()) >= 40 })
	close(gate)
	eventually(t, "200 messages", func() bool { return len(c.seqs()) >= 200 })
	if got := c.seqs(); !slices.Equal(got[:200], numbers(1, 200)) {
		t.Errorf("order = %v", got)
	}
	if c.log.has(string(StateRefused)) || c.log.has(string(StateOverrun)) {
		t.Errorf("states = %v", c.log.list)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if most > 2*(8+1) { // each pull ends with a status
		t.Errorf("%d messages waited or were being handled, want at most two windows", most)
	}
}

func TestPullGoesOnAfterTheBrokerRestarts(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.say(1, 5)
	nc, err := n.dial(nil)
	must(t, err)
	var c catch
	p := n.pull(nc, &c, nil)
	eventually(t, "5 messages", func() bool { return len(c.seqs()) == 5 })
	must(t, p.Ack(t.Context(), c.at(4)))
	n.stop()
	eventually(t, "the cut is noticed", func() bool { return c.log.has(string(StateCut)) })
	if err := p.Ack(t.Context(), c.at(4)); !problem.Is(err, problem.Unreachable) {
		t.Errorf("an ack while cut off: %v, want unreachable", err)
	}
	n.start()
	n.say(6, 9)
	eventually(t, "9 messages", func() bool { return len(c.seqs()) >= 9 })
	if got := c.seqs(); !slices.Equal(got, numbers(1, 9)) {
		t.Errorf("order = %v", got)
	}
}

// TestCutAfterFiftyFetchedAndThirtyAcked is the loss that decisions.md (C6)
// describes, at the level of the transport: what was never delivered comes
// first, what was delivered and not acknowledged comes only after AckWait. Who
// acknowledges the newest in between loses 31 to 50 for ever, without an error.
func TestCutAfterFiftyFetchedAndThirtyAcked(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.say(1, 50)
	first, err := n.dial(nil)
	must(t, err)
	var before catch
	p := n.pull(first, &before, nil)
	eventually(t, "50 fetched", func() bool { return len(before.seqs()) == 50 })
	must(t, p.Ack(t.Context(), before.at(29)))
	n.cut(first) // 31 to 50 are lost with the gateway's memory
	n.say(51, 100)

	second, err := n.dial(nil)
	must(t, err)
	var after catch
	n.pull(second, &after, nil)
	eventually(t, "51 to 100 come at once", func() bool { return len(after.seqs()) >= 50 })
	if got := after.seqs(); !slices.Equal(got, numbers(51, 100)) {
		t.Fatalf("after the cut came %v, want 51 to 100 and nothing else before AckWait", got)
	}
	n.setConsumer(1, 50*time.Millisecond) // AckWait is over
	eventually(t, "31 to 50 come again", func() bool { return len(after.seqs()) >= 70 })
	if got := after.seqs()[50:70]; !slices.Equal(got, numbers(31, 50)) {
		t.Errorf("after AckWait came %v, want 31 to 50", got)
	}
	if m := after.at(50); m.Delivered < 2 {
		t.Errorf("31 says that it was delivered %d time(s), want 2", m.Delivered)
	}
	if got := n.consumer().AckFloor.Stream; got != 30 {
		t.Errorf("the ack floor is %d, want 30: nothing was acknowledged since", got)
	}
}

// TestAckingTheNewestLosesTheGap shows why [Puller.Ack] must only ever be given
// the end of what is stored without a gap, and that a rewind repairs it.
func TestAckingTheNewestLosesTheGap(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.say(1, 50)
	first, err := n.dial(nil)
	must(t, err)
	var before catch
	n.pull(first, &before, nil)
	eventually(t, "50 fetched", func() bool { return len(before.seqs()) == 50 })
	n.cut(first)
	n.say(51, 60)

	second, err := n.dial(nil)
	must(t, err)
	var after catch
	p := n.pull(second, &after, nil)
	eventually(t, "51 to 60 came first", func() bool { return len(after.seqs()) >= 10 })
	if got := after.seqs()[0]; got != 51 {
		t.Fatalf("first came %d", got)
	}
	must(t, p.Ack(t.Context(), after.at(9))) // the mistake
	if c := n.consumer(); c.AckFloor.Stream != 60 || c.NumAckPending != 0 || c.NumPending != 0 {
		t.Fatalf("floor %d, %d to be acknowledged, %d to come; want 60 and nothing: 1 to 50 are lost",
			c.AckFloor.Stream, c.NumAckPending, c.NumPending)
	}

	n.request("$JS.API.CONSUMER.RESET.OUT_"+channel+".me", map[string]any{"seq": 1})
	eventually(t, "a rewind brings everything", func() bool { return len(after.seqs()) >= 70 })
	if got := after.seqs()[10:70]; !slices.Equal(got, numbers(1, 60)) {
		t.Errorf("after the rewind came %v, want 1 to 60", got)
	}
}

// TestRewindUnderAWaitingPull: both ways in which an owner can rewind reach a
// puller that waits, without a reconnect.
func TestRewindUnderAWaitingPull(t *testing.T) {
	t.Parallel()
	for name, rewind := range map[string]func(*node){
		"reset": func(n *node) {
			n.request("$JS.API.CONSUMER.RESET.OUT_"+channel+".me", map[string]any{"seq": 4})
		},
		"made again": func(n *node) {
			n.request("$JS.API.CONSUMER.DELETE.OUT_"+channel+".me", map[string]any{})
			n.addConsumer(4)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			n.say(1, 5)
			nc, err := n.dial(nil)
			must(t, err)
			var c catch
			p := n.pull(nc, &c, nil)
			eventually(t, "5 messages", func() bool { return len(c.seqs()) == 5 })
			must(t, p.Ack(t.Context(), c.at(4)))
			rewind(n)
			eventually(t, "4 and 5 again", func() bool { return len(c.seqs()) >= 7 })
			if got := c.seqs()[5:7]; !slices.Equal(got, []int{4, 5}) {
				t.Errorf("after the rewind came %v, want 4 and 5", got)
			}
		})
	}
}

func TestPullWaitsForAConsumerThatIsNotThere(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.request("$JS.API.CONSUMER.DELETE.OUT_"+channel+".me", map[string]any{})
	nc, err := n.dial(nil)
	must(t, err)
	var c catch
	n.pull(nc, &c, nil)
	eventually(t, "absence is reported", func() bool { return c.log.has(string(StateAbsent)) })
	n.say(1, 1)
	n.addConsumer(1)
	eventually(t, "it comes when the consumer is there", func() bool { return len(c.seqs()) == 1 })
}

func TestPullOnADeniedChannelIsSilentAndDoesNotStopTheLink(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	var l log
	nc, err := n.dial(l.listen)
	must(t, err)
	var c catch
	n.pull(nc, &c, func(o *PullOptions) { o.Channel, o.Heartbeat = subject.Actual("b02-al-xk"), 20*time.Millisecond })
	eventually(t, "silence is reported", func() bool { return c.log.has(string(StateSilent)) })
	eventually(t, "the denial is reported", func() bool { return l.has(string(TroubleDenied)) })
	if !nc.IsConnected() {
		t.Error("the link was cut")
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.say(1, 1)
	nc, err := n.dial(nil)
	must(t, err)
	broken := errors.New("the disk is full")
	o := PullOptions{Self: "me", Channel: subject.Actual(channel), Handle: func(context.Context, []Message) error { return broken }}
	if err := NewPuller(nc, o).Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("a failing handler: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o.Handle = func(ctx context.Context, _ []Message) error { cancel(); return fmt.Errorf("stop: %w", ctx.Err()) }
	n.say(2, 2)
	if err := NewPuller(nc, o).Run(ctx); err != nil {
		t.Errorf("a cancelled context: %v, want nil", err)
	}
	time.AfterFunc(50*time.Millisecond, nc.Close)
	o.Handle = func(context.Context, []Message) error { return nil }
	if err := NewPuller(nc, o).Run(t.Context()); !problem.Is(err, problem.Unreachable) {
		t.Errorf("a closed connection: %v, want unreachable", err)
	}
}
