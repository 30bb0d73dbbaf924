// Package pair lets one of two gateways of a party speak while the other one
// stands by, and the other one take over when the first is gone.
//
// One message in the replicated broker, [karaulav1.PairState], says which gateway
// speaks and which of the two has everything in its signing journal. It is only
// ever replaced by whoever names the message that is there, so of two that want
// to change it one fails. Three rules make everything else follow:
//
//   - what the speaker has signed it publishes only when the other one has it on
//     disk as well, or when the message says that the other one is not in step;
//   - whoever is not in step never takes over;
//   - whoever takes over stops first to take in what the former speaker signs.
//
// So whatever was published is in the journal of whoever may speak next, and
// what only a former speaker has signed is published by nobody. That the speaker
// is alive it shows by replacing the message now and then; it counts its lease
// from before it sends, and the other one waits longer from after it has read,
// each by its own monotonic clock.
//
// All that the two say to each other is marked with a key that only they have.
// The own broker can still keep messages back and show an old one; what follows
// from that is in docs/threat-model.md. The package must never sign, never
// publish a statement, and never let a gateway speak that is not in step unless
// a person has said so.
package pair

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/stream"
	"karaula/internal/problem"
)

// Config says who the two are.
type Config struct {
	Self, Other string // names of this gateway and the other one
	First       bool   // this one speaks where there has never been a pair
	Automatic   bool   // silence is enough to take over
	Restored    bool   // its folder comes from a backup: it has no journals, whatever the state says
	Lease       time.Duration
	CutOff      time.Duration // how long an older state must be shown until it is believed; zero: [stream.CutOffTime]
	Key         []byte        // of the marks, 32 bytes
	Conn        *nats.Conn
	JS          jetstream.JetStream
	// JournalPath gives the file of a channel's signing journal.
	JournalPath func(channel string) string
	// TermFile keeps the highest term that was seen.
	TermFile string
	// WishFile is there while a person wants this gateway to take over: see [Wish].
	WishFile string
	// Whole reports whether all channels are open, so that their journals are known.
	Whole func() bool
	// OnStep is told when this gateway stands by in step.
	OnStep func()
	Logger *slog.Logger
}

// Times, as parts of the lease.
func (c *Config) beatEvery() time.Duration { return c.Lease / 5 }
func (c *Config) silence() time.Duration   { return c.Lease * 3 / 2 }
func (c *Config) lookEvery() time.Duration { return min(c.Lease/10, 250*time.Millisecond) }

// answerTimeout is how long the other gateway may take to have something on disk.
func (c *Config) answerTimeout() time.Duration { return min(c.Lease/2, 5*time.Second) }

// cutOff is how long an older state may be that of a server which was cut off.
func (c *Config) cutOff() time.Duration { return cmp.Or(c.CutOff, stream.CutOffTime) }

// NoTurn begins the warning of a gateway that may not speak, because its broker has
// not taken a sign of life for too long: it may be cut off, and the other one may
// speak meanwhile.
const NoTurn = "this gateway may not speak now"

// errLost says that the other gateway speaks.
var errLost = problem.New(problem.Conflict, "the other gateway speaks now; this one says nothing more").
	WithHint("start it again: it will stand by")

// newLife names one run of a gateway.
func newLife() []byte {
	life := make([]byte, 16)
	_, _ = rand.Read(life) // never fails (crypto/rand)
	return life
}

// pause waits, and reports whether ctx is still there.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
