package stream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"karaula/gateway/stream"
	"karaula/internal/testbroker"
)

func open(t *testing.T) (*testbroker.Broker, *stream.Log) {
	t.Helper()
	b := testbroker.Start(t)
	b.Stream("OUT_test", "k1.test.>")
	return b, stream.Open(b.JS, "OUT_test")
}

func msgs(from, n int) []stream.Msg {
	out := make([]stream.Msg, n)
	for i := range out {
		out[i] = stream.Msg{Subject: "k1.test.al.vehicle", Data: fmt.Appendf(nil, "message %d", from+i)}
	}
	return out
}

func TestAppendNumbersWithoutGaps(t *testing.T) {
	t.Parallel()
	_, log := open(t)
	last, err := log.Append(t.Context(), msgs(1, 1), 0)
	if err != nil || last != 1 {
		t.Fatalf("one: %d, %v", last, err)
	}
	last, err = log.Append(t.Context(), msgs(2, stream.MaxBatch), 1)
	if err != nil || last != stream.MaxBatch+1 {
		t.Fatalf("batch: %d, %v", last, err)
	}
	if _, err := log.Append(t.Context(), msgs(0, stream.MaxBatch+1), last); err == nil {
		t.Error("a batch above the limit was taken")
	}
	want := 1
	err = log.Read(t.Context(), 1, "", func(m stream.Stored) error {
		if m.Seq != uint64(want) || string(m.Data) != fmt.Sprintf("message %d", want) {
			return fmt.Errorf("got %d %q, want %d", m.Seq, m.Data, want)
		}
		want++
		return nil
	})
	if err != nil || want != stream.MaxBatch+2 {
		t.Errorf("read %d messages, %v", want-1, err)
	}
}

func TestAWrongExpectationStoresNothing(t *testing.T) {
	t.Parallel()
	_, log := open(t)
	if _, err := log.Append(t.Context(), msgs(1, 3), 0); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2} {
		if _, err := log.Append(t.Context(), msgs(9, n), 2); !errors.Is(err, stream.ErrMoved) {
			t.Errorf("%d messages behind the wrong end: %v, want ErrMoved", n, err)
		}
	}
	if _, last, err := log.End(t.Context()); err != nil || last != 3 {
		t.Errorf("End = %d, %v; want 3", last, err)
	}
}

func TestNoAnswerIsUncertain(t *testing.T) {
	t.Parallel()
	b, log := open(t)
	b.Stop()
	for _, n := range []int{1, 2} {
		if _, err := log.Append(t.Context(), msgs(1, n), 0); !errors.Is(err, stream.ErrUncertain) {
			t.Errorf("%d messages to a stopped broker: %v, want ErrUncertain", n, err)
		}
	}
}

func TestAFullStreamSaysSo(t *testing.T) {
	t.Parallel()
	b := testbroker.Start(t)
	_, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "SMALL", Subjects: []string{"small"}, MaxBytes: 512, Discard: jetstream.DiscardNew,
	})
	if err != nil {
		t.Fatal(err)
	}
	log := stream.Open(b.JS, "SMALL")
	msg := []stream.Msg{{Subject: "small", Data: make([]byte, 200)}}
	if _, err := log.Append(t.Context(), msg, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), msg, 1); !errors.Is(err, stream.ErrFull) {
		t.Errorf("full: %v, want ErrFull", err)
	}
}

func TestLookTellsWantedFromStrange(t *testing.T) {
	t.Parallel()
	_, log := open(t)
	all := msgs(1, 5)
	junk := stream.Msg{Subject: "k1.test.al.vehicle", Data: []byte("junk")}
	for _, m := range []stream.Msg{all[0], junk, all[1], all[2]} {
		if _, err := log.Add(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	want := make([][]byte, len(all))
	for i, m := range all {
		want[i] = m.Data
	}
	strange := 0
	at, end, err := log.Look(t.Context(), 0, want, func(stream.Stored) error { strange++; return nil })
	if err != nil || end != 4 || strange != 1 || fmt.Sprint(at) != "[1 3 4]" {
		t.Errorf("Look = %v, end %d, %d strange, %v", at, end, strange, err)
	}
	stop := errors.New("stop")
	if _, _, err := log.Look(t.Context(), 0, want, func(stream.Stored) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stranger's error: %v", err)
	}
}

func TestReadStepsOverErasedMessagesAndSurvivesARestart(t *testing.T) {
	t.Parallel()
	b, log := open(t)
	if _, err := log.Append(t.Context(), msgs(1, 10), 0); err != nil {
		t.Fatal(err)
	}
	s, err := b.JS.Stream(t.Context(), "OUT_test")
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{1, 5, 10} {
		if err := s.SecureDeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	b.Restart()
	log = stream.Open(b.JS, "OUT_test")
	var seqs []uint64
	if err := log.Read(
		context.Background(),
		1,
		"",
		func(m stream.Stored) error { seqs = append(seqs, m.Seq); return nil },
	); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(seqs) != "[2 3 4 6 7 8 9]" {
		t.Errorf("read %v", seqs)
	}
	if _, ok, err := log.Get(t.Context(), 5); ok || err != nil {
		t.Errorf("an erased message is there: %v, %v", ok, err)
	}
	if _, last, err := log.End(t.Context()); err != nil || last != 10 {
		t.Errorf("End = %d, %v; want 10", last, err)
	}
	if last, err := log.Append(t.Context(), msgs(11, 1), 10); err != nil || last != 11 {
		t.Errorf("the next one is %d, %v; want 11", last, err)
	}
}
