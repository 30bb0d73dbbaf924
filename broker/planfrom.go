package broker

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// roleGateway is the role of the certificates in a card with which its gateway
// connects.
const roleGateway = keyring.RoleGateway

// OwnUsers gives who of the owner's side may connect, from the broker's keys
// and the own card: nobody needs to open the gateway's keys for it.
func OwnUsers(keys *keyring.Broker, own *card.Card) (Users, error) {
	if keys.GatewayUser == "" {
		return Users{}, problem.New(problem.Locked, "the broker's keys name no gateway; nobody could say anything").
			WithHint("karaula init writes the gateway's user into the broker's keys")
	}
	u := Users{Gateway: []string{keys.GatewayUser}}
	for _, role := range []struct {
		into *[]string
		pair interface{ PublicKey() (string, error) }
	}{{&u.Keeper, keys.Keeper}, {&u.Audit, keys.Audit}, {&u.Ops, keys.Ops}} {
		public, err := role.pair.PublicKey()
		if err != nil {
			return Users{}, problem.Wrap(problem.Locked, err, "the broker's keys cannot be used")
		}
		*role.into = []string{public}
	}
	for _, c := range own.TLS {
		if c.Role == roleGateway {
			u.Pins, u.CertDER = append(u.Pins, c.Pin), append(u.CertDER, c.DER)
		}
	}
	shown := Shown(keys.Certificates(), own)
	leaf, err := x509.ParseCertificate(shown.Certificate[0])
	if err != nil {
		return Users{}, problem.Wrap(problem.Locked, err, "the broker's certificate cannot be read")
	}
	u.Server = keyring.Pin(leaf)
	u.Pins, u.CertDER = append(u.Pins, u.Server), append(u.CertDER, leaf.Raw)
	for _, c := range keys.Certificates() {
		u.Held = append(u.Held, keyring.Pin(c.Leaf))
	}
	return u, nil
}

// Shown gives which of its certificates ([keyring.Broker.Certificates]) a broker shows:
// the first one of its card whose key is here. So the card is what switches from one to
// the next, at the same moment at which partners begin to believe it. Without any of the
// card's it is the newest.
func Shown(held []tls.Certificate, own *card.Card) tls.Certificate {
	for _, pin := range own.Pins(keyring.RoleBroker) {
		if c := keyring.ByPin(held, pin); c != nil {
			return *c
		}
	}
	return held[0]
}

// cluster adds what the configuration says about a cluster.
func (p *Plan) cluster(cfg *node.Config, view *register.View) {
	if !cfg.Cluster.On() {
		return
	}
	here := cfg.Cluster.Here()
	p.ServerName, p.Pair = here.Name, cfg.Pair.On()
	p.Cluster = &Cluster{Listen: here.Route, Pins: [][32]byte{p.Own.Server}}
	p.meanwhile(view.Cards(view.Self()))
	for _, s := range cfg.Cluster.Servers {
		p.Cluster.Routes = append(p.Cluster.Routes, s.Route)
	}
}

// meanwhile lets the servers of a cluster, and their agents, know each other while
// they go over from one certificate to the next, one after the other: by every
// certificate that the newest card names, and by those that the card before it named
// beside the one that is shown now, as long as their keys are kept. A certificate that
// another one has replaced without such a card, because somebody may have its key, is
// not among them.
func (p *Plan) meanwhile(cards []*card.Card) {
	p.Own.Pins, p.Own.CertDER = slices.Clone(p.Own.Pins), slices.Clone(p.Own.CertDER)
	for i := len(cards) - 1; i >= max(0, len(cards)-2); i-- { // ascending by serial
		if !slices.Contains(cards[i].Pins(keyring.RoleBroker), p.Own.Server) {
			return
		}
		newest := i == len(cards)-1
		for _, t := range cards[i].TLS {
			if t.Role != keyring.RoleBroker || slices.Contains(p.Cluster.Pins, t.Pin) ||
				!newest && !slices.Contains(p.Own.Held, t.Pin) {
				continue
			}
			p.Cluster.Pins = append(p.Cluster.Pins, t.Pin)
			p.Own.Pins, p.Own.CertDER = append(p.Own.Pins, t.Pin), append(p.Own.CertDER, t.DER)
		}
	}
}

// PlanFrom gives the plan that follows from what a node knows at a moment, and
// when it next changes by itself (zero: never). It is what [AgentOptions] asks
// for. Who is let in and what may be said is decided here once, from the same
// register that the gateway decides by.
func PlanFrom(
	view *register.View, cfg *node.Config, layout node.Layout, own Users, now time.Time,
) (Plan, time.Time, error) {
	dir, err := filepath.Abs(layout.Dir)
	if err != nil {
		return Plan{}, time.Time{}, problem.Wrap(problem.Failed, err, "the node's folder has no absolute name")
	}
	layout.Dir = dir
	view = view.At(now)
	p := Plan{
		Party: view.Self(), ServerName: view.Self(), Listen: cfg.Listen, StoreDir: layout.Store(),
		TLS:      TLSFiles{Cert: layout.TLSCert(), Key: layout.TLSKey(), CA: layout.Partners()},
		MaxStore: int64(cfg.Store.MaxBytes), OwnQuota: int64(cfg.Store.Quota), Replicas: cfg.Replicas, Own: own,
	}
	p.cluster(cfg, view)
	linked := map[string]bool{}
	cards := map[string]*card.Card{}
	for _, cv := range view.AllChannels() {
		c := channelAt{cv: cv, view: view, now: now, self: p.Party}
		for _, code := range c.linked() {
			if linked[code] {
				continue
			}
			linked[code] = true
			if peer, of, ok := peerOf(view, code, now); ok {
				p.Peers, cards[code] = append(p.Peers, peer), of
			}
		}
		ch := c.channel(func(code string) bool { return cards[code] != nil })
		if ch.Quota == 0 {
			ch.Quota = int64(cfg.Store.Quota)
		}
		p.Channels = append(p.Channels, ch)
		p.audit(c, cards)
	}
	return p.sorted(), nextChange(view, cards, now), nil
}

// audit lets the auditors in whom the text of a channel names, while it is open.
// A suspension does not stop them: nothing new is said then, and what was said is
// theirs to see.
func (p *Plan) audit(c channelAt, cards map[string]*card.Card) {
	if phase := c.phase(); phase != agreement.InForce && phase != agreement.WindingDown {
		return
	}
	for _, code := range c.cv.Auditors {
		i := slices.IndexFunc(p.Auditors, func(a Auditor) bool { return a.Code == code })
		if i < 0 {
			peer, of, ok := guestOf(c.view, code, keyring.RoleAuditor, c.now)
			if !ok || !of.Auditor() {
				continue
			}
			cards[code], i = of, len(p.Auditors)
			p.Auditors = append(p.Auditors, Auditor{Peer: peer})
		}
		p.Auditors[i].Channels = append(p.Auditors[i].Channels, c.cv.ID)
	}
}

// peerOf lets a partner in by its newest card, while that card says anything.
func peerOf(view *register.View, code string, now time.Time) (Peer, *card.Card, bool) {
	return guestOf(view, code, roleGateway, now)
}

// guestOf lets somebody in by the certificates of a role.
func guestOf(view *register.View, code, role string, now time.Time) (Peer, *card.Card, bool) {
	c, ok := view.Card(code)
	if !ok || !c.ValidAt(now) || c.NATS == "" {
		return Peer{}, nil, false
	}
	peer := Peer{
		Code: code, Ref: fmt.Sprintf("card %d of %s, root %s", c.Serial, code, c.Fingerprint()),
		NATSKeys: []string{c.NATS},
	}
	for _, t := range c.TLS {
		if t.Role == role {
			peer.Pins, peer.CertDER = append(peer.Pins, t.Pin), append(peer.CertDER, t.DER)
		}
	}
	return peer, c, len(peer.Pins) > 0
}

// nextChange is when agreements, notices or partners' cards next begin or end.
func nextChange(view *register.View, cards map[string]*card.Card, now time.Time) time.Time {
	next, _ := view.NextChange(now)
	for _, c := range cards {
		if next.IsZero() || c.Until.Before(next) {
			next = c.Until
		}
	}
	return next
}

// channelAt reads one channel of the register at a moment.
type channelAt struct {
	cv   *register.ChannelView
	view *register.View
	now  time.Time
	self string
}

// phase is where the channel stands for self: a party that has withdrawn winds
// down on its own.
func (c channelAt) phase() agreement.Phase {
	phase := c.cv.PhaseAt(c.now)
	if phase != agreement.InForce || slices.Contains(c.cv.Parties, c.self) {
		return phase
	}
	if _, leaving := c.cv.Leaving[c.self]; leaving {
		return agreement.WindingDown
	}
	return agreement.Closed
}

// linked lists the other parties with which the channel gives a link.
func (c channelAt) linked() []string {
	if phase := c.phase(); phase != agreement.InForce && phase != agreement.WindingDown {
		return nil
	}
	out := slices.DeleteFunc(slices.Clone(c.cv.Parties), func(code string) bool { return code == c.self })
	for code := range c.cv.Leaving {
		if code != c.self {
			out = append(out, code)
		}
	}
	slices.Sort(out)
	return out
}

// channel makes the channel's part of the plan. Whoever is linked by a card
// may fetch, unless self has suspended the agreement.
func (c channelAt) channel(linked func(string) bool) Channel {
	phase := c.phase()
	open := phase == agreement.InForce || phase == agreement.WindingDown
	ch := Channel{
		ID: c.cv.ID, Mode: c.cv.Channel.Mode, Quota: c.cv.Agreement.Quota, Ref: c.ref(phase), Say: c.say(phase),
	}
	for _, code := range c.readers() {
		if code == c.self {
			continue
		}
		ch.In = append(ch.In, code)
		_, leaving := c.cv.Leaving[code]
		now := slices.Contains(c.cv.Parties, code)
		ch.Partners = append(ch.Partners, PartnerOf{
			Code: code, Joined: c.joined(code),
			// Who has left is not given what is said from then on, so it pulls
			// nothing any more; the link service has what was said before.
			Fetch:  open && now && linked(code) && c.cv.Suspended[c.self] == nil,
			Closed: phase == agreement.Closed || !now && !leaving,
		})
	}
	return ch
}

// ref says where the channel comes from and how it stands.
func (c channelAt) ref(phase agreement.Phase) string {
	var ref strings.Builder
	fmt.Fprintf(&ref, "%s version %d, %s", c.cv.Agreement.ID, c.cv.Agreement.Version, phase)
	for _, code := range slices.Sorted(maps.Keys(c.cv.Suspended)) {
		ref.WriteString(", suspended by " + code)
	}
	return ref.String()
}

// say lists what self may say: alert types by clause, as the register decides
// at this moment, and every other kind while the channel is open.
func (c channelAt) say(phase agreement.Phase) []Say {
	if phase != agreement.InForce && phase != agreement.WindingDown {
		return nil
	}
	if _, party := c.cv.Agreement.Party(c.self); !party {
		return nil
	}
	var out []Say
	types := terms.Types()
	if c.cv.Channel.SealedTypes {
		types = []karaulav1.AlertType{0}
	}
	for _, typ := range types {
		if d := c.view.Decide(c.self, c.cv.ID, typ, c.now); d.Allowed {
			out = append(out, Say{Token: subject.Token(karaulav1.Kind_KIND_ALERT, typ), Ref: d.Ref})
		}
	}
	for n := range karaulav1.Kind_name {
		kind := karaulav1.Kind(n)
		drill := c.cv.Channel.Mode == karaulav1.Mode_MODE_EXERCISE
		if kind > karaulav1.Kind_KIND_ALERT && (drill || kind != karaulav1.Kind_KIND_EXERCISE) {
			out = append(out, Say{Token: subject.Token(kind, 0), Ref: "every party of " + c.cv.Agreement.ID})
		}
	}
	return out
}

// texts are the complete versions of the agreement that have the channel and
// have begun, by version.
func (c channelAt) texts() []*agreement.Agreement {
	var out []*agreement.Agreement
	for _, e := range c.view.Agreements() {
		if _, has := e.Agreement.Channel(c.cv.ID); !has || !e.Complete || e.Agreement.ID != c.cv.Agreement.ID {
			continue
		}
		if e.Agreement.Digest == c.cv.Agreement.Digest || !c.now.Before(e.Agreement.ValidFrom) {
			out = append(out, e.Agreement)
		}
	}
	return out
}

// readers are all parties that the channel has or ever had, by code.
func (c channelAt) readers() []string {
	var out []string
	for _, text := range c.texts() {
		for _, party := range text.Parties {
			if !slices.Contains(out, party.Code) {
				out = append(out, party.Code)
			}
		}
	}
	slices.Sort(out)
	return out
}

// joined reports whether a party came in by a later version than the channel's
// first.
func (c channelAt) joined(code string) bool {
	joined, had := false, false
	for i, text := range c.texts() {
		_, has := text.Party(code)
		if has && !had {
			joined = i > 0
		}
		had = has
	}
	return joined
}
