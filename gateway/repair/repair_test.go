package repair_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/erase"
	"karaula/gateway/repair"
	"karaula/gateway/stream"
	"karaula/internal/agreement"
	"karaula/internal/border"
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/journal"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/testbroker"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const channel = "b01-al-me"

// house is al's own ledger on a channel, over a real broker.
type house struct {
	t     *testing.T
	w     *testworld.World
	text  *agreement.Agreement
	voice *testworld.Voice
	log   *stream.Log
	cfg   repair.Config
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, w: testworld.New(t, "al", "me")}
	h.text = h.w.Agree(h.w.Text(channel, []string{"al", "me"}))
	h.voice = h.w.Voice("al", h.text, channel)
	broker := testbroker.Start(t)
	broker.Stream(subject.Out(subject.Actual(channel)), subject.SayAll(subject.Actual(channel), "al"))
	h.log = stream.Open(broker.JS, subject.Out(subject.Actual(channel)))
	h.cfg = repair.Config{
		Ledger: h.voice.ID, Channel: channel, Self: "al", Mode: karaulav1.Mode_MODE_ACTUAL,
		Checker: &border.Checker{Self: "al", Skew: 5 * time.Minute}, View: func() *register.View { return h.w.View("al") },
		Log: h.log, Partners: map[string]repair.Partner{}, Signed: map[string]*karaulav1.Head{},
	}
	return h
}

// alerts says n alerts.
func (h *house) alerts(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = alert(h.voice)
	}
	return out
}

func alert(v *testworld.Voice) []byte {
	const typ = karaulav1.AlertType_ALERT_TYPE_VEHICLE
	return v.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_ALERT, Type: typ, Alert: testworld.Alert(typ)})
}

// store puts bytes into the own stream.
func (h *house) store(all ...[]byte) {
	h.t.Helper()
	for _, raw := range all {
		if _, err := h.log.Add(h.t.Context(), stream.Msg{Subject: subject.Say(subject.Actual(channel), "al", "vehicle"), Data: raw}); err != nil {
			h.t.Fatal(err)
		}
	}
}

// stored gives what the own stream holds.
func (h *house) stored() (out [][]byte) {
	h.t.Helper()
	err := h.log.Read(h.t.Context(), 1, "", func(m stream.Stored) error {
		out = append(out, m.Data)
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *house) take() *repair.Survey {
	h.t.Helper()
	s, err := repair.Take(h.t.Context(), h.cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// signed is a journal that has signed statements.
func (h *house) signed(all ...[]byte) {
	tree := &ledger.Tree{}
	for _, raw := range all {
		tree.Append(leaf(h.t, raw))
	}
	h.cfg.Journal = &journal.State{Ledger: h.voice.ID, Channel: channel, Epoch: 1, Tree: tree}
}

func leaf(t *testing.T, raw []byte) [32]byte {
	t.Helper()
	p, err := envelope.ParseOuter(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p.Leaf
}

// partner holds statements of epoch 1, and may lie about every answer.
type partner struct {
	t    *testing.T
	held [][]byte
	head func(*karaulav1.Head) *karaulav1.Head
	stub func(seq uint64, raw []byte) []byte
	give func(seq uint64, raw []byte) ([]byte, error)
	away bool
}

func (p *partner) Head(context.Context) (*karaulav1.Head, error) {
	if p.away {
		return nil, problem.New(problem.Unreachable, "the link is down")
	}
	tree := &ledger.Tree{}
	for _, raw := range p.held {
		tree.Append(leaf(p.t, raw))
	}
	root := tree.Root()
	h := &karaulav1.Head{Epoch: 1, Size: tree.Size(), Root: root[:]}
	if p.head != nil {
		h = p.head(h)
	}
	return h, nil
}

func (p *partner) get(epoch, from, to uint64, each func(uint64, []byte) ([]byte, error)) (out [][]byte, err error) {
	if p.away {
		return nil, problem.New(problem.Unreachable, "the link is down")
	}
	for seq := from; seq <= min(to, uint64(len(p.held))) && epoch == 1; seq++ {
		raw, err := each(seq, p.held[seq-1])
		if err != nil {
			return nil, err
		}
		out = append(out, raw)
	}
	if len(out) == 0 {
		return nil, problem.New(problem.NotFound, "there is no such thing here")
	}
	return out, nil
}

func (p *partner) Stubs(_ context.Context, epoch, from, to uint64) ([][]byte, error) {
	return p.get(epoch, from, to, func(seq uint64, raw []byte) ([]byte, error) {
		stub, err := envelope.Stub(raw)
		if err == nil && p.stub != nil {
			stub = p.stub(seq, stub)
		}
		return stub, err
	})
}

func (p *partner) Statements(_ context.Context, epoch, from, to uint64) ([][]byte, error) {
	return p.get(epoch, from, to, func(seq uint64, raw []byte) ([]byte, error) {
		if p.give != nil {
			return p.give(seq, raw)
		}
		return raw, nil
	})
}

func TestWhatIsLostComesBackInItsExactBytes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := h.alerts(70) // more than one answer holds
	h.store(all[:2]...)
	h.cfg.Partners["me"] = &partner{t: t, held: all}
	s := h.take()
	if s.State != repair.Mendable || s.Missing != 68 || !s.Rewrite || s.Head.Seq != 70 {
		t.Fatalf("%s, %d missing, rewrite %v, head %v: %q", s.State, s.Missing, s.Rewrite, s.Head, s.Found)
	}
	if stubs, err := s.Mend(t.Context()); err != nil || stubs != 0 {
		t.Fatalf("%d stubs, %v", stubs, err)
	}
	if !slices.EqualFunc(h.stored(), all, func(a, b []byte) bool { return string(a) == string(b) }) {
		t.Error("the stream does not hold the same bytes")
	}
	h.cfg.Journal = new(s.JournalState())
	if again := h.take(); again.State != repair.Fine {
		t.Errorf("afterwards: %s: %q", again.State, again.Found)
	}
}

// Whatever a lying partner shows, only what was really signed gets into the stream.
func TestALyingPartnerPutsNothingIntoTheStream(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := h.alerts(3)
	h.store(all[0])
	mine := h.w.Voice("me", h.text, channel)
	theirs := alert(mine)
	forger := h.voice.Clone()
	forged := forger.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT, Key: &h.w.Parties["me"].Gateway.Sign})
	lies := map[string][]byte{
		"noise": testworld.Random(300), "nothing": {}, "another number": all[0], "its own": theirs,
		"signed by itself": forged,
	}
	for name, lie := range lies {
		h.cfg.Partners["me"] = &partner{
			t: t, held: all, stub: func(uint64, []byte) []byte { return lie },
			give: func(uint64, []byte) ([]byte, error) { return lie, nil },
		}
		s := h.take()
		if s.Missing != 0 || s.Head.Seq != 1 || s.State == repair.Contested {
			t.Errorf("%s: %s, %d missing, head %v: %q", name, s.State, s.Missing, s.Head, s.Found)
		}
		if _, err := s.Mend(t.Context()); err != nil || len(h.stored()) != 1 {
			t.Errorf("%s: %v, %d statements in the stream", name, err, len(h.stored()))
		}
	}
	// It shows the right statements, and gives other content with them.
	h.cfg.Partners["me"] = &partner{t: t, held: all, give: func(_ uint64, raw []byte) ([]byte, error) {
		var e karaulav1.Envelope
		if err := proto.Unmarshal(raw, &e); err != nil {
			return nil, err
		}
		e.Parts[0] = testworld.Random(len(e.GetParts()[0]))
		return proto.Marshal(&e)
	}}
	if _, err := h.take().Mend(t.Context()); err == nil || len(h.stored()) != 1 {
		t.Errorf("other content: %v, %d statements in the stream", err, len(h.stored()))
	}
	// An honest one beside it is enough.
	h.cfg.Partners["xx"] = &partner{t: t, held: all}
	if stubs, err := h.take().Mend(t.Context()); err != nil || stubs != 0 || len(h.stored()) != 3 {
		t.Errorf("with an honest one: %v, %d stubs, %d statements", err, stubs, len(h.stored()))
	}
}

// A head that nobody shows is only somebody's word while the journal knows better.
func TestAClaimCallsForNoEpoch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := h.alerts(2)
	h.store(all...)
	h.signed(all...)
	boast := func(head *karaulav1.Head) *karaulav1.Head {
		head.Size, head.Root = 1<<40, testworld.Random(32)
		return head
	}
	h.cfg.Partners["me"] = &partner{t: t, held: all, head: boast}
	if s := h.take(); s.State != repair.Fine {
		t.Errorf("with its journal: %s: %q", s.State, s.Found)
	}
	h.cfg.Signed["me"] = &karaulav1.Head{Epoch: 1, Size: 9, Root: testworld.Random(32)}
	if s := h.take(); s.State != repair.Fine {
		t.Errorf("signed, with its journal: %s: %q", s.State, s.Found)
	}
	h.cfg.Floor = border.Position{Epoch: 1, Seq: 3}
	if s := h.take(); s.State != repair.Lost {
		t.Errorf("a backup knows of more: %s: %q", s.State, s.Found)
	}
	h.cfg.Floor = border.Position{Epoch: 1, Seq: 2}
	h.cfg.Copied = true
	if s := h.take(); s.State != repair.Lost {
		t.Errorf("signed, and the journal is a copy: %s: %q", s.State, s.Found)
	}
}

func TestTwoHistoriesAreContested(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	common := h.alerts(4)
	other := h.voice.Clone()
	one, two := append(slices.Clone(common), h.alerts(3)...), append(slices.Clone(common), alert(other), alert(other))
	h.store(common...)
	h.cfg.Partners["me"] = &partner{t: t, held: one}
	h.cfg.Partners["xx"] = &partner{t: t, held: two}
	s := h.take()
	if s.State != repair.Contested || s.Reason != "contested" || s.Head != (border.Position{Epoch: 1, Seq: 4}) || s.Missing != 0 {
		t.Fatalf("%s, %s, head %v, %d missing: %q", s.State, s.Reason, s.Head, s.Missing, s.Found)
	}
	if s.Fork == nil || s.Fork.Position.Seq != 5 {
		t.Fatalf("the fork: %+v", s.Fork)
	}
	if leaf(t, s.Fork.Second) != leaf(t, two[4]) {
		t.Error("the other side of the fork is another statement")
	}
}

// Who does not answer now may have the content: nothing is put back without it.
func TestASilentPartnerCostsNoContent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := h.alerts(3)
	busy := true
	h.cfg.Partners["me"] = &partner{t: t, held: all, give: func(_ uint64, raw []byte) ([]byte, error) {
		if busy {
			return nil, problem.New(problem.Unreachable, "too often")
		}
		return raw, nil
	}}
	if _, err := h.take().Mend(t.Context()); !problem.Is(err, problem.Unreachable) || len(h.stored()) != 0 {
		t.Errorf("while it is busy: %v, %d statements in the stream", err, len(h.stored()))
	}
	busy = false
	if stubs, err := h.take().Mend(t.Context()); err != nil || stubs != 0 || len(h.stored()) != 3 {
		t.Errorf("afterwards: %v, %d stubs, %d statements", err, stubs, len(h.stored()))
	}
}

func TestErasedContentComesBackAsAStub(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := h.alerts(2)
	h.cfg.Partners["me"] = &partner{t: t, held: all, give: func(seq uint64, raw []byte) ([]byte, error) {
		if seq == 1 {
			return envelope.Stub(raw)
		}
		return raw, nil
	}}
	if stubs, err := h.take().Mend(t.Context()); err != nil || stubs != 1 || len(h.stored()) != 2 {
		t.Errorf("%v, %d stubs, %d statements", err, stubs, len(h.stored()))
	}
}

// The journal alone cannot tell whether somebody holds more, unless it is sound.
func TestWhoIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := h.alerts(3)
	h.store(all...)
	h.cfg.Partners["me"] = &partner{t: t, held: all, away: true}
	if s := h.take(); s.State != repair.Waits || !slices.Equal(s.Away, []string{"me"}) {
		t.Errorf("without a journal: %s, away %v", s.State, s.Away)
	}
	h.signed(all...)
	if s := h.take(); s.State != repair.Fine {
		t.Errorf("with a journal: %s: %q", s.State, s.Found)
	}
	h.cfg.Copied = true
	if s := h.take(); s.State != repair.Waits {
		t.Errorf("with a copied journal: %s: %q", s.State, s.Found)
	}
}

// Junk and disorder in the own stream change nothing: what lies out of its place
// is found, and put where it belongs.
func TestAStreamOutOfOrderIsMendedFromItself(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := h.alerts(4)
	h.store(testworld.Random(40), all[0], all[2], all[3], all[1], all[0])
	h.signed(all...)
	s := h.take()
	if s.State != repair.Mendable || s.Head.Seq != 4 {
		t.Fatalf("%s, head %v: %q", s.State, s.Head, s.Found)
	}
	if _, err := s.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := h.take(); again.State != repair.Fine || !strings.Contains(strings.Join(again.Found, " "), "4 statements of epoch 1 in order") {
		t.Errorf("afterwards: %s: %q", again.State, again.Found)
	}
}

// A key that is revoked from a number in the past on has signed in vain since: the
// way out is an epoch that goes on from that number.
func TestWhatARevokedKeyHasSignedIsLeftBehind(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := h.alerts(5)
	h.store(all...)
	h.signed(all...)
	key := h.w.Parties["al"].Gateway.Sign.ID
	h.w.Rotate("al", func(c *card.Card) {
		c.Revoked = append(c.Revoked, card.Revocation{Key: key, Ledger: h.voice.ID, Epoch: 1, Seq: 3})
	})
	h.cfg.Partners["me"] = &partner{t: t, held: all}
	s := h.take()
	if s.State != repair.Revoked || s.Head != (border.Position{Epoch: 1, Seq: 3}) || s.Missing != 0 {
		t.Fatalf("%s, head %v, %d missing: %q", s.State, s.Head, s.Missing, s.Found)
	}
	if root, want := s.Root, rootOf(t, all[:3]); root != want {
		t.Errorf("the root is %x instead of %x", root, want)
	}
}

// What a thief says with a revoked key is no second history of ours, and no sign of a
// lost one, as long as the journal is sound. A partner that had taken it in needs a new
// epoch, behind what both hold.
func TestAThiefOfARevokedKeyProvesNothing(t *testing.T) {
	t.Parallel()
	for name, thieves := range map[string]int{"behind what was said": 4, "in its place, too": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			all := h.alerts(2)
			thief := h.voice.Clone()
			key := h.w.Parties["al"].Gateway.Sign.ID
			h.voice.Card = h.w.Rotate("al", func(c *card.Card) {
				c.Revoked = append(c.Revoked, card.Revocation{Key: key, Ledger: h.voice.ID, Epoch: 1, Seq: 2})
			})
			held := append([][]byte{}, all...)
			for range thieves {
				held = append(held, alert(thief))
			}
			all = append(all, h.alerts(3)...)
			h.store(all...)
			h.signed(all...)
			h.cfg.Partners["me"] = &partner{t: t, held: held}
			s := h.take()
			if s.State != repair.Fine || s.Vain == nil || s.Fork != nil || s.Head.Seq != 5 {
				t.Fatalf("%s, head %v, thief at %v: %q", s.State, s.Head, s.Vain, s.Found)
			}
			if s.LeaveBehind(); thieves == 2 && s.Head.Seq != 2 {
				t.Errorf("a new epoch would go on behind number %d", s.Head.Seq)
			}
			h.cfg.Journal = nil // now nobody knows better
			if s := h.take(); s.State == repair.Fine || s.State == repair.Mendable {
				t.Errorf("without a journal: %s: %q", s.State, s.Found)
			}
		})
	}
}

func rootOf(t *testing.T, all [][]byte) [32]byte {
	t.Helper()
	tree := &ledger.Tree{}
	for _, raw := range all {
		tree.Append(leaf(t, raw))
	}
	return tree.Root()
}

// What was erased is in the stub stream and not missing, also before an epoch opens.
func TestWhatWasErasedIsNotMissing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := h.alerts(4)
	bare, err := envelope.Stub(all[3])
	if err != nil {
		t.Fatal(err)
	}
	second, err := envelope.Stub(all[1])
	if err != nil {
		t.Fatal(err)
	}
	h.store(all[0], all[2])
	h.cfg.Stubs = erase.Stubs{
		{Epoch: 1, Seq: 2}: {{Raw: second}},
		{Epoch: 1, Seq: 4}: {{Raw: bare}},
	}
	h.signed(all...)
	h.cfg.Partners["me"] = &partner{t: t, held: all}
	if s := h.take(); s.State != repair.Fine || s.Missing != 0 || s.Head.Seq != 4 {
		t.Errorf("%s, %d missing, head %v: %q", s.State, s.Missing, s.Head, s.Found)
	}
}
