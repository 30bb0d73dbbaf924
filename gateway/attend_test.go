package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"karaula/gateway/bus"
	"karaula/gateway/inbox"
	"karaula/internal/checkup"
	"karaula/internal/node"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// attend lets the gateway look at its partners at once.
func (h *house) attend() {
	h.gateway.attendAll(h.gateway.o.Register.View(), h.now())
}

// ahead moves the clock.
func (h *house) ahead(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock = h.clock.Add(d)
}

// linkUp says that the link to me is up, as if its broker had answered.
func (h *house) linkUp() {
	p := h.gateway.partner("me")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.since = "up", h.now()
}

// hears has me say a heartbeat, and waits until it is judged.
func (h *house) hears() {
	h.t.Helper()
	raw := h.w.Voice("me", h.text, channelID).Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT})
	ear := h.gateway.channel(channelID).ear("me")
	if err := ear.Deliver(h.t.Context(), inbox.Delivery{Data: raw, StreamSeq: 1, Ack: func() error { return nil }}); err != nil {
		h.t.Fatal(err)
	}
	h.until("me is heard", func() bool { return !h.gateway.channel(channelID).attention().heardAt["me"].IsZero() })
}

// check gives one check of the gateway.
func (h *house) check(id, about string) checkup.Check {
	h.t.Helper()
	for _, c := range h.gateway.Checks(h.t.Context()) {
		if c.ID == id && c.About == about {
			return c
		}
	}
	h.t.Fatalf("there is no check %s about %s", id, about)
	return checkup.Check{}
}

// A partner that withholds its last statements leaves no gap: only that it says
// nothing tells of it.
func TestAPartnerThatSaysNothingThoughItsLinkIsUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	c := h.gateway.channel(channelID)
	listener := h.gateway.Listen()
	defer listener.Leave()
	limit := h.gateway.o.Config.Silence

	told := func() []string {
		var out []string
		for {
			select {
			case events := <-listener.C:
				for _, e := range events {
					if e.GetEvent() == bus.Silent || e.GetEvent() == bus.Heard {
						out = append(out, e.GetEvent())
					}
				}
			default:
				return out
			}
		}
	}
	// It has never said anything: no heartbeat is due from it.
	h.linkUp()
	h.ahead(2 * limit)
	h.attend()
	if c.attention().silent["me"] {
		t.Error("a partner that has never spoken is told of as silent")
	}
	h.hears()
	h.linkUp()
	h.attend()
	told() // the gateway may have looked by itself while it was being heard
	h.ahead(limit - time.Second)
	h.attend()
	if got := told(); len(got) > 0 {
		t.Errorf("told %v a second too early", got)
	}
	h.ahead(time.Second)
	h.attend()
	h.attend()
	if got := told(); len(got) != 1 || got[0] != bus.Silent {
		t.Errorf("told %v, want silent once", got)
	}
	if s := h.gateway.status(h.ctx); !strings.Contains(strings.Join(s.GetWarnings(), "\n"), "may be withholding") {
		t.Errorf("status warns of %v", s.GetWarnings())
	}
	if got := h.check(checkup.ChannelSilent, channelID+"/me"); got.State != checkup.Warn || got.Hint == "" {
		t.Errorf("check %+v", got)
	}
	c.heardFrom("me")
	h.attend()
	if got := told(); len(got) != 1 || got[0] != bus.Heard {
		t.Errorf("told %v, want heard once", got)
	}
}

// What stops a channel must fail a check that stops the node, with the way out.
func TestAHaltedChannelFailsACheck(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	if list := checkup.Stopping(h.gateway.Checks(t.Context())); len(list) > 0 {
		t.Fatalf("stopped by %v", list)
	}
	h.gateway.channel(channelID).writer.Halt(problem.New(problem.Verification, "the journal is lost"))
	list := checkup.Stopping(h.gateway.Checks(t.Context()))
	if len(list) != 1 || list[0].ID != checkup.ChannelHalted || !strings.Contains(list[0].Hint, "ledger repair") {
		t.Errorf("stopped by %v", list)
	}
	h.broker.Stop()
	h.until("the lost broker", func() bool {
		return h.check(checkup.BrokerAnswers, "").State == checkup.Fail
	})
}

// A gateway that has not reached its broker answers who asks, and is not ready.
func TestChecksAndNumbersBeforeTheStart(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	g, err := New(Options{Config: node.Default(), Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	if list := checkup.Stopping(g.Checks(t.Context())); len(list) != 1 || list[0].ID != checkup.GatewayRuns {
		t.Errorf("stopped by %v", list)
	}
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
	if err := g.Alive(); err != nil {
		t.Error(err)
	}
}

// A partner brings its own notices and nobody else's.
func TestAPartnerBringsNoNoticeOfAnother(t *testing.T) {
	t.Parallel()
	h := newHouseOn(t, "t01-al-me-xk", "al", "me", "xk")
	h.start()
	file := h.w.Notice("xk", h.text, notice.Suspend)
	if err := h.gateway.takeNotice("me", file); !problem.Is(err, problem.Verification) {
		t.Errorf("me brought xk's notice: %v", err)
	}
	if got := h.gateway.o.Register.View().Notices("xk"); len(got) != 0 {
		t.Errorf("taken in: %v", got)
	}
	must(t, h.gateway.takeNotice("xk", file))
}
