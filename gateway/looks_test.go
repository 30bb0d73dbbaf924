package gateway

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/desk"
	"karaula/gateway/diary"
	"karaula/internal/evidence"
	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// exportDesk makes an export, as karaula audit desk does.
func (h *house) exportDesk() []byte {
	h.t.Helper()
	begun, err := h.desk.Audit(h.ctx, connect.NewRequest(&karaulav1.AuditRequest{Deed: "audit-desk", Reason: "inspection (invented)"}))
	must(h.t, err)
	got, err := h.desk.ReadDesk(h.ctx, connect.NewRequest(&karaulav1.ReadDeskRequest{Audit: begun.Msg.GetAudit()}))
	must(h.t, err)
	defer got.Close() //nolint:errcheck // a test
	var file bytes.Buffer
	put, err := evidence.WriteDesk(&file)
	must(h.t, err)
	for got.Receive() {
		for _, p := range got.Msg().GetPieces() {
			must(h.t, put(p))
		}
	}
	must(h.t, desk.FromConnect(got.Err()))
	return file.Bytes()
}

func (h *house) verifyDesk(file []byte) (*evidence.DeskReport, []*karaulav1.DeskEntry, error) {
	var entries []*karaulav1.DeskEntry
	roots := []string{h.w.Parties["al"].Card.Root}
	r, err := evidence.VerifyDesk(bytes.NewReader(file), roots, func(_ uint64, e *karaulav1.DeskEntry) error {
		entries = append(entries, e)
		return nil
	})
	return r, entries, err
}

// Who looked leaves the node in a file that anybody can check with the root key;
// whatever is changed in it shows.
func TestWhoLookedIsExported(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	a := route()
	_, err := h.send(h.ctx, a)
	must(t, err)
	_, err = h.desk.Show(h.ctx, connect.NewRequest(&karaulav1.ShowRequest{AlertId: a.GetId(), Reason: "case 12 (invented)"}))
	must(t, err)
	file := h.exportDesk()
	r, entries, err := h.verifyDesk(file)
	if err != nil || !r.Verified() || len(entries) != 3 || r.Head.GetNumber() != 3 {
		t.Fatalf("%v %v %v", r, entries, err)
	}
	if entries[1].GetDeed() != "show" || entries[1].GetReason() != "case 12 (invented)" || entries[2].GetDeed() != "audit-desk" {
		t.Errorf("%v", entries)
	}
	for at := 0; at < len(file); at += 3 {
		bad := bytes.Clone(file)
		bad[at] ^= 4
		if r, _, err := h.verifyDesk(bad); err == nil && r.Verified() {
			t.Fatalf("byte %d of %d can be changed", at, len(file))
		}
		if r, _, err := h.verifyDesk(file[:at]); err == nil && r.Verified() {
			t.Fatalf("it can be cut off after %d bytes of %d", at, len(file))
		}
	}
	other := []string{h.w.Parties["me"].Card.Root}
	if _, err := evidence.VerifyDesk(bytes.NewReader(file), other, unheard); !problem.Is(err, problem.Verification) {
		t.Errorf("under another root: %v", err)
	}
}

func unheard(uint64, *karaulav1.DeskEntry) error { return nil }

// A record that the broker has dropped is a finding of the export, after a start
// too, and a warning of the node.
func TestADroppedLookIsFound(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	for range 3 {
		h.lookUp(askPlate("AA 000 TT", "AL"))
	}
	s, err := h.broker.JS.Stream(t.Context(), subject.DeskStream)
	must(t, err)
	must(t, s.DeleteMsg(t.Context(), 2))
	r, _, err := h.verifyDesk(h.exportDesk())
	if err != nil || r.Verified() || len(r.Findings) != 2 {
		t.Errorf("%v %v", r, err)
	}
	h.stop()
	h.start()
	h.until("a warning", func() bool { return h.gateway.diary.Trouble() != "" })
	if w := h.gateway.status(context.Background()).GetWarnings(); len(w) == 0 {
		t.Error("no warning")
	}
}

// An audit of something else does not open the desk.
func TestTheDeskHasAnAuditOfItsOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	begun, err := h.desk.Audit(h.ctx, connect.NewRequest(&karaulav1.AuditRequest{Deed: "replay", Reason: "invented"}))
	must(t, err)
	got, err := h.desk.ReadDesk(h.ctx, connect.NewRequest(&karaulav1.ReadDeskRequest{Audit: begun.Msg.GetAudit()}))
	if err == nil {
		for got.Receive() { //nolint:revive // until its error
		}
		err = errors.Join(got.Err(), got.Close())
	}
	if !problem.Is(desk.FromConnect(err), problem.Locked) {
		t.Errorf("%v", err)
	}
}

func FuzzVerifyDesk(f *testing.F) {
	h := newHouse(f)
	h.start()
	h.lookUp(askPlate("AA 000 TT", "AL"))
	file := h.exportDesk()
	_, want, err := h.verifyDesk(file)
	must(f, err)
	f.Add(file)
	f.Add(file[:40])
	f.Fuzz(func(t *testing.T, data []byte) {
		r, got, err := h.verifyDesk(data)
		if err == nil && r.Verified() && !slices.EqualFunc(got, want, func(a, b *karaulav1.DeskEntry) bool { return proto.Equal(a, b) }) {
			t.Errorf("shows other deeds: %v", got)
		}
	})
}

// Records of who looked at what go after their term, and the export still verifies
// from the first one to the head; the stocktaking does not take it for a loss.
func TestWhoLookedGoesAfterItsTerm(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	a := route()
	_, err := h.send(h.ctx, a)
	must(t, err)
	_, err = h.desk.Show(h.ctx, connect.NewRequest(&karaulav1.ShowRequest{AlertId: a.GetId(), Reason: "case 12 (invented)"}))
	must(t, err)
	h.exportDesk()
	h.gateway.takeStock(h.ctx)
	if r, _, err := h.verifyDesk(h.exportDesk()); err != nil || r.Records != 4 {
		t.Fatal(r, err)
	}
	h.ahead(node.DeskRetention - time.Minute)
	must(t, h.gateway.pruneDesk(h.ctx))
	if r, _, err := h.verifyDesk(h.exportDesk()); err != nil || r.Closed != 0 {
		t.Errorf("before the term: %+v %v", r, err)
	}
	h.ahead(time.Hour)
	must(t, h.gateway.pruneDesk(h.ctx))
	h.gateway.takeStock(h.ctx)
	if faults := h.gateway.stockFaults(); len(faults) > 0 {
		t.Errorf("the stocktaking says %v", faults)
	}
	file := h.exportDesk()
	r, entries, err := h.verifyDesk(file)
	if err != nil || !r.Verified() || r.Closed < 4 || r.Head.GetNumber() != r.Closed+r.Records || r.Before.GetNumber() != 0 {
		t.Errorf("after it: %+v %v", r, err)
	}
	for _, e := range entries {
		if e.GetReason() == "case 12 (invented)" {
			t.Error("who looked is still there")
		}
	}
}

// What somebody takes from the end while the gateway is stopped is missed at the
// next start: the head lies where the broker does not reach. The loss is a warning,
// and a record of its own.
func TestALookTakenFromTheEndAtNightIsMissed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	for range 3 {
		h.lookUp(askPlate("AA 000 TT", "AL"))
	}
	h.stop()
	s, err := h.broker.JS.Stream(t.Context(), subject.DeskStream)
	must(t, err)
	info, err := s.Info(t.Context())
	must(t, err)
	for _, seq := range []uint64{info.State.LastSeq, info.State.LastSeq - 1} {
		must(t, s.DeleteMsg(t.Context(), seq))
	}
	h.start()
	h.until("a warning", func() bool { return h.gateway.diary.Trouble() != "" })
	told := func(w string) bool { return strings.Contains(w, diary.Missing) }
	if w := h.gateway.status(context.Background()).GetWarnings(); !slices.ContainsFunc(w, told) {
		t.Errorf("warnings: %v", w)
	}
	r, entries, err := h.verifyDesk(h.exportDesk())
	if err != nil || r.Verified() {
		t.Errorf("the export verifies: %v %v", r, err)
	}
	if !slices.ContainsFunc(entries, func(e *karaulav1.DeskEntry) bool { return e.GetDeed() == "gap" }) {
		t.Errorf("no record of the loss: %v", entries)
	}
}
