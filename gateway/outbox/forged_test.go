package outbox_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/outbox"
	"karaula/gateway/stream"
	"karaula/internal/envelope"
	"karaula/internal/subject"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// TestTheBrokerCannotSpeakForUs: whoever runs the own broker can put a statement
// into the own stream that continues the ledger in everything but the signature,
// sealed to the own archive key, which everybody knows. Officers must not be
// shown it as said by their own country, and nothing of it may be believed.
func TestTheBrokerCannotSpeakForUs(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.say(beat(), vehicle())
	last := p.history(2)[1]
	p.close()

	st, ok := proto.Clone(last.Statement).(*karaulav1.Statement)
	if !ok {
		t.Fatal("no clone")
	}
	root := p.writer.Head().GetRoot()
	st.Seq, st.PrevRoot = 3, root
	raw, err := envelope.Build(st)
	if err != nil {
		t.Fatal(err)
	}
	sigs := []*karaulav1.Signature{{
		Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: st.GetSigners()[0].GetKeyId(), Sig: testworld.Random(64),
	}}
	forged, err := envelope.Assemble(raw, sigs, last.Envelope.GetParts())
	if err != nil {
		t.Fatal(err)
	}
	log := stream.Open(p.broker.JS, subject.Out(subject.Actual(channel)))
	if _, err := log.Add(
		t.Context(),
		stream.Msg{Subject: subject.Say(subject.Actual(channel), "al", "vehicle"), Data: forged},
	); err != nil {
		t.Fatal(err)
	}
	p.open()
	if n := len(p.told()); n != 2 {
		t.Errorf("%d statements are told of as our own, want 2", n)
	}
	if err := p.writer.Halted(); err != nil {
		t.Errorf("junk halts the channel: %v", err)
	}
	if s := p.say(beat()); s[0].Parsed.Statement.GetSeq() != 3 {
		t.Errorf("it goes on at number %d, want 3", s[0].Parsed.Statement.GetSeq())
	}
}

// told gives what OnSaid has heard of.
func (p *post) told() []outbox.Said {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said
}
