package desk

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	"karaula/gateway/outbox"
	"karaula/internal/alert"
	"karaula/internal/border"
	"karaula/internal/life"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Share passes a partner's alert on to another channel, as the originator has
// agreed to.
func (d *Desk) Share(
	ctx context.Context, req *connect.Request[karaulav1.ShareRequest],
) (*connect.Response[karaulav1.ShareResponse], error) {
	resp, err := d.share(ctx, req.Msg)
	return reply(d, resp, err)
}

// sharing is one alert on its way to another channel.
type sharing struct {
	view    *register.View
	ch      *register.ChannelView // to which it goes
	e       book.Entry            // the original
	consent life.Act
	before  book.Entry // the last version of the copy; zero if there is none
}

func (d *Desk) share(ctx context.Context, req *karaulav1.ShareRequest) (*karaulav1.ShareResponse, error) {
	officer, err := who(ctx, "officer", "supervisor")
	if err != nil {
		return nil, err
	}
	if n := len(req.GetReason()); n == 0 || n > maxReason {
		return nil, problem.New(problem.Invalid, "passing an alert on needs a reason, of at most %d bytes; nothing was sent", maxReason).
			WithHint(`--reason "case 12, asked by the border police of rs"`)
	}
	s, err := d.shareable(req)
	if err != nil {
		return nil, err
	}
	resp := &karaulav1.ShareResponse{}
	if last := s.before; bytes.Equal(last.Descent.GetDigest(), s.e.Leaf[:]) && !d.gone(last) {
		resp.Already, resp.Descent = true, last.Descent
		clause := s.view.Decide(d.cfg.Self, s.ch.ID, last.Type, d.cfg.Now()).Ref
		resp.Sent = &karaulav1.Sent{AlertId: book.IDText(last.ID), Epoch: last.Epoch, Seq: last.Seq, Clause: clause}
		resp.Readers, _ = readers(s.view, s.ch, d.cfg.Self, clause)
		return resp, nil
	}
	o, err := d.copyOf(ctx, s, officer)
	if err != nil {
		return nil, err
	}
	resp.Sent, resp.Descent = o.answer, border.DescentOf(o.draft.Inner)
	resp.Readers, _ = readers(s.view, s.ch, d.cfg.Self, o.answer.GetClause())
	if req.GetDryRun() {
		return resp, nil
	}
	if err := d.record(ctx, officer, "share", &karaulav1.DeskEntry{
		Channel: s.e.Channel, Ledger: s.e.Ledger[:], Epoch: s.e.Epoch, Seq: s.e.Seq, Type: s.e.Type,
		Reason: s.ch.ID + ": " + req.GetReason(),
	}); err != nil {
		return nil, err
	}
	return resp, d.say(ctx, s.ch, []*order{o}, officer)
}

// gone reports whether an own alert is said no more.
func (d *Desk) gone(e book.Entry) bool {
	return e.Lifecycle == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW || d.cfg.Book.Ordered(e) || d.cfg.Book.ErasedAt(e) != 0
}

// shareable finds the alert, the channel and the consent, or says why it may not be
// passed on.
func (d *Desk) shareable(req *karaulav1.ShareRequest) (*sharing, error) {
	if !d.cfg.Complete() {
		return nil, problem.New(problem.Unreachable, "history is still being read, a consent taken back could be missed; nothing was sent").
			WithHint("try again in a moment; karaula status --dir DIR shows why")
	}
	id, err := parseID(req.GetAlertId())
	if err != nil {
		return nil, err
	}
	e, err := d.find(id, req.GetOrigin(), req.GetChannel())
	if err != nil {
		return nil, err
	}
	if err := d.onlyChannel(id, e, req.GetChannel()); err != nil {
		return nil, err
	}
	if !e.Meant() {
		return nil, problem.New(problem.NotAllowed, "the alert is only practised: nothing of an exercise is passed on; nothing was sent")
	}
	s := &sharing{view: d.cfg.Register(), e: e}
	if s.ch, err = d.onwardChannel(s.view, e, req.GetOnward()); err != nil {
		return nil, err
	}
	state := life.Fold(d.cfg.Book.Life(id, e.Origin), d.cfg.Now())
	if state.Status != life.Current || state.Version.Leaf != e.Leaf {
		return nil, problem.New(problem.Conflict, "the alert is %s, or this version does not count any more; nothing was sent", state.Status).
			WithHint("karaula alert history %s --dir DIR", book.IDText(id))
	}
	if s.consent, err = d.consent(s, state); err != nil {
		return nil, err
	}
	s.before = d.lastCopy(s)
	return s, nil
}

// onwardChannel finds the channel to which a partner's alert is passed on.
func (d *Desk) onwardChannel(view *register.View, e book.Entry, onward string) (*register.ChannelView, error) {
	ch, ok := view.Channel(onward)
	switch {
	case e.Origin == d.cfg.Self:
		return nil, problem.New(problem.Invalid, "the alert is an own one: it needs nobody's consent; nothing was sent").
			WithHint("say it there: karaula alert send FILE --channel %s", onward)
	case e.Class != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED:
		return nil, problem.New(problem.Conflict, "the alert was not accepted here; nothing was sent")
	case e.Descent != nil:
		return nil, problem.New(problem.NotAllowed, "%s has passed this alert of %s on; it goes no further; nothing was sent",
			e.Origin, e.Descent.GetOriginator()).
			WithHint("ask %s to say it itself on a channel that it shares with those who need it", e.Descent.GetOriginator())
	case !ok:
		return nil, problem.New(problem.NotFound, "there is no channel %q at this node; nothing was sent", onward).
			WithHint("karaula agreement list --dir DIR")
	case slices.Contains(d.audience(ch), e.Origin):
		return nil, problem.New(problem.NotAllowed, "%s, whose alert it is, reads %s and speaks there itself; nothing was sent", e.Origin, onward)
	}
	if own, ok := view.Channel(e.Channel); ok && own.Channel.Mode != ch.Channel.Mode {
		return nil, problem.New(problem.NotAllowed, "%s is of another mode than %s; nothing was sent", onward, e.Channel)
	}
	return ch, nil
}

// audience is everybody else who reads a channel, ascending.
func (d *Desk) audience(ch *register.ChannelView) []string {
	var out []string
	for _, p := range ch.Parties {
		if p != d.cfg.Self {
			out = append(out, p)
		}
	}
	for _, a := range ch.Agreement.Auditors {
		out = append(out, a.Code)
	}
	slices.Sort(out)
	return out
}

// consent finds the originator's consent that covers this version, this channel and
// this moment.
func (d *Desk) consent(s *sharing, state life.State) (life.Act, error) {
	why := "nobody has asked for it"
	for _, c := range slices.Backward(state.Consents) {
		if c.Request.Party != d.cfg.Self || c.Request.Onward != s.ch.ID || c.Request.Channel != s.e.Channel {
			continue
		}
		switch {
		case c.Answer.Deed == 0:
			why = "it has not answered the request yet"
		case c.Answer.Deed != karaulav1.Deed_DEED_CONSENT:
			why = "it does not agree"
		case c.Answer.Commitment != s.e.Commitment:
			why = "its consent is about another version"
		case c.Answer.Until > 0 && c.Answer.Until <= d.cfg.Now().UnixMicro():
			why = "its consent has ended"
		default:
			return c.Answer, nil
		}
	}
	return life.Act{}, problem.New(problem.NotAllowed, "there is no consent of %s to passing this on to %s: %s; nothing was sent",
		s.e.Origin, s.ch.ID, why).
		WithHint("karaula alert act %s --deed consent-request --onward %s --purpose WORD --dir DIR", book.IDText(s.e.ID), s.ch.ID)
}

// lastCopy finds the last version of the own alert with which the original was
// passed on to the channel; its version is 0 if it was not.
func (d *Desk) lastCopy(s *sharing) book.Entry {
	var last book.Entry
	for _, e := range d.cfg.Book.Copies(s.e.Origin, s.e.ID) {
		if e.Channel == s.ch.ID && !e.Void && (last.Version == 0 || e.SaidAt >= last.SaidAt) {
			last = e
		}
	}
	return last
}

// copyOf makes the alert with which the original is passed on, and checks it as its
// readers will.
func (d *Desk) copyOf(ctx context.Context, s *sharing, officer Officer) (*order, error) {
	now := d.cfg.Now()
	lineage, original, err := d.lineage(ctx, s)
	if err != nil {
		return nil, err
	}
	a, err := d.nextCopy(s, original, now)
	if err != nil {
		return nil, err
	}
	typ := alert.Type(a)
	dec := s.view.Decide(d.cfg.Self, s.ch.ID, typ, now).For(len(alert.PersonalData(a)) > 0, a.GetHandling())
	if !dec.Allowed {
		return nil, problem.New(problem.NotAllowed, "%s may not say %s on channel %s: %s; nothing was sent",
			d.cfg.Self, terms.TypeWord(typ), s.ch.ID, dec.Reason).
			WithHint("karaula agreement explain --from %s --to PARTY --type %s --dir DIR", d.cfg.Self, terms.TypeWord(typ))
	}
	id, _ := book.ParseID(a.GetId())
	o := &order{alert: a, id: id, issuer: s.e.Origin, answer: &karaulav1.Sent{AlertId: a.GetId(), Clause: dec.Ref}}
	if err := d.checkRules(o, dec, s.ch, now); err != nil {
		return nil, err
	}
	o.draft = outbox.Draft{
		Kind: karaulav1.Kind_KIND_ALERT, Type: typ, Thread: random16(),
		EraseAfter:  min(eraseAfter(a, dec.Clause.Retain, now), s.end()),
		ConsentRefs: []*karaulav1.Ref{{Ledger: s.e.Ledger[:], Epoch: s.consent.Epoch, Seq: s.consent.Seq, Digest: s.consent.Leaf[:]}},
		Inner: &karaulav1.Inner{
			AlertId: id[:], Version: a.GetVersion(), OfficerRef: d.pseudonym(officer),
			Content: &karaulav1.Inner_Alert{Alert: a}, Lineage: lineage,
		},
		Once: fmt.Sprintf("share %x", s.e.ID), Still: d.stillLast(s),
	}
	if s.before.Version > 0 && a.GetVersion() > 1 {
		o.draft.Thread, o.draft.Inner.Supersedes = s.before.Thread, s.before.Commitment[:]
	}
	_, bad := border.CheckLineage(lineage, border.Passing{
		Channel: s.ch.ID, Mode: s.ch.Channel.Mode, Sharer: d.cfg.Self, Readers: d.audience(s.ch),
		SaidAt: now.UnixMicro(), EraseAfter: o.draft.EraseAfter, Refs: o.draft.ConsentRefs, Alert: a,
	}, s.view, nil)
	if bad != nil {
		return nil, problem.New(problem.NotAllowed, "the alert may not be passed on: %s; nothing was sent", bad)
	}
	return o, nil
}

// end is when the copy must be erased at the latest, microseconds since 1970 UTC.
func (s *sharing) end() int64 {
	if s.consent.Until > 0 {
		return min(s.e.EraseAfter, s.consent.Until)
	}
	return s.e.EraseAfter
}

// stillLast refuses what somebody else has passed on a moment ago.
func (d *Desk) stillLast(s *sharing) func() error {
	return func() error {
		if now := d.lastCopy(s); now.Leaf != s.before.Leaf {
			return problem.New(problem.Unreachable, "the same alert was passed on a moment ago; nothing was said twice").
				WithHint("try again: the answer will be that of the first request")
		}
		return nil
	}
}

// lineage collects the originator's own statements: the version, the consent, and
// the cards under which they were signed.
func (d *Desk) lineage(ctx context.Context, s *sharing) (*karaulav1.Lineage, *karaulav1.Alert, error) {
	acts := d.cfg.Book.Acts(s.e.ID)
	at := slices.IndexFunc(acts, func(x book.Entry) bool { return x.Leaf == s.consent.Leaf })
	if at < 0 {
		return nil, nil, problem.New(problem.NotFound, "the consent of %s is no longer here; nothing was sent", s.e.Origin)
	}
	l := &karaulav1.Lineage{}
	original, err := d.shown(ctx, s.view, s.e, l)
	if err != nil {
		return nil, nil, err
	}
	if _, err := d.shown(ctx, s.view, acts[at], l); err != nil {
		return nil, nil, err
	}
	return l, original.Inner.GetAlert(), nil
}

// shown opens a statement and enters it into a lineage: first the original, then
// the consent.
func (d *Desk) shown(ctx context.Context, view *register.View, e book.Entry, l *karaulav1.Lineage) (*Opened, error) {
	opened, err := d.cfg.Open(ctx, e)
	if err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "what is to be passed on cannot be opened; nothing was sent")
	}
	out := &karaulav1.Shown{Stub: opened.Stub, Frame: opened.Frame}
	if l.GetOriginal() == nil {
		l.Original = out
	} else {
		l.Consent = out
	}
	c, ok := view.CardByDigest(opened.Card)
	if !ok {
		return nil, problem.New(problem.NotFound, "the card under which %s signed number %d on %s is not here; nothing was sent",
			e.Origin, e.Seq, e.Channel)
	}
	if !slices.ContainsFunc(l.GetCards(), func(file []byte) bool { return bytes.Equal(file, c.Signed) }) {
		l.Cards = append(l.Cards, c.Signed)
	}
	return opened, nil
}

// nextCopy gives the original as the copy's first or next version.
func (d *Desk) nextCopy(s *sharing, original *karaulav1.Alert, now time.Time) (*karaulav1.Alert, error) {
	a := &karaulav1.Alert{Version: 1, Lifecycle: karaulav1.Lifecycle_LIFECYCLE_CREATE, ReplyDue: original.GetReplyDue()}
	if a.GetReplyDue() < now.UnixMicro() {
		a.ReplyDue = 0
	}
	if s.before.Version == 0 || s.before.Lifecycle == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW {
		a.Id = book.IDText(NewAlertID(now))
		return border.Copy(original, a), nil
	}
	a.Id, a.Version, a.Lifecycle = book.IDText(s.before.ID), s.before.Version+1, karaulav1.Lifecycle_LIFECYCLE_UPDATE
	out := border.Copy(original, a)
	before, known := d.cfg.Book.Before(s.before.Ledger, s.before.ID, a.GetVersion())
	if !known {
		return out, nil
	}
	if _, why := alert.Continues(out, before.Past, now); why != "" { // then its originator has kept it longer
		out.Lifecycle, out.Assessment = karaulav1.Lifecycle_LIFECYCLE_EXTEND, original.GetAssessment()
		if out.GetAssessment() == "" {
			out.Assessment = "Kept longer by its originator."
		}
	}
	if _, why := alert.Continues(out, before.Past, now); why != "" {
		return nil, problem.New(problem.Conflict, "the alert cannot follow what was passed on before: %s; nothing was sent", why)
	}
	return out, nil
}
