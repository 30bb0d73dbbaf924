package inbox

import (
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/stock"
	"karaula/gateway/stream"
	"karaula/internal/border"
	"karaula/internal/envelope"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// proved is an inbox of a cluster's broker that has proved one erasure and not told it.
type proved struct {
	*Inbox
	clock time.Time
	raw   []byte // the statement that was erased, in an envelope
}

func newProved(t *testing.T) *proved {
	t.Helper()
	p := &proved{Inbox: readBackOf(), clock: time.Unix(1_000_000, 0)}
	p.cfg = Config{
		Cluster: true, Now: func() time.Time { return p.clock }, Logger: slog.New(slog.DiscardHandler),
		In: stream.Open(nil, "IN_b01-al-me_al"), Stored: stock.NewStored(),
	}
	p.docket, p.leaves, p.strays.at = docket{}, leaves{}, map[[32]byte][]uint64{}
	st, err := proto.Marshal(&karaulav1.Statement{Format: 1, Ledger: p.led.ID[:], Epoch: 1, Seq: 1})
	if err != nil {
		t.Fatal(err)
	}
	p.raw = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), st)
	place := border.Placement{Position: border.Position{Epoch: 1, Seq: 1}, Leaf: envelope.Leaf(st)}
	p.leaves.add(&place)
	p.docket.enter(&item{placement: place}, Judged{Verdict: border.Verdict{Class: karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED}})
	p.Erased(place.Position, p.clock.UnixMicro())
	if p.tells() {
		t.Fatal("it is told before it is proved")
	}
	p.Proved(p.Unproved(), p.clock.UnixMicro())
	if !p.tells() || len(p.Unproved()) > 0 {
		t.Fatal("what was proved is not told")
	}
	return p
}

func (p *proved) tells() bool { return len(p.tellable(&p.docket.telling, 1)) > 0 }

// A copy that the broker puts back between the proof and the receipt is erased, and the
// erasure proved again, before anybody is told.
func TestACopyThatIsPutBackIsProvedAgain(t *testing.T) {
	t.Parallel()
	p := newProved(t)
	copies := 0
	p.cfg.OnCopy = func(border.Position, [32]byte, uint64) {
		copies++
		if p.tells() {
			t.Error("it is told while a copy is known")
		}
	}
	p.stray(stream.Stored{Seq: 7, Data: p.raw})
	if copies != 1 || p.tells() || len(p.Unproved()) != 1 {
		t.Errorf("%d copies; told %v, to be proved %d", copies, p.tells(), len(p.Unproved()))
	}
}

// A time of a clock that was wrong keeps nobody from being told until it comes.
func TestWhatWasProvedInTheFutureIsProvedAnew(t *testing.T) {
	t.Parallel()
	p := newProved(t)
	p.clock = p.clock.Add(-time.Hour)
	if p.tells() {
		t.Error("told of a time to come")
	}
	p.Proved(p.Unproved(), p.clock.UnixMicro())
	if !p.tells() {
		t.Error("not told")
	}
}
