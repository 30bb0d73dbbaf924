package diary_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"karaula/gateway/diary"
	"karaula/gateway/stream"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

const term = 3 * 8766 * time.Hour

// oldHouse has five records that are past the term, and three that are not.
func oldHouse(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.broker.Stream(subject.StubStream, "stub.>")
	h.stubs = stream.Open(h.broker.JS, subject.StubStream)
	h.open()
	for i := range 8 {
		e := look()
		e.At, e.Reason = time.Now().Add(-term-time.Hour).UnixMicro(), fmt.Sprintf("invented reason %d", i+1)
		if i > 4 {
			e.At = time.Now().Add(-term + time.Hour).UnixMicro()
		}
		must(t, h.d.Append(context.Background(), e))
	}
	return h
}

// pieces says what an export holds.
func (h *house) pieces() (said string, slice diary.Slice) {
	h.t.Helper()
	slice, err := h.d.Read(context.Background(), time.Time{}, time.Time{}, func(p *karaulav1.DeskPiece) error {
		word := strings.TrimPrefix(fmt.Sprintf("%T", p.GetPiece()), "*karaulav1.DeskPiece_")
		if text := p.GetFinding(); text != "" {
			word += "(" + text + ")"
		}
		said += word + " "
		return nil
	})
	must(h.t, err)
	return said, slice
}

const whole = "Begin Commitment Commitment Commitment Commitment Commitment Frame Frame Frame "

func (h *house) prune() int {
	h.t.Helper()
	n, err := h.d.Prune(context.Background(), time.Now().Add(-term))
	must(h.t, err)
	return n
}

// Who, what and why go at their end; the ledger verifies as before, from the first
// record to the head, also after a start and where the head's file was lost.
func TestRecordsGoAtTheirEnd(t *testing.T) {
	t.Parallel()
	h := oldHouse(t)
	head := h.d.Head()
	if said, _ := h.pieces(); said != "Begin "+strings.Repeat("Frame ", 8) {
		t.Fatal(said)
	}
	if n := h.prune(); n != 5 {
		t.Fatalf("%d were taken out", n)
	}
	if n := h.prune(); n != 0 || len(h.stored()) != 3 {
		t.Errorf("%d more were taken out, %d are there", n, len(h.stored()))
	}
	must(t, h.stubs.Read(context.Background(), 1, "", func(m stream.Stored) error {
		if len(m.Data) > 200 || bytes.Contains(m.Data, []byte("age-encryption")) {
			t.Errorf("a stub of %d bytes", len(m.Data))
		}
		return nil
	}))
	check := func(when string) {
		t.Helper()
		said, slice := h.pieces()
		if said != whole || slice.Before != (diary.Place{}) || slice.Last != head || h.d.Head() != head || h.d.Trouble() != "" {
			t.Errorf("%s: %s %v %q", when, said, slice, h.d.Trouble())
		}
	}
	check("taken out")
	h.open()
	check("after a start")
	h.append(1)
	must(t, h.d.Close())
	h.d = nil
	must(t, os.Remove(h.path))
	h.open()
	if text := h.d.Trouble(); !strings.Contains(text, "the ledger was taken up at record 9") || strings.Contains(text, "missing") {
		t.Errorf("without the head's file: %q", text)
	}
}

// A gateway that dies between stub and removal finds both, and goes on.
func TestARecordIsTakenOutAgainAfterADeath(t *testing.T) {
	t.Parallel()
	h := oldHouse(t)
	var all [][]byte
	for _, m := range h.stored() {
		all = append(all, m.Data)
	}
	h.prune()
	h.again(all...) // the stubs are there, and all records
	h.open()
	if said, _ := h.pieces(); said != whole || h.d.Trouble() != "" {
		t.Errorf("%s %q", said, h.d.Trouble())
	}
	if n := h.prune(); n != 5 || len(h.stored()) != 3 {
		t.Errorf("%d were taken out, %d are there", n, len(h.stored()))
	}
	if msgs, _, err := h.stubs.Size(context.Background()); err != nil || msgs != 5 {
		t.Errorf("%d stubs, %v", msgs, err)
	}
}

// The broker cannot hide behind the end of a record that it has dropped one.
func TestWhatIsDroppedIsMissedBesideWhatWentAtItsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(h *house, old []stream.Stored)
		want string
	}{
		"a record that is kept":  {func(h *house, _ []stream.Stored) { h.drop(7) }, "records 7 to 7 are missing"},
		"the first that is kept": {func(h *house, _ []stream.Stored) { h.drop(6) }, "records 6 to 6 are missing"},
		"a stub": {func(h *house, _ []stream.Stored) {
			s, err := h.broker.JS.Stream(context.Background(), subject.StubStream)
			must(h.t, err)
			must(h.t, s.DeleteMsg(context.Background(), 3))
		}, "records 3 to 5 are missing"},
		"nothing, but it puts one back": {func(h *house, old []stream.Stored) { h.put(old[1].Data) }, "is record 2, which was taken out at its end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := oldHouse(t)
			old := h.stored()
			h.prune()
			c.do(h, old)
			if said, _ := h.pieces(); !strings.Contains(said, c.want) || !strings.Contains(h.d.Trouble(), c.want) {
				t.Errorf("%s %q", said, h.d.Trouble())
			}
		})
	}
}
