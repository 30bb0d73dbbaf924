package link

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"karaula/internal/card"
	"karaula/internal/keyring"
	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// request makes a signed rewind request; change may spoil it before it is signed.
func request(t testing.TB, p *party, from, to string, at time.Time, change func(*karaulav1.LinkRequest)) []byte {
	t.Helper()
	r := &karaulav1.LinkRequest{
		Format: Format, From: from, To: to, Id: make([]byte, idSize), AskedAt: at.UnixMicro(),
		Ask: &karaulav1.LinkRequest_Rewind{Rewind: &karaulav1.Rewind{Channel: channel, Epoch: 1, FromSeq: 1}},
	}
	if change != nil {
		change(r)
	}
	raw, err := sign(RequestType, r, p.gw.Link, subject.MaxLinkRequest)
	must(t, err)
	return raw
}

// resign signs any bytes as a request of p.
func resign(t testing.TB, p *party, payloadType string, body []byte) []byte {
	t.Helper()
	m, err := sign(payloadType, &karaulav1.LinkRequest{Format: 1}, p.gw.Link, subject.MaxLinkRequest)
	must(t, err)
	out := new(karaulav1.LinkMessage)
	must(t, proto.Unmarshal(m, out))
	out.Body = body
	out.Signature.Sig = signBody(payloadType, body, p.gw.Link)
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(out)
	must(t, err)
	return raw
}

// deskPeer is al's worker for me, without a network, at a settable time.
func deskPeer(al, me *party, now *time.Time, change func(*ServeOptions)) *peer {
	o := ServeOptions{
		Self: "al", Owner: &testOwner{card: al.card.Signed},
		Key:  func() keyring.SignKey { return al.gw.Link },
		Card: func(string) (*card.Card, bool) { return me.card, true },
		Now:  func() time.Time { return *now },
	}
	if change != nil {
		change(&o)
	}
	o.defaults()
	return newPeer(&Server{o: o, ctx: context.Background()}, "me")
}

// refusalIn opens a reply of al and gives its refusal code, "done" without one.
func refusalIn(t testing.TB, al *party, raw []byte, at time.Time) Code {
	t.Helper()
	m, err := unwrap(raw, subject.MaxLinkReply)
	must(t, err)
	must(t, verify(ReplyType, m, cardKeys(al.card, at)))
	r, err := parseReply(m.GetBody())
	must(t, err)
	if r.GetFrom() != "al" || r.GetTo() != "me" || r.GetAnsweredAt() != at.UnixMicro() {
		t.Errorf("head of the reply = %v", r)
	}
	if f := r.GetRefusal(); f != nil {
		return Code(f.GetCode())
	}
	return outcomeDone
}

func TestWhatIsDroppedAndWhatIsRefused(t *testing.T) {
	t.Parallel()
	al, me := newParty(t, "al", "127.0.0.1:9"), newParty(t, "me", "127.0.0.1:9")
	thief := newParty(t, "me", "127.0.0.1:9")
	thief.gw.Link.ID = me.gw.Link.ID // claims me's key id
	now := time.Now()
	valid := request(t, me, "me", "al", now, nil)
	body := func(change func(*karaulav1.LinkRequest)) []byte { return request(t, me, "me", "al", now, change) }
	strict := func() []byte {
		m, err := unwrap(valid, subject.MaxLinkRequest)
		must(t, err)
		return m.GetBody()
	}()
	wild := func(r *karaulav1.LinkRequest) { r.GetRewind().Channel = "../al" }
	zero := func(r *karaulav1.LinkRequest) { r.GetRewind().FromSeq = 0 }
	flipped := append([]byte(nil), valid...)
	flipped[10] ^= 1
	retired := newParty(t, "me", "127.0.0.1:9")

	for name, tc := range map[string]struct {
		raw     []byte
		outcome Code
		reply   bool
	}{
		"valid":                      {valid, outcomeDone, true},
		"empty":                      {nil, outcomeNotMessage, false},
		"not protobuf":               {[]byte("GET / HTTP/1.1"), outcomeNotMessage, false},
		"unsigned":                   {unsigned(t, strict), outcomeNotMessage, false},
		"a bit flipped":              {flipped, outcomeBadSignature, false},
		"signed by a thief":          {request(t, thief, "me", "al", now, nil), outcomeBadSignature, false},
		"signed by an unknown key":   {request(t, retired, "me", "al", now, nil), outcomeUnknownKey, false},
		"signed as a reply":          {resign(t, me, ReplyType, strict), outcomeBadSignature, false},
		"larger than a request":      {make([]byte, subject.MaxLinkRequest+1), outcomeOversized, false},
		"from another":               {request(t, me, "xk", "al", now, nil), outcomeWrongParty, false},
		"to another":                 {request(t, me, "me", "xk", now, nil), outcomeWrongParty, false},
		"too old":                    {request(t, me, "me", "al", now.Add(-DefaultSkew-time.Second), nil), CodeTooOld, true},
		"from the future":            {request(t, me, "me", "al", now.Add(DefaultSkew+time.Second), nil), CodeTooOld, true},
		"just young enough":          {request(t, me, "me", "al", now.Add(-DefaultSkew+time.Second), nil), outcomeDone, true},
		"no question":                {body(func(r *karaulav1.LinkRequest) { r.Ask = nil }), CodeMalformed, true},
		"a channel that is a path":   {body(wild), CodeMalformed, true},
		"number zero":                {body(zero), CodeMalformed, true},
		"a newer format":             {body(func(r *karaulav1.LinkRequest) { r.Format = 2 }), CodeUnsupported, true},
		"a short id":                 {body(func(r *karaulav1.LinkRequest) { r.Id = []byte{1} }), CodeMalformed, false},
		"a question of tomorrow":     {resign(t, me, RequestType, tomorrow(strict)), CodeUnsupported, true},
		"signed, not in strict form": {resign(t, me, RequestType, slices.Concat(strict, strict)), CodeMalformed, true},
		"signed junk":                {resign(t, me, RequestType, []byte("\xff\xff")), CodeMalformed, false},
	} {
		p := deskPeer(al, me, &now, nil)
		raw, outcome := p.answer(tc.raw)
		if outcome != tc.outcome || (raw != nil) != tc.reply {
			t.Errorf("%s: %q, reply %v; want %q, reply %v", name, outcome, raw != nil, tc.outcome, tc.reply)
			continue
		}
		if raw == nil {
			continue
		}
		if got := refusalIn(t, al, raw, now); got != tc.outcome {
			t.Errorf("%s: the reply says %q, want %q", name, got, tc.outcome)
		}
	}
}

// unsigned wraps a body without a signature.
func unsigned(t testing.TB, body []byte) []byte {
	t.Helper()
	raw, err := proto.Marshal(&karaulav1.LinkMessage{Body: body})
	must(t, err)
	return raw
}

// tomorrow replaces the question by one with a number that does not exist today.
func tomorrow(body []byte) []byte {
	r := new(karaulav1.LinkRequest)
	_ = proto.Unmarshal(body, r)
	r.Ask = nil
	raw, _ := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	return protowire.AppendBytes(protowire.AppendTag(raw, 99, protowire.BytesType), []byte{8, 1})
}

func TestNoRequestIsAnsweredTwice(t *testing.T) {
	t.Parallel()
	al, me := newParty(t, "al", "127.0.0.1:9"), newParty(t, "me", "127.0.0.1:9")
	now := time.Now()
	p := deskPeer(al, me, &now, nil)
	raw := request(t, me, "me", "al", now, nil)
	if _, outcome := p.answer(raw); outcome != outcomeDone {
		t.Fatalf("first: %q", outcome)
	}
	if _, outcome := p.answer(raw); outcome != CodeReplayed {
		t.Errorf("second: %q", outcome)
	}
	now = now.Add(DefaultSkew + time.Second)
	if _, outcome := p.answer(raw); outcome != CodeTooOld {
		t.Errorf("after the skew: %q", outcome)
	}
}

func TestTooOftenIsSaidOncePerSecondAndThenDropped(t *testing.T) {
	t.Parallel()
	al, me := newParty(t, "al", "127.0.0.1:9"), newParty(t, "me", "127.0.0.1:9")
	now := time.Now()
	p := deskPeer(al, me, &now, func(o *ServeOptions) { o.Rate, o.Burst = 1, 2 })
	next := byte(0)
	ask := func() Code {
		next++
		raw, outcome := p.answer(request(t, me, "me", "al", now, func(r *karaulav1.LinkRequest) { r.Id[0] = next }))
		if raw != nil && refusalIn(t, al, raw, now) != outcome {
			t.Error("the reply says something else")
		}
		return outcome
	}
	want := []Code{outcomeDone, outcomeDone, CodeTooOften, outcomeDropped, outcomeDropped}
	for i, w := range want {
		if got := ask(); got != w {
			t.Errorf("request %d: %q, want %q", i, got, w)
		}
	}
	now = now.Add(time.Second)
	if got := ask(); got != outcomeDone {
		t.Errorf("a second later: %q", got)
	}
	if got := ask(); got != CodeTooOften {
		t.Errorf("and again: %q", got)
	}
}

func TestAPartnerWithoutACardIsNotAnswered(t *testing.T) {
	t.Parallel()
	al, me := newParty(t, "al", "127.0.0.1:9"), newParty(t, "me", "127.0.0.1:9")
	now := time.Now()
	raw := request(t, me, "me", "al", now, nil)
	p := deskPeer(al, me, &now, func(o *ServeOptions) {
		o.Card = func(string) (*card.Card, bool) { return nil, false }
	})
	if reply, outcome := p.answer(raw); reply != nil || outcome != outcomeUnknownKey {
		t.Errorf("no card: %q", outcome)
	}
	now = me.card.Until.Add(time.Second) // the card has lapsed
	p = deskPeer(al, me, &now, nil)
	if reply, outcome := p.answer(request(t, me, "me", "al", now, nil)); reply != nil || outcome != outcomeUnknownKey {
		t.Errorf("a lapsed card: %q", outcome)
	}
}
