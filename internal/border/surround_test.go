package border_test

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"karaula/internal/border"
	"karaula/internal/envelope"
	"karaula/internal/testworld"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// TestNobodyBurnsANumber: what stands around a statement is not signed. Whoever
// hands it on can add to it, and must not be able to have it refused: the number
// would be taken, and the statement lost.
func TestNobodyBurnsANumber(t *testing.T) {
	t.Parallel()
	field := func(num protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), content)
	}
	around := func(change func(*karaulav1.Envelope)) func(*testworld.Draft) {
		return func(d *testworld.Draft) { d.Envelope = change }
	}
	for name, c := range map[string]struct {
		draft func(*testworld.Draft)
		bytes func(good []byte) []byte
		want  string // accepted unless set
	}{
		"a field that is unknown":  {bytes: func(b []byte) []byte { return append(b, field(200, []byte("junk"))...) }},
		"a tail that is no field":  {bytes: func(b []byte) []byte { return append(b, 0xff) }},
		"a field that comes first": {bytes: func(b []byte) []byte { return slices.Concat(field(7, nil), b) }},
		"megabytes of it": {
			bytes: func(b []byte) []byte { return append(b, field(200, make([]byte, envelope.MaxEnvelope))...) },
		},
		"a timestamp": {draft: around(func(e *karaulav1.Envelope) { e.Timestamps = [][]byte{{1}} })},
		"a countersignature": {
			draft: around(func(e *karaulav1.Envelope) { e.Countersignatures = e.GetSignatures() }),
		},
		"a signature twice": {
			draft: around(func(e *karaulav1.Envelope) { e.Signatures = append(e.GetSignatures(), e.GetSignatures()[0]) }),
		},
		"a stranger's signature": {
			draft: around(func(e *karaulav1.Envelope) { e.Signatures = append(noise(), e.GetSignatures()...) }),
		},
		"another part behind": {
			draft: around(func(e *karaulav1.Envelope) { e.Parts = append(e.GetParts(), []byte("x")) }),
		},
		"another part, and a field": {
			draft: around(func(e *karaulav1.Envelope) { e.Parts = append([][]byte{[]byte("x")}, e.GetParts()...) }),
			bytes: func(b []byte) []byte { return append(b, field(200, nil)...) },
		},
		"its part is another one": {
			draft: around(func(e *karaulav1.Envelope) { e.Parts[0] = []byte("x") }), want: "part-mismatch",
		},
		"its part is gone, and a field": {
			draft: around(func(e *karaulav1.Envelope) { e.Parts[0] = []byte("x") }),
			bytes: func(b []byte) []byte { return append(b, field(200, nil)...) },
			want:  "part-mismatch",
		},
		"its end is gone": {bytes: func(b []byte) []byte { return b[:len(b)-1] }, want: "part-mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, open)
			d := vehicle()
			if c.draft != nil {
				c.draft(&d)
			}
			raw := s.me.Say(d)
			if c.bytes != nil {
				raw = c.bytes(bytes.Clone(raw))
			}
			want := "accepted accepted"
			if c.want != "" {
				want = "refused " + c.want
			}
			p, v := s.al.receive(raw)
			if p.Kind != border.Next || said(v) != want {
				t.Fatalf("placed as %s, judged %s (%s), want next and %s", p.Kind, said(v), v.Detail, want)
			}
			if _, err := envelope.ParseOuter(p.Parsed.Raw); err != nil {
				t.Errorf("what is to be stored is not a strict envelope: %v", err)
			}
		})
	}
}

// noise is a well-formed signature by a key that is nobody's.
func noise() []*karaulav1.Signature {
	return []*karaulav1.Signature{{
		Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyId: testworld.Random(16), Sig: testworld.Random(64),
	}}
}
