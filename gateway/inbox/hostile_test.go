package inbox_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"karaula/gateway/inbox"
	"karaula/gateway/stream"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// A partner may fill its own stream with junk. It must not fill ours, nor our
// logs, nor make us say a receipt for every piece.
func TestAFloodOfJunkIsCountedAndNotKept(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	all := d.beats(2)
	d.deliver(1, all[0])
	const flood = 1500
	for i := range uint64(flood) {
		d.deliver(2+i, fmt.Appendf(nil, "junk %d", i))
	}
	d.deliver(2+flood, all[1])
	d.settled(2)
	d.until("the last acknowledgement", func() bool { return slices.Contains(d.acked, 2+flood) })
	if _, _, _, n, _ := d.inbox.Status(); n != flood {
		t.Errorf("%d pieces were counted, want %d", n, flood)
	}
	kept, _, err := stream.Open(d.broker.JS, subject.QuarantineStream).Size(t.Context())
	if err != nil || kept == 0 || kept > 200 {
		t.Errorf("%d of %d pieces were kept, %v", kept, flood, err)
	}
	d.with(func() {
		if len(d.trouble) == 0 || len(d.trouble) > 200 {
			t.Errorf("%d pieces of %d were told of", len(d.trouble), flood)
		}
	})
	d.inbox.Receipted(d.inbox.Receipt(false))
	d.deliver(3+flood, []byte("one more"))
	d.until("it", func() bool { _, _, _, n, _ := d.inbox.Status(); return n == flood+1 })
	if r := d.inbox.Receipt(false); r != nil {
		t.Errorf("every piece of junk makes us say a receipt: %v", r)
	}
	d.with(func() { d.clock = d.clock.Add(time.Minute) })
	if r := d.inbox.Receipt(false); r.GetQuarantined() != flood+1 {
		t.Errorf("receipt after a minute: %v", r)
	}
}

// What was stored and not judged when the gateway stopped is judged after the
// start, however much it is.
func TestALongBacklogIsJudgedAfterAStart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const many = 9000 // one verdict record about all of them would be too large for the broker
	d.close()
	in := stream.Open(d.broker.JS, subject.InStream(subject.Actual(channel), "al"))
	all := d.beats(many)
	for from := 0; from < many; from += stream.MaxBatch {
		var msgs []stream.Msg
		for _, b := range all[from : from+stream.MaxBatch] {
			msgs = append(msgs, stream.Msg{Subject: subject.In(subject.Actual(channel), "al"), Data: b})
		}
		if _, err := in.Append(t.Context(), msgs, uint64(from)); err != nil {
			t.Fatal(err)
		}
	}
	d.open()
	d.settled(many)
}

// future makes alerts that are held until their time comes.
func (d *desk) future(n, size int) (out [][]byte) {
	for range n {
		a := testworld.Alert(karaulav1.AlertType_ALERT_TYPE_ROUTE)
		out = append(out, d.voice.Say(testworld.Draft{
			Kind: karaulav1.Kind_KIND_ALERT, Type: a.GetType(), Alert: a,
			Set: func(s *karaulav1.Statement) {
				s.SaidAt = d.w.Now.Add(time.Hour).UnixMicro()
			},
			InnerBytes: func(b []byte) []byte {
				return append(b, make([]byte, size)...) // what is inside is not looked at while it is held
			},
		}))
	}
	return out
}

// Held statements wait on disk, not in memory: how many there are is for the
// partner to decide.
func TestHeldStatementsDoNotFillTheMemory(t *testing.T) {
	d := newDesk(t)
	const n, size = 150, 200 << 10
	for i := range n {
		d.deliver(uint64(i+1), d.future(1, size)[0])
	}
	d.settled(n)
	d.with(func() { d.judged = nil })
	var m runtime.MemStats
	d.until("the memory", func() bool {
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc < n*size/2
	})
}

// A held statement whose verdict stays the same is not written down again and
// again: the verdict stream is shared by all partners, and who may change the
// register (every partner may, by a new card) must not be able to fill it.
func TestTheSameVerdictIsNotWrittenTwice(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i, b := range d.future(20, 0) {
		d.deliver(uint64(i+1), b)
	}
	d.settled(20)
	verdicts := func() uint64 {
		msgs, _, err := stream.Open(d.broker.JS, subject.VerdictStream).Size(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return msgs
	}
	before := verdicts()
	for range 3 {
		d.w.Rotate("me", nil)
		time.Sleep(600 * time.Millisecond) // the judge looks four times a second
	}
	d.with(func() {
		if len(d.judged) != 20 {
			t.Errorf("%d verdicts were told, want 20", len(d.judged))
		}
	})
	if after := verdicts(); after != before {
		t.Errorf("%d more records of the same verdicts", after-before)
	}
	d.with(func() { d.clock = d.clock.Add(time.Hour) })
	d.until("the verdicts when the time has come", func() bool { return len(d.judged) == 40 })
	d.with(func() {
		for _, j := range d.judged[20:] {
			if j.Verdict.Class == karaulav1.VerdictClass_VERDICT_CLASS_HELD {
				t.Fatalf("number %d is still held: %v", j.Placement.Position.Seq, j.Verdict.Code)
			}
		}
	})
}

// What waits for its place is bounded by bytes, not by number only.
func TestMailIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.broker.Full(subject.InStream(subject.Actual(channel), "al"), true)
	d.deliver(1, d.beats(1)[0]) // cannot be stored: everything behind it waits
	big := make([]byte, subject.MaxEnvelope)
	taken := 0
	for ; taken < 500; taken++ {
		ctx, cancel := timeout(200 * time.Millisecond)
		err := d.inbox.Deliver(ctx, inbox.Delivery{Data: big, StreamSeq: uint64(taken + 2), Ack: func() error { return nil }})
		cancel()
		if err != nil {
			break
		}
	}
	if taken > 64 {
		t.Errorf("%d MiB wait in memory", taken)
	}
}

func timeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
