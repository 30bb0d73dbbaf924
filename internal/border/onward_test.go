package border_test

import (
	"bytes"
	"testing"
	"time"

	"karaula/internal/border"
	"karaula/internal/ledger"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// passing is a world in which me may pass an alert of al on to rs and the auditor,
// who have no channel with al. xk is al's and me's partner, too.
type passing struct {
	*testworld.World
	al, xk, me *testworld.Voice // al, xk: where it is said; me: where it is passed on
	rs         *gate
}

const (
	first  = "t01-al-me-xk"
	onward = "b02-me-rs"
)

func newPassing(t testing.TB) *passing {
	t.Helper()
	w := testworld.New(t, "al", "me", "xk", "rs", "auditor")
	from := w.Agree(w.Text(first, []string{"al", "me", "xk"}))
	to := w.Agree(w.Text(onward, []string{"me", "rs", "auditor"}, "me,rs route", "me,rs document,route"))
	p := &passing{World: w, al: w.Voice("al", from, first), xk: w.Voice("xk", from, first), me: w.Voice("me", to, onward)}
	p.rs = newGate(w, "rs", p.me)
	return p
}

// sharing is what nothing is wrong with.
func (p *passing) sharing() *testworld.Sharing {
	return &testworld.Sharing{Owner: p.al, Sharer: p.me, Readers: []string{"auditor", "rs"}}
}

func TestPassedOn(t *testing.T) {
	t.Parallel()
	p := newPassing(t)
	_, v := p.rs.receive(p.sharing().Say())
	if said(v) != "accepted accepted" {
		t.Fatalf("judged %s: %s", said(v), v.Detail)
	}
	d := v.Descent
	if d.GetOriginator() != "al" || d.GetChannel() != first || d.GetVersion() != 1 || len(d.GetConsent()) != 32 ||
		d.GetPurpose() != karaulav1.Purpose_PURPOSE_DETECTION {
		t.Errorf("descent %v", d)
	}
	if bytes.Equal(d.GetAlertId(), v.Inner.GetAlertId()) {
		t.Error("the copy has the id of the original")
	}
}

// TestConsent tries everything that is no consent, or one to something else.
func TestConsent(t *testing.T) {
	t.Parallel()
	const code = "refused consent"
	say := func(change func(*karaulav1.Act)) func(*passing, *testworld.Sharing) {
		return func(_ *passing, s *testworld.Sharing) { s.Consent = change }
	}
	agree := func(d testworld.Draft) func(*passing, *testworld.Sharing) {
		return func(_ *passing, s *testworld.Sharing) { s.Agree = d }
	}
	lineage := func(change func(*karaulav1.Lineage)) func(*passing, *testworld.Sharing) {
		return func(_ *passing, s *testworld.Sharing) { s.Lineage = change }
	}
	// other makes a second consent, of which the statement or a part is put in.
	other := func(p *passing, change func(*testworld.Sharing)) (l *karaulav1.Lineage) {
		s := p.sharing()
		change(s)
		s.Lineage = func(x *karaulav1.Lineage) { l = x }
		s.Copy = func(d *testworld.Draft) { d.Unsaid = true }
		s.Say()
		return l
	}
	inCopy := func(change func(*karaulav1.Inner)) func(*passing, *testworld.Sharing) {
		return func(_ *passing, s *testworld.Sharing) {
			s.Copy = func(d *testworld.Draft) {
				before := d.Inner
				d.Inner = func(in *karaulav1.Inner) { before(in); change(in) }
			}
		}
	}
	set := func(change func(*karaulav1.Statement)) func(*passing, *testworld.Sharing) {
		return func(_ *passing, s *testworld.Sharing) {
			s.Copy = func(d *testworld.Draft) {
				before := d.Set
				d.Set = func(st *karaulav1.Statement) { before(st); change(st) }
			}
		}
	}
	for name, c := range map[string]struct {
		do   func(*passing, *testworld.Sharing)
		want string
	}{
		"a time, and a reader who is not there any more": {say(func(x *karaulav1.Act) {
			x.Until, x.Readers = testworld.Start.AddDate(0, 2, 0).UnixMicro(), []string{"auditor", "mk", "rs"}
		}), "accepted accepted"},
		"a refusal": {say(func(x *karaulav1.Act) {
			*x = karaulav1.Act{Deed: karaulav1.Deed_DEED_NO_CONSENT, Onward: onward, Party: "me"} //nolint:govet // a test's own
		}), code},
		"a mere reading":        {say(func(x *karaulav1.Act) { *x = karaulav1.Act{Deed: karaulav1.Deed_DEED_SEEN} }), code}, //nolint:govet // likewise
		"for another channel":   {say(func(x *karaulav1.Act) { x.Onward = "b03-me-mk" }), code},
		"for another party":     {say(func(x *karaulav1.Act) { x.Party = "xk" }), code},
		"for fewer readers":     {say(func(x *karaulav1.Act) { x.Readers = []string{"rs"} }), code},
		"of another version":    {say(func(x *karaulav1.Act) { x.Commitment = testworld.Random(32) }), code},
		"without a purpose":     {say(func(x *karaulav1.Act) { x.Purpose = 0 }), code},
		"that has ended":        {say(func(x *karaulav1.Act) { x.Until = testworld.Start.UnixMicro() }), code},
		"that ends before it":   {say(func(x *karaulav1.Act) { x.Until = testworld.Start.AddDate(0, 0, 7).UnixMicro() }), code},
		"to another alert":      {agree(testworld.Draft{Inner: func(in *karaulav1.Inner) { in.AlertId = testworld.Random(16) }}), code},
		"to an alert of its id": {func(p *passing, s *testworld.Sharing) { s.By = p.xk }, code},
		"to a version to come":  {agree(testworld.Draft{Inner: func(in *karaulav1.Inner) { in.Version = 2 }}), code},
		"copied from elsewhere": {agree(testworld.Draft{Inner: func(in *karaulav1.Inner) { in.Thread = testworld.Random(16) }}), code},
		"signed with a wrong key": {func(p *passing, s *testworld.Sharing) {
			key := p.Parties["me"].Gateway.Sign
			key.ID = p.Parties["al"].Gateway.Sign.ID
			s.Agree.Key = &key
		}, code},
		"of the sharer itself":     {func(p *passing, s *testworld.Sharing) { s.By = p.me.Clone() }, code},
		"that another frame shows": {lineage(func(l *karaulav1.Lineage) { l.Consent.Frame[7] ^= 1 }), code},
		"left out":                 {lineage(func(l *karaulav1.Lineage) { l.Consent = nil }), code},
		"no original":              {lineage(func(l *karaulav1.Lineage) { l.Original = nil }), code},
		"no cards":                 {lineage(func(l *karaulav1.Lineage) { l.Cards = nil }), code},
		"a card twice":             {lineage(func(l *karaulav1.Lineage) { l.Cards = append(l.Cards, l.Cards[0]) }), code},
		"another party's card": {func(p *passing, s *testworld.Sharing) {
			s.Lineage = func(l *karaulav1.Lineage) { l.Cards = [][]byte{p.Parties["xk"].Card.Signed} }
		}, code},
		"given for another alert": {func(p *passing, s *testworld.Sharing) {
			l := other(p, func(*testworld.Sharing) {})
			s.Lineage = func(x *karaulav1.Lineage) { x.Consent = l.GetConsent() }
		}, code},
		"another alert in its place": {func(p *passing, s *testworld.Sharing) {
			l := other(p, func(*testworld.Sharing) {})
			s.Lineage = func(x *karaulav1.Lineage) { x.Original = l.GetOriginal() }
		}, code},
		"another named outside":         {set(func(st *karaulav1.Statement) { st.ConsentRefs[0].Digest = testworld.Random(32) }), code},
		"none named outside":            {set(func(st *karaulav1.Statement) { st.ConsentRefs = nil }), code},
		"the lineage stripped":          {inCopy(func(in *karaulav1.Inner) { in.Lineage = nil }), code},
		"kept longer than the original": {set(func(st *karaulav1.Statement) { st.EraseAfter++ }), code},
		"other words":                   {inCopy(func(in *karaulav1.Inner) { in.GetAlert().GetVehicle().Make = "Another" }), code},
		"a lower handling code":         {inCopy(func(in *karaulav1.Inner) { in.GetAlert().Handling = karaulav1.Handling_HANDLING_H0 }), code},
		"given afterwards": {func(_ *passing, s *testworld.Sharing) {
			s.Agree.Set = func(st *karaulav1.Statement) { st.SaidAt += time.Minute.Microseconds() }
		}, code},
		"signed when its key had ended": {func(_ *passing, s *testworld.Sharing) {
			s.Agree.Set = func(st *karaulav1.Statement) { st.SaidAt = testworld.Start.AddDate(-5, 0, 0).UnixMicro() }
		}, code},
		"an act with a lineage": {func(_ *passing, s *testworld.Sharing) {
			other := ledger.NewID(onward, "rs", s.Sharer.Channel.Mode, s.Sharer.Text.First)
			s.Copy = func(d *testworld.Draft) {
				d.Kind, d.Type, d.Alert, d.Act = karaulav1.Kind_KIND_ACT, 0, nil, &karaulav1.Act{Deed: karaulav1.Deed_DEED_SEEN}
				d.Refs = []*karaulav1.Ref{{Ledger: other[:], Epoch: 1, Seq: 1, Digest: testworld.Random(32)}}
				before := d.Set
				d.Set = func(st *karaulav1.Statement) { before(st); st.ConsentRefs = nil }
			}
		}, code},
		"of H3 without a word on it": {func(_ *passing, s *testworld.Sharing) {
			s.Alert.Inner = func(in *karaulav1.Inner) {
				in.GetAlert().Handling, in.GetAlert().HandlingText = karaulav1.Handling_HANDLING_H3, "ask first"
			}
		}, code},
		"of H3 where the clause ends at H2": {func(_ *passing, s *testworld.Sharing) {
			s.Alert.Inner = func(in *karaulav1.Inner) {
				in.GetAlert().Handling, in.GetAlert().HandlingText = karaulav1.Handling_HANDLING_H3, "ask first"
			}
			s.Consent = func(x *karaulav1.Act) { x.Remark = "Under the same restriction." }
		}, "refused handling"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPassing(t)
			s := p.sharing()
			c.do(p, s)
			if _, v := p.rs.receive(s.Say()); said(v) != c.want {
				t.Errorf("judged %s (%s), want %s", said(v), v.Detail, c.want)
			}
		})
	}
}

// What was passed on goes no further, and does not come back to whose it is.
func TestNoChainsAndNoLoops(t *testing.T) {
	t.Parallel()
	p := newPassing(t)
	third := p.Agree(p.Text("b03-rs-xk", []string{"rs", "xk"}))
	s := &testworld.Sharing{Owner: p.me, Sharer: p.Voice("rs", third, "b03-rs-xk"), Readers: []string{"xk"}}
	s.Alert = testworld.Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
	s.Alert.Set = func(st *karaulav1.Statement) {
		st.ConsentRefs = []*karaulav1.Ref{{Ledger: testworld.Random(32), Epoch: 1, Seq: 1, Digest: testworld.Random(32)}}
	}
	if _, v := newGate(p.World, "xk", s.Sharer).receive(s.Say()); said(v) != "refused consent" {
		t.Errorf("a chain is judged %s (%s)", said(v), v.Detail)
	}
	back := p.Agree(p.Text("t04-al-me-rs", []string{"al", "me", "rs"}))
	s = &testworld.Sharing{Owner: p.al, Sharer: p.Voice("me", back, "t04-al-me-rs"), Readers: []string{"al", "rs"}}
	if _, v := newGate(p.World, "rs", s.Sharer).receive(s.Say()); said(v) != "refused consent" {
		t.Errorf("a loop is judged %s (%s)", said(v), v.Detail)
	}
	p = newPassing(t)
	own := &testworld.Sharing{Owner: p.Voice("me", p.al.Text, first), Sharer: p.me, Readers: []string{"auditor", "rs"}}
	if _, v := p.rs.receive(own.Say()); said(v) != "refused consent" {
		t.Errorf("an own alert is judged %s (%s)", said(v), v.Detail)
	}
}

// A party in which nobody here has compared a root key is taken for nobody's word,
// until somebody has.
func TestNobodyVouches(t *testing.T) {
	t.Parallel()
	w := testworld.New(t, "me", "rs", "auditor")
	stranger := testworld.New(t, "al")
	al := w.Adopt(stranger.Parties["al"])
	w.Give(w.Parties["me"].Card.Signed, "al")
	w.Give(al.Card.Signed, "me")
	from := w.Agree(w.Text("b01-al-me", []string{"al", "me"}))
	to := w.Agree(w.Text(onward, []string{"me", "rs", "auditor"}))
	me := w.Voice("me", to, onward)
	rs := newGate(w, "rs", me)
	k := rs.take(testworld.Sharing{Owner: w.Voice("al", from, "b01-al-me"), Sharer: me, Readers: []string{"auditor", "rs"}}.Say())
	if v := rs.judge(k); said(v) != "held consent" {
		t.Fatalf("judged %s (%s)", said(v), v.Detail)
	}
	w.Give(al.Card.Signed, "rs")
	if v := rs.judge(k); said(v) != "accepted accepted" {
		t.Errorf("judged %s (%s) once al's card is here", said(v), v.Detail)
	}
}

// What a root signed before it was replaced goes on to count in a lineage as far as
// the change lets it stand. Who has stolen that root makes nothing up with it.
func TestLineageAfterARootChange(t *testing.T) {
	t.Parallel()
	for _, agreed := range []bool{false, true} { // by the cards that rs has, by an agreement
		p := newPassing(t)
		if agreed {
			p.Agree(p.Text("b05-al-rs", []string{"al", "rs"}))
		}
		stolen := p.Parties["al"].Root
		_, change := p.ChangeRoot("al")
		p.Give(change, "rs")
		if _, v := p.rs.receive(p.sharing().Say()); said(v) != "accepted accepted" {
			t.Errorf("under the card that stands it is judged %s (%s)", said(v), v.Detail)
		}
		elsewhere := testworld.New(t, "al")
		thief := elsewhere.Parties["al"]
		thief.Root = stolen
		s := p.sharing()
		s.Owner = p.al.Clone()
		s.Owner.Party, s.Owner.Card = thief, elsewhere.Rotate("al", nil)
		if _, v := p.rs.receive(s.Say()); said(v) != "refused consent" {
			t.Errorf("under the thief's card it is judged %s (%s)", said(v), v.Detail)
		}
	}
}

// A later version keeps its lineage, and an own alert does not become another's.
func TestLineageLasts(t *testing.T) {
	t.Parallel()
	next := func(before border.Verdict, lifecycle karaulav1.Lifecycle) func(*testworld.Draft) {
		return func(d *testworld.Draft) {
			inner := d.Inner
			d.Inner = func(in *karaulav1.Inner) {
				if inner != nil {
					inner(in)
				}
				in.AlertId, in.Version, in.Supersedes = before.Inner.GetAlertId(), 2, testworld.Random(32)
				in.GetAlert().Version, in.GetAlert().Lifecycle = 2, lifecycle
			}
		}
	}
	const update = karaulav1.Lifecycle_LIFECYCLE_UPDATE
	t.Run("stripped", func(t *testing.T) {
		t.Parallel()
		p := newPassing(t)
		_, v := p.rs.receive(p.sharing().Say())
		d := vehicle()
		next(v, update)(&d)
		if _, v := p.rs.receive(p.me.Say(d)); said(v) != "refused consent" {
			t.Errorf("judged %s (%s)", said(v), v.Detail)
		}
	})
	t.Run("added", func(t *testing.T) {
		t.Parallel()
		p := newPassing(t)
		_, v := p.rs.receive(p.me.Say(vehicle()))
		s := p.sharing()
		s.Copy = next(v, update)
		if _, v := p.rs.receive(s.Say()); said(v) != "refused consent" {
			t.Errorf("judged %s (%s)", said(v), v.Detail)
		}
	})
	t.Run("of another alert", func(t *testing.T) {
		t.Parallel()
		p := newPassing(t)
		_, v := p.rs.receive(p.sharing().Say())
		s := p.sharing()
		s.Copy = next(v, update)
		if _, v := p.rs.receive(s.Say()); said(v) != "refused consent" {
			t.Errorf("judged %s (%s)", said(v), v.Detail)
		}
	})
}

// Only the issuing state speaks of a document; who passes that on need not be it.
func TestDocumentOfTheOriginator(t *testing.T) {
	t.Parallel()
	p := newPassing(t)
	s := p.sharing()
	s.Alert = testworld.Said(karaulav1.AlertType_ALERT_TYPE_DOCUMENT)
	s.Alert.Alert = blanks("ALB")
	if _, v := p.rs.receive(s.Say()); said(v) != "accepted accepted" {
		t.Errorf("judged %s (%s)", said(v), v.Detail)
	}
}

// An update cannot keep an alert longer, nor can anything follow a withdrawal.
func TestFollows(t *testing.T) {
	t.Parallel()
	const update, extend = karaulav1.Lifecycle_LIFECYCLE_UPDATE, karaulav1.Lifecycle_LIFECYCLE_EXTEND
	for name, c := range map[string]struct {
		change func(*karaulav1.Alert)
		want   string
	}{
		"the same": {func(a *karaulav1.Alert) { a.Lifecycle = update }, "accepted accepted"},
		"shorter":  {func(a *karaulav1.Alert) { a.Lifecycle = update; a.Expires -= 1e6 }, "accepted accepted"},
		"longer":   {func(a *karaulav1.Alert) { a.Lifecycle = update; a.Expires++ }, "refused retention"},
		"extended": {func(a *karaulav1.Alert) { a.Lifecycle, a.Assessment = extend, "Needed."; a.Expires++ }, "accepted accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, open)
			d := vehicle()
			d.Alert.Expires = s.Now.AddDate(0, 3, 0).UnixMicro()
			_, v := s.al.receive(s.me.Say(d))
			d.Inner = func(in *karaulav1.Inner) {
				in.AlertId, in.Version, in.Supersedes = v.Inner.GetAlertId(), 2, testworld.Random(32)
				in.GetAlert().Version = 2
				c.change(in.GetAlert())
			}
			if _, v := s.al.receive(s.me.Say(d)); said(v) != c.want {
				t.Errorf("judged %s (%s), want %s", said(v), v.Detail, c.want)
			}
		})
	}
}
