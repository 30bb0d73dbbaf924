package testworld

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	"karaula/internal/envelope"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Show says something sealed, and gives it as it is shown to somebody who is none
// of its readers.
func (v *Voice) Show(d Draft) *karaulav1.Shown {
	v.w.T.Helper()
	var frame []byte
	change := d.Frame
	d.Frame = func(b []byte) []byte {
		if change != nil {
			b = change(b)
		}
		frame = bytes.Clone(b)
		return b
	}
	return &karaulav1.Shown{Stub: ok(envelope.Stub(v.Say(d)))(v.w.T), Frame: frame}
}

// Sharing is how a party passes an alert on; each step can depart from what honest
// gateways do.
type Sharing struct {
	// Owner says the alert and agrees; Sharer passes it on, on another channel.
	Owner, Sharer *Voice
	// Readers are who reads that channel besides the sharer, ascending.
	Readers []string
	// Alert is a draft of the original; its zero value is a vehicle.
	Alert Draft
	// Consent changes the owner's act, and Agree how it is said; By says it in place
	// of the owner.
	Consent func(*karaulav1.Act)
	Agree   Draft
	By      *Voice
	// Lineage changes the lineage.
	Lineage func(*karaulav1.Lineage)
	// Copy changes the draft that passes it on.
	Copy func(*Draft)
}

// Say has the owner say the alert and agree, and gives what the sharer says.
func (s Sharing) Say() []byte {
	t := s.Owner.w.T
	t.Helper()
	var original *karaulav1.Inner
	if s.Alert.Kind == 0 {
		d := Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
		s.Alert.Kind, s.Alert.Type, s.Alert.Alert = d.Kind, d.Type, d.Alert
	}
	change := s.Alert.Inner
	s.Alert.Inner = func(in *karaulav1.Inner) {
		if change != nil {
			change(in)
		}
		original = in
	}
	shown := s.Owner.Show(s.Alert)
	said := ok(envelope.Parse(shown.GetStub()))(t)
	consent := s.agree(original, said)
	l := &karaulav1.Lineage{Original: shown, Consent: consent, Cards: [][]byte{s.Owner.Card.Signed}}
	if s.Lineage != nil {
		s.Lineage(l)
	}
	return s.Sharer.Say(s.copy(original, said, l))
}

// agree has the owner agree.
func (s Sharing) agree(original *karaulav1.Inner, said *envelope.Parsed) *karaulav1.Shown {
	act := &karaulav1.Act{
		Deed: karaulav1.Deed_DEED_CONSENT, Onward: s.Sharer.Channel.ID, Party: s.Sharer.Party.Code, Readers: s.Readers,
		Purpose: karaulav1.Purpose_PURPOSE_DETECTION,
	}
	if parts := said.Statement.GetParts(); len(parts) > 0 {
		act.Commitment = parts[0].GetCommitment()
	}
	if s.Consent != nil {
		s.Consent(act)
	}
	d := s.Agree
	d.Kind, d.Act = karaulav1.Kind_KIND_ACT, act
	d.Refs = []*karaulav1.Ref{{Ledger: Random(32), Epoch: 1, Seq: 1, Digest: Random(32)}} // the request
	change := d.Inner
	d.Inner = func(in *karaulav1.Inner) {
		in.AlertId, in.Version = original.GetAlertId(), original.GetVersion()
		if change != nil {
			change(in)
		}
	}
	by := s.By
	if by == nil {
		by = s.Owner
	}
	return by.Show(d)
}

// copy is the draft that passes the alert on.
func (s Sharing) copy(original *karaulav1.Inner, said *envelope.Parsed, l *karaulav1.Lineage) Draft {
	a := proto.CloneOf(original.GetAlert())
	a.Id, a.Version, a.Lifecycle, a.Assessment = "", 1, karaulav1.Lifecycle_LIFECYCLE_CREATE, ""
	d := Draft{Kind: karaulav1.Kind_KIND_ALERT, Type: original.GetType(), Alert: a}
	d.Inner = func(in *karaulav1.Inner) { in.Lineage = l }
	d.Set = func(st *karaulav1.Statement) {
		st.EraseAfter = said.Statement.GetEraseAfter()
		if p, err := envelope.Parse(l.GetConsent().GetStub()); err == nil {
			c := p.Statement
			st.ConsentRefs = []*karaulav1.Ref{{Ledger: c.GetLedger(), Epoch: c.GetEpoch(), Seq: c.GetSeq(), Digest: p.Leaf[:]}}
		}
	}
	if s.Copy != nil {
		s.Copy(&d)
	}
	return d
}
