package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/desk"
	"karaula/gateway/erase"
	"karaula/gateway/inbox"
	"karaula/gateway/stock"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// insider has all rights that anybody can have on al's broker, while al's gateway
// runs. It remembers every statement that al ever published.
type insider struct {
	*house
	voice *testworld.Voice // of me
	heard [][]byte         // what me said, in order

	mu    sync.Mutex
	leafs map[string][32]byte // what al signed, by place
	forks []string
}

// newInsider makes a house in which al has said four alerts and heard four
// statements of me, of which one is refused.
func newInsider(t *testing.T) *insider {
	t.Helper()
	i := &insider{house: newHouse(t), leafs: map[string][32]byte{}}
	if _, err := i.broker.Conn.Subscribe(subject.SayAll(subject.Actual(channelID), "al"), i.note); err != nil {
		t.Fatal(err)
	}
	i.start()
	for range 4 {
		if _, err := i.send(i.ctx, route()); err != nil {
			t.Fatal(err)
		}
	}
	i.voice = i.w.Voice("me", i.text, channelID)
	for n := range 4 {
		d := testworld.Draft{
			Kind: karaulav1.Kind_KIND_ALERT, Type: karaulav1.AlertType_ALERT_TYPE_ROUTE,
			Alert: testworld.Alert(karaulav1.AlertType_ALERT_TYPE_ROUTE),
		}
		if n == 2 { // no clause lets me say this
			d.Type, d.Alert = karaulav1.AlertType_ALERT_TYPE_TRAFFICKING, testworld.Alert(karaulav1.AlertType_ALERT_TYPE_TRAFFICKING)
		}
		i.heard = append(i.heard, i.voice.Say(d))
	}
	i.deliver()
	i.until("al has said what it had to", func() bool {
		c, said := i.gateway.channel(channelID), i.receipts()
		return len(said) > 0 && said[len(said)-1].GetJudgedTo() == uint64(len(i.heard)) && c.published() == c.writer.Head().GetSize()
	})
	i.stock()
	return i
}

// note keeps what al signed, and whether it signed a place twice. Whoever else
// publishes there says nothing in al's name.
func (i *insider) note(m *nats.Msg) {
	p, ok := ownStatement(i.w.View("al"), m.Data)
	if !ok {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	key := fmt.Sprintf("%d/%d", p.Statement.GetEpoch(), p.Statement.GetSeq())
	if leaf, there := i.leafs[key]; there && leaf != p.Leaf {
		i.forks = append(i.forks, key)
	}
	i.leafs[key] = p.Leaf
}

// deliver has me's broker deliver everything from its beginning, until all of it
// is judged.
func (i *insider) deliver() {
	i.t.Helper()
	i.until("me's statements are judged", func() bool {
		c := i.gateway.channel(channelID)
		if c == nil || c.ear("me") == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(i.ctx, time.Second)
		defer cancel()
		for n, raw := range i.heard {
			d := inbox.Delivery{Data: raw, StreamSeq: uint64(n + 1), Ack: func() error { return nil }}
			if c.ear("me").Deliver(ctx, d) != nil {
				return false // it is being opened again
			}
		}
		_, judged, _, _, _ := c.ear("me").Status()
		return judged == uint64(len(i.heard))
	})
}

// stock has the gateway look at its streams twice, as it does by itself in time.
func (i *insider) stock() {
	for range 2 {
		i.gateway.takeStock(i.ctx)
	}
}

// open gives a stream with all rights.
func (i *insider) open(name string) jetstream.Stream {
	i.t.Helper()
	s, err := i.broker.JS.Stream(i.t.Context(), name)
	i.must(err)
	return s
}

// put publishes as somebody else.
func (i *insider) put(subj string, data []byte) {
	i.t.Helper()
	_, err := i.broker.JS.Publish(i.t.Context(), subj, data)
	i.must(err)
}

// stored gives the bytes of a message.
func (i *insider) stored(name string, seq uint64) []byte {
	i.t.Helper()
	m, err := i.open(name).GetMsg(i.t.Context(), seq)
	i.must(err)
	return m.Data
}

func (i *insider) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

// told reports whether the gateway has said of a stream what is wrong: in its
// metrics, its log, and to whoever asks for its state.
func (i *insider) told(name string, code stock.Code) bool {
	i.t.Helper()
	value, _ := i.series("karaula_store_faults_total", map[string]string{"stream": name, "code": string(code)})
	counted := value > 0
	logged := strings.Contains(i.logs.String(), "stream="+name+" code="+string(code))
	s, err := i.desk.Status(i.ctx, connect.NewRequest(&karaulav1.StatusRequest{}))
	i.must(err)
	warned := slices.ContainsFunc(s.Msg.GetWarnings(), func(w string) bool {
		return strings.Contains(w, "stream "+name+" ") && strings.Contains(w, "("+string(code)+")")
	})
	if counted != logged || counted != warned {
		i.t.Errorf("%s of %s: counted %v, logged %v, warned %v", code, name, counted, logged, warned)
	}
	return counted
}

// book gives what officers see of me, with the verdicts.
func (i *insider) book() string {
	i.t.Helper()
	list, err := i.desk.List(i.ctx, connect.NewRequest(&karaulav1.ListRequest{}))
	i.must(err)
	var rows []string
	for _, r := range list.Msg.GetAlerts() {
		if r.GetOrigin() == "me" {
			rows = append(rows, fmt.Sprintf("%d %s %s %x", r.GetSeq(), r.GetClass(), r.GetCode(), r.GetDigest()))
		}
	}
	slices.Sort(rows)
	return strings.Join(rows, "\n")
}

// speaks tries to say one more alert: it must get the next number, or be refused
// with a reason and a hint where the channel is halted.
func (i *insider) speaks(halted bool) {
	i.t.Helper()
	var c *channel
	var before uint64
	var resp *karaulav1.SendResponse
	var err error
	i.until("an answer", func() bool { // the channel may be read back just now
		if c = i.gateway.channel(channelID); c == nil {
			return false
		}
		before = c.writer.Head().GetSize()
		resp, err = i.send(i.ctx, route())
		return err == nil || !problem.Is(desk.FromConnect(err), problem.Unreachable)
	})
	switch {
	case halted && (!problem.Is(desk.FromConnect(err), problem.Verification) || c.writer.Head().GetSize() != before):
		i.t.Errorf("on a halted channel: %v, and %d signed after %d", err, c.writer.Head().GetSize(), before)
	case !halted && (err != nil || resp.GetSent()[0].GetSeq() <= before):
		i.t.Errorf("said after number %d: %v %v", before, resp, err)
	}
}

// again stops the gateway and starts it on the same folder.
func (i *insider) again() {
	i.t.Helper()
	i.stop()
	i.start()
	i.deliver()
	i.stock()
}

// TestInsiders is what somebody can do who has all rights on the own broker, and
// what the gateway says to it: each row of the table in docs/threat-model.md.
// Whatever is done, no number is signed twice, no verdict changes, and the
// gateway is no less sure after a restart.
func TestInsiders(t *testing.T) {
	t.Parallel()
	out, in := subject.Out(subject.Actual(channelID)), subject.InStream(subject.Actual(channelID), "me")
	said := subject.Say(subject.Actual(channelID), "al", "route")
	for name, c := range map[string]struct {
		does   func(*insider)
		stream string
		codes  []stock.Code
		halts  bool
	}{
		"deletes what was said": {func(i *insider) {
			i.must(i.open(out).SecureDeleteMsg(t.Context(), 2))
		}, out, []stock.Code{stock.Gone}, true},
		"deletes the last that was said": {func(i *insider) {
			i.must(i.open(out).DeleteMsg(t.Context(), i.gateway.channel(channelID).endSeq()))
		}, out, []stock.Code{stock.Gone}, true},
		"purges what was said": {func(i *insider) {
			i.must(i.open(out).Purge(t.Context()))
		}, out, []stock.Code{stock.Gone}, true},
		"reorders what was said": {func(i *insider) {
			one, two := i.stored(out, 3), i.stored(out, 4)
			i.must(i.open(out).DeleteMsg(t.Context(), 3))
			i.must(i.open(out).DeleteMsg(t.Context(), 4))
			i.put(said, two)
			i.put(said, one)
		}, out, []stock.Code{stock.Gone, stock.Strange}, true},
		"makes the stream anew with the beginning only": {func(i *insider) {
			one, two := i.stored(out, 1), i.stored(out, 2)
			i.must(i.broker.JS.DeleteStream(t.Context(), out))
			i.broker.Stream(out, subject.SayAll(subject.Actual(channelID), "al"))
			i.put(said, one)
			i.put(said, two)
		}, out, []stock.Code{stock.Anew}, true},
		"injects junk among what was said": {func(i *insider) {
			i.put(said, []byte("junk"))
			i.put(said, i.stored(out, 1))
			i.put(said, forged(i))
		}, out, []stock.Code{stock.Strange}, false},
		"deletes what was received": {func(i *insider) {
			i.must(i.open(in).SecureDeleteMsg(t.Context(), 2))
		}, in, []stock.Code{stock.Gone}, false},
		"purges what was received": {func(i *insider) {
			i.must(i.open(in).Purge(t.Context()))
		}, in, []stock.Code{stock.Gone}, false},
		"injects junk among what was received": {func(i *insider) {
			i.put(subject.In(subject.Actual(channelID), "me"), []byte("junk"))
			i.put(subject.In(subject.Actual(channelID), "me"), i.heard[0])
			i.put(subject.In(subject.Actual(channelID), "me"), forged(i))
		}, in, []stock.Code{stock.Strange}, false},
		"takes the verdicts away": {func(i *insider) {
			i.must(i.open(subject.VerdictStream).Purge(t.Context()))
		}, subject.VerdictStream, []stock.Code{stock.Gone}, false},
		"takes away what officers did": {func(i *insider) {
			i.must(i.open(subject.DeskStream).DeleteMsg(t.Context(), 1))
		}, subject.DeskStream, []stock.Code{stock.Gone}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInsider(t)
			before := i.book()
			for _, code := range []stock.Code{stock.Gone, stock.Strange, stock.Anew, stock.SetBack} {
				if i.told(c.stream, code) {
					t.Fatalf("%s before anything was done", code)
				}
			}
			c.does(i)
			i.stock()
			for _, code := range c.codes {
				if !i.told(c.stream, code) {
					t.Errorf("%s of %s was not noticed", code, c.stream)
				}
			}
			i.deliver() // what was lost is asked for again
			i.speaks(c.halts)
			i.same(before)
			i.again()
			i.speaks(c.halts)
			i.same(before)
		})
	}
}

// same checks that officers see of me what they saw before, and that al signed
// no place twice.
func (i *insider) same(before string) {
	i.t.Helper()
	if now := i.book(); now != before || strings.Count(before, "\n") != 3 {
		i.t.Errorf("officers see\n%s\ninstead of\n%s", now, before)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.forks) > 0 || len(i.leafs) < 4 {
		i.t.Errorf("%d places signed, and twice: %v", len(i.leafs), i.forks)
	}
}

// forged is a statement that continues al's ledger, or me's, in everything but
// the signature.
func forged(i *insider) []byte {
	i.t.Helper()
	p, err := envelope.Parse(i.stored(subject.Out(subject.Actual(channelID)), 4))
	i.must(err)
	st := p.Statement
	head := i.gateway.channel(channelID).writer.Head()
	st.Seq, st.PrevRoot = head.GetSize()+1, head.GetRoot()
	raw, err := envelope.Build(st)
	i.must(err)
	file, err := envelope.Assemble(raw, []*karaulav1.Signature{{
		Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: st.GetSigners()[0].GetKeyId(), Sig: testworld.Random(64),
	}}, p.Envelope.GetParts())
	i.must(err)
	return file
}

// noFault has the gateway look again, and fails if it ever found anything.
func (i *insider) noFault(when string) {
	i.t.Helper()
	i.stock()
	i.stock()
	if list := i.gateway.stockFaults(); len(list) > 0 {
		i.t.Errorf("%s: %v", when, list)
	}
	if err := i.gateway.channel(channelID).writer.Halted(); err != nil {
		i.t.Errorf("%s the channel is halted: %v", when, err)
	}
}

// reopen has the channel read back again, as after a loss or a repair.
func (i *insider) reopen() {
	i.t.Helper()
	c := i.gateway.channel(channelID)
	c.ear("me").Lost(problem.New(problem.Verification, "somebody says so"))
	i.until("the channel is read back", func() bool {
		now := i.gateway.channel(channelID)
		return now != nil && now != c && now.ear("me") != nil
	})
}

// opensEpoch has me go on in a new epoch, behind one of its numbers.
func (i *insider) opensEpoch(size uint64) {
	i.t.Helper()
	card := i.w.Rotate("me", nil)
	_, err := i.gateway.o.Register.AddCard(card.Signed, register.AddCardOptions{})
	i.must(err)
	head := i.voice.Head()
	root, _ := i.gateway.channel(channelID).ear("me").RootAt(1, size)
	head.Size, head.Root = size, root[:]
	v := i.w.Voice("me", i.text, channelID)
	v.Epoch = 2
	raw := v.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_EPOCH, Body: &karaulav1.EpochBody{Continues: head, Reason: "stream-lost"},
	})
	ear := i.gateway.channel(channelID).ear("me")
	i.must(ear.Deliver(i.ctx, inbox.Delivery{Data: raw, StreamSeq: 5, Ack: func() error { return nil }}))
	i.until("the new epoch", func() bool { return ear.Head().GetEpoch() == 2 })
}

// What the gateway itself does to its streams is no insider's work: it erases, its
// own content and a partner's, its channel is read back, an epoch of a partner
// makes numbers void, and the gateway is started again. That a repair, an own epoch, a
// restored backup, a killed broker and a cluster are none either is tried in
// cmd/karaula/internal/faults, where every walk asks the doctor of both nodes.
func TestOwnWorkIsNoFault(t *testing.T) {
	t.Parallel()
	i := newInsider(t)
	erase1 := func(origin string, seq, at uint64, raw []byte) {
		t.Helper()
		p, err := envelope.Parse(raw)
		i.must(err)
		item := erase.Item{Position: border.Position{Epoch: 1, Seq: seq}, Leaf: p.Leaf, StreamSeq: at}
		c := i.gateway.channel(channelID)
		i.must(c.eraseItems(i.ctx, origin, []erase.Item{item}))
		if _, there, err := c.log(origin).Get(t.Context(), at); err != nil || there {
			t.Fatalf("it was not erased: %v", err)
		}
	}
	erase1("me", 1, 1, i.heard[0])
	i.noFault("after a partner's content was erased")
	p, err := envelope.Parse(i.stored(subject.Out(subject.Actual(channelID)), 2))
	i.must(err)
	erase1("al", p.Statement.GetSeq(), 2, i.stored(subject.Out(subject.Actual(channelID)), 2))
	i.noFault("after own content was erased")

	i.reopen()
	i.noFault("after the channel was read back")
	erase1("me", 4, 4, i.heard[3])
	i.speaks(false)
	i.noFault("after more was said and erased")

	i.opensEpoch(2)
	i.noFault("after a new epoch of a partner")

	i.stop()
	i.start()
	i.noFault("after the gateway was started again")
}
