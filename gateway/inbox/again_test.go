package inbox_test

import (
	"sync"
	"testing"
	"time"

	"karaula/gateway/inbox"
	"karaula/internal/border"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// lose empties streams while the inbox is closed, as an older or a new broker would.
func (d *desk) lose(names ...string) {
	d.t.Helper()
	for _, name := range names {
		s, err := d.broker.JS.Stream(d.t.Context(), name)
		if err == nil {
			err = s.Purge(d.t.Context())
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

// tell says what is due, as a channel does.
func (d *desk) tell() *karaulav1.LedgerReceipt {
	d.t.Helper()
	r := d.inbox.Receipt(true)
	if r != nil {
		d.inbox.Receipted(r)
		d.receipts = append(d.receipts, r)
	}
	return r
}

// open2 has al go on in epoch 2.
func (d *desk) open2() []byte {
	head := d.voice.Head()
	d.w.Rotate("al", nil)
	d.voice = d.w.Voice("al", d.text, channel)
	d.voice.Epoch = 2
	return d.voice.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_EPOCH, Body: &karaulav1.EpochBody{Continues: head, Reason: "contested"},
	})
}

// What was received in a later epoch is lost, and comes again after the end of its
// content: nothing is told twice, nothing otherwise than before, and no verdict changes.
func TestWhatWasToldOfALaterEpochStandsOverALoss(t *testing.T) {
	t.Parallel()
	in := subject.InStream(subject.Actual(channel), "al")
	for name, lost := range map[string][]string{
		"what was received":     {in},
		"and the verdicts, too": {in, subject.VerdictStream},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			all := d.beats(3)
			d.hand(1, all...)
			d.settled(3)
			if r := d.tell(); r.GetEpoch() != 1 || r.GetJudgedTo() != 3 {
				t.Fatalf("epoch 1: %v", r)
			}
			all = append(all, d.open2(), d.voice.Say(alert()))
			all = append(all, d.voice.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_NOTICE, Body: &karaulav1.NoticeBody{Notice: []byte("none")}}))
			d.hand(4, all[3:]...)
			d.until("the verdicts", func() bool { return len(d.judged) == len(all) })
			told := d.tell()
			if told.GetEpoch() != 2 || told.GetSince() != 0 || told.GetJudgedTo() != 3 || len(told.GetExceptions()) != 1 {
				t.Fatalf("epoch 2: %v", told)
			}
			first := append([]inbox.Judged{}, d.judged...)
			for _, j := range first {
				if !j.News() || j.Again {
					t.Errorf("number %d is no news", j.Placement.Position.Seq)
				}
			}

			d.close()
			d.lose(lost...)
			d.with(func() { d.judged, d.clock = nil, d.clock.AddDate(1, 0, 0) })
			d.open()
			for i, raw := range all {
				d.deliver(uint64(i+1), raw)
				d.until("a verdict", func() bool { return len(d.judged) == i+1 })
				if r := d.tell(); r != nil {
					t.Errorf("after %d of %d it is told: %v", i+1, len(all), r)
				}
			}
			for i, j := range d.judged {
				if j.News() != (len(lost) == 2) || !j.Again {
					t.Errorf("number %d: it is news: %v; it is there again: %v", j.Placement.Position.Seq, j.News(), j.Again)
				}
				if was := first[i]; len(lost) == 1 && (j.Verdict.Class != was.Verdict.Class || j.Verdict.Code != was.Verdict.Code ||
					j.Judgement.GetJudgedAt() != was.Judgement.GetJudgedAt() || j.Verdict.Agreement != was.Verdict.Agreement) {
					t.Errorf("number %d was %s and is %s", j.Placement.Position.Seq, was.Verdict.Class, j.Verdict.Class)
				}
			}
			d.deliver(7, d.beats(1)[0])
			d.until("the next", func() bool { return len(d.judged) == 7 })
			if j := d.judged[6]; !j.News() || j.Again {
				t.Error("the next is no news")
			}
			next := d.tell()
			if next.GetEpoch() != 2 || next.GetSince() != 3 || next.GetJudgedTo() != 4 || len(next.GetExceptions()) != 0 ||
				string(next.GetRoot()) != string(d.inbox.Head().GetRoot()) {
				t.Errorf("what is told next: %v", next)
			}
			d.restart()
			d.until("all is read back", func() bool { return len(d.judged) == 7 })
			if r := d.tell(); r != nil {
				t.Errorf("after a restart it is told: %v", r)
			}
		})
	}
}

// A verdict that is upheld is about the same bytes: what has the place now and was not
// judged before, is judged.
func TestOnlyTheSameBytesKeepTheirVerdict(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other := d.voice.Clone()
	d.deliver(1, d.voice.Say(alert()))
	d.settled(1)
	d.close()
	d.lose(subject.InStream(subject.Actual(channel), "al"))
	d.with(func() { d.judged, d.clock = nil, d.clock.AddDate(1, 0, 0) })
	d.open()
	d.deliver(1, other.Say(alert()))
	d.settled(1)
	if c := d.judged[0].Verdict.Class; c != karaulav1.VerdictClass_VERDICT_CLASS_EXPIRED {
		t.Errorf("it is %s", c)
	}
}

// A contradiction in one epoch has been told; the one in the next is told, too.
func TestAContradictionIsToldInEachEpoch(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	fork := func(at uint64) {
		t.Helper()
		twin := d.voice.Clone().Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT, Set: func(s *karaulav1.Statement) { s.SaidAt++ }})
		d.deliver(at, d.beats(1)[0])
		n := 0
		d.until("a verdict", func() bool { n = len(d.trouble); return uint64(len(d.judged)) >= at-uint64(n) })
		d.deliver(at+1, twin)
		d.until("the contest", func() bool { return len(d.trouble) == n+1 })
	}
	fork(1)
	if r := d.tell(); r.GetContested() == nil {
		t.Fatalf("epoch 1: %v", r)
	}
	d.deliver(3, d.open2())
	d.until("the epoch", func() bool { return len(d.judged) == 2 })
	fork(4)
	d.restart()
	r := d.inbox.Receipt(false)
	if r.GetEpoch() != 2 || r.GetContested() == nil {
		t.Fatalf("epoch 2: %v", r)
	}
	d.receipts = append(d.receipts, r)
	d.restart()
	if r := d.inbox.Receipt(false); r != nil {
		t.Errorf("once more: %v", r)
	}
}

// Who came in later and lost what it received begins where it began, and has told what
// it has told.
func TestWhoCameInLaterTellsNothingTwice(t *testing.T) {
	t.Parallel()
	d, early, brings, later := lateDesk(t)
	edge := edgeOf(t, early)
	d.edge = func(uint64) ([][32]byte, error) { return edge, nil }
	d.open()
	all := append([][]byte{brings}, later...)
	d.hand(before+1, all...)
	d.began(len(all))
	told := d.tell()
	if told.GetSince() != before || told.GetJudgedTo() != before+uint64(len(all)) {
		t.Fatalf("told: %v", told)
	}
	d.close()
	d.lose(subject.InStream(subject.Actual(channel), "al"))
	d.with(func() { d.judged, d.clock = nil, d.clock.Add(time.Hour) })
	d.open()
	for i, raw := range all {
		d.deliver(uint64(before+1+i), raw)
		d.until("a verdict", func() bool { return len(d.judged) == i+1 })
		if r := d.tell(); r != nil {
			t.Errorf("after %d it is told: %v", i+1, r)
		}
	}
	d.began(len(all))
}

// What was accepted in an epoch that is over by now is erased: the partner is told, once,
// with the root that it was told before.
func TestErasuresOfAnEpochThatIsOverAreTold(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.deliver(1, d.voice.Say(alert()))
	d.settled(1)
	first := d.tell()
	d.deliver(2, d.open2())
	d.until("the epoch", func() bool { return len(d.judged) == 2 })
	second := d.tell()
	if first.GetEpoch() != 1 || second.GetEpoch() != 2 {
		t.Fatalf("%v, %v", first, second)
	}
	at := border.Position{Epoch: 1, Seq: 1}
	d.inbox.Erased(at, d.now().UnixMicro())
	r := d.inbox.Receipt(false)
	if r.GetEpoch() != 1 || r.GetSince() != 1 || r.GetJudgedTo() != 1 || string(r.GetRoot()) != string(first.GetRoot()) ||
		len(r.GetErasures()) != 1 || r.GetErasures()[0].GetSeq() != 1 || len(r.GetExceptions()) != 0 {
		t.Fatalf("told: %v", r)
	}
	d.inbox.Receipted(r)
	d.receipts = append(d.receipts, r)
	for range 2 {
		if r := d.inbox.Receipt(true); r != nil {
			t.Errorf("told again: %v", r)
		}
		d.restart()
		d.until("all is read back", func() bool { return len(d.judged) == 2 })
	}
	d.deliver(3, d.voice.Say(alert()))
	d.until("the next", func() bool { return len(d.judged) == 3 })
	if r := d.tell(); r.GetEpoch() != 2 || r.GetSince() != 1 || r.GetJudgedTo() != 2 {
		t.Errorf("told next: %v", r)
	}
}

// What is missing in the epoch before is asked for by its number though the next epoch is
// here already, and that goes on then.
func TestWhatIsMissingBeforeALaterEpochIsAskedFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first, second, last := d.voice.Say(alert()), d.beats(1)[0], d.voice.Say(alert())
	opens, next := d.open2(), d.beats(1)[0]
	bare := func(raw []byte) []byte { return []byte(stub(t, raw)) }
	d.with(func() { d.numbers = map[uint64][]byte{1: bare(first), 3: bare(last)} }) // erased, and in the stream no more
	d.deliver(2, second)
	d.deliver(4, opens)
	d.deliver(5, next)
	var again sync.WaitGroup
	rewinds := 0
	d.until("all is here", func() bool {
		d.clock = d.clock.Add(time.Second)
		if len(d.rewinds) > rewinds { // redelivery brings what is in the stream
			rewinds = len(d.rewinds)
			again.Go(func() {
				d.deliver(2, second)
				d.deliver(4, opens)
				d.deliver(5, next)
			})
		}
		return len(d.judged) == 5
	})
	again.Wait()
	if at := d.inbox.Next(); at.Epoch != 2 || at.Seq != 3 || len(d.trouble) > 0 {
		t.Errorf("goes on at %v; trouble %v", at, d.trouble)
	}
}
