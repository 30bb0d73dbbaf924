package book_test

import (
	"testing"

	"karaula/gateway/book"
	"karaula/internal/ledger"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func entry(seq uint64, id byte) book.Entry {
	return book.Entry{
		Ledger: ledger.ID{1}, Channel: "b01-al-me", Origin: "al", Epoch: 1, Seq: seq, Leaf: [32]byte{byte(seq)},
		SaidAt: int64(seq), Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE, Opened: true, ID: [16]byte{id}, Version: 1,
		Class: karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED, Readers: []string{"me"},
	}
}

func receipt(to uint64, exceptions ...*karaulav1.ReceiptException) *karaulav1.LedgerReceipt {
	id := ledger.ID{1}
	return &karaulav1.LedgerReceipt{Ledger: id[:], Epoch: 1, JudgedTo: to, Exceptions: exceptions}
}

func TestListGivesTheNewestFirstAndFilters(t *testing.T) {
	t.Parallel()
	b := book.New()
	for i := range uint64(5) {
		b.Add(entry(i+1, byte(i+1)))
	}
	got := b.List(book.Filter{Limit: 2})
	if len(got) != 2 || got[0].Seq != 5 || got[1].Seq != 4 {
		t.Errorf("List = %+v", got)
	}
	if got := b.List(book.Filter{Since: 4}); len(got) != 2 {
		t.Errorf("since 4: %d entries, want 2", len(got))
	}
	if got := b.List(book.Filter{Channel: "other"}); len(got) != 0 {
		t.Errorf("other channel: %d entries", len(got))
	}
}

func TestTheSameStatementTwiceIsOneEntry(t *testing.T) {
	t.Parallel()
	b := book.New()
	b.Add(entry(1, 7))
	b.Add(entry(1, 7))
	if n := len(b.Find([16]byte{7})); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	if at, ok := b.Accepted(ledger.ID{1}, [16]byte{7}, 1); !ok || at.Seq != 1 {
		t.Errorf("Accepted = %v, %v", at, ok)
	}
	if _, ok := b.Accepted(ledger.ID{1}, [16]byte{7}, 2); ok {
		t.Error("version 2 was never accepted")
	}
	if _, ok := b.Accepted(ledger.ID{2}, [16]byte{7}, 1); ok {
		t.Error("the alert was not accepted on the other ledger")
	}
}

func TestDeliveryFollowsReceipts(t *testing.T) {
	t.Parallel()
	b := book.New()
	state := func(seq uint64) karaulav1.DeliveryState {
		return b.Delivery(ledger.ID{1}, "me", 1, seq).GetState()
	}
	if state(1) != karaulav1.DeliveryState_DELIVERY_STATE_WAITING {
		t.Error("without a receipt it must wait")
	}
	b.Receipt("me", receipt(3, &karaulav1.ReceiptException{
		Seq:      2,
		Class:    karaulav1.VerdictClass_VERDICT_CLASS_REFUSED,
		Code:     karaulav1.Code_CODE_TYPE_NOT_ALLOWED,
		JudgedAt: 11,
	}), 10)
	b.Receipt("me", receipt(5), 20)
	b.Receipt("me", receipt(4), 30) // an older one, come late
	if d := b.Delivery(
		ledger.ID{1},
		"me",
		1,
		1,
	); d.GetState() != karaulav1.DeliveryState_DELIVERY_STATE_ACCEPTED ||
		d.GetSince() != 10 {
		t.Errorf("1: %v", d)
	}
	if d := b.Delivery(ledger.ID{1}, "me", 1, 2); d.GetState() != karaulav1.DeliveryState_DELIVERY_STATE_REFUSED ||
		d.GetCode() != karaulav1.Code_CODE_TYPE_NOT_ALLOWED {
		t.Errorf("2: %v", d)
	}
	if d := b.Delivery(ledger.ID{1}, "me", 1, 4); d.GetSince() != 20 {
		t.Errorf("4: %v", d)
	}
	if state(6) != karaulav1.DeliveryState_DELIVERY_STATE_WAITING {
		t.Error("6 was not judged")
	}
	if got := b.JudgedTo(ledger.ID{1}, "me", 1); got != 5 {
		t.Errorf("JudgedTo = %d, want 5", got)
	}
}

func TestIncompleteWhileFilling(t *testing.T) {
	t.Parallel()
	b := book.New()
	one, two := b.Fill(), b.Fill()
	one()
	one()
	if b.Complete() {
		t.Error("one read-back is still going on")
	}
	two()
	if !b.Complete() {
		t.Error("nothing is going on any more")
	}
}

func TestIDTextComesBack(t *testing.T) {
	t.Parallel()
	id := [16]byte{1, 2, 3, 4, 5, 6, 0x71, 8, 0x91, 10, 11, 12, 13, 14, 15, 16}
	got, ok := book.ParseID(book.IDText(id))
	if !ok || got != id {
		t.Errorf("ParseID(%q) = %v, %v", book.IDText(id), got, ok)
	}
	for _, s := range []string{"", "x", "01020304-0506-4108-9109-0a0b0c0d0e0f", "01020304050671089109-0a0b0c0d0e0f1-"} {
		if _, ok := book.ParseID(s); ok {
			t.Errorf("ParseID(%q) succeeded", s)
		}
	}
}

// A recipient that has lost what it received may say more than once what it did with
// it: what was accepted stays so, and what it has erased again counts from then on.
func TestAnAnswerIsNotTakenBack(t *testing.T) {
	t.Parallel()
	b := book.New()
	b.Receipt("me", receipt(3), 10)
	again := receipt(4, &karaulav1.ReceiptException{Seq: 2, Class: karaulav1.VerdictClass_VERDICT_CLASS_EXPIRED, JudgedAt: 20},
		&karaulav1.ReceiptException{Seq: 4, Class: karaulav1.VerdictClass_VERDICT_CLASS_EXPIRED, JudgedAt: 20})
	for _, at := range []int64{5, 25, 15} {
		again.Erasures = []*karaulav1.Erasure{{Seq: 3, DoneAt: at}}
		b.Receipt("me", again, 20)
	}
	for seq, want := range map[uint64]karaulav1.DeliveryState{
		2: karaulav1.DeliveryState_DELIVERY_STATE_ACCEPTED, 4: karaulav1.DeliveryState_DELIVERY_STATE_LAPSED,
	} {
		if d := b.Delivery(ledger.ID{1}, "me", 1, seq); d.GetState() != want {
			t.Errorf("%d: %v", seq, d)
		}
	}
	if d := b.Delivery(ledger.ID{1}, "me", 1, 3); d.GetErasedAt() != 25 {
		t.Errorf("3: %v", d)
	}
}
