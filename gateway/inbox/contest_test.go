package inbox_test

import (
	"strings"
	"testing"

	"karaula/gateway/inbox"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func alert() testworld.Draft {
	const typ = karaulav1.AlertType_ALERT_TYPE_VEHICLE
	return testworld.Draft{Kind: karaulav1.Kind_KIND_ALERT, Type: typ, Alert: testworld.Alert(typ)}
}

func stub(t *testing.T, raw []byte) string {
	t.Helper()
	out, err := envelope.Stub(raw)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Both sides of a contradiction are there for whoever wants to prove it, however
// much junk comes afterwards, and after a restart.
func TestBothSidesOfAForkAreKept(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string]bool{"one by one": false, "in one batch": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			first := d.beats(1)[0]
			other := d.voice.Clone()
			one := d.beats(1)[0]
			two := other.Say(alert())
			d.deliver(1, first)
			d.deliver(2, one)
			if !batch {
				d.settled(2)
			}
			d.deliver(3, two)
			d.until("the contest", func() bool { return len(d.trouble) == 1 })
			check := func() {
				t.Helper()
				all := d.inbox.Contradictions()
				if len(all) != 1 || all[0].Epoch != 1 || all[0].Contest.GetSize() != 2 ||
					string(all[0].First) != stub(t, one) || string(all[0].Second) != stub(t, two) {
					t.Fatalf("%+v", all)
				}
			}
			check()
			d.restart()
			check()
		})
	}
}

// A statement that does not continue what was said contradicts the one before it.
func TestBothSidesOfABrokenChainAreKept(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.deliver(1, d.beats(1)[0])
	other := d.voice.Clone()
	one := d.beats(1)[0]
	other.Say(alert()) // number 2 as somebody else may have heard it
	bad := other.Say(alert())
	d.deliver(2, one)
	d.deliver(3, bad)
	d.until("the contest", func() bool { return len(d.trouble) == 1 })
	all := d.inbox.Contradictions()
	if len(all) != 1 || string(all[0].First) != stub(t, one) || string(all[0].Second) != stub(t, bad) {
		t.Fatalf("%+v", all)
	}
}

// A partner that delivers another history after this node has lost its disk is
// found out by the receipts that this node has said.
func TestAnotherHistoryAfterALossIsFoundOut(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.beats(1)[0]
	d.deliver(1, first)
	other := d.voice.Clone()
	d.deliver(2, d.beats(1)[0])
	d.deliver(3, d.beats(1)[0])
	d.settled(3)
	r := d.inbox.Receipt(true)
	if r.GetJudgedTo() != 3 {
		t.Fatalf("the receipt: %v", r)
	}
	d.receipts = []*karaulav1.LedgerReceipt{r}
	d.close()
	for _, name := range []string{subject.InStream(subject.Actual(channel), "al"), subject.VerdictStream} {
		s, err := d.broker.JS.Stream(t.Context(), name)
		if err == nil {
			err = s.Purge(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d.judged = nil
	d.open()
	// The first is delivered as it was, then others.
	d.deliver(1, first)
	for seq := uint64(2); seq <= 4; seq++ {
		d.deliver(seq, other.Say(alert()))
	}
	d.until("the contest", func() bool { return len(d.trouble) == 1 && d.trouble[0].Kind == border.Fork })
	all := d.inbox.Contradictions()
	if len(all) != 1 || all[0].Contest.GetSize() != 3 || string(all[0].Contest.GetSeen()) != string(r.GetRoot()) {
		t.Fatalf("%+v", all)
	}
	if got := d.inbox.Receipt(true); got.GetContested().GetSize() != 3 {
		t.Errorf("the next receipt: %v", got)
	}
	d.until("that the next is held", func() bool {
		return len(d.judged) == 4 && d.judged[3].Verdict.Class == karaulav1.VerdictClass_VERDICT_CLASS_HELD
	})
}

// The other side of a contradiction that a new epoch has settled stops nothing.
func TestASettledContradictionStopsNoLaterEpoch(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.deliver(1, d.beats(1)[0])
	head := d.voice.Head()
	other := d.voice.Clone()
	d.deliver(2, d.beats(1)[0])
	two := other.Say(alert())
	d.w.Rotate("al", nil)
	fresh := d.w.Voice("al", d.text, channel)
	fresh.Epoch = 2
	d.deliver(3, fresh.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_EPOCH, Body: &karaulav1.EpochBody{Continues: head, Reason: "contested"},
	}))
	d.until("the new epoch", func() bool { return len(d.judged) == 3 })
	d.deliver(4, two)
	d.until("the old contest", func() bool { return len(d.trouble) == 1 })
	d.deliver(5, fresh.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT}))
	d.until("the next", func() bool {
		return len(d.judged) == 4 && d.judged[3].Verdict.Class == karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED
	})
	if all := d.inbox.Contradictions(); len(all) != 1 || all[0].Epoch != 1 || all[0].Second == nil {
		t.Errorf("%+v", all)
	}
	if _, _, _, _, contested := d.inbox.Status(); contested {
		t.Error("the new epoch is contested")
	}
}

// A full verdict stream stops verdicts and nothing else: what arrives is stored
// and acknowledged as far as the queues go, the rest stays with the sender, and
// everything is judged once there is room.
func TestAFullVerdictStreamLosesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.deliver(1, d.beats(1)[0])
	d.settled(1)
	d.broker.Full(subject.VerdictStream, true)
	for i, raw := range d.beats(40) {
		d.deliver(uint64(i+2), raw)
	}
	d.until("that it is said", func() bool { return stuck(d.inbox, "verdicts cannot be stored: the stream is full") })
	d.until("that some are stored all the same", func() bool { return d.inbox.Head().GetSize() > 1 })
	if r := d.inbox.Receipt(true); r.GetJudgedTo() > 1 {
		t.Errorf("receipted without a verdict: %v", r)
	}
	d.broker.Full(subject.VerdictStream, false)
	d.settled(41)
	d.until("that all is well", func() bool { return len(d.inbox.Stuck()) == 0 })
}

func stuck(b *inbox.Inbox, why string) bool {
	return strings.Contains(strings.Join(b.Stuck(), "; "), why)
}
