package reread

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"karaula/gateway/stream"
	"karaula/internal/problem"
	"karaula/internal/subject"
)

// Guest is the store for an auditor, who may get messages directly, and nothing
// else: neither how long a stream is nor which stubs there are can be asked.
func Guest(nc *nats.Conn, channel, origin string) (Store, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "nothing was read")
	}
	return &guest{nc: nc, js: js, channel: channel, origin: origin}, nil
}

type guest struct {
	nc              *nats.Conn
	js              jetstream.JetStream
	channel, origin string
	pace            pace
}

// Sizes and times of a guest's questions.
const (
	guestBatch   = 1000 // messages in one answer
	guestBytes   = 16 << 20
	guestTimeout = 10 * time.Second // for one message
	batchTimeout = time.Minute      // for many
	lagTries     = 100              // how often is asked for what the end says must be there
	lagPause     = 50 * time.Millisecond
)

// direct asks for one message of a stream; false if it is not there.
func (g *guest) direct(ctx context.Context, what, body string) (*nats.Msg, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, guestTimeout)
	defer cancel()
	msg, err := g.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+what, []byte(body))
	if err != nil {
		return nil, false, problem.Wrap(problem.Unreachable, err, "%s cannot be read", what)
	}
	switch status := msg.Header.Get("Status"); status {
	case "":
		return msg, true, nil
	case "404":
		return nil, false, nil
	default:
		return nil, false, problem.New(problem.Unreachable, "%s cannot be read: the broker answers %s", what, status)
	}
}

// Messages reads up to the message that is the last when it begins. In a cluster
// any server answers, also one that lags behind that: then it is asked again, for
// a while. What is gone by then was erased meanwhile.
func (g *guest) Messages(ctx context.Context, name string, fn func(stream.Stored) error) error {
	end, ok, err := g.direct(ctx, name, `{"last_by_subj":">"}`)
	if err != nil || !ok {
		return err
	}
	last, err := strconv.ParseUint(end.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return problem.New(problem.Unreachable, "%s cannot be read: the broker does not say where it ends", name)
	}
	for next, tries := uint64(1), 0; next <= last && tries < lagTries; {
		seen, err := g.batch(ctx, name, next, last, fn)
		if err != nil {
			return err
		}
		if seen > 0 {
			next, tries = seen+1, 0
			continue
		}
		tries++
		select {
		case <-ctx.Done():
			return problem.Wrap(problem.Unreachable, ctx.Err(), "%s cannot be read to its end", name)
		case <-time.After(lagPause):
		}
	}
	return nil
}

// batch reads some messages and gives the sequence of the last, 0 if there are none.
func (g *guest) batch(ctx context.Context, name string, from, last uint64, fn func(stream.Stored) error) (seen uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	msgs, err := jetstreamext.GetBatch(ctx, g.js, name, guestBatch, jetstreamext.GetBatchSeq(from), jetstreamext.GetBatchMaxBytes(guestBytes))
	if err != nil {
		return 0, problem.Wrap(problem.Unreachable, err, "%s cannot be read from %d on", name, from)
	}
	for m, err := range msgs {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return 0, nil
		}
		if err != nil {
			return 0, problem.Wrap(problem.Unreachable, err, "%s cannot be read from %d on", name, from)
		}
		if m.Sequence <= seen || m.Sequence < from || m.Sequence > last {
			continue
		}
		seen = m.Sequence
		if err := fn(stream.Stored{Seq: m.Sequence, Subject: m.Subject, Data: m.Data, Header: m.Header, Time: m.Time}); err != nil {
			return 0, err
		}
	}
	return seen, nil
}

func (g *guest) One(ctx context.Context, epoch, seq uint64) (data []byte, where string, err error) {
	g.pace.wait(ctx)
	msg, ok, err := g.direct(ctx, subject.StubStream+"."+subject.Stub(g.channel, g.origin, epoch, seq), "")
	if err != nil || !ok {
		return nil, "", err
	}
	return msg.Data, fmt.Sprintf("%s %s", subject.StubStream, msg.Header.Get("Nats-Sequence")), nil
}

// All cannot be asked: what is missing behind the last message shows by what
// others have signed.
func (*guest) All(context.Context, func([]byte, string) error) error { return nil }

// pace keeps an auditor's questions below the rate at which a broker bars a guest
// who floods it.
type pace struct {
	asked int
	since time.Time
}

// In paceSpan at most pacePart questions are asked: a fifth of what a broker
// takes.
const (
	pacePart = 100
	paceSpan = 100 * time.Millisecond
)

func (p *pace) wait(ctx context.Context) {
	if p.asked++; p.asked < pacePart {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(paceSpan - time.Since(p.since)):
	}
	p.asked, p.since = 0, time.Now()
}
