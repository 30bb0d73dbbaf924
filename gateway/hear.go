package gateway

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/book"
	"karaula/gateway/bus"
	"karaula/gateway/desk"
	"karaula/gateway/inbox"
	"karaula/gateway/stream"
	"karaula/internal/alert"
	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/seal"
	"karaula/internal/subject"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// onJudged hears of every verdict about a partner's statement.
func (c *channel) onJudged(origin string, j inbox.Judged) {
	class, code := j.Verdict.Class, j.Verdict.Code
	if !j.Replayed {
		c.heardFrom(origin)
		defer c.settleSights(origin)
	}
	if j.News() {
		c.g.metrics.judged.WithLabelValues(c.label(), terms.ClassWord(class), terms.CodeWord(code)).Inc()
	}
	p := j.Placement.Parsed
	if p == nil {
		c.holdTheirs(origin, j)
		c.tellRefused(origin, j)
		return
	}
	st := p.Statement
	defer c.holdTheirs(origin, j) // last: then it is in the book
	accepted := class == karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED
	if j.Placement.OpensEpoch() { // whatever the verdict: its place makes numbers void
		c.endEpoch(p, j.News())
	}
	if accepted {
		c.hearHeads(st, j.Replayed)
	}
	switch {
	case st.GetKind() == karaulav1.Kind_KIND_ALERT:
		c.hearAlert(j)
	case !accepted:
		c.tellRefused(origin, j)
	case st.GetKind() == karaulav1.Kind_KIND_ACT:
		c.hearAct(j)
	case st.GetKind() == karaulav1.Kind_KIND_RECEIPT:
		c.hearReceipt(st, j.News())
	case st.GetKind() == karaulav1.Kind_KIND_NOTICE:
		c.hearNotice(st.GetOrigin(), st.GetBody())
	case st.GetKind() == karaulav1.Kind_KIND_ERASE:
		c.order(origin, st)
	case st.GetKind() == karaulav1.Kind_KIND_EXERCISE && j.News():
		c.tellExercise(st)
	}
}

// hearAlert enters a partner's alert into the book.
func (c *channel) hearAlert(j inbox.Judged) {
	e := c.entry(j.Placement.Parsed, j.StreamSeq)
	e.Class, e.Code = j.Verdict.Class, j.Verdict.Code
	switch {
	case e.Class == karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED:
		c.enterIndex(&e, j.Placement.Parsed, j.Verdict.Inner)
	case j.Verdict.Inner != nil:
		fill(&e, j.Verdict.Inner)
	}
	if e.Class != karaulav1.VerdictClass_VERDICT_CLASS_HELD {
		c.book.Add(e)
	}
	if e.Lifecycle == karaulav1.Lifecycle_LIFECYCLE_WITHDRAW {
		c.wakeOthers()
	}
	if j.News() {
		if c.g.bus.Heard() {
			event := c.g.desk.Event(e)
			event.Again = j.Again
			c.g.bus.Tell(event)
		}
		c.g.metrics.lag.WithLabelValues(c.label()).Observe(c.g.since(e.SaidAt))
	}
}

// hearAct enters what a partner's people did into the book.
func (c *channel) hearAct(j inbox.Judged) {
	e := c.entry(j.Placement.Parsed, j.StreamSeq)
	e.Class, e.Code = j.Verdict.Class, j.Verdict.Code
	c.enterAct(e, j.Placement.Parsed, j.Verdict.Inner)
	in := j.Verdict.Inner
	if in.GetAct().GetDeed() == karaulav1.Deed_DEED_NO_CONSENT {
		c.wakeOthers()
	}
	if !j.News() || in == nil || !c.g.bus.Heard() {
		return
	}
	row := &karaulav1.AlertRow{
		AlertId: book.IDText([16]byte(in.GetAlertId())), Version: in.GetVersion(), Channel: c.id, Origin: e.Origin,
		Epoch: e.Epoch, Seq: e.Seq, Digest: e.Leaf[:], SaidAt: e.SaidAt, Drill: !e.Meant(), Exercise: in.GetExercise(),
	}
	c.g.tell(&karaulav1.WatchResponse{
		Event: bus.Act, Party: e.Origin, Channel: c.id, Alert: row, Again: j.Again,
		Text: fmt.Sprintf("%s: %s, on %s", e.Origin, alert.ActText(in.GetAct()), c.id),
	})
}

// tellRefused tells watchers of a statement other than an alert that was not accepted.
func (c *channel) tellRefused(origin string, j inbox.Judged) {
	if !j.News() || j.Verdict.Class == karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED {
		return
	}
	name := bus.Refused
	if j.Verdict.Class == karaulav1.VerdictClass_VERDICT_CLASS_HELD {
		name = bus.Held
	}
	c.g.tell(&karaulav1.WatchResponse{
		Event:   name,
		Party:   origin,
		Channel: c.id,
		Again:   j.Again,
		Text: fmt.Sprintf(
			"number %d from %s on %s: %s",
			j.Placement.Position.Seq,
			origin,
			c.id,
			terms.CodeWord(j.Verdict.Code),
		),
		Alert: &karaulav1.AlertRow{
			Channel: c.id, Origin: origin, Epoch: j.Placement.Position.Epoch, Seq: j.Placement.Position.Seq,
			Class: j.Verdict.Class, Code: j.Verdict.Code, Digest: j.Placement.Leaf[:],
		},
	})
}

// hearReceipt takes in what a partner has judged of the own ledger.
func (c *channel) hearReceipt(st *karaulav1.Statement, news bool) {
	var r karaulav1.Receipt
	if proto.Unmarshal(st.GetBody(), &r) != nil {
		return
	}
	own := c.ledger(c.g.self)
	for _, l := range r.GetLedgers() {
		if string(l.GetLedger()) != string(own[:]) || !aboutSaid(l, c.writer.Head()) {
			continue
		}
		answered := c.book.Receipt(st.GetOrigin(), l, st.GetSaidAt())
		if !news {
			continue
		}
		for _, e := range answered {
			c.g.metrics.receipted.WithLabelValues(c.label(), st.GetOrigin()).Observe(c.g.since(e.SaidAt))
		}
		if !c.g.bus.Heard() {
			continue
		}
		told := make([]*karaulav1.WatchResponse, 0, len(answered))
		for _, e := range answered {
			d := c.book.Delivery(e.Ledger, st.GetOrigin(), e.Epoch, e.Seq)
			row := c.book.Row(e)
			row.Deliveries = []*karaulav1.Delivery{d}
			told = append(told, &karaulav1.WatchResponse{
				Event: bus.Delivered, Party: st.GetOrigin(), Channel: c.id, Alert: row,
				Text: fmt.Sprintf("%s: number %d on %s %s", st.GetOrigin(), e.Seq, c.id, deliveryWord(d)),
			})
		}
		c.g.tell(told...)
	}
}

// aboutSaid reports whether a receipt is about numbers that we have said. One
// that is not would count as an answer to what comes later, and its exceptions
// would be as many as the partner wants.
func aboutSaid(l *karaulav1.LedgerReceipt, head *karaulav1.Head) bool {
	return l.GetEpoch() < head.GetEpoch() || l.GetEpoch() == head.GetEpoch() && l.GetJudgedTo() <= head.GetSize()
}

func deliveryWord(d *karaulav1.Delivery) string {
	switch d.GetState() {
	case karaulav1.DeliveryState_DELIVERY_STATE_ACCEPTED:
		return "accepted"
	case karaulav1.DeliveryState_DELIVERY_STATE_REFUSED:
		return "refused: " + terms.CodeWord(d.GetCode())
	case karaulav1.DeliveryState_DELIVERY_STATE_LAPSED:
		return "lapsed"
	default:
		return "waiting"
	}
}

// hearNotice takes a partner's notice into the register.
func (c *channel) hearNotice(origin string, body []byte) {
	var b karaulav1.NoticeBody
	if proto.Unmarshal(body, &b) != nil {
		return
	}
	c.takeNotice(origin, b.GetNotice())
}

// takeNotice does so with its file.
func (c *channel) takeNotice(origin string, file []byte) {
	if err := c.g.takeNotice(origin, file); err != nil {
		c.g.log.Info("a notice was not taken in", "party", origin, "why", unquoted(err))
	}
}

// onTrouble hears of bytes that were put aside, and of contradictions.
func (c *channel) onTrouble(origin string, p border.Placement) {
	name, code := bus.Quarantined, terms.CodeWord(p.Code)
	text := code
	switch p.Kind {
	case border.Fork:
		name = bus.Contested
	case border.Known:
		name, code = bus.Replayed, bus.Replayed
		text = fmt.Sprintf("number %d was published again", p.Position.Seq)
	default:
	}
	c.g.metrics.quarantined.WithLabelValues(c.label(), origin, code).Inc()
	c.g.log.Warn("a partner's link brought what has no place", "channel", c.id, "party", origin, "code", code)
	c.g.tell(&karaulav1.WatchResponse{
		Event: name, Party: origin, Channel: c.id,
		Text: fmt.Sprintf("from the link of %s on %s: %s", origin, c.id, text),
		Alert: &karaulav1.AlertRow{
			Channel: c.id, Origin: origin, Epoch: p.Position.Epoch, Seq: p.Position.Seq, Code: p.Code, Digest: p.Leaf[:],
		},
	})
}

// fill completes an entry with what was sealed.
func fill(e *book.Entry, inner *karaulav1.Inner) {
	e.Opened = true
	copy(e.ID[:], inner.GetAlertId())
	e.Exercise = inner.GetExercise()
	e.Version, e.Type, e.Lifecycle = inner.GetVersion(), inner.GetType(), inner.GetAlert().GetLifecycle()
	e.Urgency = alert.UrgencyWord(inner.GetAlert().GetUrgency())
}

// openOwn opens an own alert that is being read back, beside the reading.
func (c *channel) openOwn(e book.Entry, p *envelope.Parsed) {
	c.readBack = append(c.readBack, &e)
	c.g.openSeats <- struct{}{}
	c.opening.Go(func() {
		defer func() { <-c.g.openSeats }()
		c.enterIndex(&e, p, nil)
	})
}

// enterOwn enters the own alerts that were read back into the book, in their
// order. An alert whose id is not known there would be said twice if it were
// sent again.
func (c *channel) enterOwn() {
	c.opening.Wait()
	for _, e := range c.readBack {
		c.book.Add(*e)
	}
	c.readBack = nil
}

// openEntry reads an entry's statement from its stream and opens it.
func (g *Gateway) openEntry(ctx context.Context, e book.Entry) (*desk.Opened, error) {
	on := subject.On(e.Channel, e.Mode)
	name := subject.Out(on)
	if e.Origin != g.self {
		name = subject.InStream(on, e.Origin)
	}
	m, ok, err := stream.Open(g.js, name).Get(ctx, e.StreamSeq)
	if err != nil {
		return nil, problem.Wrap(problem.Unreachable, err, "the own broker does not give the alert")
	}
	if !ok {
		return nil, problem.New(problem.NotFound, "its content is no longer here")
	}
	p, err := envelope.Parse(m.Data)
	if err != nil || p.Leaf != e.Leaf {
		return nil, problem.New(problem.Verification, "the stored bytes are not the ones that were received").
			WithHint("karaula ledger repair --channel %s", e.Channel)
	}
	inner, frame, err := g.opener.openMain(p, g.self)
	if err != nil {
		return nil, err
	}
	stub, err := envelope.Stub(m.Data)
	if err != nil {
		return nil, err
	}
	commitment := seal.Commitment(frame)
	return &desk.Opened{
		Inner: inner, Frame: frame, Commitment: commitment[:], Stub: stub, Card: [32]byte(p.Statement.GetCard()),
	}, nil
}

// open gives an entry's content to the desk.
func (g *Gateway) open(ctx context.Context, e book.Entry) (*desk.Opened, error) {
	if e.Class == karaulav1.VerdictClass_VERDICT_CLASS_REFUSED {
		return nil, problem.New(problem.Verification, "the alert was refused at the border (%s); its content is not shown",
			terms.CodeWord(e.Code))
	}
	switch {
	case g.bookOf(e.Mode).Ordered(e) || g.bookOf(e.Mode).ErasedAt(e) != 0:
		return nil, problem.New(problem.NotFound, "its content has been erased")
	case e.EraseAfter <= g.o.Now().UnixMicro():
		return nil, problem.New(problem.NotFound, "its time has come: its content is erased")
	}
	opened, err := g.openEntry(ctx, e)
	if err != nil {
		return nil, err
	}
	opened.Clause = g.clause(e)
	return opened, nil
}

// clause names the clause under which an entry was said.
func (g *Gateway) clause(e book.Entry) string {
	entry, ok := g.o.Register.View().AgreementByDigest(e.Agreement)
	if !ok {
		return ""
	}
	return clauseOf(entry, e)
}

func clauseOf(entry *register.Entry, e book.Entry) string {
	for _, ch := range entry.Agreement.Channels {
		if ch.ID != e.Channel {
			continue
		}
		for _, s := range ch.Says {
			if contains(s.Parties, e.Origin) && contains(s.Types, e.Type) {
				return s.Ref(entry.Agreement.ID)
			}
		}
	}
	return entry.Agreement.ID
}
