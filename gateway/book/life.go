package book

import (
	"slices"

	"karaula/internal/life"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// AddAct enters an act about an alert that is perhaps not known yet. The same
// statement again changes nothing.
func (b *Book) AddAct(e Entry) {
	if e.Act == nil || !e.Opened {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, old := range b.acts[e.ID] {
		if old.Leaf == e.Leaf {
			return
		}
	}
	b.acts[e.ID] = append(b.acts[e.ID], &e)
}

// Acts gives the acts about an alert that count, as they came.
func (b *Book) Acts(id [16]byte) []Entry {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.standing(id)
}

// standing gives the acts that count and whose content is not erased. Called with
// b.mu held.
func (b *Book) standing(id [16]byte) []Entry {
	return slices.DeleteFunc(counting(b.acts[id]), func(e Entry) bool { return b.erased[e.at()] != 0 })
}

// Life gives everything that counts about an alert of an originator: what was
// refused or is repudiated does not.
func (b *Book) Life(id [16]byte, origin string) life.Alert {
	b.mu.RLock()
	defer b.mu.RUnlock()
	a := life.Alert{Origin: origin}
	for _, e := range counting(b.byID[id]) {
		if e.Origin == origin {
			a.Versions = append(a.Versions, life.Version{
				Statement: e.statement(), Version: e.Version, Lifecycle: e.Lifecycle, Commitment: e.Commitment,
				Supersedes: e.Supersedes, EraseAfter: e.EraseAfter, Ordered: b.ordered[e.at()],
			})
		}
	}
	for _, e := range b.standing(id) {
		a.Acts = append(a.Acts, e.act())
	}
	for _, e := range counting(b.about[id]) {
		if e.Type == karaulav1.AlertType_ALERT_TYPE_HIT {
			a.Hits = append(a.Hits, life.Hit{Statement: e.statement(), ID: e.ID})
		}
	}
	return a
}

func counting(list []*Entry) []Entry {
	var out []Entry
	for _, e := range list {
		if !e.Refused() && !e.Repudiated {
			out = append(out, *e)
		}
	}
	return out
}

func (e *Entry) statement() life.Statement {
	return life.Statement{
		Party: e.Origin, Channel: e.Channel, Epoch: e.Epoch, Seq: e.Seq, SaidAt: e.SaidAt, Leaf: e.Leaf,
	}
}

func (e *Entry) act() life.Act {
	x := life.Act{
		Statement: e.statement(), Version: e.Version, Deed: e.Act.GetDeed(), Ground: e.Act.GetGround(),
		Relation: e.Act.GetRelation(), Onward: e.Act.GetOnward(), Answers: slices.Clone(e.Answers),
		For: e.Act.GetParty(), Readers: e.Act.GetReaders(), Purpose: e.Act.GetPurpose(), Until: e.Act.GetUntil(),
	}
	copy(x.Other[:], e.Act.GetOther())
	copy(x.Commitment[:], e.Act.GetCommitment())
	return x
}

// deliveryStates of what people did; the others say nothing of how far an alert got.
var deliveryStates = map[karaulav1.Deed]karaulav1.DeliveryState{
	karaulav1.Deed_DEED_SEEN:         karaulav1.DeliveryState_DELIVERY_STATE_SEEN,
	karaulav1.Deed_DEED_ACTED:        karaulav1.DeliveryState_DELIVERY_STATE_ACTED,
	karaulav1.Deed_DEED_NOT_EXECUTED: karaulav1.DeliveryState_DELIVERY_STATE_NOT_EXECUTED,
}

// delivery gives how far an own alert got at a recipient: by its receipts, and
// beyond them by what its people did about this version. Called without b.mu held.
func (b *Book) delivery(e *Entry, party string) *karaulav1.Delivery {
	d := b.Delivery(e.Ledger, party, e.Epoch, e.Seq)
	if d.GetState() == karaulav1.DeliveryState_DELIVERY_STATE_REFUSED {
		return d
	}
	var acts []life.Act
	for _, x := range b.Acts(e.ID) {
		if x.Origin == party && x.Channel == e.Channel && x.Version == e.Version {
			acts = append(acts, x.act())
		}
	}
	for _, x := range life.Deeds(acts) {
		d.State, d.Since = deliveryStates[x.Deed], x.SaidAt
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if c := b.replyClock(e, party); e.ReplyDue != 0 && c.Met.IsZero() {
		d.Due = c.Due.UnixMicro()
	}
	return d
}
