package gateway

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/erase"
	"karaula/gateway/inbox"
	"karaula/internal/border"
	"karaula/internal/checkup"
	"karaula/internal/envelope"
	"karaula/internal/node"
	"karaula/internal/remains"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// machines answer for three servers of al's cluster, whose broker is the house's.
type machines struct {
	h  *house
	nc *nats.Conn

	mu     sync.Mutex
	says   map[string]func(q *remains.Question) *remains.Answer // by server; nil: it is silent
	rounds map[string]int
	copies map[string]string // what the copies of a server lack
	asked  []*remains.Question
	mute   map[string]bool // servers that do not even say how their copies are
	over   bool
}

func newMachines(t *testing.T, h *house) *machines {
	t.Helper()
	nc, err := h.broker.Dial()
	must(t, err)
	m := &machines{
		h: h, nc: nc, says: map[string]func(*remains.Question) *remains.Answer{}, rounds: map[string]int{},
		copies: map[string]string{}, mute: map[string]bool{},
	}
	t.Cleanup(func() { // the gateway may still ask
		m.mu.Lock()
		defer m.mu.Unlock()
		m.over = true
		nc.Close()
	})
	h.config = func(c *node.Config) {
		c.Replicas, c.Cluster.Servers = 3, nil
		for i := range 3 {
			c.Cluster.Servers = append(c.Cluster.Servers, node.ServerConfig{Name: fmt.Sprintf("al.%d", i+1)})
		}
	}
	h.pace = remnantPace{
		first: time.Millisecond, most: 10 * time.Millisecond, between: time.Millisecond, answer: 20 * time.Second, copies: 20 * time.Second,
	}
	for i := range 3 {
		m.set(i+1, nothingLeft)
	}
	return m
}

func nothingLeft(q *remains.Question) *remains.Answer {
	return &remains.Answer{Needles: len(q.Needles)}
}

// stays is the answer of a server that holds the first that it is asked about.
func stays(q *remains.Question) *remains.Answer {
	return &remains.Answer{Needles: len(q.Needles), Store: []int{0}}
}

// set has a server answer so; nil: nobody answers for it.
func (m *machines) set(number int, says func(*remains.Question) *remains.Answer) {
	m.h.t.Helper()
	name := fmt.Sprintf("al.%d", number)
	m.mu.Lock()
	_, heard := m.rounds[name]
	m.says[name] = says
	m.rounds[name] += 0
	m.mu.Unlock()
	if heard {
		return
	}
	_, err := m.nc.Subscribe(subject.Remains(name), func(msg *nats.Msg) {
		q, err := remains.ParseQuestion(msg.Data)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.over {
			return
		}
		if err == nil && q.Copies {
			if m.mute[name] {
				return
			}
			raw, err := (&remains.Answer{Server: name, Copies: m.copies[name]}).Bytes()
			if err == nil {
				err = msg.Respond(raw)
			}
			if err != nil {
				m.h.t.Error(err)
			}
			return
		}
		m.rounds[name]++
		if err != nil {
			m.h.t.Errorf("%s was asked something else: %v", name, err)
			return
		}
		m.asked = append(m.asked, q)
		if m.says[name] == nil { // as the broker says where nobody listens
			_ = msg.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {"503"}}})
			return
		}
		a := m.says[name](q)
		a.Server = name
		raw, err := a.Bytes()
		if err == nil {
			err = msg.Respond(raw)
		}
		if err != nil {
			m.h.t.Error(err)
		}
	})
	must(m.h.t, err)
	must(m.h.t, m.nc.Flush())
}

// more waits until a server was asked some more times.
func (m *machines) more(number, times int) {
	m.h.t.Helper()
	count := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.rounds[fmt.Sprintf("al.%d", number)]
	}
	begin := count()
	m.h.until("more questions", func() bool { return count() >= begin+times })
}

// lacks has the copies of a server lack something.
func (m *machines) lacks(number int, what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.copies[fmt.Sprintf("al.%d", number)] = what
}

// text is what doctor says.
func (m *machines) text() string {
	m.h.t.Helper()
	for _, c := range m.h.gateway.Checks(m.h.t.Context()) {
		if c.ID == checkup.ErasureTold {
			return string(c.State) + " " + c.Text + " " + c.Hint
		}
	}
	return "none"
}

func (m *machines) unsaid(seq uint64, why string) {
	m.h.t.Helper()
	if n := m.h.told(seq); n > 0 {
		m.h.t.Fatalf("%s: told %d times", why, n)
	}
}

// Nobody is told of an erasure before every server's machine has found nothing of it in
// two rounds in a row, also after a start and where another gateway takes over. When it
// was done is when that was known.
func TestReceiptsOfAClusterWaitForEveryServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := newMachines(t, h)
	m.set(2, nil)
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	raw, at, leaf := meSays(me)
	h.deliver(raw)
	h.deliver(order(me, at, leaf))
	m.more(2, 3)
	m.unsaid(at.Seq, "a server is silent")
	h.until("a silence that is no trouble yet", func() bool {
		text := m.text()
		return strings.HasPrefix(text, "ok 1 of partners' and 0 of our own wait") &&
			strings.Contains(text, "nothing is known of the files of server al.2: ")
	})
	m.counted(1, 0)
	h.move(silencePatience)
	h.until("what doctor says of it", func() bool { return strings.HasPrefix(m.text(), "warn ") && strings.Contains(m.text(), "al.2") })
	m.checkAsked(t, raw)

	m.set(2, func(q *remains.Question) *remains.Answer {
		return &remains.Answer{Needles: len(q.Needles), Unknown: "a file cannot be read (invented)"}
	})
	m.more(2, 3)
	m.unsaid(at.Seq, "nothing is known of a server")
	h.until("why", func() bool { return strings.Contains(m.text(), "a file cannot be read (invented)") })

	m.set(2, stays)
	m.more(2, 3)
	m.unsaid(at.Seq, "a server still holds it")
	h.until("a server that is no trouble yet", func() bool { return strings.HasPrefix(m.text(), "ok ") })
	h.move(storePatience)
	h.until("what to do with the server", func() bool { return strings.Contains(m.text(), "once al.2 has caught up, stop it and start it again") })
	if text := m.text(); !strings.Contains(text, fmt.Sprintf("server al.2 still holds what was erased: number %d of me on %s", at.Seq, channelID)) {
		t.Error(text)
	}

	h.stop() // and the next gateway knows nothing of what was found
	h.start()
	m.more(2, 3)
	m.unsaid(at.Seq, "a server still holds it, after a start")

	even := false
	m.set(3, func(q *remains.Question) *remains.Answer { // what was under way arrives between two rounds
		a := nothingLeft(q)
		if even = !even; !even {
			a.Log = []int{0}
		}
		return a
	})
	m.set(2, nothingLeft)
	m.more(3, 8)
	m.unsaid(at.Seq, "only one round in a row found nothing")
	h.move(time.Hour)
	known := h.now().UnixMicro()
	m.set(3, nothingLeft)
	h.until("the receipt", func() bool { return h.told(at.Seq) == 1 })
	for _, l := range h.receipts() {
		for _, e := range l.GetErasures() {
			if e.GetDoneAt() < known {
				t.Errorf("done %d µs before it was known", known-e.GetDoneAt())
			}
		}
	}
	h.until("nothing that waits", func() bool { return strings.HasPrefix(m.text(), "ok none") })
	m.counted(0, 0)
	h.stop()
	h.start()
	if h.told(at.Seq) != 1 {
		t.Errorf("told %d times", h.told(at.Seq))
	}
}

// counted checks what the metrics say is not proved.
func (m *machines) counted(partners, own float64) {
	m.h.t.Helper()
	for content, want := range map[string]float64{"partner": partners, "own": own} {
		if got, n := m.h.series("karaula_erasures_unproved", map[string]string{"content": content}); got != want || n != 1 {
			m.h.t.Errorf("%v of %s content in %d series, want %v", got, content, n, want)
		}
	}
}

// checkAsked checks that the tag and the halves of the signatures that nobody chooses are
// sought, in the right stream.
func (m *machines) checkAsked(t *testing.T, raw []byte) {
	t.Helper()
	p, ok := envelope.Peek(raw)
	if !ok {
		t.Fatal("not an envelope")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.asked {
		same := len(q.Needles) > 1 && len(erase.TagsOf(nats.Header{"Karaula-Tag": {string(q.Needles[0])}})) == 1 &&
			slices.EqualFunc(q.Needles[1:], p.Signatures, func(n []byte, s *karaulav1.Signature) bool { return bytes.Equal(n, s.GetSig()[32:]) })
		if !same || q.Stream != subject.InStream(subject.Actual(channelID), "me") {
			t.Fatalf("%d needles were sought in %s", len(q.Needles), q.Stream)
		}
	}
}

// What one server still holds keeps nobody from being told of the rest.
func TestWhatIsLeftHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := newMachines(t, h)
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	raw, at, leaf := meSays(me)
	h.deliver(raw)
	p, _ := envelope.Peek(raw)
	m.set(3, func(q *remains.Question) *remains.Answer {
		a := nothingLeft(q)
		for i, n := range q.Needles {
			if bytes.Equal(n, p.Signatures[0].GetSig()[32:]) {
				a.Store = append(a.Store, i)
			}
		}
		return a
	})
	other, otherAt, otherLeaf := meSays(me)
	h.deliver(other)
	h.deliver(order(me, at, leaf))
	h.deliver(order(me, otherAt, otherLeaf))
	h.until("the receipt of the other one", func() bool { return h.told(otherAt.Seq) == 1 })
	m.unsaid(at.Seq, "a server still holds it")
	m.set(3, nothingLeft)
	h.until("the receipt", func() bool { return h.told(at.Seq) == 1 })
}

// What was proved and is found again before it was told is proved again.
func TestWhatIsFoundAgainIsProvedAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := newMachines(t, h)
	m.set(1, stays)
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	raw, at, leaf := meSays(me)
	h.deliver(raw)
	h.deliver(order(me, at, leaf))
	m.more(1, 2)
	ear := h.gateway.channel(channelID).ear("me")
	first := ear.Unproved()
	if len(first) != 1 || first[0].Position != (border.Position{Epoch: 1, Seq: at.Seq}) {
		t.Fatalf("%d erasures are not proved", len(first))
	}
	ear.ErasedAgain(at)
	ear.Proved(first, 1) // what was looked at before
	if len(ear.Unproved()) != 1 {
		t.Error("what was found again counts as proved")
	}
	m.unsaid(at.Seq, "it was found again")
}

// Only signatures by which a statement counts are sought, and of these what nobody can
// choose: beside them a stub may have kept some that are none, and whose bytes lie in
// every file. And the tags, if there are any.
func TestOnlySignaturesThatCountAreSought(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	raw, _, _ := meSays(h.w.Voice("me", h.text, channelID))
	p, ok := envelope.Peek(raw)
	if !ok {
		t.Fatal("not an envelope")
	}
	valid := p.Signatures[0]
	with := func(sigs ...*karaulav1.Signature) []byte {
		out := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), p.Statement)
		for _, sig := range sigs {
			b, err := proto.Marshal(sig)
			must(t, err)
			out = protowire.AppendBytes(protowire.AppendTag(out, 2, protowire.BytesType), b)
		}
		return out
	}
	tag := nats.Header{}
	erase.Tag(tag)
	junk := &karaulav1.Signature{Alg: valid.GetAlg(), KeyId: valid.GetKeyId(), Sig: make([]byte, 64)}
	c := h.gateway.channel(channelID)
	for what, stub := range map[string][]byte{
		"as it was": with(valid), "junk before it": with(junk, valid), "junk behind it": with(valid, junk, junk),
	} {
		if got := c.needlesOf(erase.Stub{Raw: stub}); len(got) != 1 || !bytes.Equal(got[0], valid.GetSig()[32:]) {
			t.Errorf("%s: %d are sought", what, len(got))
		}
		if got := c.needlesOf(erase.Stub{Raw: stub, Header: tag}); len(got) != 2 || string(got[0]) != tag.Get("Karaula-Tag") {
			t.Errorf("%s, with a tag: %d are sought", what, len(got))
		}
	}
	for what, stub := range map[string][]byte{"junk alone": with(junk), "nothing": nil, "no statement": {1, 2, 3}} {
		if got := c.needlesOf(erase.Stub{Raw: stub, Header: nats.Header{"Karaula-Tag": {"x"}}}); len(got) > 0 {
			t.Errorf("%s: %d are sought", what, len(got))
		}
	}
}

// More than one question holds is looked for in turns, so what stays keeps nothing that
// stands behind it waiting.
func TestWhatStaysHoldsUpNothingBehindIt(t *testing.T) {
	t.Parallel()
	c := &channel{turns: map[string]int{}}
	list := make([]inbox.Unproved, 2*inOneLook+7)
	for i := range list {
		list[i].Position.Seq = uint64(i)
	}
	if got := c.turn("me", list[:inOneLook]); len(got) != inOneLook {
		t.Errorf("%d of %d in one look", len(got), inOneLook)
	}
	looked := map[uint64]bool{}
	for range 3 {
		turn := c.turn("me", list)
		if len(turn) != inOneLook {
			t.Fatalf("%d in one look", len(turn))
		}
		for _, u := range turn {
			looked[u.Position.Seq] = true
		}
	}
	if len(looked) != len(list) {
		t.Errorf("%d of %d were looked for in three turns", len(looked), len(list))
	}
	for range 100 { // also while the list becomes shorter
		list = list[:max(len(list)-97, 1)]
		if got := c.turn("me", list); len(got) != min(len(list), inOneLook) {
			t.Fatalf("%d of %d", len(got), len(list))
		}
	}
}

// Nobody is asked to search while one server's machine gives no answer at all, and what
// waits is still shown, with the name of that server.
func TestASilentMachineHasNobodySearch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := newMachines(t, h)
	m.mu.Lock()
	m.mute["al.2"] = true
	m.mu.Unlock()
	h.pace.copies = 20 * time.Millisecond
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	raw, at, leaf := meSays(me)
	h.deliver(raw)
	h.deliver(order(me, at, leaf))
	h.until("what doctor says of it", func() bool {
		h.move(time.Minute)
		text := m.text()
		return strings.HasPrefix(text, "warn not told to partners: 1 erasures") && strings.Contains(text, "server al.2: its machine does not answer")
	})
	m.unsaid(at.Seq, "a machine is silent")
	m.mu.Lock()
	searched := len(m.asked)
	m.mute["al.2"] = false
	m.mu.Unlock()
	if searched > 0 {
		t.Errorf("%d searches for nothing", searched)
	}
	h.until("the receipt", func() bool { return h.told(at.Seq) == 1 })
}

// Since when a server holds something is known of each erasure: new ones all the time are
// no old one, and an old one is not forgotten in a look that was for others.
func TestWhatIsHeldForLongIsNamed(t *testing.T) {
	t.Parallel()
	number := func(seq int) erasure { return erasure{"b01-al-me", "me", border.Position{Epoch: 1, Seq: uint64(seq)}} }
	now, clock := newLooked(), time.Unix(1_000_000, 0)
	h := holdings{}
	look := func(found []int, alsoSought ...int) {
		now = newLooked()
		now.waiting[number(1)] = true
		in := map[holding]bool{}
		for _, seq := range found {
			in[holding{"al.1", number(seq)}], now.sought[number(seq)], now.waiting[number(seq)] = true, true, true
		}
		for _, seq := range alsoSought {
			now.sought[number(seq)] = true
		}
		clock = clock.Add(time.Minute)
		h = h.next(in, now, clock)
	}
	for seq := range 100 {
		look([]int{10 + seq})
	}
	if servers, _ := h.lasting(clock, 10*time.Minute); len(servers) > 0 {
		t.Error("another one in each look counts as one for long")
	}
	look([]int{1, 200})
	for seq := range 100 { // in turns
		if look([]int{300 + seq}); seq%10 == 9 {
			look([]int{1})
		}
	}
	if servers, longest := h.lasting(clock, 100*time.Minute); len(servers) != 1 || longest["al.1"] != number(1) {
		t.Errorf("%v, %v", servers, longest)
	}
	look(nil, 1)
	if servers, _ := h.lasting(clock, 10*time.Minute); len(servers) > 0 {
		t.Error("what is gone is still held")
	}
}

// What a folder that belongs to nothing holds is named, with what to do.
func TestWhatIsLeftInAFolderIsNamed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := newMachines(t, h)
	m.set(3, func(q *remains.Question) *remains.Answer {
		return &remains.Answer{Needles: len(q.Needles), Log: []int{len(q.Needles) - 1}, Left: "/srv/invented/S-R3F-x"}
	})
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	raw, at, leaf := meSays(me)
	h.deliver(raw)
	h.deliver(order(me, at, leaf))
	m.more(3, 2)
	h.move(logPatience)
	h.until("the folder", func() bool {
		text := m.text()
		return strings.Contains(text, "server al.3 holds some of it in /srv/invented/S-R3F-x, which belongs to none of its streams") &&
			strings.Contains(text, "stop al.3, remove that folder, and start it") &&
			strings.Contains(text, fmt.Sprintf("the log of server al.3 still holds what was erased: number %d of me", at.Seq))
	})
	m.unsaid(at.Seq, "it lies there")
}

// A server that has a copy and is not among those that are asked is named.
func TestStrangers(t *testing.T) {
	t.Parallel()
	servers := []node.ServerConfig{{Name: "al.1"}, {Name: "al.2"}, {Name: "al.3"}}
	for want, holders := range map[string][]string{
		"": {"al.3", "al.1"}, "al.4": {"al.1", "al.2", "al.4"}, "al.4 al.5": {"al.4", "al.5", "al.1"},
	} {
		if got := strings.Join(strangers(holders, servers), " "); got != want {
			t.Errorf("%v: %q, want %q", holders, got, want)
		}
	}
	if strangers(nil, servers) != nil {
		t.Error("nobody has a copy")
	}
}

// Own content is looked for, too, in the stream where it lay, and again after a start.
func TestOwnContentIsLookedFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := newMachines(t, h)
	m.set(2, stays)
	h.start()
	a := route()
	_, err := h.send(h.ctx, a)
	must(t, err)
	_, err = h.erase(a.GetId())
	must(t, err)
	m.more(2, 2)
	m.mu.Lock()
	for _, q := range m.asked {
		if q.Stream != subject.Out(subject.Actual(channelID)) {
			t.Errorf("it is sought in %s", q.Stream)
		}
	}
	m.mu.Unlock()
	h.until("it is no trouble yet", func() bool { return strings.HasPrefix(m.text(), "ok 0 of partners' and 1 of our own") })
	h.stop()
	h.start()
	h.until("it is looked for again", func() bool { return strings.HasPrefix(m.text(), "ok 0 of partners' and 1 of our own") })
	h.move(storePatience)
	h.until("what to do with the server", func() bool { return strings.Contains(m.text(), "once al.2 has caught up, stop it and start it again") })
	m.set(2, nothingLeft)
	h.until("nothing that waits", func() bool { return strings.HasPrefix(m.text(), "ok none") })
	h.stop()
	h.move(ownSought)
	h.start()
	if c := h.gateway.channel(channelID); len(c.unproved("al")) > 0 {
		t.Error("it is looked for for ever")
	}
}

// What the machine of a server says of its copies is shown, with its name.
func TestDamagedCopiesAreShown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := newMachines(t, h)
	h.start()
	of := func(about string) string {
		for _, c := range h.gateway.Checks(h.t.Context()) {
			if c.ID == checkup.ClusterCopies && c.About == about {
				return string(c.State) + " " + c.Text
			}
		}
		return "none"
	}
	h.until("all are whole", func() bool { return of("al.1") == "ok whole" && of("al.2") == "ok whole" && of("al.3") == "ok whole" })
	m.lacks(3, "its store is damaged (invented)")
	h.until("the damaged one", func() bool { return of("al.3") == "warn its store is damaged (invented)" && of("al.1") == "ok whole" })
	warned := slices.ContainsFunc(h.gateway.status(h.t.Context()).GetWarnings(), func(w string) bool {
		return strings.HasPrefix(w, "server al.3: its store is damaged (invented)")
	})
	if !warned {
		t.Error("status does not warn of it")
	}
	m.lacks(3, "")
	h.until("all are whole again", func() bool { return of("al.3") == "ok whole" })
}
