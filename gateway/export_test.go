package gateway

import (
	"testing"

	"connectrpc.com/connect"

	"karaula/gateway/book"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// export asks for an export of al's node.
func (h *house) export(m *karaulav1.ExportRequest) (out []*karaulav1.Exported, sum *karaulav1.ExportSummary) {
	h.t.Helper()
	m.Purpose, m.Reason = karaulav1.Purpose_PURPOSE_DETECTION, "invented"
	stream, err := h.desk.Export(h.ctx, connect.NewRequest(m))
	must(h.t, err)
	defer stream.Close() //nolint:errcheck // read to its end
	for stream.Receive() {
		out = append(out, stream.Msg().GetAlerts()...)
		if s := stream.Msg().GetSummary(); s != nil {
			sum = s
		}
	}
	must(h.t, stream.Err())
	if sum == nil || int(sum.GetGiven()) != len(out) {
		h.t.Fatalf("%d alerts, summary %v", len(out), sum)
	}
	return out, sum
}

// TestExport: what stands and may go out does, and nothing else.
func TestExport(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	me := h.w.Voice("me", h.text, channelID)
	free, _, _ := meSays(me)
	bound := me.Say(testworld.Draft{
		Kind: karaulav1.Kind_KIND_ALERT, Type: karaulav1.AlertType_ALERT_TYPE_VEHICLE,
		Alert: testworld.Alert(karaulav1.AlertType_ALERT_TYPE_VEHICLE),
		Inner: func(in *karaulav1.Inner) { in.GetAlert().Handling = karaulav1.Handling_HANDLING_H2 },
	})
	gone, at, leaf := meSays(me)
	h.deliver(free, bound, gone, order(me, at, leaf))
	own := route()
	_, err := h.desk.Send(h.ctx, connect.NewRequest(&karaulav1.SendRequest{Channel: channelID, Alerts: []*karaulav1.Alert{own}}))
	must(t, err)

	out, sum := h.export(&karaulav1.ExportRequest{})
	if len(out) != 1 || sum.GetWithheld() != 1 || out[0].GetRow().GetOrigin() != "me" ||
		out[0].GetRow().GetHandling() != karaulav1.Handling_HANDLING_H1 || out[0].GetAlert().GetRoute() == nil {
		t.Errorf("exported %v, %v", out, sum)
	}
	for name, c := range map[string]struct {
		ask             *karaulav1.ExportRequest
		given, withheld int
	}{
		"with own ones":   {&karaulav1.ExportRequest{Own: true}, 2, 1},
		"up to H2":        {&karaulav1.ExportRequest{Handling: karaulav1.Handling_HANDLING_H2}, 2, 0},
		"up to H0":        {&karaulav1.ExportRequest{Handling: karaulav1.Handling_HANDLING_H0}, 0, 2},
		"of another type": {&karaulav1.ExportRequest{Type: karaulav1.AlertType_ALERT_TYPE_PERSON}, 0, 0},
		"said later":      {&karaulav1.ExportRequest{From: testworld.Start.AddDate(0, 0, 1).UnixMicro()}, 0, 0},
		"said before":     {&karaulav1.ExportRequest{To: testworld.Start.UnixMicro()}, 0, 0},
	} {
		if out, sum := h.export(c.ask); len(out) != c.given || int(sum.GetWithheld()) != c.withheld {
			t.Errorf("%s: %d given, %v", name, len(out), sum)
		}
	}
	for name, m := range map[string]*karaulav1.ExportRequest{
		"no purpose": {Reason: "invented"}, "no reason": {Purpose: karaulav1.Purpose_PURPOSE_DETECTION},
		"no such channel": {Purpose: karaulav1.Purpose_PURPOSE_DETECTION, Reason: "invented", Channel: "b09-al-xk"},
	} {
		stream, err := h.desk.Export(h.ctx, connect.NewRequest(m))
		must(t, err)
		if stream.Receive() || stream.Err() == nil {
			t.Errorf("%s: exported", name)
		}
		must(t, stream.Close())
	}
	for _, e := range h.gateway.book.List(book.Filter{}) {
		for _, x := range h.gateway.book.Acts(e.ID) {
			if x.Act.GetDeed() == karaulav1.Deed_DEED_SEEN {
				t.Error("it was said that somebody has read what was exported")
			}
		}
	}
}
