package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/stream"
	"karaula/internal/card"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// A partner can claim to hold more of us than we have said. If its word were
// enough, any party of a channel could silence us towards all others.
func TestAClaimAloneSilencesNobody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Fatal(err)
	}
	c := h.gateway.channel(channelID)
	var own []byte // the last thing that we have really said
	err := stream.Open(h.broker.JS, subject.Out(subject.Actual(channelID))).Read(t.Context(), 1, "", func(m stream.Stored) error {
		own = m.Data
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	size := c.writer.Head().GetSize()
	mine := h.w.Voice("me", h.text, channelID)
	forged := h.w.Voice("al", h.text, channelID)
	for name, show := range map[string][]byte{
		"noise":                  testworld.Random(200),
		"what we did say":        own,
		"a statement of its own": mine.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT}),
		"ours, by its key": forged.Say(testworld.Draft{
			Kind: karaulav1.Kind_KIND_HEARTBEAT, Set: func(st *karaulav1.Statement) { st.Seq = size + 1 },
			Key: &h.w.Parties["me"].Gateway.Sign,
		}),
	} {
		p := &partner{g: h.gateway, code: "me", shows: func(uint64) ([]byte, error) { return show, nil }}
		head := c.writer.Head()
		p.compareOurs(t.Context(), &karaulav1.Head{
			Ledger: head.GetLedger(), Epoch: 1, Size: head.GetSize() + 1, Root: testworld.Random(32),
		})
		if err := c.writer.Halted(); err != nil {
			t.Fatalf("%s silences us: %v", name, err)
		}
	}
	away := &partner{g: h.gateway, code: "me"}
	head := c.writer.Head()
	away.compareOurs(
		t.Context(),
		&karaulav1.Head{Ledger: head.GetLedger(), Epoch: 1, Size: 1 << 60, Root: head.GetRoot()},
	)
	if err := c.writer.Halted(); err != nil {
		t.Fatalf("who cannot be asked silences us: %v", err)
	}
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Errorf("nothing is said any more: %v", err)
	}
}

// What we have signed and do not know stops us: our journal was set back.
func TestAProofStopsTheChannel(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Fatal(err)
	}
	c := h.gateway.channel(channelID)
	head := c.writer.Head()
	lost := h.w.Voice("al", h.text, channelID)
	for name, set := range map[string]struct{ seq, size uint64 }{
		"one more":         {head.GetSize() + 1, head.GetSize() + 5},
		"another last one": {head.GetSize(), head.GetSize()},
	} {
		raw := lost.Say(testworld.Draft{
			Kind: karaulav1.Kind_KIND_HEARTBEAT, Set: func(st *karaulav1.Statement) { st.Seq = set.seq },
		})
		p := &partner{g: h.gateway, code: "me", shows: func(uint64) ([]byte, error) { return raw, nil }}
		err := p.prove(t.Context(), c, head, &karaulav1.Head{Size: set.size, Root: testworld.Random(32)})
		if !problem.Is(err, problem.Verification) || errors.Is(err, errUnproven) {
			t.Errorf("%s: %v", name, err)
		}
		p.compareOurs(
			t.Context(),
			&karaulav1.Head{Ledger: head.GetLedger(), Epoch: 1, Size: set.size, Root: testworld.Random(32)},
		)
	}
	if c.writer.Halted() == nil {
		t.Error("the channel goes on")
	}
}

// The partner chooses when it answers: just before its time is over, or the
// moment after we have said what it claimed to hold. Neither may silence us.
func TestALateAnswerSilencesNobody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Fatal(err)
	}
	c := h.gateway.channel(channelID)
	genuine := func(seq uint64) []byte {
		raw, err := c.statement(t.Context(), "al", 1, seq)
		if err != nil || raw == nil {
			t.Fatalf("number %d: %v", seq, err)
		}
		return raw
	}
	head := c.writer.Head()
	slow := &partner{g: h.gateway, code: "me", shows: func(seq uint64) ([]byte, error) {
		time.Sleep(proveTimeout)
		return genuine(seq), nil
	}}
	slow.compareOurs(
		t.Context(),
		&karaulav1.Head{Ledger: head.GetLedger(), Epoch: 1, Size: 1, Root: testworld.Random(32)},
	)
	if err := c.writer.Halted(); err != nil {
		t.Fatalf("a slow answer silences us: %v", err)
	}
	soothsayer := &partner{g: h.gateway, code: "me", shows: func(seq uint64) ([]byte, error) {
		if _, err := h.send(h.ctx, route()); err != nil {
			t.Error(err)
		}
		raw := genuine(seq)
		c.mu.Lock() // as long as the channel has not been told of it
		c.numbers = numbers{}
		c.mu.Unlock()
		return raw, nil
	}}
	soothsayer.compareOurs(
		t.Context(),
		&karaulav1.Head{Ledger: head.GetLedger(), Epoch: 1, Size: 2, Root: testworld.Random(32)},
	)
	if err := c.writer.Halted(); err != nil {
		t.Fatalf("what was said meanwhile silences us: %v", err)
	}
}

// A later epoch of ours that we do not know is a proof, too.
func TestAProofOfALaterEpochStopsTheChannel(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	c := h.gateway.channel(channelID)
	lost := h.w.Voice("al", h.text, channelID)
	lost.Epoch = 2
	raw := lost.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT})
	p := &partner{g: h.gateway, code: "me", shows: func(uint64) ([]byte, error) { return raw, nil }}
	head := c.writer.Head()
	p.compareOurs(t.Context(), &karaulav1.Head{Ledger: head.GetLedger(), Epoch: 2, Size: 1, Root: testworld.Random(32)})
	if c.writer.Halted() == nil {
		t.Error("the channel goes on in an epoch that is over")
	}
}

// Who has stolen a key can still sign with it after it was revoked, and have a
// partner show that. It stops nothing, and is told.
func TestARevokedKeySilencesNobody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Fatal(err)
	}
	c := h.gateway.channel(channelID)
	head := c.writer.Head()
	thief := h.w.Voice("al", h.text, channelID)
	stolen := h.w.Parties["al"].Gateway.Sign.ID
	fresh := h.w.Rotate("al", func(d *card.Card) {
		d.Revoked = append(d.Revoked, card.Revocation{Key: stolen, Ledger: thief.ID, Epoch: 1, Seq: head.GetSize()})
	})
	if _, err := h.gateway.o.Register.AddCard(fresh.Signed, register.AddCardOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct{ epoch, seq, size uint64 }{
		{1, head.GetSize() + 1, head.GetSize() + 9}, {2, 1, 3},
	} {
		raw := thief.Say(testworld.Draft{
			Kind: karaulav1.Kind_KIND_HEARTBEAT, Set: func(st *karaulav1.Statement) { st.Epoch, st.Seq = at.epoch, at.seq },
		})
		p := &partner{g: h.gateway, code: "me", shows: func(uint64) ([]byte, error) { return raw, nil }}
		p.compareOurs(t.Context(), &karaulav1.Head{Ledger: head.GetLedger(), Epoch: at.epoch, Size: at.size, Root: testworld.Random(32)})
		if err := c.writer.Halted(); err != nil {
			t.Fatalf("the thief of a revoked key silences us: %v", err)
		}
		s, err := h.desk.Status(h.ctx, connect.NewRequest(&karaulav1.StatusRequest{}))
		must(t, err)
		want := fmt.Sprintf("a key of ours that is revoked: me shows a statement %d of epoch %d", at.seq, at.epoch)
		if !slices.ContainsFunc(s.Msg.GetWarnings(), func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("status does not say %q: %q", want, s.Msg.GetWarnings())
		}
	}
	if got, _ := h.series("karaula_revoked_key_used_total", nil); got != 2 {
		t.Errorf("counted %v times", got)
	}
	if !strings.Contains(h.logs.String(), "somebody speaks with a key of ours that is revoked") {
		t.Error("the log says nothing")
	}
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Errorf("nothing is said any more: %v", err)
	}
}
