package broker

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"karaula/internal/problem"
	"karaula/internal/subject"
)

// forever is until when a suspended partner's consumer is paused; the keeper
// lets it go on as soon as the plan does.
var forever = time.Date(2200, time.January, 1, 0, 0, 0, 0, time.UTC)

// Keeper makes and changes the streams of a broker and the partners' consumers
// on them. It never deletes a stream, and touches an existing consumer only to
// pause it, to let it go on, or to drop it when its agreement is closed.
type Keeper struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger
}

// Kept says what a keeper did: names of streams, and of consumers as
// "OUT_channel/partner".
type Kept struct {
	Made    []string // streams and consumers that were not there
	Changed []string // streams whose limits changed
	Paused  []string // consumers that stopped
	Resumed []string // consumers that go on where they were
	Dropped []string // consumers of closed agreements
}

// Empty reports whether there was nothing to do.
func (k Kept) Empty() bool {
	return len(k.Made)+len(k.Changed)+len(k.Paused)+len(k.Resumed)+len(k.Dropped) == 0
}

// NewKeeper makes a keeper on a connection of role keeper.
func NewKeeper(nc *nats.Conn, log *slog.Logger) *Keeper {
	js, err := jetstream.New(nc)
	if err != nil { // only options can fail, and there are none
		panic(err)
	}
	return &Keeper{nc: nc, js: js, log: log}
}

// Apply makes streams and consumers agree with a plan. What fails does not
// hold up the rest; the error joins all failures. It may be repeated at will.
func (k *Keeper) Apply(ctx context.Context, p Plan) (Kept, error) {
	if err := p.check(); err != nil {
		return Kept{}, err
	}
	p = p.sorted()
	var kept Kept
	var failed []error
	for _, want := range streamConfigs(p) {
		if err := k.stream(ctx, want, &kept); err != nil {
			failed = append(failed, problem.Wrap(problem.Failed, err, "stream %s was not made or changed", want.Name))
		}
	}
	for _, ch := range p.Channels {
		for _, partner := range ch.Partners {
			if err := k.consumer(ctx, ch, partner, p.Replicas, &kept); err != nil {
				failed = append(failed, problem.Wrap(problem.Failed, err,
					"the consumer of %s on %s is not as it should be", partner.Code, ch.ID))
			}
		}
	}
	return kept, errors.Join(failed...)
}

// Stop pauses the consumers of partners that may not fetch now, and does
// nothing else. It needs no rights but those of a plan in force before.
func (k *Keeper) Stop(ctx context.Context, p Plan) error {
	var kept Kept
	var failed []error
	for _, ch := range p.sorted().Channels {
		for _, partner := range ch.Partners {
			if partner.Fetch {
				continue
			}
			partner.Closed = false
			if err := k.consumer(ctx, ch, partner, p.Replicas, &kept); err != nil {
				failed = append(failed, problem.Wrap(problem.Failed, err,
					"the consumer of %s on %s was not paused", partner.Code, ch.ID))
			}
		}
	}
	return errors.Join(failed...)
}

// pairBytes is more than the one message of the stream PAIR takes.
const pairBytes = 1 << 20

// streamConfigs lists the streams of a plan.
func streamConfigs(p Plan) []jetstream.StreamConfig {
	own := orDefault(p.OwnQuota)
	list := []jetstream.StreamConfig{
		streamConfig(p, subject.VerdictStream, "verdict.>", own),
		streamConfig(p, subject.StubStream, "stub.>", own),
		streamConfig(p, subject.DeskStream, "desk.>", own),
	}
	ring := streamConfig(p, subject.QuarantineStream, "quarantine.>", subject.QuarantineBytes)
	ring.Discard = jetstream.DiscardOld
	list = append(list, ring)
	if p.Cluster != nil {
		list = append(list, streamConfig(p, subject.RegisterStream, subject.Text("*", "*"), own))
	}
	if p.Pair {
		pair := streamConfig(p, subject.PairStream, subject.PairState, pairBytes)
		pair.MaxMsgsPerSubject, pair.Discard = 1, jetstream.DiscardOld // what was so does not matter
		list = append(list, pair)
	}
	for _, ch := range p.Channels {
		quota := orDefault(ch.Quota)
		list = append(list, streamConfig(p, subject.Out(ch.name()), subject.SayAll(ch.name(), p.Party), quota))
		for _, origin := range ch.In {
			list = append(list, streamConfig(p, subject.InStream(ch.name(), origin), subject.In(ch.name(), origin), quota))
		}
	}
	return list
}

// streamConfig is what every stream has in common: nothing is dropped by
// itself, neither by age nor for room, and nothing forbids erasing one message.
func streamConfig(p Plan, name, subj string, quota int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               name,
		Subjects:           []string{subj},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardNew,
		MaxBytes:           quota,
		MaxMsgSize:         subject.MaxStreamMsg,
		Replicas:           p.Replicas,
		AllowDirect:        true,
		AllowAtomicPublish: true,
	}
}

func orDefault(quota int64) int64 {
	if quota == 0 {
		return DefaultQuota
	}
	return quota
}

// stream makes a stream, or changes the limits of an existing one.
func (k *Keeper) stream(ctx context.Context, want jetstream.StreamConfig, kept *Kept) error {
	stream, err := k.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err := k.js.CreateStream(ctx, want); err != nil {
			return err
		}
		kept.Made = append(kept.Made, want.Name)
		return nil
	}
	if err != nil {
		return err
	}
	have := stream.CachedInfo().Config
	next := have
	next.MaxBytes, next.MaxMsgSize, next.Replicas = want.MaxBytes, want.MaxMsgSize, want.Replicas
	next.AllowDirect, next.AllowAtomicPublish = want.AllowDirect, want.AllowAtomicPublish
	if reflect.DeepEqual(have, next) {
		return nil
	}
	if _, err := k.js.UpdateStream(ctx, next); err != nil {
		return err
	}
	kept.Changed = append(kept.Changed, want.Name)
	return nil
}

// consumer makes a partner's consumer, or pauses, resumes or drops it.
func (k *Keeper) consumer(ctx context.Context, ch Channel, partner PartnerOf, replicas int, kept *Kept) error {
	stream, name := subject.Out(ch.name()), subject.Consumer(partner.Code)
	label := stream + "/" + name
	have, err := k.js.Consumer(ctx, stream, name)
	missing := errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
	switch {
	case err != nil && !missing:
		return err
	case missing && partner.Fetch:
		if _, err := k.js.CreateConsumer(ctx, stream, consumerConfig(name, partner.Joined, replicas)); err != nil {
			return err
		}
		kept.Made = append(kept.Made, label)
	case missing:
	case partner.Closed:
		if err := k.js.DeleteConsumer(ctx, stream, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
		kept.Dropped = append(kept.Dropped, label)
	case partner.Fetch && have.CachedInfo().Paused:
		if _, err := k.js.ResumeConsumer(ctx, stream, name); err != nil {
			return err
		}
		kept.Resumed = append(kept.Resumed, label)
	case !partner.Fetch && !have.CachedInfo().Paused:
		if _, err := k.js.PauseConsumer(ctx, stream, name, forever); err != nil {
			return err
		}
		kept.Paused = append(kept.Paused, label)
	}
	return nil
}

// consumerConfig is how every partner reads: in order, by pull, acknowledging
// everything up to a number. Somebody who joined later gets nothing of what is
// there before its consumer is: its first statement is the one that brings the
// version with which it came in. Only the gateway can tell which that is, and
// sets the consumer back to it when the partner asks.
func consumerConfig(name string, joined bool, replicas int) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable:           name,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		AckPolicy:         jetstream.AckAllPolicy,
		AckWait:           subject.AckWait,
		MaxAckPending:     subject.MaxAckPending,
		MaxWaiting:        subject.MaxWaiting,
		MaxRequestBatch:   subject.MaxRequestBatch,
		MaxRequestExpires: subject.MaxRequestExpires,
		Replicas:          replicas,
	}
	if joined {
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	return cfg
}
