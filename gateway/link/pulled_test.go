package link

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"karaula/internal/subject"
)

const ackOf7 = "$JS.ACK.al.xoaSEFfi.OUT_b01-al-me.me.2.7.9.1795470872309470989.4"

func TestParseAck(t *testing.T) {
	t.Parallel()
	m, ok := parseAck(ackOf7, subject.Actual(channel), "me")
	want := Message{StreamSeq: 7, ConsumerSeq: 9, Delivered: 2, Pending: 4}
	if !ok || cmp.Diff(want, m, cmpopts.IgnoreUnexported(Message{})) != "" || m.reply != ackOf7 {
		t.Errorf("parseAck = %+v, %v", m, ok)
	}
	for name, s := range map[string]string{
		"empty":              "",
		"an inbox":           "_INBOX_me.x.1",
		"a channel subject":  "k1.b01-al-me.al.vehicle",
		"the older form":     "$JS.ACK.OUT_b01-al-me.me.1.1.1.1795470872309470989.4",
		"another channel":    strings.Replace(ackOf7, "b01-al-me", "b01-al-xk", 1),
		"another consumer":   strings.Replace(ackOf7, ".me.2", ".xk.2", 1),
		"one token too many": ackOf7 + ".1",
		"one too few":        strings.TrimSuffix(ackOf7, ".4"),
		"not a number":       strings.Replace(ackOf7, ".7.", ".-7.", 1),
		"number zero":        strings.Replace(ackOf7, ".7.", ".0.", 1),
		"too large a number": strings.Replace(ackOf7, ".7.", ".18446744073709551616.", 1),
	} {
		if m, ok := parseAck(s, subject.Actual(channel), "me"); ok {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	status := func(code, text string) *nats.Msg {
		return &nats.Msg{Header: nats.Header{"Status": {code}, "Description": {text}}}
	}
	lying := status("408", "Request Timeout")
	lying.Reply, lying.Data = ackOf7, []byte("x")
	for name, tc := range map[string]struct {
		m    *nats.Msg
		want arrival
	}{
		"message":                       {&nats.Msg{Reply: ackOf7, Data: []byte("x")}, arrivedMessage},
		"message that calls itself end": {lying, arrivedMessage},
		"empty message":                 {&nats.Msg{Reply: ackOf7}, arrivedMessage},
		"message above the limit":       {&nats.Msg{Reply: ackOf7, Data: make([]byte, subject.MaxStreamMsg+1)}, arrivedJunk},
		"message nobody can ack":        {&nats.Msg{Reply: "x", Data: []byte("x")}, arrivedJunk},
		"message without a reply":       {&nats.Msg{Data: []byte("x")}, arrivedJunk},
		"nothing at all":                {&nats.Msg{}, arrivedJunk},
		"heartbeat":                     {status("100", "Idle Heartbeat"), arrivedHeartbeat},
		"no messages":                   {status("404", "No Messages"), arrivedEnd},
		"timeout":                       {status("408", "Request Timeout"), arrivedEnd},
		"bytes used up":                 {status("409", "Message Size Exceeds MaxBytes"), arrivedEnd},
		"number used up":                {status("409", "Batch Completed"), arrivedEnd},
		"deleted":                       {status("409", "Consumer Deleted"), arrivedAbsent},
		"no responders":                 {status("503", ""), arrivedAbsent},
		"too many pulls":                {status("409", "Exceeded MaxWaiting"), arrivedRefusal},
		"bad request":                   {status("400", "Bad Request"), arrivedRefusal},
		"unheard of":                    {status("999", ""), arrivedRefusal},
	} {
		if _, got := classify(tc.m, subject.Actual(channel), "me"); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestQueueIsBoundedByNumberAndBytes(t *testing.T) {
	t.Parallel()
	msg := func(n int) *nats.Msg { return &nats.Msg{Data: make([]byte, n)} }
	q := newQueue(3, 100)
	for _, n := range []int{10, 60, 40, 20, 5, 1} { // 40 does not fit by bytes, 5 and 1 not by number
		q.put(msg(n))
	}
	if n, b := q.size(); n != 3 || b != 90 {
		t.Fatalf("size = %d, %d, want 3, 90", n, b)
	}
	got, dropped := q.take(10, 65)
	if len(got) != 1 || !dropped {
		t.Errorf("take by bytes gave %d (dropped %v), want 1", len(got), dropped)
	}
	got, dropped = q.take(1, 1) // larger than asked, but there must be progress
	if len(got) != 1 || len(got[0].Data) != 60 || dropped {
		t.Errorf("take gave %d (dropped %v)", len(got), dropped)
	}
	if got, _ = q.take(10, 100); len(got) != 1 || len(got[0].Data) != 20 {
		t.Errorf("take gave %d", len(got))
	}
	if got, _ = q.take(10, 100); len(got) != 0 {
		t.Error("an empty queue gave something")
	}
	if n, b := q.size(); n != 0 || b != 0 {
		t.Errorf("size = %d, %d at the end", n, b)
	}
}

// FuzzParseAck checks that whatever is accepted as an acknowledgement subject
// is one of our consumer, and never panics on the rest.
func FuzzParseAck(f *testing.F) {
	f.Add(ackOf7)
	f.Add("$JS.ACK.al.*.OUT_b01-al-me.me.1.1.1.1.>")
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := parseAck(s, subject.Actual(channel), "me")
		if !ok {
			return
		}
		if m.reply != s || m.StreamSeq == 0 || !strings.HasPrefix(s, "$JS.ACK.") ||
			!strings.Contains(s, ".OUT_b01-al-me.me.") {
			t.Errorf("%q was accepted as %+v", s, m)
		}
	})
}
