package desk

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/book"
	"karaula/gateway/outbox"
	"karaula/internal/alert"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// MaxAlerts is how many alerts one request may hold.
const MaxAlerts = 1000

// order is one alert on its way through the desk.
type order struct {
	alert   *karaulav1.Alert
	id      [16]byte
	issuer  string // whose alert it is, where that is another party's
	answer  *karaulav1.Sent
	draft   outbox.Draft
	already bool // was said before
}

// Send validates alerts, asks the agreement, and says them. All or none.
func (d *Desk) Send(
	ctx context.Context, req *connect.Request[karaulav1.SendRequest],
) (*connect.Response[karaulav1.SendResponse], error) {
	resp, err := d.send(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) send(ctx context.Context, req *karaulav1.SendRequest) (*karaulav1.SendResponse, error) {
	officer, err := who(ctx, "officer", "supervisor", "system")
	if err != nil {
		return nil, err
	}
	if n := len(req.GetAlerts()); n == 0 || n > MaxAlerts {
		return nil, problem.New(
			problem.Invalid,
			"%d alerts in one request, 1 to %d are taken; nothing was sent",
			n,
			MaxAlerts,
		)
	}
	view := d.cfg.Register()
	ch, ok := view.Channel(req.GetChannel())
	if !ok {
		return nil, problem.New(problem.NotFound, "there is no channel %q at this node; nothing was sent", req.GetChannel()).
			WithHint("karaula agreement list --dir DIR")
	}
	if err := d.checkExercise(ch, req.GetExercise()); err != nil {
		return nil, err
	}
	orders := make([]*order, 0, len(req.GetAlerts()))
	for i, a := range req.GetAlerts() {
		o, err := d.prepare(ctx, view, ch, a, officer, req.GetExercise())
		if err != nil {
			if len(req.GetAlerts()) > 1 {
				err = problem.Wrap(problem.KindOf(err), err, "alert %d of %d", i+1, len(req.GetAlerts()))
			}
			return nil, &atAlert{err, i + 1}
		}
		orders = append(orders, o)
	}
	resp := &karaulav1.SendResponse{}
	resp.Readers, resp.Others = readers(view, ch, d.cfg.Self, orders[0].answer.GetClause())
	if !req.GetDryRun() {
		if err := d.say(ctx, ch, orders, officer); err != nil {
			return nil, err
		}
		d.warnOfCopies(view, ch, orders)
	}
	for _, o := range orders {
		resp.Sent = append(resp.Sent, o.answer)
	}
	return resp, nil
}

// prepare checks one alert against its rules and the agreement, and makes its draft.
func (d *Desk) prepare(
	ctx context.Context, view *register.View, ch *register.ChannelView, in *karaulav1.Alert, officer Officer, exercise string,
) (*order, error) {
	now := d.cfg.Now()
	a := proto.CloneOf(in)
	alert.Complete(a)
	typ := alert.Type(a)
	dec := view.Decide(d.cfg.Self, ch.ID, typ, now).For(len(alert.PersonalData(a)) > 0, a.GetHandling())
	if !dec.Allowed {
		return nil, problem.New(problem.NotAllowed, "%s may not say %s on channel %s: %s; nothing was sent",
			d.cfg.Self, terms.TypeWord(typ), ch.ID, dec.Reason).
			WithHint("karaula agreement explain --from %s --to PARTY --type %s --dir DIR", d.cfg.Self, terms.TypeWord(typ))
	}
	id, err := alertID(a, now)
	if err != nil {
		return nil, err
	}
	o := &order{alert: a, id: id, answer: &karaulav1.Sent{AlertId: a.GetId(), Clause: dec.Ref}}
	if err := d.checkRules(o, dec, ch, now); err != nil {
		return nil, err
	}
	o.draft = outbox.Draft{
		Kind: karaulav1.Kind_KIND_ALERT, Type: typ,
		EraseAfter: eraseAfter(a, keptAtMost(ch, dec.Clause.Retain), now),
		Inner: &karaulav1.Inner{
			AlertId: id[:], OfficerRef: d.pseudonym(officer), Content: &karaulav1.Inner_Alert{Alert: a},
			Exercise: exercise,
		},
	}
	return o, d.setVersion(ctx, ch, o)
}

// checkRules applies the rules of the type and the limits of the clause.
func (d *Desk) checkRules(o *order, dec register.Decision, ch *register.ChannelView, now time.Time) error {
	found := alert.Validate(o.alert, now)
	if o.issuer == "" {
		o.issuer = d.cfg.Self
	}
	found = append(found, alert.Check(o.alert, alert.Limits{
		Personal: dec.Clause.Personal, Handling: dec.Clause.Handling,
		Retain: dec.Clause.Retain, Origin: o.issuer, MaxSize: ch.Agreement.MaxSize,
	}, now)...)
	for _, f := range found {
		if f.Severity == alert.Warning {
			o.answer.Warnings = append(o.answer.Warnings, f.String())
		}
	}
	err := found.Err()
	if problem.Is(err, problem.NotAllowed) {
		return problem.Wrap(problem.NotAllowed, err, "%s does not allow this alert; nothing was sent", dec.Ref)
	}
	return err
}

// alertID reads the alert's id, or makes one.
func alertID(a *karaulav1.Alert, now time.Time) ([16]byte, error) {
	if a.GetId() == "" {
		id := NewAlertID(now)
		a.Id = book.IDText(id)
		return id, nil
	}
	id, ok := book.ParseID(a.GetId())
	if !ok {
		return id, problem.New(problem.Invalid, "id: %q is no UUID of version 7; nothing was sent", a.GetId()).
			WithHint("leave id out: the gateway makes one")
	}
	return id, nil
}

// NewAlertID makes a UUIDv7 (RFC 9562): 48 bits of milliseconds, the rest random.
func NewAlertID(now time.Time) [16]byte {
	var id [16]byte
	rand.Read(id[:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// eraseAfter is the end of the alert's life, at the latest the clause's.
func eraseAfter(a *karaulav1.Alert, retain time.Duration, now time.Time) int64 {
	end := alert.Expiry(a, now)
	if limit := now.Add(retain); retain > 0 && end.After(limit) {
		end = limit
	}
	return end.UnixMicro()
}

// pseudonym is what others see of an officer: resolvable only at home.
func (d *Desk) pseudonym(o Officer) []byte {
	h := hmac.New(sha256.New, d.cfg.OfficerKey)
	h.Write([]byte(o.ID))
	return h.Sum(nil)[:16]
}

// setVersion decides which version of its alert this is. An alert that was said
// before with the same content is not said again.
func (d *Desk) setVersion(ctx context.Context, ch *register.ChannelView, o *order) error {
	if !d.cfg.Book.Complete() || !d.cfg.Drills.Complete() {
		return problem.New(problem.Unreachable, "the gateway is still reading its history after a start; nothing was sent").
			WithHint("try again in a moment")
	}
	last, found := d.lastOwn(ch.ID, o.id)
	o.draft.Once, o.draft.Still = d.once(ch.ID, o.id, last.Version)
	if !found {
		if o.alert.GetVersion() > 1 {
			return problem.New(problem.Conflict, "version %d of an alert that was never sent on %s; nothing was sent",
				o.alert.GetVersion(), ch.ID)
		}
		o.alert.Version = 1
		o.draft.Inner.Version = 1
		o.draft.Thread = random16()
		return nil
	}
	before, err := d.cfg.Open(ctx, last)
	if err != nil {
		return err
	}
	if v := o.alert.GetVersion(); v == 0 || v == last.Version {
		o.alert.Version = last.Version
		if !proto.Equal(before.Inner.GetAlert(), o.alert) {
			return problem.New(problem.Conflict, "version %d of alert %s was sent with other content; nothing was sent",
				last.Version, o.answer.GetAlertId()).WithHint("set version: %d to send a correction", last.Version+1)
		}
		o.already = true
		o.answer.Epoch, o.answer.Seq = last.Epoch, last.Seq
		return nil
	}
	past := alert.PastOf(before.Inner.GetAlert(), time.UnixMicro(last.SaidAt))
	if _, why := alert.Continues(o.alert, past, d.cfg.Now()); why != "" {
		return problem.New(problem.Conflict, "alert %s: %s; nothing was sent", o.answer.GetAlertId(), why)
	}
	if last.Descent != nil && o.alert.GetLifecycle() != karaulav1.Lifecycle_LIFECYCLE_WITHDRAW {
		return problem.New(problem.NotAllowed, "alert %s is %s's, passed on: only what %s says of it can follow; nothing was sent",
			o.answer.GetAlertId(), last.Descent.GetOriginator(), last.Descent.GetOriginator()).
			WithHint("karaula alert share %s --channel %s --dir DIR", book.IDText([16]byte(last.Descent.GetAlertId())), ch.ID)
	}
	if o.alert.GetVersion() != last.Version+1 {
		return problem.New(problem.Conflict, "version %d does not follow version %d of alert %s; nothing was sent",
			o.alert.GetVersion(), last.Version, o.answer.GetAlertId())
	}
	o.draft.Inner.Version = o.alert.GetVersion()
	o.draft.Inner.Supersedes = before.Commitment
	o.draft.Thread = last.Thread
	return nil
}

// lastOwn finds the newest version of an own alert on a channel. What a later
// epoch has made void was not said: it may be said again.
func (d *Desk) lastOwn(channel string, id [16]byte) (book.Entry, bool) {
	var last book.Entry
	for _, e := range d.said(id, channel) {
		if e.Channel == channel && e.Origin == d.cfg.Self && !e.Void && e.Version > last.Version {
			last = e
		}
	}
	return last, last.Version > 0
}

// once names the version that follows the last one of an own alert, and checks
// again, when its turn has come, that it still is the one to follow.
func (d *Desk) once(channel string, id [16]byte, last uint32) (name string, still func() error) {
	return fmt.Sprintf("%x/%d", id, last+1), func() error {
		if now, _ := d.lastOwn(channel, id); now.Version != last {
			return problem.New(problem.Unreachable, "the same alert was said a moment ago; nothing was said twice").
				WithHint("try again: the answer will be that of the first request")
		}
		return nil
	}
}

func random16() []byte {
	b := make([]byte, 16)
	rand.Read(b)
	return b
}

// say hands the orders to the channel's voice and records them.
func (d *Desk) say(ctx context.Context, ch *register.ChannelView, orders []*order, officer Officer) error {
	w, ok := d.cfg.Writer(ch.ID)
	if !ok {
		return notReady(ch.ID)
	}
	var drafts []outbox.Draft
	var fresh []*order
	for _, o := range orders {
		if !o.already {
			drafts, fresh = append(drafts, o.draft), append(fresh, o)
		}
	}
	if len(drafts) == 0 {
		return nil
	}
	if err := d.record(ctx, officer, "send", &karaulav1.DeskEntry{
		Channel: ch.ID, Type: drafts[0].Type, Reason: fmt.Sprintf("%d alerts", len(drafts)), Exercise: drafts[0].Inner.GetExercise(),
	}); err != nil {
		return err
	}
	said, err := w.Say(ctx, drafts...)
	if err != nil {
		return err
	}
	for i, s := range said {
		fresh[i].answer.Epoch, fresh[i].answer.Seq = s.Parsed.Statement.GetEpoch(), s.Parsed.Statement.GetSeq()
	}
	return nil
}

// readers says who reads a channel and who does not, and why.
func readers(view *register.View, ch *register.ChannelView, self, clause string) (in, out []*karaulav1.Reader) {
	for _, p := range ch.Parties {
		if p == self {
			continue
		}
		why := clause
		if n := ch.Suspended[p]; n != nil {
			why = fmt.Sprintf("%s; %s has suspended it and will receive after it resumes", clause, p)
		}
		in = append(in, &karaulav1.Reader{Party: p, Why: why})
	}
	for _, p := range ch.Auditors {
		in = append(in, &karaulav1.Reader{Party: p, Why: "auditor of " + ch.Agreement.ID})
	}
	for _, p := range view.Parties() {
		if !slices.Contains(ch.Parties, p.Code) && !slices.Contains(ch.Auditors, p.Code) {
			out = append(out, &karaulav1.Reader{Party: p.Code, Why: "not a party to " + ch.Agreement.ID})
		}
	}
	return in, out
}
