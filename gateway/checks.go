package gateway

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"karaula/gateway/stream"
	"karaula/internal/agreement"
	"karaula/internal/checkup"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times and thresholds of the gateway's checks.
const (
	beatLimit       = 30 * time.Second // the main loop goes round five times a second
	backlogPatience = 10 * time.Minute // for a partner with a backlog to judge anything of it
	tripTimeout     = 5 * time.Second
	clockWarn       = 5 // a clock that is off by this part of the tolerance warns
	fullWarn        = 0.8
	fullFail        = 0.95
)

// Alive says why the gateway should be started again; nil while it works.
func (g *Gateway) Alive() error {
	if !g.begun.Load() {
		return nil // starting takes as long as its history is
	}
	if last := time.UnixMicro(g.beat.Load()); g.beat.Load() > 0 && g.o.Now().Sub(last) > beatLimit {
		return problem.New(problem.Failed, "the gateway's main loop stands still since %s", last.UTC().Format(time.RFC3339)).
			WithHint("keep the log, then start the node again")
	}
	return nil
}

// Checks gives the state of everything that this gateway sees, without asking
// anybody but its own broker.
func (g *Gateway) Checks(ctx context.Context) []checkup.Check {
	if !g.begun.Load() {
		select {
		case <-g.ready: // see awaitTurn
			return []checkup.Check{checkup.Good(checkup.GatewayRuns, "", "stands by, in step with the gateway that speaks")}
		default:
		}
		return []checkup.Check{checkup.Bad(checkup.Fail, checkup.GatewayRuns, "", "the gateway is starting",
			"wait, then look at the node's log")}
	}
	out := []checkup.Check{g.runs(), g.brokerAnswers(), g.renewal()}
	view, now := g.o.Register.View(), g.o.Now()
	for _, cv := range view.Channels() {
		phase := cv.PhaseAt(now)
		if contains(cv.Parties, g.self) && (phase == agreement.InForce || phase == agreement.WindingDown) {
			out = append(out, g.channelChecks(ctx, cv)...)
		}
	}
	for _, p := range g.allPartners() {
		out = append(out, p.checks()...)
	}
	if g.o.Config.Replicas > 1 {
		out = append(append(out, g.remnants.check(now)), g.remnants.copyChecks()...)
	}
	return append(append(out, g.rooms(ctx)...), g.stocks(ctx)...)
}

// checkup answers the desk: all checks of the node.
func (g *Gateway) checkup(ctx context.Context, trips bool) []*karaulav1.Check {
	var list []checkup.Check
	if g.o.Checks != nil {
		list = g.o.Checks(ctx)
	}
	list = append(list, g.Checks(ctx)...)
	if trips {
		list = append(list, g.trips(ctx)...)
	}
	checkup.Sort(list)
	out := make([]*karaulav1.Check, len(list))
	for i, c := range list {
		out[i] = &karaulav1.Check{Id: c.ID, About: c.About, State: string(c.State), Text: c.Text, Hint: c.Hint}
	}
	return out
}

func (g *Gateway) runs() checkup.Check {
	if err := g.Alive(); err != nil {
		return checkup.Bad(checkup.Fail, checkup.GatewayRuns, "", err.Error(), problem.HintOf(err))
	}
	select {
	case <-g.ready:
	default:
		return checkup.Bad(checkup.Fail, checkup.GatewayRuns, "", "the gateway is starting: not all channels are open yet",
			"wait; karaula status --dir DIR says which")
	}
	return checkup.Good(checkup.GatewayRuns, "", "since %s", g.started.UTC().Format(time.RFC3339))
}

func (g *Gateway) brokerAnswers() checkup.Check {
	if !g.connected() {
		return checkup.Bad(checkup.Fail, checkup.BrokerAnswers, "", "the own broker does not answer: nothing is sent or received",
			"karaula broker run --dir DIR")
	}
	return checkup.Good(checkup.BrokerAnswers, "", "connected")
}

// channelChecks looks at one channel that should be open.
func (g *Gateway) channelChecks(ctx context.Context, cv *register.ChannelView) []checkup.Check {
	g.mu.Lock()
	c, trouble := g.channels[cv.ID], g.troubles[cv.ID]
	g.mu.Unlock()
	if c == nil {
		if trouble == "" {
			trouble = "it is being opened"
		}
		return []checkup.Check{checkup.Bad(checkup.Fail, checkup.ChannelOpen, label(cv.ID, cv.Channel.Mode), "not open: "+trouble,
			"karaula status --dir DIR, and the node's log")}
	}
	out := []checkup.Check{checkup.Good(checkup.ChannelOpen, c.label(), "open"), c.mayTalk(), c.past(), c.sameStory(ctx)}
	seen := c.attention()
	for _, p := range c.partners() {
		out = append(out, c.partnerChecks(p, seen)...)
	}
	return out
}

func (c *channel) mayTalk() checkup.Check {
	if err := c.writer.Halted(); err != nil {
		hint := problem.HintOf(err)
		if hint == "" {
			hint = "karaula ledger repair --channel " + c.id
		}
		return checkup.Bad(checkup.Fail, checkup.ChannelHalted, c.label(), "nothing is said here: "+err.Error(), hint)
	}
	return checkup.Good(checkup.ChannelHalted, c.label(), "not halted")
}

func (c *channel) past() checkup.Check {
	if ahead := time.UnixMicro(c.lastSaid()).Sub(c.g.o.Now()); ahead > c.g.o.Config.ClockSkew {
		return checkup.Bad(checkup.Fail, checkup.ChannelClock, c.label(),
			fmt.Sprintf("our last statement lies %s ahead of the clock; nothing is said until then", ahead.Round(time.Second)),
			"set the clock right; if it is right: karaula ledger repair --channel "+c.id)
	}
	return checkup.Good(checkup.ChannelClock, c.label(), "our last statement lies behind us")
}

// sameStory holds the end of the signing journal against the stream.
func (c *channel) sameStory(ctx context.Context) checkup.Check {
	const repair = "karaula ledger repair --channel "
	signed, end := c.writer.Head().GetSize(), c.endSeq()
	published := c.published()
	ctx, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	_, last, err := c.out.End(ctx)
	switch {
	case err != nil:
		return checkup.Skip(checkup.ChannelJournal, c.label(), "the own broker does not show the stream")
	case last < end:
		return checkup.Bad(checkup.Fail, checkup.ChannelJournal, c.label(),
			fmt.Sprintf("the stream ends at %d, and %d was confirmed: it was set back", last, end), repair+c.id)
	case published < signed && c.writer.Halted() == nil:
		return checkup.Bad(checkup.Warn, checkup.ChannelJournal, c.label(),
			fmt.Sprintf("%d signed, %d confirmed by the broker: the rest is on its way", signed, published),
			"ask again; if it stays, look at the broker's log")
	default:
		return checkup.Good(checkup.ChannelJournal, c.label(), "%d statements in both", published)
	}
}

// partnerChecks looks at one partner on a channel.
func (c *channel) partnerChecks(p string, seen attention) []checkup.Check {
	about := c.label() + "/" + p
	ear := c.ear(p)
	if ear == nil {
		return nil
	}
	var out []checkup.Check
	add := func(bad bool, state checkup.State, id, good, text, hint string) {
		if !bad {
			out = append(out, checkup.Good(id, about, "%s", good))
			return
		}
		out = append(out, checkup.Bad(state, id, about, text, hint))
	}
	_, _, held, aside, contested := ear.Status()
	backlog, now := c.backlog(p), c.g.o.Now()
	since, waits := seen.behind[p]
	add(waits && now.Sub(since) >= backlogPatience, checkup.Warn, checkup.ChannelBacklog,
		fmt.Sprintf("%d not judged yet", backlog),
		fmt.Sprintf("%d of our statements wait, and it has judged nothing for %s", backlog, now.Sub(since).Round(time.Minute)),
		"karaula link test "+p+" --dir DIR, then call its duty desk")
	add(held > 0, checkup.Warn, checkup.ChannelHeld, "nothing waits",
		fmt.Sprintf("%d of its statements wait for a card, a key or a text of ours", held),
		"karaula alert watch --dir DIR names the reason; karaula party list, karaula agreement list")
	quiet := fmt.Sprintf("it says nothing for more than %s, though its link is up: it may be withholding", c.g.o.Config.Silence)
	add(seen.silent[p], checkup.Warn, checkup.ChannelSilent, "heard, or its link is down", quiet,
		"call "+p+"'s duty desk and compare the last numbers: karaula status --dir DIR")
	add(aside > 0, checkup.Warn, checkup.ChannelAside, "nothing was put aside",
		fmt.Sprintf("%d pieces of bytes without a place in its ledger since the start", aside),
		"ask "+p+" whether its broker was restored or broken into")
	var others []string
	for _, d := range c.differences() {
		if d.by == p {
			others = append(others, c.unlikeText(d.witness, &d.unlike))
		}
	}
	add(len(others) > 0, checkup.Fail, checkup.Histories, "it has signed the same histories as are here", strings.Join(others, "; "),
		"keep everything; call all parties' duty desks and compare karaula ledger show --channel "+c.id)
	add(contested, checkup.Fail, checkup.Contested, "one history",
		"it has signed two histories: its statements are no longer accepted",
		"keep everything; call "+p+"'s duty desk; it must begin a new epoch")
	return out
}

func (g *Gateway) allPartners() []*partner {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.SortedFunc(maps.Values(g.partners), func(a, b *partner) int { return cmp.Compare(a.code, b.code) })
}

// checks looks at one link.
func (p *partner) checks() []checkup.Check {
	m := p.now()
	hint := "karaula link test " + p.code + " --dir DIR; look at the route, its address in karaula party show " + p.code
	if m.state != "up" {
		return []checkup.Check{
			checkup.Bad(checkup.Warn, checkup.LinkUp, p.code, "down: "+m.trouble, hint),
			checkup.Skip(checkup.LinkVersions, p.code, "the link is down"),
			checkup.Skip(checkup.ClockPartner, p.code, "the link is down"),
		}
	}
	out := []checkup.Check{checkup.Good(checkup.LinkUp, p.code, "up")}
	if m.err != nil {
		out[0] = checkup.Bad(checkup.Warn, checkup.LinkUp, p.code, "up, but not greeted: "+m.err.Error(), hint)
	}
	return append(out, p.versions(m), p.clocks(m))
}

func (p *partner) versions(m linkState) checkup.Check {
	switch {
	case m.versions == nil:
		return checkup.Skip(checkup.LinkVersions, p.code, "it has not said yet what it speaks")
	case !contains(m.versions, format):
		return checkup.Bad(checkup.Fail, checkup.LinkVersions, p.code,
			fmt.Sprintf("it speaks versions %v of the format, this node %d", m.versions, format),
			"agree with "+p.code+" on a program version that both can run")
	default:
		return checkup.Good(checkup.LinkVersions, p.code, "both speak version %d", format)
	}
}

func (p *partner) clocks(m linkState) checkup.Check {
	skew := p.g.o.Config.ClockSkew
	off := max(m.ahead, -m.ahead)
	side := "ahead of"
	if m.ahead < 0 {
		side = "behind"
	}
	text := fmt.Sprintf("its clock is %s %s ours; %s are tolerated", off.Round(time.Millisecond), side, skew)
	const hint = "compare both clocks with a third one: chronyc tracking, timedatectl"
	switch {
	case !m.clock:
		return checkup.Skip(checkup.ClockPartner, p.code, "it has not answered yet")
	case off > skew:
		return checkup.Bad(checkup.Fail, checkup.ClockPartner, p.code, text, hint)
	case off > skew/clockWarn:
		return checkup.Bad(checkup.Warn, checkup.ClockPartner, p.code, text, hint)
	default:
		return checkup.Good(checkup.ClockPartner, p.code, "%s", text)
	}
}

// trips makes a round trip to every partner, to all at once.
func (g *Gateway) trips(ctx context.Context) []checkup.Check {
	ctx, cancel := context.WithTimeout(ctx, tripTimeout)
	defer cancel()
	list := g.allPartners()
	out := make([]checkup.Check, len(list))
	var all sync.WaitGroup
	for i, p := range list {
		all.Go(func() {
			r, err := g.testLink(ctx, p.code)
			if err != nil {
				out[i] = checkup.Bad(checkup.Fail, checkup.LinkTrip, p.code, err.Error(),
					"karaula link test "+p.code+" --dir DIR; then call its duty desk")
				return
			}
			took := time.Duration(r.GetRoundTrip()) * time.Microsecond
			out[i] = checkup.Good(checkup.LinkTrip, p.code, "signed question and answer in %s", took.Round(10*time.Microsecond))
		})
	}
	all.Wait()
	return out
}

// streams names every stream that this gateway uses now.
func (g *Gateway) streams() []string {
	out := []string{subject.VerdictStream, subject.QuarantineStream, subject.DeskStream}
	for _, c := range g.openChannels() {
		out = append(out, subject.Out(c.subject()))
		for _, p := range c.partners() {
			out = append(out, subject.InStream(c.subject(), p))
		}
	}
	return out
}

// rooms looks how full the streams are. The quarantine is a ring and never full.
func (g *Gateway) rooms(ctx context.Context) []checkup.Check {
	var out []checkup.Check
	for _, name := range g.streams() {
		if name == subject.QuarantineStream {
			continue
		}
		bytes, most, err := stream.Open(g.js, name).Full(ctx)
		if err != nil {
			out = append(out, checkup.Skip(checkup.StreamRoom, name, "the own broker does not show it"))
			continue
		}
		share := 0.0
		if most > 0 {
			share = float64(bytes) / float64(most)
		}
		text := fmt.Sprintf("%.0f %% full", 100*share)
		const hint = "a larger quota in the agreement, or store.quota in node.yaml; nothing is emptied by itself"
		switch {
		case share >= fullFail:
			out = append(out, checkup.Bad(checkup.Fail, checkup.StreamRoom, name, text, hint))
		case share >= fullWarn:
			out = append(out, checkup.Bad(checkup.Warn, checkup.StreamRoom, name, text, hint))
		default:
			out = append(out, checkup.Good(checkup.StreamRoom, name, "%s", text))
		}
	}
	return out
}
