package link

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/subject"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// FuzzRequest gives anything as the bytes that a partner sends, once as they
// are and once as a validly signed body: it must never panic, and whatever is
// read in full must have every field checked.
func FuzzRequest(f *testing.F) {
	al, me := newParty(f, "al", "127.0.0.1:9"), newParty(f, "me", "127.0.0.1:9")
	now := time.Now()
	valid := request(f, me, "me", "al", now, nil)
	m, err := unwrap(valid, subject.MaxLinkRequest)
	must(f, err)
	f.Add(valid)
	f.Add(m.GetBody())
	f.Add(tomorrow(m.GetBody()))
	hello, err := proto.Marshal(&karaulav1.LinkRequest{
		Format: 1, From: "me", To: "al", Id: make([]byte, idSize), AskedAt: 1,
		Ask: &karaulav1.LinkRequest_Hello{Hello: &karaulav1.Hello{Standing: standing(1)}},
	})
	must(f, err)
	f.Add(hello)
	f.Add(offer(f, me.card.Signed))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := deskPeer(al, me, &now, nil)
		if _, outcome := p.answer(raw); outcome == "" {
			t.Error("no outcome")
		}
		if len(raw) > 0 && len(raw) < subject.MaxLinkRequest-256 {
			p.answer(resign(t, me, RequestType, raw))
		}
		req, code := parseRequest(raw)
		if req == nil && code == "" {
			t.Error("neither a request nor a code")
		}
		if code == "" && (req.GetFormat() != Format || len(req.GetId()) != idSize || req.GetAsk() == nil) {
			t.Errorf("accepted: %v", req)
		}
	})
}

// FuzzReply gives anything as a validly signed reply body.
func FuzzReply(f *testing.F) {
	for _, a := range []*karaulav1.LinkReply{
		{Answer: &karaulav1.LinkReply_Hello{Hello: &karaulav1.HelloReply{Standing: standing(1)}}},
		{Answer: &karaulav1.LinkReply_Rewind{Rewind: &karaulav1.RewindReply{Epoch: 1, FromSeq: 1, LastSeq: 2}}},
		{Answer: &karaulav1.LinkReply_Get{Get: &karaulav1.GetReply{Frontier: [][]byte{make([]byte, 32)}}}},
		{Answer: &karaulav1.LinkReply_Refusal{Refusal: &karaulav1.LinkRefusal{Code: "not-found"}}},
	} {
		a.Format, a.From, a.To, a.Id, a.AnsweredAt = 1, "al", "me", make([]byte, idSize), 1
		raw, err := proto.Marshal(a)
		must(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = unwrap(raw, subject.MaxLinkReply)
		r, err := parseReply(raw)
		if err != nil {
			return
		}
		if r.GetAnswer() == nil || len(r.GetId()) != idSize {
			t.Errorf("accepted: %v", r)
		}
		for _, h := range r.GetGet().GetFrontier() {
			if len(h) != hashSize {
				t.Error("a hash of another length was accepted")
			}
		}
	})
}
