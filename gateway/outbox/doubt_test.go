package outbox_test

import (
	"bytes"
	"os"
	"testing"

	"karaula/gateway/stream"
	"karaula/internal/card"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// revoke gives al a new card that revokes the key of the old one behind a number,
// and gives the thief's voice, whose ledger is as long as al's.
func (p *post) revoke(last uint64) *testworld.Voice {
	p.t.Helper()
	thief := p.w.Voice("al", p.text, channel)
	for _, e := range p.history(int(p.writer.Head().GetSize())) { //nolint:gosec // a few
		thief.Tree.Append(e.Leaf)
	}
	stolen := p.w.Parties["al"].Gateway.Sign.ID
	p.w.Rotate("al", func(c *card.Card) {
		c.Revoked = append(c.Revoked, card.Revocation{Key: stolen, Ledger: thief.ID, Epoch: 1, Seq: last})
	})
	return thief
}

// put publishes as somebody else with the own broker's rights.
func (p *post) put(raw []byte) {
	p.t.Helper()
	log := stream.Open(p.broker.JS, subject.Out(subject.Actual(channel)))
	msg := stream.Msg{Subject: subject.Say(subject.Actual(channel), "al", "heartbeat"), Data: raw}
	if _, err := log.Add(p.t.Context(), msg); err != nil {
		p.t.Fatal(err)
	}
}

// goesOn checks that the ledger goes on after a start, with what al itself has said.
func (p *post) goesOn(want int) {
	p.t.Helper()
	if err := p.writer.Halted(); err != nil {
		p.t.Fatalf("the thief silences us: %v", err)
	}
	if got := len(p.told()); got != want {
		p.t.Errorf("%d statements are told of as our own, want %d", got, want)
	}
}

// TestARevokedKeyInTheOwnStream: who has stolen the signing key, and the own broker's
// keys, writes behind what was said, before and after the new card speaks, while the
// node runs and while it is stopped.
func TestARevokedKeyInTheOwnStream(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(beat(), beat())
	thief := p.revoke(2)
	beats := testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT}

	p.put(thief.Say(beats)) // in the place of the next number, under a running node
	p.put(thief.Say(beats)) // and the one behind it
	p.say(beat())
	p.goesOn(3)
	if got := p.revoked(); got != 2 {
		t.Errorf("told %d times of the thief", got)
	}
	p.close()
	p.open()
	p.goesOn(3)
	if got := p.revoked(); got != 0 {
		t.Errorf("told again %d times of what was seen before", got)
	}

	p.close()
	thief.Tree = p.tree()
	p.put(thief.Say(beats)) // while it is stopped
	opens := thief.Clone()
	opens.Epoch, opens.Tree = 2, &ledger.Tree{}
	p.put(opens.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_EPOCH, Body: &karaulav1.EpochBody{
		Continues: thief.Head(), Reason: "contested",
	}}))
	p.open()
	p.goesOn(3)
	if got := p.revoked(); got != 2 {
		t.Errorf("told %d times of the thief", got)
	}
	p.say(beat())
	p.close()
	p.open()
	p.goesOn(4)
	p.ordered(4)
}

// What al itself has said with a key that it revokes from an earlier number on is
// still what it has said, whatever a thief writes behind it.
func TestWhatWasSaidBeforeTheRevocationStays(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(beat(), beat(), beat(), beat(), beat())
	p.close()
	thief := p.revoke(2)
	p.put(thief.Say(testworld.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT}))
	p.open()
	p.goesOn(5)
	if got := p.revoked(); got != 1 {
		t.Errorf("told %d times of the thief", got)
	}
	if _, err := p.writer.Say(t.Context(), beat()); !problem.Is(err, problem.Verification) {
		t.Errorf("said behind a revoked key's last number: %v", err)
	}
}

// A journal that was set back stops the channel, whoever's key has signed what it
// does not know.
func TestAJournalThatWasSetBackStillStops(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(beat())
	old, err := os.ReadFile(p.journal)
	if err != nil {
		t.Fatal(err)
	}
	p.say(beat(), beat(), beat())
	p.close()
	p.revoke(2)
	if err := os.WriteFile(p.journal, old, 0o600); err != nil {
		t.Fatal(err)
	}
	p.open()
	if p.writer.Halted() == nil {
		t.Error("it goes on with a journal that was set back")
	}
}

// ordered checks that the first n of al's own statements stand in the stream in
// order, whatever stands between them.
func (p *post) ordered(n int) {
	p.t.Helper()
	for i, s := range p.told() {
		if s.Parsed.Statement.GetSeq() != uint64(i+1) {
			p.t.Errorf("number %d is told of as the %dth", s.Parsed.Statement.GetSeq(), i+1)
		}
	}
	root, head := p.tree().Root(), p.writer.Head()
	if !bytes.Equal(root[:], head.GetRoot()) || head.GetSize() != uint64(n) { //nolint:gosec // a few
		p.t.Errorf("the journal ends at %d with another root", head.GetSize())
	}
}

// revoked gives how often the thief was told of since the start.
func (p *post) revoked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.thefts
}

// tree is al's ledger as it was told.
func (p *post) tree() *ledger.Tree {
	t := &ledger.Tree{}
	for _, s := range p.told() {
		t.Append(s.Parsed.Leaf)
	}
	return t
}
