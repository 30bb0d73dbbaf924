package inbox_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"karaula/gateway/inbox"
	"karaula/gateway/stream"
	"karaula/internal/agreement"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	"karaula/internal/subject"
	"karaula/internal/testbroker"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// before is how much al said before me came in.
const before = 11

// lateDesk is me's inbox for what al says, where me came in by version 2. It
// gives what al said before, the statement that brings the version, and what
// al said then.
func lateDesk(t *testing.T) (d *desk, early [][]byte, brings []byte, later [][]byte) {
	t.Helper()
	d = &desk{t: t, w: testworld.New(t, "al", "xk", "me"), broker: testbroker.Start(t), clock: testworld.Start}
	d.verdictKey = testworld.Random(inbox.VerdictKeySize)
	first := d.w.Agree(d.w.Text(channel, []string{"al", "xk"}))
	d.voice = d.w.Voice("al", first, channel)
	early = d.beats(before)
	digest := agreement.FormatDigest(first.Digest)
	text := d.w.Text(channel, []string{"al", "xk", "me"},
		"version 1\n", "version 2\nsupersedes "+digest+"\nfirst "+digest+"\n")
	d.text = d.w.Agree(text)
	d.joined = d.text.Digest
	brings = d.voice.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_AGREEMENT,
		Body: &karaulav1.AgreementBody{Agreement: d.w.Sign(text, d.text.Codes()...)},
	})
	d.voice.Text = d.text
	d.voice.Channel, _ = d.text.Channel(channel)
	later = d.beats(5)
	d.broker.Stream(subject.InStream(subject.Actual(channel), "al"), subject.In(subject.Actual(channel), "al"))
	d.broker.Stream(subject.VerdictStream, "verdict.>")
	d.broker.Stream(subject.QuarantineStream, "quarantine.>")
	return d, early, brings, later
}

// edgeOf gives the right edge of what al said before.
func edgeOf(t *testing.T, envelopes [][]byte) [][32]byte {
	t.Helper()
	var tree ledger.Tree
	for _, raw := range envelopes {
		p, err := envelope.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		tree.Append(p.Leaf)
	}
	return tree.Frontier()
}

// plantEdge stores a statement with an edge, as whoever runs the broker can.
func (d *desk) plantEdge(edge [][32]byte, raw []byte) {
	d.t.Helper()
	var all []byte
	for _, h := range edge {
		all = append(all, h[:]...)
	}
	_, err := stream.Open(d.broker.JS, subject.InStream(subject.Actual(channel), "al")).Append(d.t.Context(), []stream.Msg{{
		Subject: subject.In(subject.Actual(channel), "al"), Data: raw,
		Header: nats.Header{"Karaula-Edge": {base64.StdEncoding.EncodeToString(all)}},
	}}, 0)
	if err != nil {
		d.t.Fatal(err)
	}
}

// hand delivers statements from a number on.
func (d *desk) hand(from int, envelopes ...[]byte) {
	d.t.Helper()
	for i, b := range envelopes {
		d.deliver(uint64(from+i), b)
	}
}

// began waits until n statements are judged, from the one that brings the text
// on, all accepted, and nothing else has a place here.
func (d *desk) began(n int) {
	d.t.Helper()
	d.until("the verdicts", func() bool { return len(d.judged) >= n })
	d.with(func() {
		for i, j := range d.judged {
			if j.Placement.Position.Seq != uint64(before+1+i) || j.Verdict.Class != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED {
				d.t.Errorf("verdict %d: number %d is %s (%s)", i, j.Placement.Position.Seq, j.Verdict.Class, j.Verdict.Code)
			}
		}
		if len(d.judged) != n || len(d.trouble) != 0 {
			d.t.Errorf("%d verdicts, want %d; trouble %v", len(d.judged), n, d.trouble)
		}
	})
	for seq := uint64(1); seq <= before; seq++ {
		if _, ok := d.inbox.LeafAt(1, seq); ok {
			d.t.Errorf("number %d, from before, is here", seq)
		}
	}
	if got := d.inbox.Head(); string(got.GetRoot()) != string(d.voice.Head().GetRoot()) && got.GetSize() == d.voice.Head().GetSize() {
		d.t.Error("the ledgers differ")
	}
	if why := d.inbox.Unbegun(); why != "" {
		d.t.Errorf("it still says: %s", why)
	}
}

// A ledger begins behind the right edge, whatever came before of it; a restart
// and a lost stream come to the same.
func TestALedgerBeginsBehindItsRightEdge(t *testing.T) {
	t.Parallel()
	d, early, brings, later := lateDesk(t)
	edge := edgeOf(t, early)
	d.edge = func(uint64) ([][32]byte, error) { return edge, nil }
	d.open()
	d.hand(1, early...)
	d.hand(before+1, brings)
	d.hand(before+2, later...)
	d.began(1 + len(later))
	head := d.inbox.Head()
	d.edge = func(uint64) ([][32]byte, error) { return nil, problem.New(problem.Unreachable, "nobody is there") }
	d.restart()
	d.began(1 + len(later)) // the edge was kept: nobody is asked
	if got := d.inbox.Head(); string(got.GetRoot()) != string(head.GetRoot()) || got.GetSize() != head.GetSize() {
		t.Errorf("after the restart the ledger has %d statements", got.GetSize())
	}
	if next := d.inbox.Next().Seq; next != before+2+uint64(len(later)) {
		t.Errorf("the next number is %d", next)
	}
	more := d.beats(1)
	d.hand(before+2+len(later), more...)
	d.began(2 + len(later))
}

// A right edge that is none is refused with the reason, and asked for again;
// nothing is acknowledged that would then be missing.
func TestARightEdgeThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	d, early, brings, later := lateDesk(t)
	edge := edgeOf(t, early)
	changed := slices.Clone(edge)
	changed[1][0] ^= 1
	turned := slices.Clone(edge)
	slices.Reverse(turned)
	d.open()
	for _, bad := range []struct {
		edge [][32]byte
		err  error
		why  string
	}{
		{err: problem.New(problem.Unreachable, "the link to al is down"), why: "the link to al is down"},
		{edge: changed, why: "does not give the expected root"},
		{edge: turned, why: "does not give the expected root"},
		{edge: edge[1:], why: "2 were given"},
		{edge: append(slices.Clone(edge), edge...), why: "6 were given"},
		{edge: nil, why: "0 were given"},
		{edge: edgeOf(t, early[:before-4]), why: "does not give the expected root"}, // of another size with as many hashes
	} {
		d.with(func() { d.edge = func(uint64) ([][32]byte, error) { return bad.edge, bad.err } })
		d.hand(before+1, brings)
		d.hand(before+2, later...)
		d.until(bad.why, func() bool { return strings.Contains(d.inbox.Unbegun(), bad.why) })
		asked := len(d.rewinds)
		d.until("it is asked for again", func() bool { d.clock = d.clock.Add(100 * time.Millisecond); return len(d.rewinds) > asked })
	}
	if len(d.acked) != 0 || len(d.judged) != 0 || d.inbox.Head().GetSize() != 0 {
		t.Fatalf("acknowledged %v, judged %d: behind no right edge", d.acked, len(d.judged))
	}
	d.with(func() { d.edge = func(uint64) ([][32]byte, error) { return edge, nil } })
	d.hand(before+1, brings)
	d.hand(before+2, later...)
	d.began(1 + len(later))
}

// An edge that somebody has changed in the node's own stream is as good as none:
// what stands behind it has no place, and comes again.
func TestAStoredEdgeIsNotTrusted(t *testing.T) {
	t.Parallel()
	d, early, brings, later := lateDesk(t)
	edge := edgeOf(t, early)
	wrong := slices.Clone(edge)
	wrong[0][0] ^= 1
	d.plantEdge(wrong, brings)
	d.edge = func(uint64) ([][32]byte, error) { return edge, nil }
	d.open()
	if size := d.inbox.Head().GetSize(); size != 0 {
		t.Fatalf("a ledger of %d statements was made of it", size)
	}
	d.hand(before+1, brings)
	d.hand(before+2, later...)
	d.began(1 + len(later))
}
