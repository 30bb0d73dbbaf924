package gateway

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/gateway/erase"
	"karaula/gateway/inbox"
	"karaula/gateway/stream"
	"karaula/internal/alert"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/life"
	"karaula/internal/notice"
	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// deliver hands me's statements to al's ear, and waits until they are judged.
func (h *house) deliver(raws ...[]byte) {
	h.t.Helper()
	ear := h.gateway.channel(channelID).ear("me")
	for _, raw := range raws {
		_, before, _, _, _ := ear.Status()
		d := inbox.Delivery{Data: raw, StreamSeq: before + 1, Ack: func() error { return nil }}
		must(h.t, ear.Deliver(h.t.Context(), d))
		h.until("a verdict", func() bool { _, n, _, _, _ := ear.Status(); return n > before })
	}
}

// meSays makes an alert of me.
func meSays(v *testworld.Voice) (raw []byte, at border.Position, leaf [32]byte) {
	return meSaysAs(v, nil)
}

// meSaysAs makes one whose sealed message is changed.
func meSaysAs(v *testworld.Voice, change func(*karaulav1.Inner)) (raw []byte, at border.Position, leaf [32]byte) {
	seq := v.Tree.Size() + 1
	raw = v.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_ALERT, Type: karaulav1.AlertType_ALERT_TYPE_ROUTE,
		Alert: testworld.Alert(karaulav1.AlertType_ALERT_TYPE_ROUTE), Inner: change,
	})
	p, _ := envelope.Peek(raw)
	return raw, border.Position{Epoch: 1, Seq: seq}, p.Leaf
}

// probe is a piece of an envelope's sealed content.
func probe(t testing.TB, raw []byte) []byte {
	t.Helper()
	p, err := envelope.Parse(raw)
	must(t, err)
	part := p.Envelope.GetParts()[0]
	return part[len(part)/2 : len(part)/2+64]
}

// lies counts the files of the broker and of the node that hold some bytes.
func (h *house) lies(what []byte) (n int) {
	h.t.Helper()
	for _, dir := range []string{h.broker.Dir(), h.dir} {
		must(h.t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // it was just replaced
			}
			if raw, err := os.ReadFile(filepath.Clean(path)); err == nil && bytes.Contains(raw, what) {
				n++
			}
			return nil
		}))
	}
	return n
}

func (h *house) gone(what string, probes ...[]byte) {
	h.t.Helper()
	h.until(what, func() bool {
		for _, p := range probes {
			if h.lies(p) > 0 {
				return false
			}
		}
		return true
	})
}

// own gives the envelope of an own statement from al's stream.
func (h *house) own(seq uint64) []byte {
	h.t.Helper()
	m, ok, err := stream.Open(h.broker.JS, subject.Out(subject.Actual(channelID))).Get(h.t.Context(), seq)
	if err != nil || !ok {
		h.t.Fatal("no message", seq, err)
	}
	return m.Data
}

// receipts gives what al has said about me's ledger.
func (h *house) receipts() (out []*karaulav1.LedgerReceipt) {
	h.t.Helper()
	must(h.t, stream.Open(h.broker.JS, subject.Out(subject.Actual(channelID))).Read(h.t.Context(), 1, "", func(m stream.Stored) error {
		p, err := envelope.Parse(m.Data)
		if err != nil {
			return err
		}
		if body, err := p.Body(); err == nil && p.Statement.GetKind() == karaulav1.Kind_KIND_RECEIPT {
			if r, ok := body.(*karaulav1.Receipt); ok {
				out = append(out, r.GetLedgers()...)
			}
		}
		return nil
	}))
	return out
}

// told counts how often al has said that a number of me is erased.
func (h *house) told(seq uint64) (n int) {
	for _, l := range h.receipts() {
		for _, e := range l.GetErasures() {
			if e.GetSeq() == seq && e.GetDoneAt() > 0 && e.GetBackupHorizon() == uint64(h.gateway.o.Config.BackupHorizon/time.Second) {
				n++
			}
		}
	}
	return n
}

func order(v *testworld.Voice, at border.Position, leaf [32]byte) []byte {
	return v.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_ERASE, Refs: []*karaulav1.Ref{
		{Ledger: v.ID[:], Epoch: at.Epoch, Seq: at.Seq, Digest: leaf[:]},
	}})
}

// What was said about an alert that is erased goes with it; what was done about one
// that was only taken back, does not.
func TestActsGoWithTheAlert(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	ids := make([][16]byte, 2)
	var places []border.Position
	var leaves [][32]byte
	var commitment []byte
	for i := range ids {
		raw, at, leaf := meSaysAs(me, func(in *karaulav1.Inner) { ids[i] = [16]byte(in.GetAlertId()) })
		h.deliver(raw)
		places, leaves = append(places, at), append(leaves, leaf)
		p, err := envelope.Parse(raw)
		must(t, err)
		commitment = p.Statement.GetParts()[0].GetCommitment()
	}
	sealed := make([][]byte, 0, len(ids))
	for _, id := range ids {
		resp, err := h.desk.SayAct(h.ctx, connect.NewRequest(&karaulav1.SayActRequest{
			AlertId: book.IDText(id), Act: &karaulav1.Act{Deed: karaulav1.Deed_DEED_ACTED, Remark: "seen at the bridge (invented)"},
		}))
		if err != nil {
			t.Fatal(desk.FromConnect(err))
		}
		sealed = append(sealed, probe(t, h.own(resp.Msg.GetSeq())))
	}
	withdrawal, _, _ := meSaysAs(me, func(in *karaulav1.Inner) {
		a := testworld.Alert(karaulav1.AlertType_ALERT_TYPE_ROUTE)
		in.AlertId, in.Version, in.Supersedes = ids[1][:], 2, commitment
		proto.Reset(in.GetAlert())
		proto.Merge(in.GetAlert(), alert.Withdraw(a, h.now().AddDate(0, 1, 0), "over (invented)"))
		in.GetAlert().Id, in.GetAlert().Version = book.IDText(ids[1]), 2
	})
	h.deliver(withdrawal, order(me, places[0], leaves[0]), order(me, places[1], leaves[1]))
	h.gone("the erasure of the act", sealed[0])
	if got := life.Fold(h.gateway.book.Life(ids[1], "me"), h.now()).Status; got != life.Withdrawn {
		t.Errorf("the second alert is %s", got)
	}
	own := h.gateway.channel(channelID).ledger("al")
	if left := h.gateway.book.Orphans(own); len(left) > 0 {
		t.Errorf("%d acts are still to be erased", len(left))
	}
	if h.lies(sealed[1]) == 0 {
		t.Error("what was done about a withdrawn alert is erased")
	}
}

// What comes to its end is erased by itself, own and received, and nothing of it
// is left in any file; what has not, stays. The origin is told once, with the
// horizon of backups. A start later, all is where it was.
func TestRetentionRunsByItself(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	raw, at, _ := meSays(me)
	h.deliver(raw)
	a := route()
	a.Expires = h.now().AddDate(0, 0, 10).UnixMicro()
	sent, err := h.send(h.ctx, a)
	must(t, err)
	mine := h.own(sent.GetSent()[0].GetSeq())
	late := route()
	late.Expires = h.now().AddDate(0, 0, 60).UnixMicro()
	_, err = h.send(h.ctx, late)
	must(t, err)
	if h.lies(probe(t, raw)) == 0 || h.lies(probe(t, mine)) < 2 {
		t.Fatal("the search shows nothing")
	}
	h.move(11 * 24 * time.Hour)
	h.gone("the erasure of the own one", probe(t, mine))
	if h.lies(probe(t, raw)) == 0 {
		t.Error("erased before its time")
	}
	h.move(21 * 24 * time.Hour)
	h.gone("the erasure of me's", probe(t, raw))
	h.until("the receipt", func() bool { return h.told(at.Seq) == 1 })
	check := func(what string) {
		t.Helper()
		_, err := h.desk.Show(h.ctx, connect.NewRequest(&karaulav1.ShowRequest{AlertId: a.GetId()}))
		if !problem.Is(desk.FromConnect(err), problem.NotFound) {
			t.Errorf("%s: shown after its erasure: %v", what, err)
		}
		if _, err := h.desk.Show(h.ctx, connect.NewRequest(&karaulav1.ShowRequest{AlertId: late.GetId()})); err != nil {
			t.Errorf("%s: what stays is not shown: %v", what, err)
		}
		c := h.gateway.channel(channelID)
		if err := c.writer.Halted(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := c.ear("me").Head().GetSize(); got != me.Tree.Size() {
			t.Errorf("%s: %d statements of me", what, got)
		}
	}
	check("at once")
	size := h.gateway.channel(channelID).writer.Head().GetSize()
	h.stop()
	h.broker.Restart()
	h.start()
	h.until("completeness", h.gateway.complete)
	check("after a start")
	if got := h.gateway.channel(channelID).writer.Head().GetSize(); got < size {
		t.Errorf("%d statements of ours, were %d", got, size)
	}
	raw, _, _ = meSays(me)
	h.deliver(raw) // the ledger goes on
	if n := h.told(at.Seq); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// An order is obeyed if it is its origin's and names what is there: twice is once,
// an order about another's statement, about an order or about what is to come does nothing.
func TestOrdersToErase(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	_, err := h.send(h.ctx, route())
	must(t, err)
	mine := h.own(1)
	minePlace, _ := envelope.Peek(mine)
	al := h.gateway.channel(channelID).ledger("al")
	me := h.w.Voice("me", h.text, channelID)
	first, at, leaf := meSays(me)
	second, _, other := meSays(me)
	h.deliver(first, second,
		me.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_ERASE, Refs: []*karaulav1.Ref{ // ours
			{Ledger: al[:], Epoch: 1, Seq: 1, Digest: minePlace.Leaf[:]},
		}}),
		order(me, at, other), // another one than is there
		order(me, border.Position{Epoch: 1, Seq: 6}, leaf), // what is to come
	)
	third, _, _ := meSays(me)
	h.deliver(third)
	c := h.gateway.channel(channelID)
	if n := c.lists["me"].Holding() + c.lists["al"].Holding(); n != 4 {
		t.Fatalf("%d of 4 contents are there", n)
	}
	right := order(me, at, leaf)
	p, _ := envelope.Peek(right)
	h.deliver(right, order(me, at, leaf), order(me, border.Position{Epoch: 1, Seq: p.Said.GetSeq()}, p.Leaf))
	h.gone("the erasure", probe(t, first))
	h.until("the receipt", func() bool { return h.told(at.Seq) == 1 })
	for _, raw := range [][]byte{second, third, mine} {
		if h.lies(probe(t, raw)) == 0 {
			t.Error("something else was erased")
		}
	}
}

// A gateway that was stopped behind the stub goes on at its next start. The own
// broker may put back what was erased, in its place or behind, also under a stub
// of its making: it is erased again, and nothing else is.
func TestAnErasureIsNotUndone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	first, at, leaf := meSays(me)
	second, _, _ := meSays(me)
	h.deliver(first, second)
	h.stop()

	in := stream.Open(h.broker.JS, subject.InStream(subject.Actual(channelID), "me"))
	stubs := stream.Open(h.broker.JS, subject.StubStream)
	stub, err := envelope.Stub(first)
	must(t, err)
	add := func(log *stream.Log, subj string, data []byte) {
		t.Helper()
		_, err := log.Add(t.Context(), stream.Msg{Subject: subj, Data: data})
		must(t, err)
	}
	add(stubs, subject.Stub(channelID, "me", 1, 1), testworld.Random(300)) // junk
	add(stubs, subject.Stub(channelID, "me", 1, 1), stub)                  // and then it was killed
	h.start()
	if n := h.gateway.channel(channelID).lists["me"].Holding(); n != 2 {
		t.Errorf("%d contents: a stub alone has undone one", n)
	}
	h.deliver(order(me, at, leaf))
	h.gone("the erasure", probe(t, first))
	h.until("the receipt", func() bool { return h.told(at.Seq) == 1 })
	h.stop()

	add(in, subject.In(subject.Actual(channelID), "me"), first) // put back
	add(in, subject.In(subject.Actual(channelID), "me"), first)
	if h.lies(probe(t, first)) == 0 {
		t.Fatal("the search shows nothing")
	}
	h.start()
	h.gone("the second erasure", probe(t, first))
	h.until("completeness", h.gateway.complete)
	third, _, _ := meSays(me)
	h.deliver(third)
	if n := h.told(at.Seq); n != 1 {
		t.Errorf("told %d times", n)
	}
	if h.lies(probe(t, second)) == 0 {
		t.Error("something else was erased")
	}
	var wrong error
	must(t, in.Read(t.Context(), 1, "", func(m stream.Stored) error {
		if it := (erase.Item{Position: at, Leaf: leaf, StreamSeq: m.Seq}); wrong == nil {
			wrong = h.gateway.channel(channelID).eraser("me").Erase(t.Context(), it)
		}
		return nil
	}))
	if !problem.Is(wrong, problem.Verification) {
		t.Errorf("another message was taken for the one to erase: %v", wrong)
	}
}

// Where the stub cannot be kept, nothing is overwritten.
func TestTheStubComesFirst(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	raw, at, leaf := meSays(me)
	h.deliver(raw)
	h.broker.Full(subject.StubStream, true)
	e := h.gateway.channel(channelID).eraser("me")
	if err := e.Erase(t.Context(), erase.Item{Position: at, Leaf: leaf, StreamSeq: 1}); err == nil {
		t.Error("erased without a stub")
	}
	h.deliver(order(me, at, leaf))
	if h.lies(probe(t, raw)) == 0 {
		t.Fatal("overwritten without a stub")
	}
	h.broker.Full(subject.StubStream, false)
	h.gone("the erasure", probe(t, raw))
}

// An officer cannot erase, a supervisor can, with a reason that stays here; a
// second order is not said, and what a withdrawal leaves behind goes by itself.
func TestTheDeskErases(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	a := testworld.Alert(karaulav1.AlertType_ALERT_TYPE_VEHICLE)
	a.Id = book.IDText(desk.NewAlertID(testworld.Start))
	_, err := h.send(h.ctx, a)
	must(t, err)
	taken := route()
	_, err = h.send(h.ctx, taken)
	must(t, err)
	sealed := [][]byte{probe(t, h.own(1)), probe(t, h.own(2))}
	erase := func(ctx context.Context, id, reason string) (*karaulav1.EraseResponse, error) {
		resp, err := h.desk.Erase(ctx, connect.NewRequest(&karaulav1.EraseRequest{AlertId: id, Reason: reason}))
		if err != nil {
			return nil, desk.FromConnect(err)
		}
		return resp.Msg, nil
	}
	if _, err := erase(h.ctx, a.GetId(), ""); !problem.Is(err, problem.Invalid) {
		t.Errorf("without a reason: %v", err)
	}
	if _, err := erase(h.ctx, book.IDText(desk.NewAlertID(testworld.Start)), "why"); !problem.Is(err, problem.NotFound) {
		t.Errorf("of nothing: %v", err)
	}
	got, err := erase(h.ctx, a.GetId(), "claim 12 (invented)")
	if err != nil || len(got.GetOrders()) != 1 || got.GetOrders()[0].GetSeq() != 3 || got.GetOrders()[0].GetStatements() != 1 {
		t.Fatalf("the order: %v, %v", got, err)
	}
	if bytes.Contains(h.own(3), []byte("claim 12")) {
		t.Error("the reason is said to partners")
	}
	h.gone("the erasure", sealed[0])
	if got, err := erase(h.ctx, a.GetId(), "again"); err != nil || got.GetOrders()[0].GetSeq() != 0 {
		t.Errorf("a second time: %v, %v", got, err)
	}
	h.until("the index forgets it", func() bool {
		return len(h.lookUp(askPlate("ZZ 000 ZZ", "ZZ")).GetAnswers()[0].GetMatches()) == 0
	})
	_, err = h.desk.Change(h.ctx, connect.NewRequest(&karaulav1.ChangeRequest{
		AlertId: taken.GetId(), Lifecycle: karaulav1.Lifecycle_LIFECYCLE_WITHDRAW, Assessment: "over (invented)",
	}))
	must(t, err)
	h.gone("the erasure of what was taken back", sealed[1])
	h.stop()
	h.start()
	h.until("completeness", h.gateway.complete)
	if resp, err := h.send(h.ctx, a); !problem.Is(desk.FromConnect(err), problem.NotFound) { // by mistake
		t.Errorf("an erased alert is said again: %v, %v", resp, err)
	}
	for id, want := range map[string]string{a.GetId(): "erased", taken.GetId(): "withdrawn"} {
		resp, err := h.desk.History(h.ctx, connect.NewRequest(&karaulav1.HistoryRequest{AlertId: id}))
		if err != nil || resp.Msg.GetState().GetStatus() != want {
			t.Errorf("history: %v, %v", resp, err)
		}
	}
}

// On a channel that is closed nobody hears or speaks; what it holds comes to its
// end all the same.
func TestRetentionOnAClosedChannel(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	raw, _, _ := meSays(me)
	h.deliver(raw)
	sent, err := h.send(h.ctx, route())
	must(t, err)
	number := sent.GetSent()[0].GetSeq()
	mine := h.own(number)
	h.stop()
	h.move(6 * 365 * 24 * time.Hour)
	h.w.Now = h.now() // so that the register knows, too, that it is closed
	h.launch()
	h.gone("the erasure", probe(t, raw), probe(t, mine))
	if h.gateway.channel(channelID) != nil {
		t.Error("the channel is open")
	}
	for name, subj := range map[string]string{"al": subject.Stub(channelID, "al", 1, number), "me": subject.Stub(channelID, "me", 1, 1)} {
		if _, ok, err := stream.Open(h.broker.JS, subject.StubStream).Last(t.Context(), subj); err != nil || !ok {
			t.Errorf("no stub of %s is kept: %v", name, err)
		}
	}
}

// Content on a channel that is closed still needs the keys that open it: they are
// counted, and so not destroyed, until the content has come to its end.
func TestKeysOfAClosedChannelAreCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	_, err := h.send(h.ctx, route())
	must(t, err)
	h.stop()
	h.w.Now = h.w.Now.Add(500 * 24 * time.Hour) // to the register the channel is closed
	h.launch()
	scan, err := h.gateway.scanKeys(h.ctx, &karaulav1.KeyUseRequest{})
	must(t, err)
	onDisk := uint64(0)
	for at, u := range scan.usages {
		if at.channel == channelID && u.GetUse() == karaulav1.KeyUse_KEY_USE_ARCHIVE {
			onDisk += u.GetOnDisk()
		}
	}
	if onDisk != 1 {
		t.Error("no key opens what a closed channel holds")
	}
}

// erase gives an order of a supervisor.
func (h *house) erase(id string) (*karaulav1.EraseOrder, error) {
	h.t.Helper()
	got, err := h.desk.Erase(h.ctx, connect.NewRequest(&karaulav1.EraseRequest{AlertId: id, Reason: "claim granted, case 12 (invented)"}))
	if err != nil {
		return nil, desk.FromConnect(err)
	}
	if n := len(got.Msg.GetOrders()); n != 1 {
		h.t.Fatalf("%d orders", n)
	}
	return got.Msg.GetOrders()[0], nil
}

// A suspension stops alerts; orders to erase are said and obeyed, whoever has
// suspended.
func TestErasedWhereItIsSuspended(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"al", "me"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.start()
			me := h.w.Voice("me", h.text, channelID)
			raw, at, leaf := meSays(me)
			h.deliver(raw)
			a := route()
			sent, err := h.send(h.ctx, a)
			must(t, err)
			mine := h.own(sent.GetSent()[0].GetSeq())
			h.w.Give(h.w.Notice(by, h.text, notice.Suspend), "al", "me")
			if _, err := h.send(h.ctx, route()); err == nil {
				t.Fatal("it is not suspended")
			}
			said, err := h.erase(a.GetId())
			if err != nil || said.GetSeq() == 0 || said.GetClosed() {
				t.Fatalf("%v, %v", said, err)
			}
			h.deliver(order(me, at, leaf))
			h.gone("the erasure", probe(t, mine), probe(t, raw))
		})
	}
}

// Where an agreement is closed nothing can be said: the own copies go at once, from
// every file of the node, the partner's stay, and the officer is told that nobody
// else was.
func TestErasedWhereItIsClosed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	raw, _, _ := meSays(h.w.Voice("me", h.text, channelID))
	h.deliver(raw)
	a, other := route(), route()
	sent, err := h.send(h.ctx, a)
	must(t, err)
	kept, err := h.send(h.ctx, other)
	must(t, err)
	first, last := sent.GetSent()[0].GetSeq(), kept.GetSent()[0].GetSeq()
	mine, stays := h.own(first), h.own(last)
	h.w.Give(h.w.RootNotice("me", h.text, notice.Withdraw), "al")
	h.stop()
	h.move(40 * 24 * time.Hour)
	h.w.Now = h.now()
	h.launch()
	h.until("completeness", h.gateway.complete)
	if h.gateway.channel(channelID) != nil {
		t.Fatal("the channel is open")
	}
	var order *karaulav1.EraseOrder
	h.until("the order", func() bool { // the hourly look may have the channel in hand
		order, err = h.erase(a.GetId())
		return !problem.Is(err, problem.Unreachable)
	})
	if err != nil || !order.GetClosed() || order.GetSeq() != 0 || order.GetStatements() != 1 ||
		!slices.Equal(order.GetReaders(), []string{"me"}) {
		t.Fatalf("%v, %v", order, err)
	}
	h.gone("the erasure", probe(t, mine))
	if h.lies(probe(t, stays)) == 0 || h.lies(probe(t, raw)) == 0 {
		t.Error("something else is gone, too")
	}
	if _, ok, err := stream.Open(h.broker.JS, subject.StubStream).Last(t.Context(), subject.Stub(channelID, "al", 1, first)); err != nil || !ok {
		t.Errorf("no stub: %v", err)
	}
	_, entries, err := h.verifyDesk(h.exportDesk())
	must(t, err)
	if !slices.ContainsFunc(entries, func(e *karaulav1.DeskEntry) bool { return e.GetDeed() == "erase" && e.GetSeq() == first }) {
		t.Errorf("it is not on record: %v", entries)
	}
	for range 2 {
		if order, err := h.erase(a.GetId()); err != nil || !order.GetClosed() || order.GetStatements() != 0 {
			t.Errorf("a second time: %v, %v", order, err)
		}
		if order, err := h.erase(route().GetId()); !problem.Is(err, problem.NotFound) {
			t.Errorf("what was never said: %v, %v", order, err)
		}
		h.stop()
		h.launch()
		h.until("completeness", h.gateway.complete)
	}
}

// A journal that cannot be read does not stop the gateway when an own statement comes
// to its end: the stream loses it, and that the journal may hold it is said.
func TestErasingBesideADamagedJournal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	a := route()
	a.Expires = h.now().Add(24 * time.Hour).UnixMicro()
	_, err := h.send(h.ctx, a)
	must(t, err)
	h.stop()
	path := h.gateway.o.Layout.Journal(subject.Actual(channelID))
	raw, err := os.ReadFile(path)
	must(t, err)
	raw[len(raw)/3] ^= 1
	must(t, os.WriteFile(path, raw, 0o600))
	h.start()
	if h.gateway.channel(channelID).writer.Halted() == nil {
		t.Fatal("the journal is not damaged")
	}
	h.move(25 * time.Hour)
	h.until("the complaint", func() bool { return strings.Contains(h.logs.String(), "may still hold what was erased") })
	if _, there, err := stream.Open(h.broker.JS, subject.Out(subject.Actual(channelID))).Get(t.Context(), 1); err != nil || there {
		t.Errorf("the stream still holds it: %v", err)
	}
}
