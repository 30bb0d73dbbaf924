package inbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"karaula/gateway/inbox"
	"karaula/gateway/stream"
	"karaula/internal/agreement"
	"karaula/internal/border"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/seal"
	"karaula/internal/subject"
	"karaula/internal/testbroker"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const channel = "b01-al-me"

// desk is me's inbox for what al says, over a real broker.
type desk struct {
	t      *testing.T
	w      *testworld.World
	text   *agreement.Agreement
	voice  *testworld.Voice
	broker *testbroker.Broker
	inbox  *inbox.Inbox
	cancel context.CancelFunc

	verdictKey []byte
	joined     [32]byte // the text with which me came in

	mu       sync.Mutex
	judged   []inbox.Judged
	trouble  []border.Placement
	acked    []uint64
	rewinds  []uint64
	receipts []*karaulav1.LedgerReceipt
	fetched  []uint64
	copies   map[uint64]border.Position            // by stream sequence
	edge     func(size uint64) ([][32]byte, error) // what partners give as a right edge
	numbers  map[uint64][]byte
	clock    time.Time
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, w: testworld.New(t, "al", "me"), broker: testbroker.Start(t), clock: testworld.Start, copies: map[uint64]border.Position{}}
	d.verdictKey = testworld.Random(inbox.VerdictKeySize)
	d.text = d.w.Agree(d.w.Text(channel, []string{"al", "me"}))
	d.voice = d.w.Voice("al", d.text, channel)
	d.broker.Stream(subject.InStream(subject.Actual(channel), "al"), subject.In(subject.Actual(channel), "al"))
	d.broker.Stream(subject.VerdictStream, "verdict.>")
	d.broker.Stream(subject.QuarantineStream, "quarantine.>")
	d.open()
	return d
}

func (d *desk) open() {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	led := border.NewLedger(d.voice.ID, channel, "al", karaulav1.Mode_MODE_ACTUAL)
	led.Joined = d.joined
	var err error
	d.inbox, err = inbox.Open(ctx, inbox.Config{
		Ledger:  led,
		Checker: &border.Checker{Self: "me", Skew: 5 * time.Minute, Opener: opener{d.w.Parties["me"]}},
		In: stream.Open(
			d.broker.JS,
			subject.InStream(subject.Actual(channel), "al"),
		),
		Verdicts:   stream.Open(d.broker.JS, subject.VerdictStream),
		Quarantine: stream.Open(d.broker.JS, subject.QuarantineStream),
		Register:   d.w.Parties["me"].Register(),
		Partner:    d,
		VerdictKey: d.verdictKey,
		Accepted:   func([16]byte, uint32) (border.Position, bool) { return border.Position{}, false },
		Before:     func([16]byte, uint32) (border.Earlier, bool) { return border.Earlier{}, false },
		OnJudged:   func(j inbox.Judged) { d.with(func() { d.judged = append(d.judged, j) }) },
		OnCopy:     func(at border.Position, _ [32]byte, seq uint64) { d.with(func() { d.copies[seq] = at }) },
		OnRootChange: func(file []byte) {
			if err := d.w.Parties["me"].Register().AddNotice(file); err != nil {
				d.t.Error(err)
			}
		},
		OnTrouble: func(p border.Placement) { d.with(func() { d.trouble = append(d.trouble, p) }) },
		Seats:     make(chan struct{}, 2),
		Now:       d.now,
		Logger:    slog.New(slog.DiscardHandler),
	}, d.receipts)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(d.close)
}

func (d *desk) close() {
	d.cancel()
	d.inbox.Wait()
}

// restart stops and opens the inbox on the same streams.
func (d *desk) restart() {
	d.t.Helper()
	d.close()
	d.judged = nil
	d.open()
}

type opener struct{ p *testworld.Party }

func (o opener) Open(rec *karaulav1.Recipient, sealed []byte, i, n int) ([]byte, error) {
	key, ok := o.p.Identity(rec.GetUse(), rec.GetKeyId())
	if !ok {
		return nil, problem.New(problem.Locked, "no such key")
	}
	return seal.Open(sealed, key.Identity, i, n)
}

func (d *desk) with(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clock
}

// FetchCard gives what the world's al has, as a link would.
func (d *desk) FetchCard(_ context.Context, serial uint64, _ [32]byte) error {
	d.with(func() { d.fetched = append(d.fetched, serial) })
	for _, c := range d.w.Parties["al"].Cards {
		if c.Serial == serial {
			_, err := d.w.Parties["me"].Register().AddCard(c.Signed, register.AddCardOptions{})
			return err
		}
	}
	return problem.New(problem.NotFound, "no such card")
}

func (d *desk) FetchAgreement(context.Context, [32]byte) error {
	return problem.New(problem.NotFound, "no such text")
}

func (d *desk) FetchEdge(_ context.Context, _ string, _ [32]byte, _, size uint64, _ [32]byte) ([][32]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.edge == nil {
		return nil, problem.New(problem.NotFound, "no such edge")
	}
	return d.edge(size)
}

// Statements gives what al has by its numbers; in most tests nothing.
func (d *desk) Statements(_ context.Context, _ [32]byte, _, from, to uint64) (out [][]byte, err error) {
	d.with(func() {
		for seq := from; seq <= to && d.numbers[seq] != nil; seq++ {
			out = append(out, d.numbers[seq])
		}
	})
	if len(out) == 0 {
		return nil, problem.New(problem.NotFound, "none of these statements is here")
	}
	return out, nil
}

func (d *desk) Rewind(_ context.Context, _ string, _, from uint64) error {
	d.with(func() { d.rewinds = append(d.rewinds, from) })
	return nil
}

// deliver hands bytes over as the partner's stream message number seq.
func (d *desk) deliver(seq uint64, data []byte) {
	d.t.Helper()
	err := d.inbox.Deliver(d.t.Context(), inbox.Delivery{
		Data: data, StreamSeq: seq,
		Ack: func() error { d.with(func() { d.acked = append(d.acked, seq) }); return nil },
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// beats makes n heartbeats of al.
func (d *desk) beats(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = d.voice.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT})
	}
	return out
}

// until waits for a condition; only a broken program makes it fail.
func (d *desk) until(what string, cond func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		d.mu.Lock()
		ok := cond()
		d.mu.Unlock()
		if ok {
			return
		}
	}
	d.t.Fatalf(
		"%s does not happen; judged %d, acked %v, rewinds %v, trouble %d",
		what,
		len(d.judged),
		d.acked,
		d.rewinds,
		len(d.trouble),
	)
}

// settled waits until n statements are judged, and checks that their numbers
// are 1 to n, each once and in order.
func (d *desk) settled(n int) {
	d.t.Helper()
	d.until(fmt.Sprintf("the verdict on %d", n), func() bool { return len(d.judged) >= n })
	d.with(func() {
		for i, j := range d.judged {
			if j.Placement.Position.Seq != uint64(i+1) {
				d.t.Errorf("verdict %d is about number %d", i+1, j.Placement.Position.Seq)
			}
		}
	})
	if got := d.inbox.Head().GetSize(); got != uint64(n) {
		d.t.Errorf("the ledger has %d statements, want %d", got, n)
	}
}

func TestInOrder(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i, b := range d.beats(50) {
		d.deliver(uint64(i+1), b)
	}
	d.settled(50)
	d.until("the last acknowledgement", func() bool { return slices.Contains(d.acked, 50) })
	if root := d.voice.Head().GetRoot(); string(d.inbox.Head().GetRoot()) != string(root) {
		t.Error("the ledgers differ")
	}
}

// TestTheLossOfTheFirstPitfall carries out what docs/spec/link.md describes:
// 50 fetched, 30 acknowledged, the link cut; then 51 to 100 come first, and 31
// to 50 only later. Nothing may be acknowledged beyond 30 until 31 is here.
func TestTheLossOfTheFirstPitfall(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	all := d.beats(100)
	for i := range 30 {
		d.deliver(uint64(i+1), all[i])
	}
	d.settled(30)
	for i := 50; i < 100; i++ {
		d.deliver(uint64(i+1), all[i])
	}
	d.until("the rewind", func() bool { d.clock = d.clock.Add(100 * time.Millisecond); return len(d.rewinds) > 0 })
	d.with(func() {
		if slices.Max(d.acked) > 30 || d.rewinds[0] != 31 {
			t.Errorf("acknowledged up to %d, rewound to %d; want 30 and 31", slices.Max(d.acked), d.rewinds[0])
		}
	})
	for i := 30; i < 100; i++ {
		d.deliver(uint64(i+1), all[i])
	}
	d.settled(100)
	d.until("the last acknowledgement", func() bool { return slices.Contains(d.acked, 100) })
}

func TestWhatIsAheadFollowsAsSoonAsTheGapIsFilled(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	all := d.beats(5)
	for _, i := range []int{0, 4, 2, 3, 1} {
		d.deliver(uint64(i+1), all[i])
	}
	d.settled(5)
	if len(d.rewinds) != 0 {
		t.Error("a rewind was asked for without need")
	}
}

func TestJunkIsPutAsideAndNeverAcknowledgedAcrossAGap(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	all := d.beats(4)
	d.deliver(1, all[0])
	d.deliver(2, []byte("junk")) // right behind: may be acknowledged
	d.until("junk acknowledged", func() bool { return slices.Contains(d.acked, 2) })
	d.deliver(9, []byte("more junk")) // 3 to 8 may still be on their way
	d.until("both put aside", func() bool { return len(d.trouble) == 2 })
	d.deliver(3, all[1])
	d.settled(2)
	d.until("the acknowledgement of 3", func() bool { return slices.Contains(d.acked, 3) })
	d.with(func() {
		if slices.Contains(d.acked, 9) {
			t.Error("junk was acknowledged across a gap: what lies before it would be lost")
		}
	})
	b, _, err := stream.Open(d.broker.JS, subject.QuarantineStream).Size(t.Context())
	if err != nil || b != 2 {
		t.Errorf("quarantine holds %d messages, %v; want 2", b, err)
	}
	if r := d.inbox.Receipt(false); r.GetQuarantined() != 2 {
		t.Errorf("the receipt tells of %d pieces, want 2", r.GetQuarantined())
	}
}

func TestRedeliveryIsHarmless(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	all := d.beats(10)
	for range 3 {
		for i, b := range all {
			d.deliver(uint64(i+1), b)
		}
	}
	d.settled(10)
	d.deliver(11, d.beats(1)[0])
	d.settled(11)
	if len(d.trouble) != 0 {
		t.Errorf("redelivery made trouble: %+v", d.trouble[0])
	}
}

func TestARestartGoesOnAndJudgesNothingTwice(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i, b := range d.beats(20) {
		d.deliver(uint64(i+1), b)
	}
	d.settled(20)
	before := d.inbox.Head()
	d.broker.Restart()
	d.restart()
	d.settled(20)
	for _, j := range d.judged {
		if !j.Replayed {
			t.Fatalf("number %d was judged again", j.Placement.Position.Seq)
		}
	}
	if string(d.inbox.Head().GetRoot()) != string(before.GetRoot()) {
		t.Error("the ledger changed by a restart")
	}
	d.deliver(21, d.beats(1)[0])
	d.settled(21)
}

func TestALostDiskIsAskedForAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	all := d.beats(10)
	for i, b := range all {
		d.deliver(uint64(i+1), b)
	}
	d.settled(10)
	d.close()
	d.broker = testbroker.Start(t)
	d.broker.Stream(subject.InStream(subject.Actual(channel), "al"), subject.In(subject.Actual(channel), "al"))
	d.broker.Stream(subject.VerdictStream, "verdict.>")
	d.broker.Stream(subject.QuarantineStream, "quarantine.>")
	d.judged = nil
	d.open()
	d.inbox.Expect(1, 10) // the partner's greeting says what there is
	d.until("the rewind to 1", func() bool {
		d.clock = d.clock.Add(100 * time.Millisecond)
		return slices.Contains(d.rewinds, 1)
	})
	for i, b := range all {
		d.deliver(uint64(i+1), b)
	}
	d.settled(10)
}

func TestAnUnknownCardIsFetched(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.w.Rotate("al", nil) // me does not have it
	d.voice.Card = d.w.Parties["al"].Card
	d.deliver(1, d.voice.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT}))
	d.settled(1)
	if fmt.Sprint(d.fetched) != "[2]" {
		t.Errorf("fetched cards %v, want serial 2", d.fetched)
	}
}

// A change of the root, the first card by the new one and what is said under that
// card may come faster than anything is judged.
func TestARootChangesBeforeAnythingIsJudged(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	fresh, change := d.w.ChangeRoot("al")
	d.deliver(1, d.voice.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_NOTICE, Body: &karaulav1.NoticeBody{Notice: change}}))
	d.deliver(2, d.voice.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_CARD, Body: &karaulav1.CardBody{Card: fresh.Signed}}))
	d.voice.Card = fresh
	d.deliver(3, d.voice.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT}))
	d.settled(3)
	d.with(func() {
		if len(d.trouble) > 0 {
			t.Errorf("put aside: %+v", d.trouble)
		}
	})
}

func TestReceiptsAreCumulativeAndNeverAboutReceipts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.deliver(1, d.beats(1)[0])
	d.settled(1)
	if r := d.inbox.Receipt(false); r != nil {
		t.Errorf("a heartbeat called for a receipt: %v", r)
	}
	bad := testworld.Draft{Kind: karaulav1.Kind_KIND_NOTICE, Body: &karaulav1.NoticeBody{Notice: []byte("no notice")}}
	d.deliver(2, d.voice.Say(bad))
	d.deliver(3, d.beats(1)[0])
	d.settled(3)
	r := d.inbox.Receipt(false)
	if r.GetJudgedTo() != 3 || len(r.GetExceptions()) != 1 || r.GetExceptions()[0].GetSeq() != 2 ||
		r.GetExceptions()[0].GetCode() != karaulav1.Code_CODE_BAD_BODY {
		t.Fatalf("receipt: %v", r)
	}
	if root := d.inbox.Head().GetRoot(); string(r.GetRoot()) != string(root) {
		t.Error("the receipt names another root")
	}
	d.inbox.Receipted(r)
	if again := d.inbox.Receipt(false); again != nil {
		t.Errorf("told twice: %v", again)
	}
	d.receipts = append(d.receipts, r)
	d.restart()
	d.settled(3)
	if again := d.inbox.Receipt(false); again != nil {
		t.Errorf("told again after a restart: %v", again)
	}
}

func TestAForkIsContestedAndKept(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other := d.voice.Clone()
	d.deliver(1, d.beats(1)[0])
	d.settled(1)
	twin := other.Say(
		testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT, Set: func(s *karaulav1.Statement) { s.SaidAt++ }},
	)
	d.deliver(2, twin)
	d.until("the contest", func() bool { return len(d.trouble) == 1 && d.trouble[0].Kind == border.Fork })
	if r := d.inbox.Receipt(false); r.GetContested().GetSize() != 1 {
		t.Errorf("the receipt does not tell: %v", r)
	}
	if _, _, _, _, contested := d.inbox.Status(); !contested {
		t.Error("the status does not show it")
	}
}
