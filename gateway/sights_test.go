package gateway

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/diary"
	"karaula/gateway/inbox"
	"karaula/gateway/stream"
	"karaula/internal/checkup"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const threeID = "t01-al-me-xk"

// three is al's gateway on a channel with me and xk, who are voices.
type three struct {
	*house
	voices map[string]*testworld.Voice
	heard  map[string][][]byte
	shows  atomic.Pointer[func(code string, seq uint64) ([]byte, error)]
	asked  atomic.Int64
}

func newThree(t *testing.T) *three {
	t.Helper()
	h := &three{house: newHouseOn(t, threeID, "al", "me", "xk"), voices: map[string]*testworld.Voice{}, heard: map[string][][]byte{}}
	for _, code := range []string{"me", "xk"} {
		h.voices[code] = h.w.Voice(code, h.text, threeID)
	}
	h.show(func(string, uint64) ([]byte, error) {
		return nil, problem.New(problem.Unreachable, "nobody is asked")
	})
	h.begin()
	return h
}

// begin starts the gateway, whose partners show what the test says.
func (h *three) begin() {
	h.t.Helper()
	h.start()
	for _, code := range []string{"me", "xk"} {
		p := h.gateway.partner(code)
		p.mu.Lock()
		p.shows = func(seq uint64) ([]byte, error) {
			h.asked.Add(1)
			return (*h.shows.Load())(code, seq)
		}
		p.mu.Unlock()
	}
}

func (h *three) show(f func(code string, seq uint64) ([]byte, error)) { h.shows.Store(&f) }

func (h *three) channel() *channel { return h.gateway.channel(threeID) }

// hear hands over what a partner said, and waits until it is judged.
func (h *three) hear(code string, raw []byte) {
	h.t.Helper()
	ear := h.channel().ear(code)
	h.heard[code] = append(h.heard[code], raw)
	n := uint64(len(h.heard[code]))
	must(h.t, ear.Deliver(h.t.Context(), inbox.Delivery{Data: raw, StreamSeq: n, Ack: func() error { return nil }}))
	h.until("a verdict", func() bool { _, judged, _, _, _ := ear.Status(); return judged >= n })
}

// says has a partner say a heartbeat, with heads.
func (h *three) says(code string, heads ...*karaulav1.Head) {
	h.t.Helper()
	h.hear(code, h.beat(h.voices[code], heads...))
}

func (h *three) beat(v *testworld.Voice, heads ...*karaulav1.Head) []byte {
	return v.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_HEARTBEAT, Set: func(st *karaulav1.Statement) { st.Heads = heads },
	})
}

// warns gives the warnings of the node's state that speak of histories.
func (h *three) warns() []string {
	h.t.Helper()
	s, err := h.desk.Status(h.ctx, connect.NewRequest(&karaulav1.StatusRequest{}))
	must(h.t, err)
	return slices.DeleteFunc(s.Msg.GetWarnings(), func(w string) bool { return !strings.Contains(w, "has signed") })
}

// counted reports whether the metric says that a partner sees another history.
func (h *three) counted(by, of string) bool {
	h.t.Helper()
	value, n := h.series("karaula_channel_two_histories", map[string]string{"party": by, "origin": of})
	if n == 0 {
		h.t.Errorf("no gauge of %s and %s", by, of)
	}
	return value == 1
}

// doctor gives the state of the check of what a partner has signed.
func (h *three) doctor(by string) checkup.State {
	for _, c := range h.gateway.Checks(h.ctx) {
		if c.ID == checkup.Histories && c.About == threeID+"/"+by {
			return c.State
		}
	}
	return "absent"
}

// recorded counts what the gateway has recorded by itself of two histories.
func (h *three) recorded() int {
	h.t.Helper()
	n := 0
	records := diary.NewRecords(h.gateway.o.Keys.Keys, deskKey(h.gateway.o.Keys.Keys()))
	must(h.t, h.gateway.deskLog.Read(h.ctx, 1, "", func(m stream.Stored) error {
		e, err := records.Open(m.Data)
		if err == nil && e.GetDeed() == "two-histories" {
			n++
		}
		return err
	}))
	return n
}

func (h *three) contested(origin string) bool {
	return h.channel().theirLedger(origin).GetState() == ledgerContested
}

// me shows al one history and xk another. Neither contradicts itself; that xk has
// signed the other one gives it away, and one statement that xk shows makes it a
// proof that needs nobody's word.
func TestTwoHistoriesForTwoPartners(t *testing.T) {
	t.Parallel()
	h := newThree(t)
	h.says("me")
	other := h.voices["me"].Clone()
	h.says("me")
	second := other.Say(testworld.Said(karaulav1.AlertType_ALERT_TYPE_VEHICLE))
	h.show(func(code string, seq uint64) ([]byte, error) {
		if code != "xk" || seq != 2 {
			return nil, fmt.Errorf("%s is asked for number %d", code, seq)
		}
		return second, nil
	})
	h.says("xk", other.Head())
	h.until("me is contested", func() bool { return h.contested("me") })
	all := h.channel().ear("me").Contradictions()
	if len(all) != 1 || all[0].First == nil || !bytes.Equal(all[0].Second, stubOf(t, second)) {
		t.Fatalf("%+v", all)
	}
	h.until("it is told", func() bool {
		w := h.warns()
		return len(w) == 1 && strings.Contains(w[0], "xk has signed another history of me") && strings.Contains(w[0], "has shown") &&
			h.counted("xk", "me") && !h.counted("me", "xk") && h.doctor("xk") == checkup.Fail && h.doctor("me") == checkup.OK
	})
	h.until("it is recorded", func() bool { return h.recorded() == 1 })
	if h.contested("xk") || h.channel().writer.Halted() != nil {
		t.Error("it stops more than it must")
	}

	h.stop()
	h.begin()
	if !h.contested("me") || len(h.warns()) != 1 {
		t.Errorf("after a restart: contested %v, %v", h.contested("me"), h.warns())
	}
}

// What a partner signed of the other history may be malformed: it is a leaf all the same.
func TestAMalformedHistoryForOneOfTwo(t *testing.T) {
	t.Parallel()
	h := newThree(t)
	other := h.voices["me"].Clone()
	h.says("me")
	second := other.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_HEARTBEAT, Set: func(st *karaulav1.Statement) { st.PrevRoot = nil },
	})
	h.show(func(string, uint64) ([]byte, error) { return second, nil })
	h.says("xk", other.Head())
	h.until("me is contested", func() bool { return h.contested("me") })
}

func stubOf(t *testing.T, raw []byte) []byte {
	t.Helper()
	stub, err := envelope.Stub(raw)
	must(t, err)
	return stub
}

// What a partner has signed of a ledger that is not here yet is compared once it is.
func TestAHeadThatIsAheadIsComparedLater(t *testing.T) {
	t.Parallel()
	h := newThree(t)
	for _, same := range []bool{true, false} {
		v := h.voices["me"]
		first := h.beat(v)
		other := v.Clone()
		second := h.beat(v)
		if !same {
			h.beat(other)
			other.Tree.Append([32]byte{1})
		} else {
			other = v.Clone()
		}
		h.says("xk", other.Head())
		if w := h.warns(); len(w) > 0 {
			t.Fatalf("before it is here: %v", w)
		}
		h.hear("me", first)
		h.hear("me", second)
		if !same {
			h.says("me")
		}
		h.until("the comparison", func() bool { return len(h.warns()) == map[bool]int{true: 0, false: 1}[same] })
	}
}

// A partner that lies about a third one accuses itself: it is named, it is asked a
// few times at most, nothing is stopped, and it may say so as often as it likes.
func TestALieAboutAThirdParty(t *testing.T) {
	t.Parallel()
	for name, shown := range map[string]func(h *three) []byte{
		"nothing":               func(*three) []byte { return nil },
		"junk":                  func(*three) []byte { return []byte("junk") },
		"what is here":          func(h *three) []byte { return h.heard["me"][1] },
		"another number":        func(h *three) []byte { return h.heard["me"][0] },
		"what it signed itself": func(h *three) []byte { return h.heard["xk"][0] },
		"a forgery":             func(h *three) []byte { return forgedOf(h.t, h.heard["me"][1]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newThree(t)
			h.says("me")
			h.says("me")
			h.show(func(string, uint64) ([]byte, error) {
				if raw := shown(h); raw != nil {
					return raw, nil
				}
				return nil, problem.New(problem.NotFound, "no such thing")
			})
			lie := h.voices["me"].Head()
			for i := range 5 {
				lie.Root = bytes.Repeat([]byte{byte(i + 1)}, 32)
				h.says("xk", lie)
			}
			h.until("it is named and asked", func() bool {
				w := h.warns()
				return len(w) == 1 && strings.HasPrefix(w[0], "xk has signed another history of me") && strings.Contains(w[0], "asked for it")
			})
			h.until("it is recorded", func() bool { return h.recorded() == 1 })
			_, _, held, aside, _ := h.channel().ear("me").Status()
			if held > 0 || aside > 0 || h.contested("me") || h.asked.Load() != 1 {
				t.Errorf("me: held %d, aside %d, contested %v; asked %d times", held, aside, h.contested("me"), h.asked.Load())
			}
			if err := h.channel().writer.Halted(); err != nil {
				t.Error(err)
			}
			h.says("me")
			h.says("xk", h.voices["me"].Head())
			h.until("it has come to the same history", func() bool { return len(h.warns()) == 0 && !h.counted("xk", "me") })
			h.says("xk", lie)
			h.says("me")
			if h.recorded() != 1 {
				t.Errorf("recorded %d times", h.recorded())
			}
		})
	}
}

// forgedOf is another statement at the same place, with a signature that is none.
func forgedOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	p, err := envelope.Parse(raw)
	must(t, err)
	p.Statement.SaidAt++
	st, err := envelope.Build(p.Statement)
	must(t, err)
	out, err := envelope.Assemble(st, []*karaulav1.Signature{{
		Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: p.Statement.GetSigners()[0].GetKeyId(), Sig: testworld.Random(64),
	}}, nil)
	must(t, err)
	return out
}

// A partner that has signed that it holds more of us than we know is asked. Shows it
// one with our signature, we stop; shows it none, its word stops nothing.
func TestMoreOfUsThanWeKnow(t *testing.T) {
	t.Parallel()
	for _, true1 := range []bool{true, false} {
		t.Run(fmt.Sprint("it shows one: ", true1), func(t *testing.T) {
			t.Parallel()
			h := newThree(t)
			mine := h.w.Voice("al", h.text, threeID) // what al would have said and has forgotten
			raw := h.beat(mine)
			h.show(func(string, uint64) ([]byte, error) {
				if true1 {
					return raw, nil
				}
				return nil, problem.New(problem.NotFound, "no such thing")
			})
			h.says("xk", mine.Head())
			h.until("it is told", func() bool {
				w := h.warns()
				return len(w) > 0 && strings.Contains(strings.Join(w, ";"), "xk has signed that it holds 1 statements of ours")
			})
			if true1 {
				h.until("nothing more is said", func() bool { return h.channel().writer.Halted() != nil })
				return
			}
			h.until("it was asked", func() bool { return strings.Contains(h.warns()[0], "asked for it") })
			if err := h.channel().maySpeak(0); err != nil {
				t.Errorf("its word silences us: %v", err)
			}
		})
	}
}

// Lies about ourselves that always name something new are told once, and are over
// when the partner says what is so.
func TestEverNewLiesAboutUs(t *testing.T) {
	t.Parallel()
	h := newThree(t)
	h.show(func(string, uint64) ([]byte, error) { return nil, problem.New(problem.NotFound, "no such thing") })
	led := h.channel().ledger("al")
	for i := range uint64(20) {
		h.says("xk", &karaulav1.Head{Ledger: led[:], Epoch: i + 1, Size: 1 << i, Root: testworld.Random(32)})
	}
	h.until("it is recorded and asked", func() bool { return h.recorded() == 1 && strings.Contains(h.warns()[0], "asked for it") })
	if n := strings.Count(h.logs.String(), "has signed another history"); n != 1 || len(h.warns()) != 1 || h.asked.Load() != 1 {
		t.Errorf("told %d times, %v, asked %d times", n, h.warns(), h.asked.Load())
	}
	if err := h.channel().writer.Halted(); err != nil {
		t.Error(err)
	}
}

// After a start nothing is said before a partner was asked that has signed more of
// us than is here: what we said last may be lost. One that does not answer delays
// it, for a minute.
func TestALostTailIsNoticedBeforeSpeaking(t *testing.T) {
	t.Parallel()
	h := newThree(t)
	mine := h.w.Voice("al", h.text, threeID)
	raw := h.beat(mine)
	h.says("xk", mine.Head())
	h.stop()
	h.begin() // nobody answers
	c := h.channel()
	if err := c.maySpeak(0); !problem.Is(err, problem.Unreachable) || !strings.Contains(err.Error(), "which are not those that we know") {
		t.Errorf("at once: %v", err)
	}
	c.mu.Lock()
	opened := c.openedAt
	c.openedAt = opened.Add(-tailWait)
	c.mu.Unlock()
	if err := c.maySpeak(0); err != nil {
		t.Errorf("after a minute: %v", err)
	}
	h.stop()
	h.show(func(string, uint64) ([]byte, error) { return raw, nil })
	h.begin()
	h.until("it is asked and shows it", func() bool { return h.channel().writer.Halted() != nil })
	if _, err := h.desk.Send(context.WithoutCancel(h.ctx), connect.NewRequest(&karaulav1.SendRequest{
		Channel: threeID, Alerts: []*karaulav1.Alert{route()},
	})); err == nil {
		t.Error("something was said")
	}
}

// listed looks whether the ledgers name xk's head of a ledger, and only there.
func (h *three) listed(of string, lie *karaulav1.Head) {
	h.t.Helper()
	all, err := h.desk.Ledgers(h.ctx, connect.NewRequest(&karaulav1.LedgersRequest{Channel: threeID}))
	must(h.t, err)
	for _, l := range all.Msg.GetLedgers() {
		if l.GetOrigin() != of {
			if len(l.GetDiffering()) > 0 {
				h.t.Errorf("of %s: %v", l.GetOrigin(), l.GetDiffering())
			}
			continue
		}
		here, _ := h.channel().rootOf(of, lie.GetEpoch(), lie.GetSize())
		n := uint64(len(h.heard["xk"]))
		if d := l.GetDiffering(); len(d) != 1 || d[0].GetParty() != "xk" || d[0].GetEpoch() != lie.GetEpoch() ||
			d[0].GetSize() != lie.GetSize() || !bytes.Equal(d[0].GetRoot(), lie.GetRoot()) || !bytes.Equal(d[0].GetHere(), here[:]) ||
			d[0].GetStatementSeq() != n || d[0].GetSaidAt() == 0 || d[0].GetProven() || !strings.HasPrefix(d[0].GetNext(), "keep everything") {
			h.t.Errorf("of %s: %v", of, d)
		}
	}
}

// What a partner signed last may be lower than what it signed before. It is named for
// that as long as it stands, and a restart changes nothing.
func TestALowerLieIsRememberedOverARestart(t *testing.T) {
	t.Parallel()
	for _, of := range []string{"al", "me"} {
		t.Run("about "+of, func(t *testing.T) {
			t.Parallel()
			h := newThree(t)
			h.show(func(string, uint64) ([]byte, error) { return nil, problem.New(problem.NotFound, "no such thing") })
			for range 3 {
				h.says("me")
				_, err := h.desk.Send(h.ctx, connect.NewRequest(&karaulav1.SendRequest{Channel: threeID, Alerts: []*karaulav1.Alert{route()}}))
				must(t, err)
			}
			c := h.channel()
			lie := proto.CloneOf(c.headOf(of))
			lie.Size, lie.Root = 2, bytes.Repeat([]byte{7}, 32)
			h.says("xk", c.headOf(of))
			h.says("xk", lie)
			h.until("it is named", func() bool { return len(h.warns()) == 1 && h.counted("xk", of) })
			h.listed(of, lie)
			h.until("it is recorded", func() bool { return h.recorded() == 1 })
			h.stop()
			h.begin()
			h.listed(of, lie)
			if w := h.warns(); len(w) != 1 || !h.counted("xk", of) || h.doctor("xk") != checkup.Fail {
				t.Fatalf("after a restart: %v", w)
			}
			h.until("it is looked for in the records", func() bool {
				d := h.channel().differences()
				return len(d) == 1 && d[0].recorded
			})
			if n := h.recorded(); n != 1 {
				t.Errorf("recorded %d times", n)
			}
			h.says("xk", h.channel().headOf(of))
			if w := h.warns(); len(w) != 0 {
				t.Errorf("after it has said what is so: %v", w)
			}
			h.stop()
			h.begin()
			if w := h.warns(); len(w) != 0 {
				t.Errorf("after that and a restart: %v", w)
			}
		})
	}
}
