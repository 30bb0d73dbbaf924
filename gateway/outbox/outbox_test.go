package outbox_test

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"karaula/gateway/outbox"
	"karaula/gateway/stream"
	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
	"karaula/internal/testbroker"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const channel = "b01-al-me"

// post is al's outbox on one channel over a real broker.
type post struct {
	t       testing.TB
	w       *testworld.World
	text    *agreement.Agreement
	broker  *testbroker.Broker
	journal string
	writer  *outbox.Writer

	mu     sync.Mutex
	said   []outbox.Said
	thefts int // times that OnRevoked was told
}

func newPost(t testing.TB) *post {
	t.Helper()
	p := &post{
		t:       t,
		w:       testworld.New(t, "al", "me"),
		broker:  testbroker.Start(t),
		journal: filepath.Join(t.TempDir(), "j"),
	}
	p.text = p.w.Agree(p.w.Text(channel, []string{"al", "me"}))
	p.broker.Stream(subject.Out(subject.Actual(channel)), subject.SayAll(subject.Actual(channel), "al"))
	p.open()
	return p
}

// open opens the outbox as a start of the gateway does.
func (p *post) open() {
	p.t.Helper()
	p.said, p.thefts = nil, 0
	w, err := outbox.Open(context.Background(), outbox.Config{
		Channel: channel, Self: "al", Mode: karaulav1.Mode_MODE_ACTUAL,
		Ledger:      ledger.NewID(channel, "al", karaulav1.Mode_MODE_ACTUAL, p.text.First),
		JournalPath: p.journal, Log: stream.Open(p.broker.JS, subject.Out(subject.Actual(channel))),
		View: func() *register.View { return p.w.View("al") }, Signer: p.signer,
		Heads: func() []*karaulav1.Head { return nil }, Connected: func() bool { return true },
		OnSaid: func(s outbox.Said) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.said = append(p.said, s)
		},
		OnRevoked: func(*karaulav1.Statement) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.thefts++
		},
		Seats: make(chan struct{}, 2), Now: func() time.Time { return p.w.Now }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.writer = w
	p.t.Cleanup(func() { p.close() })
}

// close closes the outbox; what cannot be published is left to the next start.
func (p *post) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := p.writer.Close(ctx); err != nil {
		p.t.Errorf("close: %v", err)
	}
}

func (p *post) signer(digest [32]byte) (envelope.Signer, error) {
	c, ok := p.w.View("al").CardByDigest(digest)
	if !ok {
		return envelope.Signer{}, problem.New(problem.Locked, "no such card")
	}
	for _, k := range c.Keys {
		if own, ok := p.w.Parties["al"].Gateway.SignKey(k.ID[:]); ok {
			return envelope.Signer{Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyID: own.ID, Key: own.Private}, nil
		}
	}
	return envelope.Signer{}, problem.New(problem.Locked, "no such key")
}

func verifier(s envelope.Signer) envelope.KeyFunc {
	return func(karaulav1.SignAlg, [16]byte) (ed25519.PublicKey, error) {
		return s.Key.Public().(ed25519.PublicKey), nil
	}
}

func vehicle() outbox.Draft {
	return outbox.Draft{
		Kind: karaulav1.Kind_KIND_ALERT, Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE, Thread: testworld.Random(16),
		EraseAfter: testworld.Start.AddDate(0, 6, 0).UnixMicro(),
		Inner: &karaulav1.Inner{
			AlertId: alertID(), Version: 1, OfficerRef: testworld.Random(16),
			Content: &karaulav1.Inner_Alert{Alert: &karaulav1.Alert{Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE}},
		},
	}
}

// alertID makes an alert's id; nothing here looks at its form.
func alertID() []byte { return testworld.Random(16) }

func beat() outbox.Draft { return outbox.Draft{Kind: karaulav1.Kind_KIND_HEARTBEAT} }

// history checks that the stream holds the ledger's statements 1 to n in order,
// each once, signed and rooted, and gives them.
func (p *post) history(n int) []*envelope.Parsed {
	p.t.Helper()
	var out []*envelope.Parsed
	var tree ledger.Tree
	err := stream.Open(p.broker.JS, subject.Out(subject.Actual(channel))).Read(p.t.Context(), 1, "", func(m stream.Stored) error {
		e, err := envelope.Parse(m.Data)
		if err != nil {
			return nil // junk that a test has put there
		}
		root := tree.Root()
		if e.Statement.GetSeq() != tree.Size()+1 || string(e.Statement.GetPrevRoot()) != string(root[:]) {
			p.t.Errorf("statement %d stands at place %d", e.Statement.GetSeq(), tree.Size()+1)
		}
		signer, err := p.signer([32]byte(e.Statement.GetCard()))
		if err != nil {
			return err
		}
		if err := e.VerifySignatures(verifier(signer)); err != nil {
			p.t.Errorf("statement %d: %v", e.Statement.GetSeq(), err)
		}
		tree.Append(e.Leaf)
		out = append(out, e)
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if len(out) != n {
		p.t.Fatalf("the stream holds %d statements, want %d", len(out), n)
	}
	return out
}

func (p *post) say(drafts ...outbox.Draft) []outbox.Said {
	p.t.Helper()
	said, err := p.writer.Say(p.t.Context(), drafts...)
	if err != nil {
		p.t.Fatal(err)
	}
	return said
}

func TestManyAtOnceGetGapFreeNumbersInTheOrderOfTheirTimes(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 5 {
				p.say(vehicle(), beat())
			}
		})
	}
	wg.Wait()
	last := int64(0)
	for _, e := range p.history(200) {
		if e.Statement.GetSaidAt() < last {
			t.Error("time runs backwards")
		}
		last = e.Statement.GetSaidAt()
	}
	if len(p.said) != 200 {
		t.Errorf("told of %d statements, want 200", len(p.said))
	}
}

// TestMoreThanWaitsAtOnceIsSaidToo: callers who together bring more than may
// wait are served all the same, and so is a change in between.
func TestMoreThanWaitsAtOnceIsSaidToo(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const callers, each = 8, 700
	drafts := make([]outbox.Draft, each)
	for i := range drafts {
		drafts[i] = beat()
	}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if _, err := p.writer.Say(ctx, drafts...); err != nil {
				t.Error(err)
			}
			if err := p.writer.Refresh(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := p.writer.Head().GetSize(); n != callers*each {
		t.Errorf("%d statements said, not %d", n, callers*each)
	}
}

func TestTooMuchAtOnceIsRefused(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	if _, err := p.writer.Say(t.Context(), make([]outbox.Draft, 4097)...); !problem.Is(err, problem.Invalid) {
		t.Errorf("4,097 drafts at once: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 8 { // what was not said must take no room
		_, _ = p.writer.Say(ctx, make([]outbox.Draft, 4096)...)
	}
	if _, err := p.writer.Say(t.Context(), beat()); err != nil {
		t.Error(err)
	}
}

func TestARestartGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(vehicle(), vehicle())
	p.close()
	p.broker.Restart()
	p.open()
	if len(p.said) != 2 {
		t.Errorf("read back %d statements, want 2", len(p.said))
	}
	if got := p.say(vehicle())[0].Parsed.Statement.GetSeq(); got != 3 {
		t.Errorf("the next number is %d, want 3", got)
	}
	p.history(3)
}

func TestWhatWasJournalledIsPublishedWithTheSameBytes(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(vehicle())
	p.broker.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.writer.Say(ctx, vehicle(), vehicle()); err == nil {
		t.Fatal("said without a broker")
	}
	head := p.writer.Head()
	p.close()
	p.broker.Restart()
	p.open()
	p.say(beat()) // waits until what is pending has been published
	all := p.history(4)
	var tree ledger.Tree
	for _, e := range all[:3] {
		tree.Append(e.Leaf)
	}
	if root := tree.Root(); head.GetSize() != 3 || string(root[:]) != string(head.GetRoot()) {
		t.Error("what was published is not what was signed before")
	}
}

func TestJunkInTheStreamIsSteppedOver(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	first := p.say(vehicle())[0]
	log := stream.Open(p.broker.JS, subject.Out(subject.Actual(channel)))
	for range 3 {
		if _, err := log.Add(
			t.Context(),
			stream.Msg{Subject: subject.Say(subject.Actual(channel), "al", "vehicle"), Data: []byte("junk")},
		); err != nil {
			t.Fatal(err)
		}
	}
	second := p.say(vehicle())[0]
	if second.Parsed.Statement.GetSeq() != 2 || second.StreamSeq != first.StreamSeq+4 {
		t.Errorf("number %d at %d", second.Parsed.Statement.GetSeq(), second.StreamSeq)
	}
	p.close()
	p.open()
	p.say(vehicle())
	p.history(3)
}

func TestACopyOfAnOldStatementIsSteppedOver(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	first := p.say(vehicle())[0]
	log := stream.Open(p.broker.JS, subject.Out(subject.Actual(channel)))
	if _, err := log.Add(
		t.Context(),
		stream.Msg{Subject: subject.Say(subject.Actual(channel), "al", "vehicle"), Data: first.Parsed.Raw},
	); err != nil {
		t.Fatal(err)
	}
	if got := p.say(vehicle())[0].Parsed.Statement.GetSeq(); got != 2 {
		t.Errorf("the next number is %d, want 2", got)
	}
}

// halted checks that the outbox refuses to speak and says how to repair it.
func (p *post) halted() {
	p.t.Helper()
	_, err := p.writer.Say(p.t.Context(), vehicle())
	if !problem.Is(err, problem.Verification) || !strings.Contains(problem.HintOf(err), "karaula ledger repair") {
		p.t.Errorf("Say = %v (hint %q), want halted", err, problem.HintOf(err))
	}
}

func TestALostJournalHalts(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(vehicle())
	p.close()
	if err := os.Remove(p.journal); err != nil {
		t.Fatal(err)
	}
	p.open()
	p.halted()
	p.history(1)
}

func TestALostStreamHalts(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(vehicle())
	p.close()
	p.broker = testbroker.Start(t)
	p.broker.Stream(subject.Out(subject.Actual(channel)), subject.SayAll(subject.Actual(channel), "al"))
	p.open()
	p.halted()
	p.history(0)
}

func TestAnOlderJournalHalts(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(vehicle())
	p.close()
	old, err := os.ReadFile(p.journal)
	if err != nil {
		t.Fatal(err)
	}
	p.open()
	p.say(vehicle())
	p.close()
	if err := os.WriteFile(p.journal, old, 0o600); err != nil {
		t.Fatal(err)
	}
	p.open()
	p.halted()
}

func TestNothingIsSealedAtOrAfterTheEnd(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(vehicle())
	p.w.Now = p.text.ValidUntil.Add(-time.Microsecond)
	p.say(vehicle())
	p.w.Now = p.text.ValidUntil
	if _, err := p.writer.Say(t.Context(), vehicle()); !problem.Is(err, problem.NotAllowed) {
		t.Errorf("an alert at the end: %v, want NotAllowed", err)
	}
	p.say(beat())
	p.w.Now = p.text.ValidUntil.Add(p.text.WindingDown)
	if _, err := p.writer.Say(t.Context(), beat()); !problem.Is(err, problem.NotAllowed) {
		t.Errorf("a heartbeat after winding down: %v, want NotAllowed", err)
	}
	p.history(3)
}

func TestANewCardIsSaidUnderTheOldOneAndRulesFromTheNext(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	before := p.w.Parties["al"].Card
	p.say(vehicle())
	after := p.w.Rotate("al", func(*card.Card) {})
	p.say(vehicle())
	all := p.history(3)
	if k := all[1].Statement.GetKind(); k != karaulav1.Kind_KIND_CARD ||
		[32]byte(all[1].Statement.GetCard()) != before.Digest {
		t.Errorf("second statement: %v under card serial %d", k, all[1].Statement.GetCardSerial())
	}
	if [32]byte(all[2].Statement.GetCard()) != after.Digest {
		t.Error("the third statement is not under the new card")
	}
	p.close()
	p.open()
	p.say(vehicle())
	p.history(4)
}

func TestAnAmendedTextIsSaidFirst(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(vehicle())
	next := p.w.Agree(p.w.Amend(p.text, "valid-from 2025-05-01", "valid-from 2026-05-01"))
	p.say(vehicle())
	all := p.history(3)
	if k := all[1].Statement.GetKind(); k != karaulav1.Kind_KIND_AGREEMENT ||
		[32]byte(all[1].Statement.GetAgreement()) != p.text.Digest {
		t.Errorf("second statement: %v", k)
	}
	if [32]byte(all[2].Statement.GetAgreement()) != next.Digest {
		t.Error("the third statement is not under the new text")
	}
}

func TestAHaltedOutboxSaysNothing(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(vehicle())
	p.writer.Halt(problem.New(problem.Verification, "somebody knows more").WithHint("karaula ledger repair"))
	p.halted()
	if got := p.writer.Head().GetSize(); got != 1 {
		t.Errorf("%d statements are signed, want 1", got)
	}
}

func TestEveryVersionSinceTheLastStatementIsSaid(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(vehicle())
	second := p.w.Agree(p.w.Amend(p.text, "valid-from 2025-05-01", "valid-from 2026-05-01"))
	text := strings.Replace(string(second.Text), "version 2\nsupersedes "+agreement.FormatDigest(p.text.Digest),
		"version 3\nsupersedes "+agreement.FormatDigest(second.Digest), 1)
	third := p.w.Agree([]byte(text))
	p.say(vehicle())
	all := p.history(4)
	for i, want := range [][32]byte{p.text.Digest, p.text.Digest, second.Digest, third.Digest} {
		if [32]byte(all[i].Statement.GetAgreement()) != want {
			t.Errorf("statement %d stands under another text", i+1)
		}
	}
}
