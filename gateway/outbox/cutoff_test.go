package outbox_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// cutOff stands before a broker with several copies. For some answers it is the
// server that led before it was cut off: it has not all that is stored, and says so.
type cutOff struct {
	jetstream.JetStream

	answers atomic.Int64 // that it still gives
	end     uint64       // of its copy
}

func (c *cutOff) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if c.answers.Add(-1) >= 0 {
		return nil, &jetstream.APIError{Code: 400, ErrorCode: 10071, Description: "wrong last sequence"}
	}
	return c.JetStream.PublishMsg(ctx, m, o...)
}

func (c *cutOff) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := c.JetStream.Stream(ctx, name)
	return cutOffStream{s, c.answers.Add(-1) >= 0, c.end}, err
}

type cutOffStream struct {
	jetstream.Stream

	cut bool
	end uint64
}

func (s cutOffStream) CachedInfo() *jetstream.StreamInfo {
	info := *s.Stream.CachedInfo()
	info.Config.Replicas = 3
	if s.cut {
		info.State.LastSeq = s.end
	}
	return &info
}

// A server that was cut off and comes back takes itself for the leader for a moment
// yet. What it says of its own copy halts no channel: the same is said to the one
// that leads now.
func TestAServerThatWasCutOffHaltsNothing(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.close()
	js := &cutOff{JetStream: p.broker.JS, end: 1}
	p.broker.JS = js
	p.open()
	p.say(beat(), vehicle(), beat())
	js.answers.Store(6)
	if said, err := p.writer.Say(t.Context(), vehicle()); err != nil || said[0].Parsed.Statement.GetSeq() != 4 {
		t.Fatalf("said %v: %v (halted: %v)", said, err, p.writer.Halted())
	}
	if js.answers.Load() >= 0 {
		t.Errorf("the server that was cut off has %d answers left", js.answers.Load())
	}
	p.history(4)
}
