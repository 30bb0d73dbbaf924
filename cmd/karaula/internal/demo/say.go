package demo

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"karaula/cmd/karaula/internal/nodes"
	"karaula/deploy/examples"
	"karaula/gateway/book"
	"karaula/gateway/desk"
	"karaula/internal/alert"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// say sends an example alert, and shows who receives it, who does not, and why.
func (p *player) say(ctx context.Context, s Say) error {
	n, err := p.node(s.From)
	if err != nil {
		return err
	}
	body, ok := examples.Alert(s.Alert)
	if !ok {
		return problem.New(problem.NotFound, "there is no example alert %q", s.Alert)
	}
	alerts, err := alert.Parse(bytes.NewReader(body), s.Alert+".yaml")
	if err != nil {
		return err
	}
	word := typeWord(alerts[0].GetType())
	began := time.Now()
	resp, err := send(officer(ctx), n, &karaulav1.SendRequest{Channel: s.Channel, Alerts: alerts[:1]})
	if err != nil {
		return p.notSaid(s, word, err)
	}
	if s.Refused {
		return problem.New(
			problem.Failed,
			"%s was allowed to say %s on %s, which the script expects to be refused",
			s.From,
			word,
			s.Channel,
		)
	}
	sent := resp.Msg.GetSent()[0]
	p.mu.Lock()
	p.counts.Said++
	p.mu.Unlock()
	p.emit(Event{
		Event: "say", Party: s.From, Channel: s.Channel, Type: word, Alert: sent.GetAlertId(), Why: sent.GetClause(),
		Millis: millis(time.Since(began)),
		Text:   fmt.Sprintf("%s says %s on %s, number %d (%s)", s.From, word, s.Channel, sent.GetSeq(), sent.GetClause()),
	})
	p.expect(s, sent.GetAlertId(), began)
	for _, r := range resp.Msg.GetReaders() {
		if err := p.showReader(ctx, r, s, sent.GetAlertId()); err != nil {
			return err
		}
	}
	for _, r := range resp.Msg.GetOthers() {
		p.emit(Event{
			Event: "not-for", Party: r.GetParty(), Channel: s.Channel, Type: word, Alert: sent.GetAlertId(), Why: r.GetWhy(),
			Text: fmt.Sprintf("%s does not receive it: %s", r.GetParty(), r.GetWhy()),
		})
	}
	return nil
}

// send sends, and repeats what the node could not take just now, as the command
// does: a node that has just started compares with its partners first.
func send(
	ctx context.Context, n *nodes.Node, req *karaulav1.SendRequest,
) (*connect.Response[karaulav1.SendResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	for _, a := range req.GetAlerts() {
		a.Id = book.IDText(desk.NewAlertID(time.Now()))
	}
	for {
		resp, err := n.Gateway.Desk().Send(ctx, connect.NewRequest(req))
		err = desk.FromConnect(err)
		if !problem.Is(err, problem.Unreachable) || ctx.Err() != nil {
			return resp, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// notSaid shows a refusal, if the script expects one.
func (p *player) notSaid(s Say, word string, err error) error {
	if !s.Refused || !problem.Is(err, problem.NotAllowed) {
		return err
	}
	p.mu.Lock()
	p.counts.Forbidden++
	p.mu.Unlock()
	p.emit(Event{
		Event: "refused", Party: s.From, Channel: s.Channel, Type: word, Why: err.Error(),
		Text: err.Error(),
	})
	return nil
}

// expect notes who must receive an alert. It asks the agreement, not the
// gateway, so that a gateway that forgets a reader is found out.
func (p *player) expect(s Say, id string, said time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.stage.agreements {
		for _, ch := range a.Channels {
			if ch.ID != s.Channel {
				continue
			}
			for _, code := range a.Codes() {
				if code != s.From {
					p.counts.Deliveries++
					put(p.expected, code, id, &delivery{from: s.From, channel: s.Channel, said: said})
				}
			}
		}
	}
}

// showReader waits until a reader has an alert, unless it is off or has suspended.
func (p *player) showReader(ctx context.Context, r *karaulav1.Reader, s Say, id string) error {
	code := r.GetParty()
	p.mu.Lock()
	off, paused := p.cut[code], p.suspended[s.Channel][code]
	p.mu.Unlock()
	if off || paused {
		why := "is cut off"
		if paused {
			why = "has suspended the agreement"
		}
		p.emit(Event{
			Event: "waits", Party: code, Channel: s.Channel, Alert: id, Why: why,
			Text: fmt.Sprintf("%s %s; it waits at %s", code, why, s.From),
		})
		return nil
	}
	if !p.await(ctx, func() bool { _, ok := p.got[code][id]; return ok }) {
		return problem.New(problem.Failed, "%s has not received alert %s in time", code, id)
	}
	p.shown(code, id, r.GetWhy())
	return nil
}

// shown emits a reception once.
func (p *player) shown(code, id, why string) {
	p.mu.Lock()
	d, at := p.expected[code][id], p.got[code][id]
	if d == nil || d.shown {
		p.mu.Unlock()
		return
	}
	d.shown = true
	took := at.Sub(d.said)
	p.mu.Unlock()
	p.emit(Event{
		Event: "received", Party: code, Channel: d.channel, Alert: id, Why: why, Millis: millis(took),
		Text: fmt.Sprintf("%s has received it after %.0f ms: %s", code, millis(took), why),
	})
}

// showArrivals waits for what a node that came back has missed.
func (p *player) showArrivals(ctx context.Context, code string) error {
	missed := func() (ids []string) {
		for id := range p.expected[code] {
			if _, ok := p.got[code][id]; !ok {
				ids = append(ids, id)
			}
		}
		return ids
	}
	p.mu.Lock()
	wanted := slices.Sorted(maps.Keys(p.expected[code]))
	p.mu.Unlock()
	if !p.await(ctx, func() bool { return len(missed()) == 0 }) {
		return problem.New(problem.Failed, "%s does not receive what it missed", code)
	}
	for _, id := range wanted {
		p.shown(code, id, "it had waited at the sender")
	}
	return nil
}

// readList takes in what a node's own list holds: what it accepted while nobody
// listened.
func (p *player) readList(ctx context.Context, code string) error {
	rows, err := p.list(ctx, code)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range rows {
		if _, ok := p.got[code][id]; !ok {
			put(p.got, code, id, time.Now())
		}
	}
	p.changed.Broadcast()
	return nil
}

// list gives the alerts that a node has accepted, by id.
func (p *player) list(ctx context.Context, code string) (map[string]*karaulav1.AlertRow, error) {
	n, err := p.node(code)
	if err != nil {
		return nil, err
	}
	resp, err := n.Gateway.Desk().List(officer(ctx), connect.NewRequest(&karaulav1.ListRequest{Limit: 10_000}))
	if err != nil {
		return nil, desk.FromConnect(err)
	}
	out := map[string]*karaulav1.AlertRow{}
	for _, row := range resp.Msg.GetAlerts() {
		if row.GetOrigin() != code && row.GetClass() == karaulav1.VerdictClass_VERDICT_CLASS_ACCEPTED {
			out[row.GetAlertId()] = row
		}
	}
	return out, nil
}

// sumUp compares what every node holds with what the agreements say that it
// should, waits for the receipts, and fails on any difference.
func (p *player) sumUp(ctx context.Context) (err error) {
	var problems []string
	for _, code := range codes() {
		if p.stage.nodes[code] == nil {
			continue
		}
		rows, err := p.list(ctx, code)
		if err != nil {
			return err
		}
		for id, d := range p.expected[code] {
			if rows[id] == nil {
				p.counts.Missing++
				problems = append(problems, fmt.Sprintf("%s lacks alert %s from %s on %s", code, id, d.from, d.channel))
				continue
			}
			p.counts.Received++
		}
		for id, row := range rows {
			if p.expected[code][id] == nil {
				p.counts.Surplus++
				problems = append(
					problems,
					fmt.Sprintf("%s holds alert %s from %s on %s, which is not for it", code, id, row.GetOrigin(), row.GetChannel()),
				)
			}
		}
	}
	if p.counts.Receipts, err = p.awaitReceipts(ctx); err != nil {
		return err
	}
	ok := len(problems) == 0 && p.counts.Receipts == p.counts.Deliveries && p.counts.Repelled == p.counts.Hostile
	for _, text := range problems {
		p.emit(Event{Event: "wrong", Text: text})
	}
	p.emit(Event{Event: "summary", OK: &ok, Counts: &p.counts, Text: p.counts.String()})
	if !ok {
		return failed(p.counts.Missing, p.counts.Surplus)
	}
	return nil
}

// awaitReceipts waits until the senders have signed receipts for everything,
// and counts them.
func (p *player) awaitReceipts(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	for {
		n := 0
		for _, code := range codes() {
			got, err := p.receipted(ctx, code)
			if err != nil {
				return n, err
			}
			n += got
		}
		if n == p.counts.Deliveries || ctx.Err() != nil {
			return n, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// receipted counts the deliveries of a node's own alerts that recipients have
// accepted by signed receipt.
func (p *player) receipted(ctx context.Context, code string) (n int, err error) {
	node := p.stage.nodes[code]
	if node == nil {
		return 0, nil
	}
	resp, err := node.Gateway.Desk().List(officer(ctx), connect.NewRequest(&karaulav1.ListRequest{Limit: 10_000}))
	if err != nil {
		return 0, desk.FromConnect(err)
	}
	for _, row := range resp.Msg.GetAlerts() {
		for _, d := range row.GetDeliveries() {
			if d.GetState() == karaulav1.DeliveryState_DELIVERY_STATE_ACCEPTED {
				n++
			}
		}
	}
	return n, nil
}

// String gives the summary for people.
func (c Counts) String() string {
	return fmt.Sprintf("%d alerts said, %d deliveries due and %d seen, %d receipted, %d alerts refused by agreement, "+
		"%d of %d hostile messages repelled, %d missing, %d where they should not be",
		c.Said, c.Deliveries, c.Received, c.Receipts, c.Forbidden, c.Repelled, c.Hostile, c.Missing, c.Surplus)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func join(list []string) string { return strings.Join(list, ", ") }
