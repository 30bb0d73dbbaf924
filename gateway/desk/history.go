package desk

import (
	"cmp"
	"context"
	"slices"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	"karaula/internal/life"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// History tells the life of an alert without its content; the look is recorded.
func (d *Desk) History(
	ctx context.Context, req *connect.Request[karaulav1.HistoryRequest],
) (*connect.Response[karaulav1.HistoryResponse], error) {
	resp, err := d.history(ctx, req.Msg)
	return reply(d, resp, err)
}

func (d *Desk) history(ctx context.Context, req *karaulav1.HistoryRequest) (*karaulav1.HistoryResponse, error) {
	officer, err := who(ctx, "officer", "supervisor", "auditor", "system")
	if err != nil {
		return nil, err
	}
	id, err := parseID(req.GetAlertId())
	if err != nil {
		return nil, err
	}
	e, err := d.find(id, req.GetOrigin(), "")
	if err != nil {
		return nil, err
	}
	if err := d.record(ctx, officer, "history", &karaulav1.DeskEntry{
		Channel: e.Channel, Ledger: e.Ledger[:], Epoch: e.Epoch, Seq: e.Seq, Type: e.Type, Exercise: practised(e),
	}); err != nil {
		return nil, err
	}
	a := d.bookOf(e).Life(id, e.Origin)
	state := alertState(a.Origin, life.Fold(a, d.cfg.Now()))
	state.Handling, state.Descent, state.Passed = e.Handling, e.Descent, d.passed(e)
	return &karaulav1.HistoryResponse{
		State: state, Events: d.events(e, a), Complete: d.cfg.Complete(),
		Drill: !e.Meant(), Exercise: e.Exercise,
	}, nil
}

// passed gives the own alerts with which an alert was passed on, each once.
func (d *Desk) passed(e book.Entry) []*karaulav1.Passed {
	newest := map[[16]byte]book.Entry{}
	for _, x := range d.cfg.Book.Copies(e.Origin, e.ID) {
		if x.Version > newest[x.ID].Version {
			newest[x.ID] = x
		}
	}
	var out []*karaulav1.Passed
	for id, x := range newest {
		state := life.Fold(d.cfg.Book.Life(id, d.cfg.Self), d.cfg.Now())
		out = append(out, &karaulav1.Passed{
			Channel: x.Channel, AlertId: book.IDText(id), Version: x.Descent.GetVersion(), Status: string(state.Status),
		})
	}
	slices.SortFunc(out, func(a, b *karaulav1.Passed) int {
		return cmp.Or(cmp.Compare(a.GetChannel(), b.GetChannel()), cmp.Compare(a.GetAlertId(), b.GetAlertId()))
	})
	return out
}

// alertState gives a state as the interface shows it.
func alertState(origin string, s life.State) *karaulav1.AlertState {
	out := &karaulav1.AlertState{
		Origin: origin, Version: s.Version.Version, Status: string(s.Status), Broken: s.Broken,
		Errors: uint32(len(s.Errors)), //nolint:gosec // few
	}
	for _, x := range s.Flags {
		out.Flags = append(out.Flags, partyDeed(x))
	}
	for _, x := range s.Deeds {
		out.Deeds = append(out.Deeds, partyDeed(x))
	}
	for _, x := range s.Links {
		out.Links = append(out.Links, &karaulav1.LinkedAlert{Party: x.Party, AlertId: book.IDText(x.Other), Relation: x.Relation})
	}
	for _, h := range s.Hits {
		out.Hits = append(out.Hits, &karaulav1.LinkedAlert{Party: h.Party, AlertId: book.IDText(h.ID)})
	}
	for _, c := range s.Consents {
		state := &karaulav1.ConsentState{
			Party: c.Request.Party, Onward: c.Request.Onward, Request: c.Request.Leaf[:], Answer: c.Answer.Deed,
			Readers: c.Request.Readers, Purpose: c.Request.Purpose, Until: c.Request.Until,
		}
		if c.Answer.Deed == karaulav1.Deed_DEED_CONSENT {
			state.Until = c.Answer.Until
		}
		if c.Answer.Deed != 0 {
			state.AnsweredBy = c.Answer.Leaf[:]
		}
		out.Consents = append(out.Consents, state)
	}
	return out
}

func partyDeed(x life.Act) *karaulav1.PartyDeed {
	return &karaulav1.PartyDeed{Party: x.Party, Deed: x.Deed, Ground: x.Ground, At: x.SaidAt}
}

// events gives what was said about an alert, in the order of its times.
func (d *Desk) events(of book.Entry, a life.Alert) []*karaulav1.HistoryEvent {
	type event struct {
		at  life.Statement
		say *karaulav1.HistoryEvent
	}
	var all []event
	add := func(s life.Statement, e *karaulav1.HistoryEvent) {
		e.At, e.Party, e.Channel, e.Epoch, e.Seq, e.Digest = s.SaidAt, s.Party, s.Channel, s.Epoch, s.Seq, s.Leaf[:]
		all = append(all, event{s, e})
	}
	for _, v := range a.Versions {
		add(v.Statement, &karaulav1.HistoryEvent{Version: v.Version, Lifecycle: v.Lifecycle})
	}
	for _, h := range a.Hits {
		add(h.Statement, &karaulav1.HistoryEvent{Hit: book.IDText(h.ID)})
	}
	acts := d.bookOf(of).Acts(of.ID)
	for _, x := range a.Acts {
		i := slices.IndexFunc(acts, func(e book.Entry) bool { return e.Leaf == x.Leaf })
		if i >= 0 {
			add(x.Statement, &karaulav1.HistoryEvent{Version: x.Version, Act: acts[i].Act})
		}
	}
	slices.SortFunc(all, func(x, y event) int { return life.Compare(x.at, y.at) })
	out := make([]*karaulav1.HistoryEvent, len(all))
	for i, e := range all {
		out[i] = e.say
	}
	return out
}
