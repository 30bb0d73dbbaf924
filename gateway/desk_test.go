package gateway

import (
	"bytes"
	"testing"

	"connectrpc.com/connect"

	"karaula/gateway/diary"
	"karaula/gateway/stream"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Who looked and why is for the own gateway; its broker keeps it sealed.
func TestTheBrokerDoesNotReadTheDesk(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	a := route()
	if _, err := h.send(h.ctx, a); err != nil {
		t.Fatal(err)
	}
	const reason = "case 12 of 2026 (invented)"
	if _, err := h.desk.Show(h.ctx, connect.NewRequest(&karaulav1.ShowRequest{AlertId: a.GetId(), Reason: reason})); err != nil {
		t.Fatal(err)
	}
	var entries []*karaulav1.DeskEntry
	err := stream.Open(h.broker.JS, subject.DeskStream).Read(t.Context(), 1, "", func(m stream.Stored) error {
		for _, word := range []string{reason, "operator", "supervisor"} {
			if bytes.Contains(m.Data, []byte(word)) {
				t.Errorf("record %d shows %q", m.Seq, word)
			}
		}
		e, err := diary.NewRecords(h.gateway.o.Keys.Keys, deskKey(h.gateway.o.Keys.Keys())).Open(m.Data)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || entries[1].GetReason() != reason || entries[1].GetOfficer() != "operator" ||
		entries[0].GetDeed() != "send" {
		t.Errorf("entries: %v", entries)
	}
}
