package border_test

import (
	"strings"
	"testing"
	"time"

	"karaula/internal/agreement"
	"karaula/internal/border"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/seal"
	"karaula/internal/terms"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const skew = 5 * time.Minute

// gate is a party that receives one ledger: what a gateway keeps around the
// border check.
type gate struct {
	t      testing.TB
	w      *testworld.World
	self   *testworld.Party
	check  *border.Checker
	led    *border.Ledger
	locked bool

	leaves   map[border.Position][32]byte
	accepted map[version]border.Position
	earlier  map[version]border.Earlier
}

type version struct {
	alert   [16]byte
	version uint32
}

// newGate makes the gate of a party for what an origin says on a channel.
func newGate(w *testworld.World, self string, v *testworld.Voice) *gate {
	g := &gate{
		t: w.T, w: w, self: w.Parties[self],
		led:    border.NewLedger(v.ID, v.Channel.ID, v.Party.Code, v.Channel.Mode),
		leaves: map[border.Position][32]byte{}, accepted: map[version]border.Position{},
		earlier: map[version]border.Earlier{},
	}
	g.check = &border.Checker{Self: self, Skew: skew, Opener: g}
	return g
}

// Open implements border.Opener.
func (g *gate) Open(rec *karaulav1.Recipient, sealed []byte, i, n int) ([]byte, error) {
	k, ok := g.self.Identity(rec.GetUse(), rec.GetKeyId())
	if g.locked || !ok {
		return nil, problem.New(problem.Locked, "locked")
	}
	return seal.Open(sealed, k.Identity, i, n)
}

// LeafAt, RootAt and Accepted implement border.History.
func (g *gate) LeafAt(epoch, seq uint64) ([32]byte, bool) {
	leaf, ok := g.leaves[border.Position{Epoch: epoch, Seq: seq}]
	return leaf, ok
}

func (g *gate) RootAt(epoch, size uint64) ([32]byte, bool) {
	tree := &ledger.Tree{}
	for seq := uint64(1); seq <= size; seq++ {
		leaf, ok := g.LeafAt(epoch, seq)
		if !ok {
			return [32]byte{}, false
		}
		tree.Append(leaf)
	}
	return tree.Root(), true
}

func (g *gate) Accepted(alert [16]byte, v uint32) (border.Position, bool) {
	at, ok := g.accepted[version{alert, v}]
	return at, ok
}

// Before implements border.History.
func (g *gate) Before(alert [16]byte, v uint32) (border.Earlier, bool) {
	for n := v - 1; n > 0; n-- {
		if e, ok := g.earlier[version{alert, n}]; ok {
			return e, true
		}
	}
	return border.Earlier{}, false
}

func (g *gate) view() *register.View { return g.self.Register().View() }

// place only places.
func (g *gate) place(raw []byte) border.Placement {
	return g.check.Place(raw, g.view(), g.led, g)
}

// taken is a statement that has its place, with the ledger before it.
type taken struct {
	p      border.Placement
	before *border.Ledger
}

// take places bytes and lets them take their place, as a gateway does.
func (g *gate) take(raw []byte) taken {
	g.t.Helper()
	k := taken{g.place(raw), g.led.Clone()}
	if k.p.Kind == border.Next {
		g.led.Advance(&k.p)
		g.leaves[k.p.Position] = k.p.Leaf
	}
	return k
}

// judge judges what has its place, and remembers what is accepted.
func (g *gate) judge(k taken) border.Verdict {
	v := g.check.Judge(&k.p, g.view(), k.before, g, g.w.Now)
	if v.Class == karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED && v.Inner.GetKind() == karaulav1.Kind_KIND_ALERT {
		key := version{[16]byte(v.Inner.GetAlertId()), v.Inner.GetVersion()}
		g.accepted[key], g.earlier[key] = k.p.Position, border.EarlierOf(v.Inner)
	}
	return v
}

// receive does both.
func (g *gate) receive(raw []byte) (border.Placement, border.Verdict) {
	g.t.Helper()
	k := g.take(raw)
	return k.p, g.judge(k)
}

// must receives what has to be accepted.
func (g *gate) must(raws ...[]byte) {
	g.t.Helper()
	for _, raw := range raws {
		p, v := g.receive(raw)
		if v.Class != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED {
			g.t.Fatalf("number %d: %s, %s", p.Position.Seq, said(v), v.Detail)
		}
	}
}

// said is a verdict in short: "refused wrong-root".
func said(v border.Verdict) string {
	return terms.ClassWord(v.Class) + " " + terms.CodeWord(v.Code)
}

// scene is the usual world: al receives what me says on one channel of a text
// of al, me and xk, which the auditor reads.
type scene struct {
	*testworld.World
	text *agreement.Agreement
	me   *testworld.Voice
	al   *gate
}

const (
	open   = "t01-al-me-xk"
	sealed = open + "-s"
	drill  = open + "-x"
)

var codes = []string{"al", "me", "xk", "auditor"}

func newScene(t testing.TB, channel string, replacements ...string) *scene {
	t.Helper()
	w := testworld.New(t, codes...)
	text := w.Agree(w.Text(open, codes, replacements...))
	me := w.Voice("me", text, channel)
	s := &scene{World: w, text: text, me: me, al: newGate(w, "al", me)}
	if channel == drill {
		s.al.must(me.Announce("drina-26"))
	}
	return s
}

// vehicle is an alert that nothing is wrong with, as a draft.
func vehicle() testworld.Draft { return testworld.Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE) }

func heartbeat() testworld.Draft { return testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT} }

// actOn reports something about an alert of al.
func (s *scene) actOn() testworld.Draft {
	other := ledger.NewID(s.me.Channel.ID, "al", s.me.Channel.Mode, s.text.First)
	return testworld.Draft{
		Kind: karaulav1.Kind_KIND_ACT, Act: &karaulav1.Act{Deed: karaulav1.Deed_DEED_SEEN},
		Refs: []*karaulav1.Ref{{Ledger: other[:], Epoch: 1, Seq: 1, Digest: testworld.Random(32)}},
	}
}

// replaceOnce changes the first occurrence of a word that must be there.
func replaceOnce(s, from, to string) string {
	before, after, found := strings.Cut(s, from)
	if !found {
		panic("no " + from)
	}
	return before + to + after
}
