package gateway

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"karaula/gateway/diary"
	"karaula/gateway/pair"
	"karaula/internal/agreement"
	"karaula/internal/checkup"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// status gives the node's state, without content or personal data.
func (g *Gateway) status(context.Context) *karaulav1.StatusResponse {
	view := g.o.Register.View()
	s := &karaulav1.StatusResponse{
		Party: g.self, Name: g.o.Config.Name, Version: g.o.Version,
		StartedAt: g.started.UnixMicro(), Broker: g.connected(),
	}
	if own, ok := view.Card(g.self); ok {
		s.OwnCardSerial = own.Serial
	}
	if !s.GetBroker() {
		s.Warnings = append(s.Warnings, "the own broker does not answer; nothing can be sent or received")
	}
	if g.speaker != nil && !g.speaker.Holds() {
		s.Warnings = append(s.Warnings, pair.NoTurn+": its broker has not taken a sign of life for too long; send at the other gateway, if it speaks")
	}
	if g.speaker != nil {
		if why := g.speaker.Behind(); why != "" {
			s.Warnings = append(s.Warnings, "the other gateway is not in step; it could not take over now: "+why)
		}
	}
	if !g.filled() {
		s.Warnings = append(s.Warnings, "history is still being read after the start; lists are not complete")
	}
	if g.begun.Load() && g.diary.Trouble() != "" {
		s.Warnings = append(s.Warnings, diary.Missing+": "+g.diary.Trouble()+
			"; karaula audit desk shows all of it")
	}
	if err := g.o.Keys.Err(); err != nil {
		s.Warnings = append(s.Warnings, "the own keys have changed and cannot be read: "+err.Error())
	}
	s.Warnings = append(s.Warnings, g.stockFaults()...)
	if text, hint := g.remnants.trouble(g.o.Now()); text != "" {
		s.Warnings = append(s.Warnings, text+"; "+hint)
	}
	for _, c := range g.remnants.copyChecks() {
		if c.State == checkup.Warn {
			s.Warnings = append(s.Warnings, "server "+c.About+": "+c.Text)
		}
	}
	s.Warnings = append(s.Warnings, g.registerTrouble(view)...)
	if r := g.renewal(); g.begun.Load() && r.State == checkup.Warn {
		s.Warnings = append(s.Warnings, "a renewal of link keys is unfinished: "+r.Text)
	}
	s.Keys = g.heldKeys()
	s.Links = g.linkStatus(view)
	for _, cv := range view.Channels() {
		if contains(cv.Parties, g.self) {
			s.Channels = append(s.Channels, g.channelStatus(cv, s))
		}
	}
	return s
}

// registerTrouble says which files of the register are damaged, which party of a
// channel has no card, and for which channels there is no agreement though something
// was said there.
func (g *Gateway) registerTrouble(view *register.View) []string {
	var out []string
	for _, d := range view.Damaged() {
		out = append(out, fmt.Sprintf("%s is damaged and left out: %v; take it in again "+
			"(karaula party add FILE, agreement add FILE)",
			filepath.Join("register", d.Path), d.Err))
	}
	lacking := map[string]bool{}
	for _, cv := range view.Channels() {
		for _, p := range cv.Parties {
			if _, ok := view.Card(p); !ok && contains(cv.Parties, g.self) && !lacking[p] {
				lacking[p] = true
				out = append(out, fmt.Sprintf("there is no card of %s, a party of channel %s; take it in: "+
					"karaula party add FILE", p, cv.ID))
			}
		}
	}
	for _, f := range view.Fallen() {
		out = append(out, checkup.FallenText(f)+"; call its authority: karaula doctor --dir DIR")
	}
	for _, id := range view.WithoutText(g.o.Layout.Spoken()) {
		out = append(out, fmt.Sprintf(
			"there is a signing journal of channel %s, but no agreement in the register; take it in again: karaula agreement add FILE", id))
	}
	return out
}

func (g *Gateway) linkStatus(view *register.View) []*karaulav1.LinkStatus {
	own, named := view.Card(g.self)
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []*karaulav1.LinkStatus
	for _, p := range g.partners {
		behind := false
		if named {
			behind, _ = p.behind(own)
		}
		p.mu.Lock()
		l := &karaulav1.LinkStatus{Party: p.code, State: p.state, Since: p.since.UnixMicro(), Error: p.trouble, EarlierLogin: behind}
		if !p.heardAt.IsZero() {
			l.HeardAt = p.heardAt.UnixMicro()
		}
		p.mu.Unlock()
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *karaulav1.LinkStatus) int {
		if a.GetParty() < b.GetParty() {
			return -1
		}
		return 1
	})
	return out
}

// phaseWord gives the phase of a channel, suspensions included.
func (g *Gateway) phaseWord(cv *register.ChannelView) string {
	phase := cv.PhaseAt(g.o.Now())
	if phase == agreement.InForce && len(cv.Suspended) > 0 {
		return "suspended"
	}
	return phase.String()
}

// channelStatus gives one channel, and adds warnings to the whole.
func (g *Gateway) channelStatus(cv *register.ChannelView, s *karaulav1.StatusResponse) *karaulav1.ChannelStatus {
	out := &karaulav1.ChannelStatus{Channel: cv.ID, Phase: g.phaseWord(cv)}
	g.mu.Lock()
	c, trouble := g.channels[cv.ID], g.troubles[cv.ID]
	g.mu.Unlock()
	if c == nil {
		if trouble != "" {
			s.Warnings = append(s.Warnings, fmt.Sprintf("channel %s is not open: %s", cv.ID, trouble))
		}
		return out
	}
	if err := c.writer.Halted(); err != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("channel %s is halted: %v", cv.ID, err))
	}
	if ahead := time.UnixMicro(c.lastSaid()).Sub(g.o.Now()); ahead > g.o.Config.ClockSkew {
		s.Warnings = append(s.Warnings, fmt.Sprintf(
			"the last statement on channel %s lies %s ahead of the clock; nothing is said there until then",
			cv.ID,
			ahead.Round(time.Second),
		))
	}
	s.Warnings = append(s.Warnings, c.impostorsTold()...)
	for _, d := range c.differences() {
		s.Warnings = append(s.Warnings, c.unlikeText(d.witness, &d.unlike))
	}
	head := c.writer.Head()
	out.Said, out.Epoch = head.GetSize(), head.GetEpoch()
	seen := c.attention()
	for _, p := range c.partners() {
		if seen.silent[p] {
			s.Warnings = append(s.Warnings, fmt.Sprintf(
				"%s has said nothing on channel %s for %s, though its link is up; it may be withholding",
				p, c.id, g.o.Config.Silence))
		}
		ps := &karaulav1.PartnerStatus{Party: p, JudgedTo: c.book.JudgedTo(c.ledger(g.self), p, head.GetEpoch())}
		ps.Received, ps.Judged, ps.Held, ps.Quarantined, ps.Contested = c.ear(p).Status()
		ps.Backlog = c.backlog(p)
		if why := c.ear(p).Unbegun(); why != "" {
			s.Warnings = append(s.Warnings, fmt.Sprintf("what %s says on channel %s cannot be read yet: %s", p, c.id, why))
		}
		if ps.GetContested() {
			s.Warnings = append(s.Warnings, fmt.Sprintf("%s has contradicted itself on channel %s", p, c.id))
		}
		for _, why := range c.ear(p).Stuck() {
			s.Warnings = append(s.Warnings, fmt.Sprintf("nothing of %s is accepted on channel %s: %s", p, c.id, why))
		}
		out.Partners = append(out.Partners, ps)
	}
	return out
}
