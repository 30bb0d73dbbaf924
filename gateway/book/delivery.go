package book

import (
	"cmp"
	"encoding/hex"
	"slices"

	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// place is one recipient's view of one own ledger.
type place struct {
	ledger ledger.ID
	party  string
	epoch  uint64
}

// progress is how far a recipient has judged an own ledger, by its receipts.
type progress struct {
	marks      []mark // ascending
	exceptions map[uint64]*karaulav1.ReceiptException
	erasures   map[uint64]*karaulav1.Erasure
}

// mark says when a recipient's judgement reached a number.
type mark struct {
	judgedTo uint64
	at       int64
}

// Receipt takes in what a recipient has judged of an own ledger; at is when
// the recipient said it. Older receipts change nothing. It gives the own alerts
// that are judged by it for the first time.
func (b *Book) Receipt(party string, r *karaulav1.LedgerReceipt, at int64) []Entry {
	if len(r.GetLedger()) != len(ledger.ID{}) {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := place{ledger.ID(r.GetLedger()), party, r.GetEpoch()}
	p := b.progress[key]
	if p == nil {
		p = &progress{exceptions: map[uint64]*karaulav1.ReceiptException{}, erasures: map[uint64]*karaulav1.Erasure{}}
		b.progress[key] = p
	}
	before := uint64(0)
	if n := len(p.marks); n > 0 {
		before = p.marks[n-1].judgedTo
	}
	for _, x := range r.GetExceptions() { // what was once accepted is not refused later
		if x.GetSeq() > before && p.exceptions[x.GetSeq()] == nil {
			p.exceptions[x.GetSeq()] = x
		}
	}
	for _, x := range r.GetErasures() { // what came again is erased again: the last one counts
		if old := p.erasures[x.GetSeq()]; old == nil || x.GetDoneAt() > old.GetDoneAt() {
			p.erasures[x.GetSeq()] = x
		}
	}
	if r.GetJudgedTo() <= before {
		return nil
	}
	p.marks = append(p.marks, mark{r.GetJudgedTo(), at})
	return b.between(key, before, r.GetJudgedTo())
}

// between gives own alerts with numbers above from and up to to. Called with b.mu held.
func (b *Book) between(at place, from, to uint64) []Entry {
	own := b.own[at.ledger]
	i, _ := slices.BinarySearchFunc(own, from+1, func(e *Entry, want uint64) int {
		return cmp.Or(cmp.Compare(e.Epoch, at.epoch), cmp.Compare(e.Seq, want))
	})
	var out []Entry
	for ; i < len(own) && own[i].Epoch == at.epoch && own[i].Seq <= to; i++ {
		if slices.Contains(own[i].Readers, at.party) {
			out = append(out, *own[i])
		}
	}
	return out
}

// JudgedTo gives the last number of an own ledger that a recipient has judged.
func (b *Book) JudgedTo(led ledger.ID, party string, epoch uint64) uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	p := b.progress[place{led, party, epoch}]
	if p == nil || len(p.marks) == 0 {
		return 0
	}
	return p.marks[len(p.marks)-1].judgedTo
}

// Delivery gives how far a statement of an own ledger got at a recipient.
func (b *Book) Delivery(led ledger.ID, party string, epoch, seq uint64) *karaulav1.Delivery {
	b.mu.RLock()
	defer b.mu.RUnlock()
	d := &karaulav1.Delivery{Party: party, State: karaulav1.DeliveryState_DELIVERY_STATE_WAITING}
	p := b.progress[place{led, party, epoch}]
	if p == nil {
		return d
	}
	if x := p.erasures[seq]; x != nil {
		d.ErasedAt, d.BackupHorizon = x.GetDoneAt(), x.GetBackupHorizon()
	}
	i, _ := slices.BinarySearchFunc(p.marks, seq, func(m mark, want uint64) int {
		if m.judgedTo < want {
			return -1
		}
		return 1
	})
	if i == len(p.marks) {
		return d
	}
	d.State, d.Since = karaulav1.DeliveryState_DELIVERY_STATE_ACCEPTED, p.marks[i].at
	if x := p.exceptions[seq]; x != nil {
		d.Code, d.Since = x.GetCode(), x.GetJudgedAt()
		d.State = karaulav1.DeliveryState_DELIVERY_STATE_REFUSED
		if c := x.GetClass(); c == karaulav1.VerdictClass_VERDICT_CLASS_ERASED ||
			c == karaulav1.VerdictClass_VERDICT_CLASS_EXPIRED {
			d.State = karaulav1.DeliveryState_DELIVERY_STATE_LAPSED
		}
	}
	return d
}

// IDText gives an alert id as UUID text (RFC 9562).
func IDText(id [16]byte) string {
	s := hex.EncodeToString(id[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// ParseID reads UUID text of version 7.
func ParseID(s string) ([16]byte, bool) {
	var id [16]byte
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	n, err := hex.Decode(id[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]))
	return id, err == nil && n == len(id) && id[6]>>4 == 7 && id[8]>>6 == 2
}
