package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"karaula/gateway/book"
	"karaula/gateway/bus"
	"karaula/gateway/erase"
	"karaula/gateway/inbox"
	"karaula/gateway/outbox"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Times of erasing.
const (
	eraseTick  = 250 * time.Millisecond // between two looks at orders
	eraseRetry = 5 * time.Second        // after something could not be erased
	eraseBatch = 1000                   // statements between two rewritings of the index file

	// refusedKept is how long the content of a refused statement is kept: its
	// statement, which stays, tells why it was refused.
	refusedKept = 30 * 24 * time.Hour
	// heldKept is how long content is kept that waits for its verdict, or whose
	// statement sets no end.
	heldKept = 366 * 24 * time.Hour
)

// stale are the statements of which the index file holds more than it may.
type stale struct {
	mu     sync.Mutex
	leaves map[[32]byte]bool
}

func (s *stale) add(leaf [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaves == nil {
		s.leaves = map[[32]byte]bool{}
	}
	s.leaves[leaf] = true
}

// take gives them; those that could not be seen to must be added again.
func (s *stale) take() map[[32]byte]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.leaves
	s.leaves = nil
	return out
}

// eraser gives what erases what a party said on the channel.
func (c *channel) eraser(origin string) *erase.Eraser {
	return &erase.Eraser{Channel: c.id, Origin: origin, Log: c.log(origin), Stubs: c.g.stubs}
}

// holdOwn notes an own statement's content and, if it is an order, what it names.
// Called with c.mu held.
func (c *channel) holdOwn(s outbox.Said) {
	st := s.Parsed.Statement
	place := border.Position{Epoch: st.GetEpoch(), Seq: st.GetSeq()}
	switch {
	case len(st.GetParts()) == 0:
	case s.Parsed.IsStub():
		c.lists[c.g.self].Gone(place, s.Parsed.Leaf, s.ErasedAt)
		c.ownGone(s.ErasedAt, place)
		c.journalled = place // perhaps: the node may have been stopped before the journal forgot it
		c.book.ErasedBefore(c.ledger(c.g.self), s.ErasedAt, place)
	default:
		c.lists[c.g.self].Hold(erase.Item{
			Position: place, Leaf: s.Parsed.Leaf, StreamSeq: s.StreamSeq,
			Due: endOf(st, karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED, st.GetSaidAt()),
		})
	}
	if st.GetKind() == karaulav1.Kind_KIND_ERASE {
		c.order(c.g.self, st)
	}
}

// holdTheirs notes the content of a partner's statement.
func (c *channel) holdTheirs(origin string, j inbox.Judged) {
	place, leaf, l := j.Placement.Position, j.Placement.Leaf, c.lists[origin]
	var st *karaulav1.Statement
	stub := false
	if p := j.Placement.Parsed; p != nil {
		if st = p.Statement; len(st.GetParts()) == 0 {
			return
		}
		stub = p.IsStub()
	}
	if stub || j.ErasedAt > 0 {
		at := max(j.ErasedAt, j.Judgement.GetJudgedAt())
		if j.ErasedAt > 0 {
			at = j.ErasedAt
		}
		l.Gone(place, leaf, at)
		c.book.ErasedBefore(c.ledger(origin), at, place)
		return
	}
	l.Hold(erase.Item{
		Position: place, Leaf: leaf, StreamSeq: j.StreamSeq, Due: endOf(st, j.Verdict.Class, j.Judgement.GetJudgedAt()),
	})
}

// endOf gives when content must be erased, microseconds since 1970 UTC. st is nil
// for what is malformed. What was not accepted does not set its end by itself.
func endOf(st *karaulav1.Statement, class karaulav1.VerdictClass, judgedAt int64) int64 {
	end, longest := st.GetEraseAfter(), int64(1)<<61
	switch class {
	case karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED:
		if end == 0 {
			longest = judgedAt + heldKept.Microseconds()
		}
	case karaulav1.VerdictClass_VERDICT_CLASS_HELD:
		longest = judgedAt + heldKept.Microseconds()
	case karaulav1.VerdictClass_VERDICT_CLASS_REFUSED:
		longest = judgedAt + refusedKept.Microseconds()
	default:
		return judgedAt
	}
	if end == 0 {
		return longest
	}
	return min(end, longest)
}

// order has erased what an order names. A partner's has passed the border check: it
// names nothing but earlier statements of the partner's own ledger.
func (c *channel) order(origin string, st *karaulav1.Statement) {
	led := c.ledger(origin)
	for _, r := range st.GetRefs() {
		if string(r.GetLedger()) == string(led[:]) && len(r.GetDigest()) == 32 {
			place := border.Position{Epoch: r.GetEpoch(), Seq: r.GetSeq()}
			c.lists[origin].Order(place, [32]byte(r.GetDigest()))
			c.book.Order(led, place, [32]byte(r.GetDigest()))
		}
	}
	c.wakeErasing()
	c.wakeOthers()
}

// wakeOthers has the other channels look at what they have passed on from this one.
func (c *channel) wakeOthers() {
	if !c.live {
		return
	}
	for _, other := range c.g.openChannels() {
		if other != c {
			other.wakeErasing()
		}
	}
}

func (c *channel) wakeErasing() {
	select {
	case c.erasing <- struct{}{}:
	default:
	}
}

// eraseLoop erases what was ordered at once, and once a minute what has come to
// its end, until ctx ends.
func (c *channel) eraseLoop(ctx context.Context) {
	tick := time.NewTicker(eraseTick)
	defer tick.Stop()
	var last time.Time
	var again time.Time // real time: what failed is tried again then
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.erasing:
			last = time.Time{}
		}
		now := c.g.o.Now()
		urgent := false
		for _, l := range c.lists {
			urgent = urgent || l.Urgent()
		}
		if now.Sub(last) < sweepPause && !now.Before(last) && !urgent || time.Now().Before(again) {
			continue
		}
		last = now
		if err := errors.Join(c.eraseDue(ctx, now), c.orderTakenBack(ctx)); err != nil && ctx.Err() == nil {
			again = time.Now().Add(eraseRetry)
			c.g.log.Warn("content that must be erased is still there, will try again", "channel", c.id, "why", err.Error())
		}
	}
}

// eraseDue erases what is due.
func (c *channel) eraseDue(ctx context.Context, now time.Time) error {
	var failed []error
	for origin, l := range c.lists {
		for ctx.Err() == nil {
			items := l.Due(now, eraseBatch)
			if len(items) == 0 {
				break
			}
			if err := c.eraseItems(ctx, origin, items); err != nil {
				failed = append(failed, err)
				break
			}
		}
	}
	return errors.Join(append(failed, c.proveErased(ctx), c.forgetJournalled(), c.forgetStale())...)
}

// proveErased makes sure of what a start has found erased, so that partners are told.
func (c *channel) proveErased(ctx context.Context) error {
	var failed []error
	for origin := range c.lists {
		ear := c.ear(origin)
		if ear == nil {
			continue
		}
		now, err := ear.ProveErased(ctx)
		if now {
			c.wake()
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// forgetJournalled has the signing journal forget what a start has found erased. A
// journal holds one epoch.
func (c *channel) forgetJournalled() error {
	c.mu.Lock()
	last := c.journalled
	c.mu.Unlock()
	if last.Seq == 0 || last.Epoch != c.writer.Head().GetEpoch() {
		return nil
	}
	if err := c.writer.Forget(last.Seq); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.journalled == last {
		c.journalled = border.Position{}
	}
	return nil
}

// forgetStale bares the records of the index file whose statements are erased.
func (c *channel) forgetStale() error {
	leaves := c.stale.take()
	err := c.g.indexFile.Forget(leaves)
	if err != nil {
		for leaf := range leaves {
			c.stale.add(leaf)
		}
	}
	return err
}

// eraseItems erases the content of statements everywhere on this node. What fails
// does not hold up the rest.
func (c *channel) eraseItems(ctx context.Context, origin string, items []erase.Item) error {
	e, l := c.eraser(origin), c.lists[origin]
	var failed []error
	var gone []erase.Item
	for _, it := range items {
		err := c.stored[origin].Take(it.StreamSeq, func() error { return e.Erase(ctx, it) })
		if err == nil && origin == c.g.self {
			err = c.writer.Forget(it.Position.Seq)
		}
		switch {
		case problem.Is(err, problem.Verification):
			l.Drop(it) // the broker holds something else there
			c.g.log.Error("a message is not what it was; it was not erased", "channel", c.id, "origin", origin, "why", err.Error())
		case err != nil:
			failed = append(failed, fmt.Errorf("number %d of %s: %w", it.Position.Seq, origin, err))
		default:
			c.stale.add(it.Leaf)
			gone = append(gone, it)
		}
	}
	if err := c.forgetStale(); err != nil {
		return errors.Join(append(failed, err)...)
	}
	c.erased(origin, gone)
	return errors.Join(failed...)
}

// noteErased takes what is erased out of book and index, counts it, and gives the
// entries of the book.
func (c *channel) noteErased(origin string, at int64, places []border.Position) []book.Entry {
	led := c.ledger(origin)
	entries := c.book.Erase(led, at, places...)
	for _, e := range entries {
		if e.Opened {
			c.g.indexOf(c.mode).Forget(led, e.ID, e.Version)
		}
	}
	c.g.metrics.erased.WithLabelValues(c.label(), origin).Add(float64(len(places)))
	return entries
}

// erased notes what is erased, and has the partner told.
func (c *channel) erased(origin string, items []erase.Item) {
	at := c.g.o.Now().UnixMicro()
	var first []border.Position
	for _, it := range items {
		if c.lists[origin].Done(it, at) {
			first = append(first, it.Position)
		} else {
			c.g.log.Warn("the broker held a copy of something erased; it is erased again",
				"channel", c.id, "origin", origin, "number", it.Position.Seq)
			if ear := c.ear(origin); ear != nil {
				ear.ErasedAgain(it.Position)
			}
		}
	}
	if len(first) == 0 {
		return
	}
	for _, e := range c.noteErased(origin, at, first) {
		c.tellErased(e)
	}
	if origin == c.g.self {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ownGone(at, first...)
		return
	}
	for _, place := range first {
		c.ear(origin).Erased(place, at)
	}
	c.wake()
}

func (c *channel) tellErased(e book.Entry) {
	if !c.g.bus.Heard() {
		return
	}
	c.g.tell(&karaulav1.WatchResponse{
		Event: bus.Erased, Party: e.Origin, Channel: c.id, Alert: c.book.Row(e),
		Text: fmt.Sprintf("the content of number %d from %s on %s is erased here", e.Seq, e.Origin, c.id),
	})
}

// orderTakenBack orders own statements to be erased: the versions of withdrawn
// alerts, acts about what their origin has ordered to be erased, and what was passed
// on and must not stand any longer.
func (c *channel) orderTakenBack(ctx context.Context) error {
	now := c.g.o.Now().UnixMicro()
	var refs []*karaulav1.Ref
	own := c.ledger(c.g.self)
	for _, e := range slices.Concat(c.book.TakenBack(own), c.book.Orphans(own), c.book.Forfeited(own, c.g.o.Now())) {
		if e.EraseAfter > now {
			refs = append(refs, e.Ref())
		}
	}
	for len(refs) > 0 && c.writer.Halted() == nil {
		n := min(len(refs), envelope.MaxRefs)
		ctx, cancel := context.WithTimeout(ctx, sayTimeout)
		_, err := c.writer.Say(ctx, outbox.Draft{Kind: karaulav1.Kind_KIND_ERASE, Refs: refs[:n]})
		cancel()
		if err != nil {
			return err
		}
		refs = refs[n:]
	}
	return nil
}
