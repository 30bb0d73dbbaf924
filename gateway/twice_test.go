package gateway

import (
	"context"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/desk"
	"karaula/gateway/stream"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func (h *house) send(ctx context.Context, alerts ...*karaulav1.Alert) (*karaulav1.SendResponse, error) {
	resp, err := h.desk.Send(ctx, connect.NewRequest(&karaulav1.SendRequest{Channel: channelID, Alerts: alerts}))
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}

// said counts the alerts that al's stream holds.
func (h *house) said() int {
	h.t.Helper()
	n := 0
	err := stream.Open(h.broker.JS, subject.Out(subject.Actual(channelID))).Read(h.t.Context(), 1, "", func(m stream.Stored) error {
		if p, err := envelope.Parse(m.Data); err == nil && p.Statement.GetKind() == karaulav1.Kind_KIND_ALERT {
			n++
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// Many officers, or one impatient programme, send the same alert at the same
// time: it is said once, and all get the same answer.
func TestTheSameAlertAtTheSameTimeIsSaidOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	a := route()
	var wg sync.WaitGroup
	var mu sync.Mutex
	places := map[uint64]int{}
	for range 24 {
		wg.Go(func() {
			resp := h.sendAtLast(a)
			mu.Lock()
			defer mu.Unlock()
			places[resp.GetSent()[0].GetSeq()]++
		})
	}
	wg.Wait()
	if n := h.said(); n != 1 || len(places) != 1 {
		t.Errorf("the alert was said %d times, at the numbers %v", n, places)
	}
}

func TestTheSameAlertTwiceInOneRequestIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	a := route()
	if _, err := h.send(h.ctx, a, proto.CloneOf(a)); err == nil || h.said() != 0 {
		t.Errorf("it was taken (%v) and said %d times", err, h.said())
	}
}

// An officer whose first try got no answer in time tries again with the same id.
func TestATryAfterATimeoutDoesNotSayItTwice(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Fatal(err)
	}
	h.broker.Full(subject.Out(subject.Actual(channelID)), true) // the broker takes nothing more
	a := route()
	short, cancel := context.WithTimeout(h.ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := h.send(short, proto.CloneOf(a)); err == nil {
		t.Fatal("said to a broker that takes nothing")
	}
	again := make(chan *karaulav1.SendResponse, 1)
	go func() { again <- h.sendAtLast(a) }()
	time.Sleep(50 * time.Millisecond) // long enough for a second statement to be queued
	h.broker.Full(subject.Out(subject.Actual(channelID)), false)
	<-again
	if n := h.said(); n != 2 {
		t.Errorf("%d alerts were said, want the first and one more", n)
	}
}

// A gateway that was killed between journal and stream publishes what it had
// signed; an officer who sends it again meanwhile does not make it two.
func TestATryAfterARestartDoesNotSayItTwice(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	if _, err := h.send(h.ctx, route()); err != nil {
		t.Fatal(err)
	}
	h.broker.Full(subject.Out(subject.Actual(channelID)), true)
	a := route()
	short, cancel := context.WithTimeout(h.ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := h.send(short, proto.CloneOf(a)); err == nil {
		t.Fatal("said to a broker that takes nothing")
	}
	h.stop()
	h.launch() // its channel is not open before what was journalled is stored
	time.AfterFunc(300*time.Millisecond, func() { h.broker.Full(subject.Out(subject.Actual(channelID)), false) })
	h.sendAtLast(a)
	if n := h.said(); n != 2 {
		t.Errorf("%d alerts were said, want the first and one more", n)
	}
}

// sendAtLast sends an alert again and again, as the hints say, until it is said.
func (h *house) sendAtLast(a *karaulav1.Alert) (resp *karaulav1.SendResponse) {
	h.until("the answer", func() bool {
		var err error
		resp, err = h.send(h.ctx, proto.CloneOf(a))
		if err != nil && !problem.Is(desk.FromConnect(err), problem.Unreachable) {
			h.t.Errorf("a try that should be made again: %v", err)
			return true
		}
		return err == nil
	})
	return resp
}
