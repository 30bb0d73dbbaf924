package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/bus"
	"karaula/gateway/inbox"
	"karaula/internal/envelope"
	"karaula/internal/ledger"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// What partners say names the other ledgers of the channel as they have verified
// them, with roots that they sign. Each is held against the ledger that is here. A
// root that differs is a partner's word against an origin's until one statement is
// shown that the origin has signed too: it is asked for, and settles it
// (docs/adr/0028-heads-of-others-are-compared.md).

// Times and limits of asking.
const (
	sightTries = 5                // answers without a proof, until no more is asked
	sightPause = 30 * time.Second // between two questions about one difference
	sightAway  = 5 * time.Second  // where it could not be asked
	sightLook  = time.Second
	tailWait   = time.Minute // after a start, for a partner that has signed more of us than is here
)

// witness is a partner that has signed something about a ledger, and that ledger's
// origin; it may be this party.
type witness struct{ by, of string }

// sight is what one partner has signed of one ledger. Guarded by the channel's
// sightMu. Histories that differ once differ at every later size, so the first
// head beyond what is here and the last one are enough.
type sight struct {
	waits  []signed // ascending
	back   []signed // as it was read back, descending; see [sight.readBack]
	same   signed   // the last one that agreed
	unlike *unlike  // the last difference, told once in an epoch
}

// signed is a head, and the statement of its witness that carries it.
type signed struct {
	head       *karaulav1.Head
	epoch, seq uint64
	at         int64 // that it says it was said, microseconds
}

// before reports whether a head was said before another one. What is read back, or
// waits for the ledger that it is about, is compared later than it was said.
func (s signed) before(other signed) bool {
	return cmp.Or(cmp.Compare(s.epoch, other.epoch), cmp.Compare(s.seq, other.seq)) < 0
}

// unlike is a head that is not that of the ledger as it is here.
type unlike struct {
	signed
	in       uint64 // the epoch that the ledger was in here
	agreed   bool   // it has signed the history that is here since
	proven   bool   // a statement was shown that the origin has signed, too
	answers  int    // without a proof
	answer   string // the last one
	ask      time.Time
	recorded bool
}

// relation is how a head stands to the ledger that is here.
type relation int

const (
	apart  relation = iota // nothing can be said: before what is here, or of an epoch that is over
	same                   // it is the head at its size
	beyond                 // the ledger has not got so far here
	differs
)

// relate compares a head.
func (c *channel) relate(of string, h *karaulav1.Head) relation {
	if h.GetSize() == 0 || len(h.GetRoot()) != 32 {
		return apart
	}
	here := c.headOf(of)
	switch {
	case here == nil, h.GetEpoch() > here.GetEpoch():
		return beyond
	case h.GetEpoch() < here.GetEpoch(): // what its end leaves out is void, the rest was compared then
		return apart
	case h.GetSize() > here.GetSize():
		return beyond
	}
	root, ok := c.rootOf(of, h.GetEpoch(), h.GetSize())
	switch {
	case !ok:
		return apart
	case string(root[:]) == string(h.GetRoot()):
		return same
	default:
		return differs
	}
}

// headOf gives a ledger's head as it is here; nil while it is being read back.
func (c *channel) headOf(of string) *karaulav1.Head {
	if of == c.g.self {
		return c.writer.Head()
	}
	if ear := c.ear(of); ear != nil {
		return ear.Head()
	}
	return nil
}

func (c *channel) rootOf(of string, epoch, size uint64) ([32]byte, bool) {
	if of != c.g.self {
		return c.ear(of).RootAt(epoch, size)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.numbers.of(epoch).leaves.Tree(size)
	if !ok {
		return [32]byte{}, false
	}
	return t.Root(), true
}

// sighted takes in what a partner's statement says of a ledger, if that is one of
// the channel. What is read back is compared at the end only, see
// [channel.settleBack].
func (c *channel) sighted(st *karaulav1.Statement, h *karaulav1.Head, replayed bool) {
	if len(h.GetLedger()) != 32 {
		return
	}
	by := st.GetOrigin()
	of, ok := c.origins[ledger.ID(h.GetLedger())]
	if !ok || of == by {
		return
	}
	w, said := witness{by, of}, signed{head: h, epoch: st.GetEpoch(), seq: st.GetSeq(), at: st.GetSaidAt()}
	if replayed {
		c.sightMu.Lock()
		defer c.sightMu.Unlock()
		c.sightOf(w).readBack(said)
		return
	}
	if !c.isAgain(w, h) {
		c.weigh(w, said, c.relate(of, h))
	}
}

// isAgain reports whether a head is the one that agreed last: receipts and heads of
// one statement mostly name the same.
func (c *channel) isAgain(w witness, h *karaulav1.Head) bool {
	c.sightMu.Lock()
	defer c.sightMu.Unlock()
	s := c.sightOf(w)
	return proto.Equal(s.same.head, h) && (s.unlike == nil || s.unlike.agreed)
}

// later reports whether a head is of a later epoch, or size, than another.
func later(h, than *karaulav1.Head) bool {
	return cmp.Or(cmp.Compare(h.GetEpoch(), than.GetEpoch()), cmp.Compare(h.GetSize(), than.GetSize())) > 0
}

// sightOf gives what is known of a witness. Called with c.sightMu held.
func (c *channel) sightOf(w witness) *sight {
	s := c.sights[w]
	if s == nil {
		s = &sight{}
		c.sights[w] = s
	}
	return s
}

// weigh draws the conclusion from a comparison.
func (c *channel) weigh(w witness, said signed, r relation) {
	h := said.head
	in := c.headOf(w.of).GetEpoch()
	c.sightMu.Lock()
	s := c.sightOf(w)
	if r == beyond && w.of == c.g.self { // nobody hears of us before we do
		r = differs
	}
	news := false
	switch r {
	case beyond:
		s.wait(said)
	case same:
		if !said.before(s.same) {
			s.same = said
		}
		if u := s.unlike; u != nil && !said.before(u.signed) && (u.head.GetEpoch() > in || !later(u.head, h)) {
			u.agreed = true
		}
	case differs:
		switch u := s.unlike; {
		case s.same.head != nil && said.before(s.same) && !later(h, s.same.head): // it has come to the same since
		case u == nil || in > u.in: // whatever epoch it speaks of
			s.unlike, news = &unlike{signed: said, in: in}, true
		case u.agreed: // it goes back and forth: it is not asked more often for that
			u.signed, u.agreed = said, false
		}
	case apart:
	}
	c.sightMu.Unlock()
	if !news {
		return
	}
	text := c.unlikeText(w, &unlike{signed: said})
	c.g.log.Error("a partner has signed another history", "channel", c.id, "party", w.by, "origin", w.of,
		"epoch", h.GetEpoch(), "size", h.GetSize())
	c.g.tell(&karaulav1.WatchResponse{Event: bus.Histories, Party: w.by, Channel: c.id, Text: text})
}

// wait keeps a head beyond what is here.
func (s *sight) wait(said signed) {
	switch {
	case len(s.waits) == 0 || !later(said.head, s.waits[0].head):
		s.waits = append([]signed{said}, s.waits...)
	default:
		s.waits = append(s.waits[:1:1], said)
	}
	s.waits = s.waits[:min(len(s.waits), 2)]
}

// settleSights compares what partners have signed of a ledger beyond what was here
// then, as far as it is here now.
func (c *channel) settleSights(of string) {
	for _, by := range c.partners() {
		w := witness{by, of}
		for {
			said, ok := c.waiting(w)
			if !ok {
				break
			}
			r := c.relate(of, said.head)
			if r == beyond && of != c.g.self {
				break
			}
			c.sightMu.Lock()
			if s := c.sightOf(w); len(s.waits) > 0 && s.waits[0] == said {
				s.waits = s.waits[1:]
			}
			c.sightMu.Unlock()
			c.weigh(w, said, r)
		}
	}
}

// waiting gives the first head of a witness that waits to be compared.
func (c *channel) waiting(w witness) (signed, bool) {
	c.sightMu.Lock()
	defer c.sightMu.Unlock()
	s := c.sights[w]
	if s == nil || len(s.waits) == 0 {
		return signed{}, false
	}
	return s.waits[0], true
}

// difference is one that stands, as it was at one moment.
type difference struct {
	witness
	unlike
}

// differences gives what stands now: what a new epoch has settled does not.
func (c *channel) differences() []difference {
	var out []difference
	c.sightMu.Lock()
	for w, s := range c.sights {
		if s.unlike != nil && !s.unlike.agreed {
			out = append(out, difference{w, *s.unlike})
		}
	}
	c.sightMu.Unlock()
	out = slices.DeleteFunc(out, func(d difference) bool {
		here := c.headOf(d.of)
		return here != nil && here.GetEpoch() > d.in
	})
	slices.SortFunc(out, func(a, b difference) int {
		return cmp.Or(cmp.Compare(a.by, b.by), cmp.Compare(a.of, b.of))
	})
	return out
}

// unlikeText says it in one line. It names who says what: a partner's word proves
// nothing against an origin.
func (c *channel) unlikeText(w witness, u *unlike) string {
	text := fmt.Sprintf("%s has signed another history of %s on channel %s up to number %d of epoch %d than the one that is here",
		w.by, w.of, c.id, u.head.GetSize(), u.head.GetEpoch())
	if w.of == c.g.self {
		text = fmt.Sprintf("%s has signed that it holds %d statements of ours in epoch %d on channel %s, which are not those that we know",
			w.by, u.head.GetSize(), u.head.GetEpoch(), c.id)
	}
	switch {
	case u.proven && w.of == c.g.self:
		return text + "; it has shown one with our signature"
	case u.proven:
		return text + "; it has shown a statement with " + w.of + "'s signature that contradicts it"
	case u.answers > 0:
		return text + "; asked for it, " + u.answer
	default:
		return text + "; it has not answered yet"
	}
}

// askLoop asks partners to show what they have signed, until ctx ends.
func (c *channel) askLoop(ctx context.Context) {
	tick := time.NewTicker(sightLook)
	defer tick.Stop()
	for {
		for _, d := range c.differences() {
			c.recordDifference(ctx, &d)
			if !d.proven && d.answers < sightTries && time.Now().After(d.ask) {
				c.askFor(ctx, &d)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// noteDifference changes what is known of a difference, if it still stands.
func (c *channel) noteDifference(d *difference, change func(*unlike)) {
	c.sightMu.Lock()
	defer c.sightMu.Unlock()
	if s := c.sights[d.witness]; s != nil && s.unlike != nil && s.unlike.head == d.head {
		change(s.unlike)
	}
}

// recordDifference records a difference once in the desk's ledger.
func (c *channel) recordDifference(ctx context.Context, d *difference) {
	if d.recorded {
		return
	}
	text, said := c.unlikeText(d.witness, &d.unlike), time.UnixMicro(d.at)
	if c.g.desk.RecordHistories(ctx, c.id, d.by, d.head, said, text) != nil {
		return // it is tried again
	}
	c.noteDifference(d, func(u *unlike) { u.recorded = true })
}

// askFor asks a partner for the last statement of the history that it has signed:
// if its root is another one, so is that statement.
func (c *channel) askFor(ctx context.Context, d *difference) {
	var answer string
	var err error
	proven := false
	p := c.g.partner(d.by)
	switch {
	case p == nil:
		err = errAway
	case d.of == c.g.self:
		if err = p.prove(ctx, c, c.writer.Head(), d.head); errors.Is(err, errRevoked) {
			answer, err = "it showed one that a revoked key of ours has signed", nil
		} else if err == nil || noProof(err) {
			answer, err = "it showed none that we do not know", nil
		} else if !problem.Is(err, problem.Unreachable) {
			c.writer.Halt(err)
			proven, err = true, nil
		}
	default:
		answer, proven, err = c.askThird(ctx, p, d)
	}
	c.noteDifference(d, func(u *unlike) {
		if err != nil {
			u.ask = time.Now().Add(sightAway)
			return
		}
		u.ask = time.Now().Add(sightPause)
		u.proven = proven
		if !proven {
			u.answers++
			u.answer = answer
		}
	})
	if proven {
		c.g.log.Error("it was shown", "channel", c.id, "party", d.by, "origin", d.of)
	}
}

var errAway = problem.New(problem.Unreachable, "the link is down")

// askThird asks for a statement of somebody else. One that its origin has signed
// and that is not the one that is here goes the way of everything that the origin
// says: the inbox finds the contradiction and keeps both sides.
func (c *channel) askThird(ctx context.Context, p *partner, d *difference) (answer string, proven bool, err error) {
	asking, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	led, ear := c.ledger(d.of), c.ear(d.of)
	raw, err := p.stub(asking, led, d.head.GetEpoch(), d.head.GetSize())
	if problem.Is(err, problem.Unreachable) || ctx.Err() != nil {
		return "", false, errAway
	}
	if err != nil {
		return "it did not show it", false, nil
	}
	if !ear.Contradicts(raw) {
		return "it showed nothing that " + d.of + " has signed and that contradicts what is here", false, nil
	}
	if bare, err := envelope.Stub(raw); err == nil {
		raw = bare
	}
	if ear.Deliver(asking, inbox.Delivery{Data: raw}) != nil {
		return "", false, errAway
	}
	return "", true, nil
}

// tailLost gives why nothing is said yet after a start: a partner has signed that
// it holds more of us than we know, and has not been asked. Its word does not
// silence us for long.
func (c *channel) tailLost(since time.Duration) error {
	if since >= tailWait {
		return nil
	}
	for _, d := range c.differences() {
		if d.of == c.g.self && !d.proven && d.answers == 0 {
			return problem.New(problem.Unreachable, "%s; nothing was said", c.unlikeText(d.witness, &d.unlike)).
				WithHint("try again in a minute")
		}
	}
	return nil
}
