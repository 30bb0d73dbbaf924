package border_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"karaula/internal/border"
	"karaula/internal/envelope"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// splice cuts bytes out of raw and puts others in their place.
func splice(raw []byte, at, cut uint16, put []byte) []byte {
	i := int(at) % (len(raw) + 1)
	j := min(i+int(cut), len(raw))
	return bytes.Join([][]byte{raw[:i], put, raw[j:]}, nil)
}

// FuzzPlace wants any bytes to be placed and judged without a panic, the same
// every time, and no bytes to take a place that the origin has not signed. The
// keys are others in every process, so what is fuzzed is a change of genuine
// envelopes: of the whole, or of the statement, signed again by the origin.
func FuzzPlace(f *testing.F) {
	s := newScene(f, open)
	s.al.must(s.me.Say(heartbeat()))
	start := s.me.Clone()
	genuine := map[[32]byte]bool{}
	var raws [][]byte
	for _, c := range judged() {
		if c.channel != "" {
			continue
		}
		one := &scene{World: s.World, text: s.text, me: start.Clone(), al: newGate(s.World, "al", start)}
		one.al.led = s.al.led.Clone()
		now := s.Now
		raw := c.make(one)
		s.Now = now
		if p, ok := envelope.Peek(raw); ok && len(raw) < 32<<10 {
			raws = append(raws, raw)
			genuine[p.Leaf] = true
		}
	}
	for i := range raws {
		f.Add(uint8(i), false, uint16(0), uint16(0), []byte(nil))
		f.Add(uint8(i), true, uint16(7*i), uint16(1), []byte{0x80, 0x01})
		f.Add(uint8(i), false, uint16(13*i), uint16(2), []byte{0xff})
	}
	before, view, key := s.al.led.Clone(), s.View("al"), s.me.Party.Gateway.Sign
	f.Fuzz(func(t *testing.T, which uint8, sign bool, at, cut uint16, put []byte) {
		raw := raws[int(which)%len(raws)]
		if sign {
			env := &karaulav1.Envelope{}
			if proto.Unmarshal(raw, env) != nil || len(env.GetSignatures()) != 1 {
				return
			}
			env.Statement = splice(env.GetStatement(), at, cut, put)
			env.Signatures[0].Sig = key.Sign(envelope.PAE(envelope.StatementType, env.GetStatement()))
			raw, _ = proto.Marshal(env)
		} else {
			raw = splice(raw, at, cut, put)
		}
		p := s.al.check.Place(raw, view, before, s.al)
		if q := s.al.check.Place(raw, view, before, s.al); q.Kind != p.Kind || q.Code != p.Code {
			t.Fatalf("placed as %s %v, then as %s %v", p.Kind, p.Code, q.Kind, q.Code)
		}
		signed := p.Kind == border.Next || p.Kind == border.Fork || p.Kind == border.Ahead
		if signed && !sign && !genuine[p.Leaf] {
			t.Fatalf("bytes that nobody signed are %s", p.Kind)
		}
		if p.Kind == border.Quarantine && p.Code == 0 {
			t.Fatal("quarantine without a reason")
		}
		v := s.al.check.Judge(&p, view, before, s.al, s.Now)
		if v.Class == karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED && p.Kind != border.Next {
			t.Fatalf("%s is accepted", p.Kind)
		}
		after := before.Clone()
		after.Advance(&p)
		if grown := after.Next() != before.Next(); grown != (p.Kind == border.Next) {
			t.Fatalf("%s moves the ledger: %v", p.Kind, grown)
		}
	})
}

// FuzzLineage wants any change of a lineage to be judged without a panic, and none
// to make another alert, version or consent of it.
func FuzzLineage(f *testing.F) {
	p := newPassing(f)
	var lineage *karaulav1.Lineage
	s := p.sharing()
	s.Lineage = func(l *karaulav1.Lineage) { lineage = l }
	_, v := p.rs.receive(s.Say())
	if v.Descent == nil {
		f.Fatal(said(v), v.Detail)
	}
	refs := []*karaulav1.Ref{}
	if c, err := envelope.Parse(lineage.GetConsent().GetStub()); err == nil {
		st := c.Statement
		refs = append(refs, &karaulav1.Ref{Ledger: st.GetLedger(), Epoch: st.GetEpoch(), Seq: st.GetSeq(), Digest: c.Leaf[:]})
	}
	where := border.Passing{
		Channel: onward, Mode: karaulav1.Mode_MODE_ACTUAL, Sharer: "me", Readers: []string{"auditor", "rs"},
		SaidAt: v.Inner.GetSaidAt(), EraseAfter: p.Now.AddDate(0, 1, 0).UnixMicro(), Refs: refs, Alert: v.Inner.GetAlert(),
	}
	view := p.View("rs")
	pieces := []*[]byte{
		&lineage.Original.Stub, &lineage.Original.Frame, &lineage.Consent.Stub, &lineage.Consent.Frame, &lineage.Cards[0],
	}
	for i := range pieces {
		f.Add(uint8(i), uint16(0), uint16(0), []byte(nil))
		f.Add(uint8(i), uint16(11*i), uint16(1), []byte{0xff})
		f.Add(uint8(i), uint16(70), uint16(400), []byte("x"))
	}
	f.Fuzz(func(t *testing.T, which uint8, at, cut uint16, put []byte) {
		l := proto.CloneOf(lineage)
		piece := []*[]byte{&l.Original.Stub, &l.Original.Frame, &l.Consent.Stub, &l.Consent.Frame, &l.Cards[0]}[int(which)%len(pieces)]
		*piece = splice(*piece, at, cut, put)
		d, bad := border.CheckLineage(l, where, view, nil)
		if bad == nil && !proto.Equal(d, v.Descent) {
			t.Errorf("it comes from %v", d)
		}
		if again, worse := border.CheckLineage(l, where, view, nil); (worse == nil) != (bad == nil) || !proto.Equal(again, d) {
			t.Error("judged again it is another")
		}
	})
}
