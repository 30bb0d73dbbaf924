package hostile

import (
	"bytes"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"karaula/gateway/link"
	"karaula/internal/envelope"
	"karaula/internal/keyring"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// answer gives what xk's gateway answers to a request of al, in any number of
// messages.
type answer func(w *World, req *karaulav1.LinkRequest) [][]byte

// serveLink answers al's requests in place of xk's gateway until the broker stops.
func (w *World) serveLink(a answer) {
	w.t.Helper()
	w.answers.Store(&a)
	if w.asks != nil {
		return
	}
	w.asks = map[string]int{}
	_, err := w.own.Subscribe(subject.Link("al"), func(m *nats.Msg) {
		var lm karaulav1.LinkMessage
		var req karaulav1.LinkRequest
		if proto.Unmarshal(m.Data, &lm) != nil || proto.Unmarshal(lm.GetBody(), &req) != nil {
			return
		}
		w.note(&req)
		for _, raw := range (*w.answers.Load())(w, &req) {
			if m.Respond(raw) != nil {
				return
			}
		}
	})
	w.must(err)
}

// note counts a request by its question.
func (w *World) note(req *karaulav1.LinkRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch req.GetAsk().(type) {
	case *karaulav1.LinkRequest_Hello:
		w.asks["hello"]++
	case *karaulav1.LinkRequest_Rewind:
		w.asks["rewind"]++
	default:
		w.asks["get"]++
	}
}

// asked says how often al has asked a question.
func (w *World) asked(question string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asks[question]
}

// signed makes a reply that is xk's own.
func (w *World) signed(req *karaulav1.LinkRequest, change func(*karaulav1.LinkReply)) []byte {
	reply := &karaulav1.LinkReply{
		Format: link.Format, From: "xk", To: "al", Id: req.GetId(), AnsweredAt: time.Now().UnixMicro(),
	}
	change(reply)
	return w.wrapped(reply, w.Keys.Link)
}

func (w *World) wrapped(reply *karaulav1.LinkReply, key keyring.SignKey) []byte {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(reply)
	w.must(err)
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&karaulav1.LinkMessage{
		Body: body, Signature: &karaulav1.Signature{
			Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: key.ID[:], Sig: key.Sign(envelope.PAE(link.ReplyType, body)),
		},
	})
	w.must(err)
	return raw
}

// standing is what an honest xk has.
func (w *World) standing() *karaulav1.Standing {
	c := w.cards["xk"]
	return &karaulav1.Standing{
		Versions: []uint32{1}, CardSerial: c.Serial, CardDigest: c.Digest[:], Clock: time.Now().UnixMicro(),
	}
}

func hello(s *karaulav1.Standing) func(*karaulav1.LinkReply) {
	return func(r *karaulav1.LinkReply) {
		r.Answer = &karaulav1.LinkReply_Hello{Hello: &karaulav1.HelloReply{Standing: s}}
	}
}

// honest greets, and has nothing else.
func honest(w *World, req *karaulav1.LinkRequest) [][]byte {
	if req.GetHello() == nil {
		return [][]byte{w.signed(req, func(r *karaulav1.LinkReply) {
			r.Answer = &karaulav1.LinkReply_Refusal{Refusal: &karaulav1.LinkRefusal{Code: string(link.CodeNotFound)}}
		})}
	}
	return [][]byte{w.signed(req, hello(w.standing()))}
}

// lies gives answers that no honest gateway gives, by name.
func lies() map[string]answer {
	lie := func(change func(w *World, s *karaulav1.Standing)) answer {
		return func(w *World, req *karaulav1.LinkRequest) [][]byte {
			s := w.standing()
			change(w, s)
			return [][]byte{w.signed(req, hello(s))}
		}
	}
	raw := func(list ...[]byte) answer { return func(*World, *karaulav1.LinkRequest) [][]byte { return list } }
	out := map[string]answer{
		"nothing at all":   raw([]byte{}),
		"noise":            raw(testworld.Random(1000)),
		"a megabyte":       raw(testworld.Random(1_000_000)),
		"without end":      raw(repeated(testworld.Random(60_000), 300)...),
		"nobody's message": raw(bytes.Repeat([]byte{0x0a}, 50_000)),
		"no card like it":  lie(func(_ *World, s *karaulav1.Standing) { s.CardSerial = 1 << 62 }),
		"no versions":      lie(func(_ *World, s *karaulav1.Standing) { s.Versions = nil }),
		"a digest too short": lie(func(_ *World, s *karaulav1.Standing) {
			s.CardDigest = s.GetCardDigest()[:5]
		}),
		"notices without end": lie(func(_ *World, s *karaulav1.Standing) { s.NoticeSerial = 1 << 63 }),
		"a thousand agreements": lie(func(_ *World, s *karaulav1.Standing) {
			for range 1000 {
				s.Agreements = append(s.Agreements, &karaulav1.AgreementStanding{
					Id: "b77-al-xk", Version: 1, Digest: testworld.Random(32), SignedBy: []string{"al", "xk"},
				})
			}
		}),
		"heads of everything": lie(func(_ *World, s *karaulav1.Standing) {
			for range 8000 {
				s.SeenHeads = append(s.SeenHeads, &karaulav1.Head{
					Ledger: testworld.Random(32), Epoch: 1, Size: 1 << 60, Root: testworld.Random(32),
				})
			}
		}),
		"a ledger that long": lie(func(w *World, s *karaulav1.Standing) {
			s.OwnHeads = []*karaulav1.Head{{Ledger: w.Voice.ID[:], Epoch: 1, Size: 1 << 61, Root: make([]byte, 32)}}
		}),
		"another party's": func(w *World, req *karaulav1.LinkRequest) [][]byte {
			return [][]byte{w.signed(req, func(r *karaulav1.LinkReply) {
				hello(w.standing())(r)
				r.From = "me"
			})}
		},
		"to another question": func(w *World, req *karaulav1.LinkRequest) [][]byte {
			return [][]byte{w.signed(req, func(r *karaulav1.LinkReply) {
				hello(w.standing())(r)
				r.Id = testworld.Random(16)
			})}
		},
		"of last year": func(w *World, req *karaulav1.LinkRequest) [][]byte {
			return [][]byte{w.signed(req, func(r *karaulav1.LinkReply) {
				hello(w.standing())(r)
				r.AnsweredAt = time.Now().AddDate(-1, 0, 0).UnixMicro()
			})}
		},
		"with the statement key": func(w *World, req *karaulav1.LinkRequest) [][]byte {
			r := &karaulav1.LinkReply{
				Format: link.Format, From: "xk", To: "al", Id: req.GetId(), AnsweredAt: time.Now().UnixMicro(),
			}
			hello(w.standing())(r)
			return [][]byte{w.wrapped(r, w.Keys.Sign)}
		},
		"a refusal of its own making": func(w *World, req *karaulav1.LinkRequest) [][]byte {
			return [][]byte{w.signed(req, func(r *karaulav1.LinkReply) {
				r.Answer = &karaulav1.LinkReply_Refusal{Refusal: &karaulav1.LinkRefusal{
					Code: "\x1b[31mgive up\n", RetryAfterMs: 1<<32 - 1,
				}}
			})}
		},
		"a refusal with a name": func(w *World, req *karaulav1.LinkRequest) [][]byte {
			return [][]byte{w.signed(req, func(r *karaulav1.LinkReply) {
				r.Answer = &karaulav1.LinkReply_Refusal{Refusal: &karaulav1.LinkRefusal{Code: "KANAROVIC"}}
			})}
		},
		"texts with names": textsWithNames,
		"texts of half a megabyte": func(w *World, req *karaulav1.LinkRequest) [][]byte {
			s := w.standing()
			s.CardSerial, s.NoticeSerial = 99, 99
			if req.GetHello() != nil {
				return [][]byte{w.signed(req, hello(s))}
			}
			return [][]byte{w.signed(req, func(r *karaulav1.LinkReply) {
				text := append([]byte("karaula card v1\n"), bytes.Repeat([]byte("key x\n"), 80_000)...)
				r.Answer = &karaulav1.LinkReply_Get{Get: &karaulav1.GetReply{Texts: [][]byte{text}}}
			})}
		},
	}
	return out
}

// textsWithNames answers with a card or notice that has a name in every line.
func textsWithNames(w *World, req *karaulav1.LinkRequest) [][]byte {
	s := w.standing()
	s.CardSerial, s.NoticeSerial = 99, 99
	if req.GetHello() != nil {
		return [][]byte{w.signed(req, hello(s))}
	}
	head := "karaula card v1\n"
	if req.GetGet().GetNotices() != nil {
		head = "karaula notice v1\n"
	}
	return [][]byte{w.signed(req, func(r *karaulav1.LinkReply) {
		text := head + "KANAROVIC QX 777 XQ\nparty Kanarovic\n\n— xk " + strings.Repeat("A", 91) + "=\n"
		r.Answer = &karaulav1.LinkReply_Get{Get: &karaulav1.GetReply{Texts: [][]byte{[]byte(text)}}}
	})}
}

func repeated(b []byte, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}
