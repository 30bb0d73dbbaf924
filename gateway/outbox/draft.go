package outbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"time"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	"karaula/internal/agreement"
	"karaula/internal/card"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/seal"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// enqueue gives every draft its time and place in the order, and starts sealing.
// A change of card or agreement is said first, by itself.
func (w *Writer) enqueue(ctx context.Context, drafts []Draft) ([]*ticket, error) {
	if err := w.room.take(ctx, len(drafts)); err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err,
			"too much is waiting to be said on channel %s; nothing was said", w.cfg.Channel)
	}
	tickets, err := w.enqueueLocked(drafts)
	if err != nil {
		w.room.giveBack(len(drafts))
	}
	return tickets, err
}

// enqueueLocked is enqueue when there is room. It queues all drafts or none.
func (w *Writer) enqueueLocked(drafts []Draft) ([]*ticket, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.mayTalk(); err != nil {
		return nil, err
	}
	view := w.cfg.View()
	ch, ok := view.Channel(w.cfg.Channel)
	if !ok {
		return nil, problem.New(problem.NotAllowed, "channel %s is not open; nothing was said", w.cfg.Channel)
	}
	if err := w.sayChanges(view, ch); err != nil {
		return nil, err
	}
	var out []*ticket
	for _, d := range drafts {
		t, err := w.newTicket(view, ch, d)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	if err := w.underway.enter(drafts); err != nil {
		return nil, err
	}
	for i, t := range out {
		t.room, t.more = true, i < len(out)-1
		w.push(t, w.edge)
	}
	return out, nil
}

func (w *Writer) mayTalk() error {
	if w.closed {
		return problem.New(problem.Unreachable, "the gateway is stopping; nothing was said")
	}
	if w.halted != nil {
		return w.halted
	}
	if w.cfg.MaySpeak != nil {
		if err := w.cfg.MaySpeak(w.journal.State().Tree.Size()); err != nil {
			return err
		}
	}
	if !w.cfg.Connected() {
		return problem.New(problem.Unreachable, "the own broker does not answer; nothing was said").
			WithHint("start it with: karaula run --dir DIR (or broker run), then try again")
	}
	return w.checkClock()
}

// checkClock refuses while the last statement lies further ahead of the clock
// than partners tolerate. Times in a ledger never go back, so whatever is said
// now would carry that time, too, and be held by every partner until then: better
// an officer hears at once that nothing arrives.
func (w *Writer) checkClock() error {
	last := time.UnixMicro(w.edge.saidAt)
	ahead := last.Sub(w.cfg.Now())
	if w.cfg.Skew <= 0 || ahead <= w.cfg.Skew {
		return nil
	}
	return problem.New(problem.Conflict,
		"the last statement on channel %s was said at %s, which is %s from now: a clock was wrong then or is wrong now; nothing was said",
		w.cfg.Channel, last.UTC().Format(time.RFC3339), ahead.Round(time.Second)).
		WithHint("set the clock of the node; if it is right now, wait, or begin a new epoch: karaula ledger repair --channel %s",
			w.cfg.Channel)
}

// Refresh says what has changed about the own card or the agreement since the
// last statement, if anything. Safe to call often.
func (w *Writer) Refresh() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mayTalk() != nil || w.edge.fresh {
		return nil
	}
	view := w.cfg.View()
	ch, ok := view.Channel(w.cfg.Channel)
	if !ok {
		return nil
	}
	return w.sayChanges(view, ch)
}

// sayChanges queues AGREEMENT and CARD statements where the ledger's edge is behind.
func (w *Writer) sayChanges(view *register.View, ch *register.ChannelView) error {
	own, err := view.OwnCard()
	if err != nil {
		return err
	}
	if w.edge.fresh {
		w.edge.card, w.edge.agreement = own.Digest, ch.Agreement.Digest
		return nil
	}
	chain, err := w.amendments(view, ch)
	if err != nil {
		return err
	}
	for _, entry := range chain {
		body, err := proto.Marshal(&karaulav1.AgreementBody{Agreement: entry.File})
		if err != nil {
			return err
		}
		next := w.edge
		next.agreement = entry.Agreement.Digest
		d := Draft{Kind: karaulav1.Kind_KIND_AGREEMENT, Body: body}
		if err := w.pushChange(view, ch, d, next); err != nil {
			return err
		}
	}
	if replaced, err := w.replaced(view, own); err != nil {
		return err
	} else if replaced {
		w.edge.card = own.Digest
	}
	if err := w.sayRoots(view, ch, own); err != nil {
		return err
	}
	if w.edge.card != own.Digest {
		body, err := proto.Marshal(&karaulav1.CardBody{Card: own.Signed})
		if err != nil {
			return err
		}
		next := w.edge
		next.card = own.Digest
		if err := w.pushChange(view, ch, Draft{Kind: karaulav1.Kind_KIND_CARD, Body: body}, next); err != nil {
			return err
		}
	}
	return nil
}

// sayRoots queues the changes of the own root between the card at the ledger's edge
// and the new one: a reader takes no card of a root that it does not know yet.
func (w *Writer) sayRoots(view *register.View, ch *register.ChannelView, own *card.Card) error {
	edge, ok := view.CardByDigest(w.edge.card)
	if !ok || edge.Root == own.Root {
		return nil
	}
	for _, n := range view.RootChanges(w.cfg.Self) {
		if !view.Follows(w.cfg.Self, edge.Root, n.Root) {
			continue
		}
		body, err := proto.Marshal(&karaulav1.NoticeBody{Notice: n.Signed})
		if err != nil {
			return err
		}
		if err := w.pushChange(view, ch, Draft{Kind: karaulav1.Kind_KIND_NOTICE, Body: body}, w.edge); err != nil {
			return err
		}
	}
	return nil
}

// maxAmendments bounds how many versions may come between two statements.
const maxAmendments = 256

// amendments gives the versions between the text at the ledger's edge and the
// one in force, oldest first: each is said, because a reader takes in only the
// text that supersedes the one it knows.
func (w *Writer) amendments(view *register.View, ch *register.ChannelView) ([]*register.Entry, error) {
	var chain []*register.Entry
	for digest := ch.Agreement.Digest; digest != w.edge.agreement; {
		entry, ok := view.AgreementByDigest(digest)
		if !ok || len(chain) == maxAmendments {
			return nil, problem.New(problem.Failed,
				"the register does not hold every version of %s since the last statement; nothing was said", ch.Agreement.ID).
				WithHint("add the missing version: karaula agreement add FILE --dir DIR")
		}
		chain = append(chain, entry)
		digest = entry.Agreement.Supersedes
	}
	slices.Reverse(chain)
	return chain, nil
}

func (w *Writer) pushChange(view *register.View, ch *register.ChannelView, d Draft, next edge) error {
	if w.changes.Load() >= maxChanges {
		return problem.New(
			problem.Unreachable,
			"too much is waiting to be said on channel %s; nothing was said",
			w.cfg.Channel,
		)
	}
	t, err := w.newTicket(view, ch, d)
	if err != nil {
		return err
	}
	w.push(t, next)
	return nil
}

// newTicket fills in a statement but for its number.
func (w *Writer) newTicket(view *register.View, ch *register.ChannelView, d Draft) (*ticket, error) {
	saidAt := max(w.cfg.Now().UnixMicro(), w.edge.saidAt)
	if err := w.checkPhase(ch, d.Kind, time.UnixMicro(saidAt)); err != nil {
		return nil, err
	}
	if err := w.checkExercise(d, saidAt); err != nil {
		return nil, err
	}
	if d.Kind == karaulav1.Kind_KIND_ALERT {
		// Asked before, but perhaps long ago: there may have been no room.
		dec := view.Decide(w.cfg.Self, w.cfg.Channel, d.Type, time.UnixMicro(saidAt))
		if !dec.Allowed {
			return nil, problem.New(problem.NotAllowed, "not allowed any more: %s; nothing was said", dec.Reason)
		}
	}
	c, ok := view.CardByDigest(w.edge.card)
	if !ok {
		return nil, problem.New(
			problem.Locked,
			"the own card that rules on channel %s is not in the register; nothing was said",
			ch.ID,
		)
	}
	st := &karaulav1.Statement{
		Format: 1, Ledger: w.cfg.Ledger[:], Channel: w.cfg.Channel, Origin: w.cfg.Self, Mode: w.cfg.Mode,
		SaidAt: saidAt, Agreement: w.edge.agreement[:], Card: w.edge.card[:], CardSerial: c.Serial,
		Kind: d.Kind, Type: d.Type, Thread: d.Thread, EraseAfter: d.EraseAfter, Body: d.Body, Refs: d.Refs,
		ConsentRefs: d.ConsentRefs,
	}
	st = proto.CloneOf(st)
	t := &ticket{draft: d, gen: w.gen, st: st, sealed: make(chan error, 1), result: make(chan error, 1)}
	if d.Inner == nil {
		return t, nil
	}
	if ch.Channel.SealedTypes {
		st.Type = 0
	}
	rs, keys, err := w.recipients(view, ch)
	if err != nil {
		return nil, err
	}
	t.said.Inner = w.inner(st, d)
	t.seal = func() error { return t.sealTo(rs, keys, ch.Agreement.MaxSize) }
	return t, nil
}

// inner completes the sealed message with what the statement says outside.
func (w *Writer) inner(st *karaulav1.Statement, d Draft) *karaulav1.Inner {
	in := proto.CloneOf(d.Inner)
	in.Ledger, in.Channel, in.Origin, in.Mode = st.GetLedger(), st.GetChannel(), st.GetOrigin(), st.GetMode()
	in.Agreement, in.Thread, in.SaidAt = st.GetAgreement(), st.GetThread(), st.GetSaidAt()
	in.Kind, in.Type = d.Kind, d.Type
	return in
}

// checkPhase lets alerts and acts pass while the agreement is in force and no
// longer, and the rest also while it is winding down.
func (w *Writer) checkPhase(ch *register.ChannelView, kind karaulav1.Kind, at time.Time) error {
	phase := ch.PhaseAt(at)
	sealed := kind == karaulav1.Kind_KIND_ALERT || kind == karaulav1.Kind_KIND_ACT || kind == karaulav1.Kind_KIND_NULL
	switch {
	case phase == agreement.InForce, phase == agreement.WindingDown && !sealed:
		return nil
	default:
		return problem.New(problem.NotAllowed, "agreement %s is %s; nothing was said", ch.Agreement.ID, phase).
			WithHint("karaula agreement show %s", ch.Agreement.ID)
	}
}

// recipients gives the keys that a main part is sealed to: every other party's
// receiving key, the key of the own copy, and the auditors that the text names.
func (w *Writer) recipients(
	view *register.View, ch *register.ChannelView,
) ([]*age.HybridRecipient, []*karaulav1.Recipient, error) {
	var rs []*age.HybridRecipient
	var keys []*karaulav1.Recipient
	add := func(party string, use karaulav1.KeyUse) error {
		c, ok := view.Card(party)
		if !ok {
			return problem.New(problem.Locked,
				"the card of %s is missing, so nothing can be sealed to it; nothing was said", party).
				WithHint("karaula party add CARD --dir DIR")
		}
		r, id := c.Recipient(use)
		if r == nil {
			return problem.New(problem.Locked, "the card of %s has no %s key; nothing was said", party, terms.UseWord(use))
		}
		rs = append(rs, r)
		keys = append(keys, &karaulav1.Recipient{Party: party, Use: use, KeyId: id[:]})
		return nil
	}
	_, receive := terms.KeyUses(w.cfg.Mode)
	for _, p := range ch.Parties {
		use := receive
		if p == w.cfg.Self {
			use = terms.OwnUse(w.cfg.Mode)
		}
		if err := add(p, use); err != nil {
			return nil, nil, err
		}
	}
	for _, a := range ch.Agreement.Auditors {
		if err := add(a.Code, karaulav1.KeyUse_KEY_USE_AUDIT); err != nil {
			return nil, nil, err
		}
	}
	return rs, keys, nil
}

// sealTo frames and encrypts a ticket's inner message.
func (t *ticket) sealTo(rs []*age.HybridRecipient, keys []*karaulav1.Recipient, maxSize int64) error {
	inner, err := proto.MarshalOptions{Deterministic: true}.Marshal(t.said.Inner)
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "the alert cannot be written down; nothing was sent")
	}
	var salt [32]byte
	rand.Read(salt[:])
	frame, err := seal.Frame(inner, salt)
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "the alert is too large; nothing was sent")
	}
	part, err := seal.Seal(frame, rs)
	if err != nil {
		return problem.Wrap(problem.Failed, err, "sealing failed; nothing was sent")
	}
	if maxSize > 0 && int64(len(part)) > maxSize {
		return problem.New(
			problem.Invalid,
			"the sealed alert has %d bytes, the agreement admits %d; nothing was sent",
			len(part),
			maxSize,
		)
	}
	commitment := seal.Commitment(frame)
	digest := sha256.Sum256(part)
	t.part = part
	t.st.Parts = []*karaulav1.Part{{
		SealAlg: karaulav1.SealAlg_SEAL_ALG_AGE_HYBRID, Digest: digest[:], Size: uint64(len(part)),
		Commitment: commitment[:], Recipients: keys, Label: karaulav1.Label_LABEL_MAIN,
	}}
	return nil
}
