package desk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/book"
	"karaula/gateway/outbox"
	"karaula/internal/alert"
	"karaula/internal/life"
	"karaula/internal/problem"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// seenTimeout bounds how long it may take to say that an officer has read an alert.
const seenTimeout = 30 * time.Second

// SayAct says what people did, or have to say, about a partner's alert; the
// originator's consent is about its own.
func (d *Desk) SayAct(
	ctx context.Context, req *connect.Request[karaulav1.SayActRequest],
) (*connect.Response[karaulav1.SayActResponse], error) {
	resp, err := d.sayAct(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) sayAct(ctx context.Context, req *karaulav1.SayActRequest) (*karaulav1.SayActResponse, error) {
	officer, err := who(ctx, "officer", "supervisor", "system")
	if err != nil {
		return nil, err
	}
	id, err := parseID(req.GetAlertId())
	if err != nil {
		return nil, err
	}
	origin := req.GetOrigin()
	if answers(req.GetAct()) {
		origin = d.cfg.Self // only the originator agrees
	}
	e, err := d.find(id, origin, req.GetChannel())
	if err != nil {
		return nil, err
	}
	if err := d.onlyChannel(id, e, req.GetChannel()); err != nil {
		return nil, err
	}
	act := proto.CloneOf(req.GetAct())
	target, err := d.target(e, req, act)
	if err != nil {
		return nil, err
	}
	if why := alert.ActFault(act); why != "" {
		return nil, problem.New(problem.Invalid, "%s; nothing was said", why).WithHint("docs/alerts.md lists the deeds")
	}
	if said, ok := d.saidBefore(e, act); ok {
		return &karaulav1.SayActResponse{Channel: said.Channel, Epoch: said.Epoch, Seq: said.Seq, Already: true}, nil
	}
	return d.act(ctx, e, target, act, officer)
}

// answers reports whether an act answers a request of another party.
func answers(act *karaulav1.Act) bool {
	return act.GetDeed() == karaulav1.Deed_DEED_CONSENT || act.GetDeed() == karaulav1.Deed_DEED_NO_CONSENT
}

// onlyChannel refuses to guess on which of several channels something is meant.
func (d *Desk) onlyChannel(id [16]byte, e book.Entry, asked string) error {
	if asked != "" {
		return nil
	}
	for _, other := range d.bookOf(e).Find(id) {
		if other.Origin == e.Origin && other.Channel != e.Channel && !other.Refused() {
			return problem.New(problem.Conflict, "the alert was said on %s and on %s; nothing was said", e.Channel, other.Channel).
				WithHint("say which one is meant: --channel ID")
		}
	}
	return nil
}

// target gives the statement that an act answers: the alert, or the request for
// consent. What an act of consent says beyond that follows from it, and is filled in.
func (d *Desk) target(e book.Entry, req *karaulav1.SayActRequest, act *karaulav1.Act) (book.Entry, error) {
	switch {
	case answers(act):
		return d.answered(e, req.GetAnswers(), act)
	case e.Origin == d.cfg.Self:
		return e, problem.New(problem.Invalid, "the alert is an own one: what is to be said of it is its next version; nothing was said").
			WithHint("karaula alert send, extend or withdraw")
	case e.Class != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED:
		return e, problem.New(problem.Conflict, "the alert was not accepted here; nothing was said")
	case act.GetDeed() == karaulav1.Deed_DEED_CONSENT_REQUEST:
		ch, err := d.onwardChannel(d.cfg.Register(), e, act.GetOnward())
		if err != nil {
			return e, err
		}
		act.Readers = d.audience(ch) // the originator need not know the channel
		return e, nil
	default:
		return e, nil
	}
}

// answered finds the request that the originator answers, and has the answer say to
// what: who asks, for which readers, what for and, at the longest, until when.
func (d *Desk) answered(e book.Entry, leaf []byte, act *karaulav1.Act) (book.Entry, error) {
	var open []life.Act
	for _, c := range life.Fold(d.bookOf(e).Life(e.ID, e.Origin), d.cfg.Now()).Consents {
		fits := len(leaf) == 0 && c.Answer.Deed != act.GetDeed() || string(leaf) == string(c.Request.Leaf[:])
		if fits && c.Request.Onward == act.GetOnward() && c.Request.Channel == e.Channel {
			open = append(open, c.Request)
		}
	}
	if len(open) != 1 {
		return e, problem.New(problem.NotFound, "%d requests to pass the alert on to %s wait for this answer; nothing was said",
			len(open), act.GetOnward()).WithHint("karaula alert history ID --dir DIR shows requests and their digests; --answers names one")
	}
	ask := open[0]
	act.Party = ask.Party
	if act.GetDeed() == karaulav1.Deed_DEED_CONSENT {
		if act.GetUntil() == 0 || ask.Until > 0 && ask.Until < act.GetUntil() {
			act.Until = ask.Until
		}
		act.Readers, act.Purpose, act.Commitment = ask.Readers, ask.Purpose, e.Commitment[:]
	}
	if act.GetDeed() == karaulav1.Deed_DEED_CONSENT && e.Handling == karaulav1.Handling_HANDLING_H3 && act.GetRemark() == "" {
		return e, problem.New(problem.Invalid, "the alert is H3: the consent must say what becomes of its restriction; nothing was said").
			WithHint(`--remark "may be passed on under the same restriction"`)
	}
	acts := d.bookOf(e).Acts(e.ID)
	return acts[slices.IndexFunc(acts, func(x book.Entry) bool { return x.Leaf == ask.Leaf })], nil
}

// saidBefore finds the own act that says the same about the same version, if the
// last one of its kind does.
func (d *Desk) saidBefore(e book.Entry, act *karaulav1.Act) (book.Entry, bool) {
	bare := proto.CloneOf(act)
	bare.Remark = ""
	for _, x := range slices.Backward(d.bookOf(e).Acts(e.ID)) {
		if x.Origin != d.cfg.Self || x.Channel != e.Channel || kin(x.Act) != kin(act) {
			continue
		}
		same := x.Version == e.Version && proto.Equal(x.Act, bare)
		return x, same && act.GetRemark() == ""
	}
	return book.Entry{}, false
}

// kin names the acts of which the last one counts.
func kin(act *karaulav1.Act) string {
	switch d := act.GetDeed(); d {
	case karaulav1.Deed_DEED_FLAG, karaulav1.Deed_DEED_UNFLAG:
		return "flag"
	case karaulav1.Deed_DEED_LINK, karaulav1.Deed_DEED_UNLINK:
		return fmt.Sprintf("link %x", act.GetOther())
	case karaulav1.Deed_DEED_CONSENT, karaulav1.Deed_DEED_NO_CONSENT:
		return fmt.Sprintf("consent %s %s", act.GetOnward(), act.GetParty())
	default:
		return fmt.Sprintf("%d %s", d, act.GetOnward())
	}
}

// act says an act and records it.
func (d *Desk) act(
	ctx context.Context, e, target book.Entry, act *karaulav1.Act, officer Officer,
) (*karaulav1.SayActResponse, error) {
	ch, ok := d.cfg.Register().Channel(e.Channel)
	if !ok {
		return nil, problem.New(problem.NotFound, "channel %s is not open; nothing was said", e.Channel)
	}
	if n := ch.Suspended[d.cfg.Self]; n != nil {
		return nil, problem.New(problem.NotAllowed, "%s has suspended %s; nothing was said", d.cfg.Self, ch.Agreement.ID).
			WithHint("karaula agreement resume %s --dir DIR", ch.Agreement.ID)
	}
	w, ok := d.cfg.Writer(e.Channel)
	if !ok {
		return nil, notReady(e.Channel)
	}
	now := d.cfg.Now()
	if target.EraseAfter <= now.UnixMicro() {
		return nil, problem.New(problem.Conflict, "the alert has expired; nothing was said")
	}
	draft := outbox.Draft{
		Kind: karaulav1.Kind_KIND_ACT, Thread: target.Thread, EraseAfter: min(target.EraseAfter, longest(ch, now)),
		Refs: []*karaulav1.Ref{{Ledger: target.Ledger[:], Epoch: target.Epoch, Seq: target.Seq, Digest: target.Leaf[:]}},
		Inner: &karaulav1.Inner{
			AlertId: e.ID[:], Version: e.Version, OfficerRef: d.pseudonym(officer), Content: &karaulav1.Inner_Act{Act: act},
			Exercise: e.Exercise,
		},
		Once: fmt.Sprintf("%x/%d/%s", e.ID, e.Version, kin(act)),
	}
	if err := d.record(ctx, officer, "act", &karaulav1.DeskEntry{
		Channel: e.Channel, Ledger: e.Ledger[:], Epoch: e.Epoch, Seq: e.Seq, Type: e.Type, Reason: alert.ActText(act), Exercise: practised(e),
	}); err != nil {
		return nil, err
	}
	said, err := w.Say(ctx, draft)
	if err != nil {
		return nil, err
	}
	st := said[0].Parsed.Statement
	return &karaulav1.SayActResponse{Channel: e.Channel, Epoch: st.GetEpoch(), Seq: st.GetSeq()}, nil
}

// longest is until when the clauses of a channel let anything be kept that is said
// now, microseconds since 1970 UTC.
func longest(ch *register.ChannelView, now time.Time) int64 {
	var most time.Duration
	for _, s := range ch.Channel.Says {
		most = max(most, s.Retain)
	}
	return now.Add(keptAtMost(ch, most)).UnixMicro()
}

// seen tells the originator that an officer has read a version of its alert, once
// for each version and never in the way of the reading.
func (d *Desk) seen(ctx context.Context, e book.Entry, officer Officer) {
	act := &karaulav1.Act{Deed: karaulav1.Deed_DEED_SEEN}
	if e.Origin == d.cfg.Self || e.Class != karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED || officer.Role == "system" {
		return
	}
	for _, x := range d.bookOf(e).Acts(e.ID) {
		if x.Origin == d.cfg.Self && x.Version == e.Version && x.Channel == e.Channel {
			return
		}
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), seenTimeout)
		defer cancel()
		if _, err := d.act(ctx, e, e, act, officer); err != nil {
			d.cfg.Logger.Info("that an alert was read could not be said; the next reading says it", "channel", e.Channel, "why", err.Error())
		}
	}()
}
