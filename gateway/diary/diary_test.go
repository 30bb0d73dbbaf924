package diary_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"karaula/gateway/diary"
	"karaula/gateway/stream"
	"karaula/internal/keyring"
	"karaula/internal/subject"
	"karaula/internal/testbroker"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// house is a gateway's diary over a real broker, whose owner is the attacker.
type house struct {
	t       testing.TB
	broker  *testbroker.Broker
	log     *stream.Log
	stubs   *stream.Log
	records *diary.Records
	path    string
	d       *diary.Diary
}

func newHouse(t testing.TB) *house {
	t.Helper()
	keys := gatewayKeys(t)
	h := &house{
		t: t, broker: testbroker.Start(t), path: filepath.Join(t.TempDir(), "desk.head"),
		records: diary.NewRecords(func() *keyring.Gateway { return keys }, markKey),
	}
	h.make()
	h.open()
	return h
}

// make makes the stream.
func (h *house) make() {
	h.broker.Stream(subject.DeskStream, "desk.>")
	h.log = stream.Open(h.broker.JS, subject.DeskStream)
}

// open opens the diary, as after a start.
func (h *house) open() {
	h.t.Helper()
	if h.d != nil {
		must(h.t, h.d.Close())
	}
	var err error
	h.d, err = h.openAt(h.path)
	must(h.t, err)
}

func (h *house) openAt(path string) (*diary.Diary, error) {
	return diary.Open(context.Background(), diary.Config{
		Log: h.log, Stubs: h.stubs, Records: h.records, Path: path, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
}

func (h *house) append(n int) {
	h.t.Helper()
	for range n {
		must(h.t, h.d.Append(context.Background(), look()))
	}
}

// stored gives what the stream holds.
func (h *house) stored() (out []stream.Stored) {
	h.t.Helper()
	must(h.t, h.log.Read(context.Background(), 1, "", func(m stream.Stored) error {
		out = append(out, m)
		return nil
	}))
	return out
}

// put writes into the stream, as whoever runs the broker can.
func (h *house) put(data []byte) {
	h.t.Helper()
	_, err := h.broker.JS.Publish(context.Background(), subject.Desk("show"), data)
	must(h.t, err)
}

func (h *house) drop(seq uint64) {
	h.t.Helper()
	s, err := h.broker.JS.Stream(context.Background(), subject.DeskStream)
	must(h.t, err)
	must(h.t, s.DeleteMsg(context.Background(), seq))
}

// again replaces the stream by one that holds these messages.
func (h *house) again(messages ...[]byte) {
	h.t.Helper()
	must(h.t, h.broker.JS.DeleteStream(context.Background(), subject.DeskStream))
	h.make()
	for _, data := range messages {
		h.put(data)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever the own broker does to the ledger shows in a check, at once and after a start.
func TestTheBrokerChangesNothingUnseen(t *testing.T) {
	t.Parallel()
	data := func(h *house) (out [][]byte) {
		for _, m := range h.stored() {
			out = append(out, m.Data)
		}
		return out
	}
	for name, attack := range map[string]struct {
		do   func(h *house)
		want string
	}{
		"drops one":          {func(h *house) { h.drop(3) }, "records 3 to 3 are missing"},
		"drops the first":    {func(h *house) { h.drop(1) }, "records 1 to 1 are missing"},
		"drops the last":     {func(h *house) { h.drop(5) }, "records 5 to 5 are missing"},
		"repeats one":        {func(h *house) { h.put(h.stored()[1].Data) }, "is record 2, for a second time"},
		"writes by itself":   {func(h *house) { h.put([]byte("forged")) }, "was not written by this gateway"},
		"swaps two":          {func(h *house) { m := data(h); h.again(m[0], m[2], m[1], m[3], m[4]) }, "records 2 to 2 are missing"},
		"goes back":          {func(h *house) { m := data(h); h.again(m[:3]...) }, "records 4 to 5 are missing"},
		"forgets everything": {func(h *house) { h.again() }, "records 1 to 5 are missing"},
		"changes one": {func(h *house) {
			m := data(h)
			m[1][len(m[1])/2] ^= 1
			h.again(m...)
		}, "was not written by this gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.append(5)
			must(t, h.d.Check(t.Context()))
			if why := h.d.Trouble(); why != "" {
				t.Fatalf("before: %s", why)
			}
			attack.do(h)
			must(t, h.d.Check(t.Context()))
			if why := h.d.Trouble(); !strings.Contains(why, attack.want) {
				t.Errorf("at once: %q, want %q", why, attack.want)
			}
			h.open()
			must(t, h.d.Check(t.Context()))
			if h.d.Trouble() == "" {
				t.Error("not noticed after a start")
			}
			h.append(1) // work goes on
			last := h.stored()
			rec, err := h.records.Parse(last[len(last)-1].Data)
			if err != nil || rec.GetNumber() < 6 {
				t.Errorf("goes on with %d: %v", rec.GetNumber(), err)
			}
		})
	}
}

// What a start misses is itself a record, which the broker cannot take back.
func TestALossIsRecorded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.append(3)
	h.again()
	h.open()
	m := h.stored()
	if len(m) != 1 || h.d.Head().Number != 4 {
		t.Fatalf("%d records, head %d", len(m), h.d.Head().Number)
	}
	e, err := h.records.Open(m[0].Data)
	if err != nil || e.GetDeed() != "gap" || !strings.Contains(e.GetReason(), "before record 3") {
		t.Errorf("%v %v", e, err)
	}
}

// A head that was cut off while it was written, or lost, does not stop the node.
func TestTheHeadOutlivesItsFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.append(3)
	body, err := os.ReadFile(h.path)
	must(t, err)
	for _, at := range []int{0, 4096} { // one slot after the other is damaged
		torn := []byte(string(body))
		torn[at] ^= 1
		must(t, os.WriteFile(h.path, torn, 0o600))
		h.open()
		if why := h.d.Trouble(); why != "" || h.d.Head().Number != 3 {
			t.Errorf("slot at %d: head %d, %q", at, h.d.Head().Number, why)
		}
	}
	must(t, h.d.Close())
	h.d = nil
	must(t, os.Remove(h.path))
	h.open()
	if why := h.d.Trouble(); !strings.Contains(why, "taken up at record 3") || h.d.Head().Number != 4 {
		t.Errorf("without: head %d, %q", h.d.Head().Number, why)
	}
}

// Many at once, by two gateways of one party: one ledger without a gap.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	other, err := h.openAt(h.path + ".other")
	must(t, err)
	defer other.Close() //nolint:errcheck // a test
	const n = 40
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for range 5 {
				if err := h.d.Append(context.Background(), look()); err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	must(t, other.Append(context.Background(), look())) // it takes over
	must(t, h.d.Append(context.Background(), look()))   // and back
	must(t, h.d.Check(t.Context()))
	if h.d.Head().Number != n*5+2 || h.d.Trouble() != "" || other.Trouble() != "" {
		t.Errorf("head %d, %q, %q", h.d.Head().Number, h.d.Trouble(), other.Trouble())
	}
}

// What cannot be stored is not done, and costs no number.
func TestAFullStream(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.append(1)
	h.broker.Full(subject.DeskStream, true)
	if err := h.d.Append(t.Context(), look()); err == nil {
		t.Error("recorded in a full stream")
	}
	h.broker.Full(subject.DeskStream, false)
	h.append(1)
	must(t, h.d.Check(t.Context()))
	if h.d.Head().Number != 2 || h.d.Trouble() != "" {
		t.Errorf("head %d, %q", h.d.Head().Number, h.d.Trouble())
	}
}

// A slice begins with the first deed at or after a time and ends before another.
func TestASlice(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for at := range int64(5) {
		e := look()
		e.At = (at + 1) * 1000
		must(t, h.d.Append(t.Context(), e))
	}
	for _, c := range []struct {
		from, to     int64
		before, last uint64
	}{{0, 0, 0, 5}, {2000, 4000, 1, 3}, {2001, 0, 2, 5}, {9000, 0, 5, 5}} {
		var got []string
		s, err := h.d.Read(t.Context(), micro(c.from), micro(c.to), func(p *karaulav1.DeskPiece) error {
			got = append(got, fmt.Sprintf("%T", p.GetPiece()))
			return nil
		})
		must(t, err)
		if s.Before.Number != c.before || s.Last.Number != c.last || s.Head.Number != 5 || uint64(len(got)) != 1+c.last-c.before {
			t.Errorf("%v: %v, %v", c, s, got)
		}
	}
}

func micro(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.UnixMicro(at)
}
