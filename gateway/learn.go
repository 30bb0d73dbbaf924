package gateway

import (
	"bytes"
	"context"
	"regexp"
	"slices"

	"karaula/gateway/bus"
	"karaula/internal/agreement"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// standing says what we have that concerns a partner.
func (g *Gateway) standing(view *register.View, partner string) *karaulav1.Standing {
	s := &karaulav1.Standing{Versions: []uint32{1}, Clock: g.o.Now().UnixMicro(), NoticeSerial: lastNotice(view, g.self)}
	if c, ok := view.Card(g.self); ok {
		s.CardSerial, s.CardDigest = c.Serial, c.Digest[:]
	}
	for _, e := range view.Agreements() {
		if !isParty(e, partner) || !isParty(e, g.self) {
			continue
		}
		d := e.Agreement.Digest
		s.Agreements = append(s.Agreements, &karaulav1.AgreementStanding{
			Id: e.Agreement.ID, Version: e.Agreement.Version, Digest: d[:], SignedBy: e.SignedBy,
		})
	}
	for _, c := range g.openChannels() {
		if !contains(c.parties, partner) {
			continue
		}
		s.OwnHeads = append(s.OwnHeads, c.writer.Head())
		s.SeenHeads = append(s.SeenHeads, c.ear(partner).Head())
	}
	return s
}

func isParty(e *register.Entry, code string) bool {
	return slices.ContainsFunc(e.Agreement.Parties, func(p agreement.Party) bool { return p.Code == code })
}

func lastNotice(view *register.View, party string) uint64 {
	all := view.Notices(party)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].Serial
}

// learn fetches what a partner has and we lack, and compares heads.
func (p *partner) learn(ctx context.Context, theirs *karaulav1.Standing) {
	view := p.g.o.Register.View()
	if c, ok := view.Card(p.code); !ok || c.Serial < theirs.GetCardSerial() || !bytes.Equal(c.Digest[:], theirs.GetCardDigest()) {
		p.fetchNotices(ctx, lastNotice(view, p.code)) // a change of its root comes before a card by the new one
		p.try("card", p.FetchCard(ctx, 0, [32]byte{}))
	}
	fetched := 0
	for _, a := range theirs.GetAgreements() {
		if len(a.GetDigest()) == 32 && fetched < maxFetches && p.hasMore(view, a) {
			fetched++ // the rest with the next greeting
			p.try("agreement", p.FetchAgreement(ctx, [32]byte(a.GetDigest())))
		}
	}
	if theirs.GetNoticeSerial() > lastNotice(view, p.code) {
		p.fetchNotices(ctx, lastNotice(view, p.code))
	}
	for _, h := range theirs.GetOwnHeads() {
		p.compareTheirs(h)
	}
	seen := map[string]bool{}
	for _, h := range theirs.GetSeenHeads() {
		if led := string(h.GetLedger()); !seen[led] { // one word per ledger
			seen[led] = true
			p.compareOurs(ctx, h)
		}
	}
}

// maxFetches is how many texts one greeting may make us ask for.
const maxFetches = 8

// hasMore reports whether a partner holds a text, or signatures to it, that we don't.
func (p *partner) hasMore(view *register.View, a *karaulav1.AgreementStanding) bool {
	e, ok := view.AgreementByDigest([32]byte(a.GetDigest()))
	if !ok {
		return true
	}
	for _, s := range a.GetSignedBy() {
		if isParty(e, s) && !contains(e.SignedBy, s) {
			return true
		}
	}
	return false
}

func (p *partner) try(what string, err error) {
	if err != nil && p.news(what, err) {
		p.g.log.Info("could not be taken in", "party", p.code, "what", what, "why", unquoted(err))
	}
}

// quoted finds what an error quotes.
var quoted = regexp.MustCompile(`"[^"]*"`)

// unquoted says why a partner's signed text was not taken in, without what stands
// in it: a partner that means harm can write a name there, and this ends in logs.
func unquoted(err error) string { return quoted.ReplaceAllString(err.Error(), "…") }

func (p *partner) fetchNotices(ctx context.Context, after uint64) {
	client := p.asker()
	if client == nil {
		return
	}
	files, err := client.GetNotices(ctx, after)
	p.try("notices", err)
	for _, f := range files {
		p.try("notice", p.g.takeNotice(p.code, f))
	}
}

// takeNotice takes a partner's notice into the register and tells watchers if it is
// news. What it brings in another party's name is not taken in, whoever has signed it:
// it could fill the place of what that party says itself.
func (g *Gateway) takeNotice(origin string, file []byte) error {
	n, err := notice.Peek(file)
	if err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	if n.Party != origin {
		return problem.New(problem.Verification, "%s brought a notice of %s; it was not taken in", origin, n.Party)
	}
	before := lastNotice(g.o.Register.View(), origin)
	if err := g.o.Register.AddNotice(file); err != nil {
		return err //nolint:wrapcheck // the register says what and why
	}
	for _, n := range g.o.Register.View().Notices(origin) {
		if n.Serial > before {
			g.tell(&karaulav1.WatchResponse{Event: bus.Notice, Party: origin, Text: origin + ": " + n.Act + " " + n.Agreement})
		}
	}
	return nil
}

// compareTheirs looks whether the partner has said more than has arrived.
func (p *partner) compareTheirs(h *karaulav1.Head) {
	for _, c := range p.g.openChannels() {
		id := c.ledger(p.code)
		if ear := c.ear(p.code); ear != nil && string(id[:]) == string(h.GetLedger()) {
			ear.Expect(h.GetEpoch(), h.GetSize())
		}
	}
}

// compareOurs looks whether the partner has heard more from us than we know to
// have said: then our journal was lost or set back, and we must not go on.
func (p *partner) compareOurs(ctx context.Context, h *karaulav1.Head) {
	for _, c := range p.g.openChannels() {
		id := c.ledger(p.g.self)
		if string(id[:]) != string(h.GetLedger()) {
			continue
		}
		own := c.writer.Head()
		other := h.GetSize() == own.GetSize() && h.GetSize() > 0 && string(h.GetRoot()) != string(own.GetRoot())
		later := h.GetEpoch() > own.GetEpoch() && h.GetSize() > 0
		if later || h.GetEpoch() == own.GetEpoch() && (h.GetSize() > own.GetSize() || other) {
			if err := p.prove(ctx, c, own, h); err != nil {
				p.note("it names another head of our ledger on " + c.id + ": " + err.Error())
				if !noProof(err) && !problem.Is(err, problem.Unreachable) {
					c.writer.Halt(err)
				}
				continue
			}
		}
		c.mu.Lock()
		c.compared[p.code] = true
		c.mu.Unlock()
	}
}

// sayNotices says on the channel what this party has decided about its agreement,
// and about roots.
func (c *channel) sayNotices(ctx context.Context, cv *register.ChannelView) error {
	for _, n := range c.g.o.Register.View().Notices(c.g.self) {
		if n.Agreement != cv.Agreement.ID && n.Agreement != notice.AllAgreements || c.noticeSaid(n.Serial) || c.lastSaid() == 0 {
			continue
		}
		if err := c.sayBody(ctx, karaulav1.Kind_KIND_NOTICE, &karaulav1.NoticeBody{Notice: n.Signed}); err != nil {
			return err
		}
	}
	return nil
}

func (c *channel) noticeSaid(serial uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.notices[serial]
}
