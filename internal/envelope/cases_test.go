package envelope_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"karaula/internal/envelope"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// testCase is an envelope with the answer that it must get.
type testCase struct {
	name, expect, comment string
	raw                   []byte
}

// cases lists envelopes for every answer of this package; each becomes a
// vector file.
func cases(t testing.TB) []testCase {
	t.Helper()
	var out []testCase
	add := func(name, expect, comment string, d *draft) {
		out = append(out, testCase{name, expect, comment, d.build(t)})
	}
	spoil := func(d *draft, how func(st *karaulav1.Statement)) *draft {
		how(d.st)
		return d
	}
	goodCases(t, add)
	wireCases(t, add)
	fieldCases(t, add, spoil)
	kindCases(t, add, spoil)
	newerCases(t, add, spoil)
	signatureCases(t, add)
	partCases(t, add)
	return out
}

type adder func(name, expect, comment string, d *draft)

type spoiler func(d *draft, how func(st *karaulav1.Statement)) *draft

func goodCases(t testing.TB, add adder) {
	t.Helper()
	add("good-heartbeat", "ok", "the smallest statement", base(karaulav1.Kind_KIND_HEARTBEAT))
	add("good-act", "ok", "one sealed part, that of seal/sealed-first, for me and for al's own archive", act(t))
	stub := act(t)
	stub.parts = nil
	add("good-stub", "ok", "good-act without its content", stub)
	add("good-receipt", "ok", "a body and a head", receipt(t))
	add("good-exercise", "ok", "drina-26 is announced for eight hours",
		exercise(t, &karaulav1.ExerciseBody{Name: "drina-26", Until: 1_750_028_800_000_000}))
	add("good-exercise-over", "ok", "drina-26 is over", exercise(t, &karaulav1.ExerciseBody{Name: "drina-26", Over: true}))
	add("good-alert-practised", "ok", "good-alert in an exercise, sealed to keys for exercises", practised(t))
	alert := act(t)
	alert.st.Kind, alert.st.Type, alert.st.Refs = karaulav1.Kind_KIND_ALERT, karaulav1.AlertType_ALERT_TYPE_VEHICLE, nil
	add("good-alert", "ok", "an alert of type vehicle; what is sealed is that of good-act", alert)
	passed := act(t)
	passed.st.Kind, passed.st.Type, passed.st.Refs, passed.st.ConsentRefs = alert.st.Kind, alert.st.Type, nil, passed.st.Refs
	add("good-alert-passed-on", "ok", "an alert that names the consent under which it passes another one on", passed)
	sealedType := act(t)
	sealedType.st.Kind, sealedType.st.Refs = karaulav1.Kind_KIND_ALERT, nil
	add("good-alert-sealed-type", "ok", "an alert whose type is sealed", sealedType)
	unknownType := act(t)
	unknownType.st.Kind, unknownType.st.Type, unknownType.st.Refs = karaulav1.Kind_KIND_ALERT, 1000, nil
	add("good-alert-unknown-type", "ok", "a type that no reader knows: left to the border check", unknownType)
	erase := base(karaulav1.Kind_KIND_ERASE)
	erase.st.Refs = act(t).st.Refs
	add("good-erase", "ok", "an order to erase names what", erase)
	two := base(karaulav1.Kind_KIND_HEARTBEAT)
	k := testKey(2)
	two.keys = append(two.keys, k)
	two.st.Signers = append(two.st.Signers, &karaulav1.Signer{Alg: k.Alg, KeyId: k.KeyID[:]})
	add("good-two-signers", "ok", "two signers, both present", two)
	later := base(karaulav1.Kind_KIND_HEARTBEAT)
	later.stBytes = after(varint(150, 1))
	add("good-ignorable", "ok", "an unknown field of the ignorable range", later)
}

func wireCases(t testing.TB, add adder) {
	t.Helper()
	heartbeat := func() *draft { return base(karaulav1.Kind_KIND_HEARTBEAT) }
	for _, c := range []struct {
		name, comment string
		statement     func([]byte) []byte
		envelope      func([]byte) []byte
	}{
		{"malformed-empty", "no bytes", nil, func([]byte) []byte { return nil }},
		{"malformed-cut", "the last byte of the envelope is missing", nil, func(b []byte) []byte { return b[:len(b)-1] }},
		{"malformed-trailing", "a zero byte follows the envelope", nil, after([]byte{0})},
		{"malformed-envelope-unknown", "an unknown field of the envelope", nil, after(varint(100, 1))},
		{
			"malformed-two-statements", "the envelope holds two statements", nil,
			func(b []byte) []byte { return append(protowire.AppendBytes([]byte{0x0a}, []byte{8, 1}), b...) },
		},
		{"malformed-statement-empty", "the statement is empty", func([]byte) []byte { return nil }, nil},
		{
			"malformed-statement-cut", "the last byte of the statement is missing",
			func(b []byte) []byte { return b[:len(b)-1] }, nil,
		},
		{"malformed-duplicate", "kind comes twice", after(varint(15, 9)), nil},
		{"malformed-order", "format comes last", func(b []byte) []byte { return append(b[2:], b[:2]...) }, nil},
		{
			"malformed-padded", "format 1 as the padded varint 81 00",
			func(b []byte) []byte { return append([]byte{0x08, 0x81, 0x00}, b[2:]...) }, nil,
		},
		{"malformed-default", "type 0 spelled out", after(varint(16, 0)), nil},
		{"malformed-unknown", "an unknown field outside the two ranges", after(varint(200, 1)), nil},
		{"malformed-group", "a group", after([]byte{0xb3, 0x06, 0xb4, 0x06}), nil},
		{"malformed-utf8", "via holds the byte ff", after([]byte{0xc2, 0x01, 0x01, 0xff}), nil},
		{"must-understand-unknown", "an unknown field of the critical range", after(varint(30, 1)), nil},
	} {
		d := heartbeat()
		d.stBytes, d.raw = c.statement, c.envelope
		expect := "malformed"
		if c.name == "must-understand-unknown" {
			expect = c.name[:len("must-understand")]
		}
		add(c.name, expect, c.comment, d)
	}
	large := receipt(t)
	large.st.Body = make([]byte, envelope.MaxStatement)
	add("too-large-statement", "too-large", "a statement above 65,536 bytes", large)
}

func fieldCases(t testing.TB, add adder, spoil spoiler) {
	t.Helper()
	for _, c := range []struct {
		name, comment string
		how           func(st *karaulav1.Statement)
	}{
		{"ledger", "a ledger id of 31 bytes", func(st *karaulav1.Statement) { st.Ledger = st.Ledger[1:] }},
		{"prev-root", "no prior root", func(st *karaulav1.Statement) { st.PrevRoot = nil }},
		{"agreement", "an agreement digest of 33 bytes", func(st *karaulav1.Statement) { st.Agreement = repeat(1, 33) }},
		{"card", "no card digest", func(st *karaulav1.Statement) { st.Card = nil }},
		{"card-serial", "no card serial", func(st *karaulav1.Statement) { st.CardSerial = 0 }},
		{"channel", "a channel in upper case", func(st *karaulav1.Statement) { st.Channel = "B01-AL-ME" }},
		{"channel-reserved", "a reserved word as channel", func(st *karaulav1.Statement) { st.Channel = "link" }},
		{"origin", "a party code with a hyphen", func(st *karaulav1.Statement) { st.Origin = "al-1" }},
		{"mode", "no mode", func(st *karaulav1.Statement) { st.Mode = 0 }},
		{"kind", "no kind", func(st *karaulav1.Statement) { st.Kind = 0 }},
		{"epoch", "epoch 0", func(st *karaulav1.Statement) { st.Epoch = 0 }},
		{"seq", "number 0", func(st *karaulav1.Statement) { st.Seq = 0 }},
		{"said-at", "a time before 1970", func(st *karaulav1.Statement) { st.SaidAt = -1 }},
		{"erase-after", "an erasure before 1970", func(st *karaulav1.Statement) { st.EraseAfter = -1 }},
		{"thread", "a thread of 15 bytes", func(st *karaulav1.Statement) { st.Thread = repeat(1, 15) }},
		{"heads-twice", "two heads of one ledger", func(st *karaulav1.Statement) {
			st.Heads = append(st.Heads, st.Heads[0])
		}},
		{"head-root", "a head without a root", func(st *karaulav1.Statement) { st.Heads[0].Root = nil }},
		{"heads-many", "65 heads", func(st *karaulav1.Statement) {
			for i := range byte(64) {
				st.Heads = append(st.Heads, &karaulav1.Head{Ledger: repeat(i, 32), Epoch: 1, Size: 1, Root: repeat(1, 32)})
			}
			st.Heads = st.Heads[:65]
		}},
		{"ref", "a ref to number 0", func(st *karaulav1.Statement) {
			st.Refs = []*karaulav1.Ref{{Ledger: repeat(1, 32), Epoch: 1, Digest: repeat(1, 32)}}
		}},
		{"no-signers", "no signers", func(st *karaulav1.Statement) { st.Signers = nil }},
		{"signer-twice", "one signer twice", func(st *karaulav1.Statement) {
			st.Signers = append(st.Signers, st.Signers[0])
		}},
		{"signer-id", "a key id of 15 bytes", func(st *karaulav1.Statement) { st.Signers[0].KeyId = repeat(1, 15) }},
		{"signers-five", "five signers", func(st *karaulav1.Statement) {
			for i := range byte(4) {
				st.Signers = append(st.Signers, &karaulav1.Signer{Alg: 1, KeyId: repeat(0xf0+i, 16)})
			}
		}},
	} {
		add("malformed-"+c.name, "malformed", c.comment, spoil(receipt(t), c.how))
	}
	for _, c := range []struct {
		name, comment string
		how           func(p *karaulav1.Part)
	}{
		{"part-digest", "a part's digest of 31 bytes", func(p *karaulav1.Part) { p.Digest = p.Digest[1:] }},
		{"part-commitment", "a part without a commitment", func(p *karaulav1.Part) { p.Commitment = nil }},
		{"part-size", "a part of no size", func(p *karaulav1.Part) { p.Size = 0 }},
		{"part-size-limit", "a part of 1 MiB and a byte", func(p *karaulav1.Part) { p.Size = 1<<20 + 1 }},
		{"part-seal-alg", "a part without an algorithm", func(p *karaulav1.Part) { p.SealAlg = 0 }},
		{"part-label", "the first part is a compartment", func(p *karaulav1.Part) {
			p.Label = karaulav1.Label_LABEL_COMPARTMENT
		}},
		{"part-no-recipients", "a part for nobody", func(p *karaulav1.Part) { p.Recipients = nil }},
		{"part-recipient-twice", "one recipient twice", func(p *karaulav1.Part) { p.Recipients[1] = p.Recipients[0] }},
		{"part-recipient-party", "a recipient that is no party", func(p *karaulav1.Part) { p.Recipients[0].Party = "ME" }},
		{"part-recipient-use", "a recipient's signing key", func(p *karaulav1.Part) {
			p.Recipients[0].Use = karaulav1.KeyUse_KEY_USE_SIGN
		}},
		{"part-recipient-key", "a recipient's key id of 17 bytes", func(p *karaulav1.Part) {
			p.Recipients[0].KeyId = repeat(1, 17)
		}},
	} {
		add("malformed-"+c.name, "malformed", c.comment, spoil(act(t), func(st *karaulav1.Statement) { c.how(st.Parts[0]) }))
	}
}

func kindCases(t testing.TB, add adder, spoil spoiler) {
	t.Helper()
	add("malformed-act-without-part", "malformed", "an act with nothing sealed",
		spoil(act(t), func(st *karaulav1.Statement) { st.Parts = nil }))
	add("malformed-act-without-ref", "malformed", "an act about nothing",
		spoil(act(t), func(st *karaulav1.Statement) { st.Refs = nil }))
	add("malformed-act-without-thread", "malformed", "an act without a thread",
		spoil(act(t), func(st *karaulav1.Statement) { st.Thread = nil }))
	add("malformed-act-with-type", "malformed", "an act with a type",
		spoil(act(t), func(st *karaulav1.Statement) { st.Type = karaulav1.AlertType_ALERT_TYPE_VEHICLE }))
	add("malformed-heartbeat-with-part", "malformed", "a heartbeat with something sealed",
		spoil(act(t), func(st *karaulav1.Statement) { st.Kind = karaulav1.Kind_KIND_HEARTBEAT }))
	add("malformed-second-main", "malformed", "two main parts", spoil(act(t), func(st *karaulav1.Statement) {
		st.Parts = append(st.Parts, st.Parts[0])
	}))
	add("bad-body-missing", "bad-body", "a receipt without a body",
		spoil(receipt(t), func(st *karaulav1.Statement) { st.Body = nil }))
	add("bad-body-heartbeat", "bad-body", "a heartbeat with a body",
		spoil(receipt(t), func(st *karaulav1.Statement) { st.Kind = karaulav1.Kind_KIND_HEARTBEAT }))
	over := exercise(t, &karaulav1.ExerciseBody{Name: "drina-26", Over: true})
	add("bad-body-exercise-missing", "bad-body", "an exercise without a body",
		spoil(over, func(st *karaulav1.Statement) { st.Body = nil }))
	add("bad-body-exercise-default", "bad-body", "an exercise whose field until is there with its default",
		spoil(exercise(t, &karaulav1.ExerciseBody{Name: "drina-26", Over: true}), func(st *karaulav1.Statement) {
			st.Body = append([]byte("\n\bdrina-26"), 0x10, 0, 0x18, 1)
		}))
	add("bad-body-exercise-unknown", "bad-body", "an exercise with a field that there is not",
		spoil(exercise(t, &karaulav1.ExerciseBody{Name: "drina-26", Over: true}), func(st *karaulav1.Statement) {
			st.Body = append(st.Body, 0x20, 1)
		}))
	add("bad-body-not-a-receipt", "bad-body", "a receipt whose body is not in strict wire form",
		spoil(receipt(t), func(st *karaulav1.Statement) { st.Body = []byte{0xff} }))
}

func newerCases(t testing.TB, add adder, spoil spoiler) {
	t.Helper()
	add("malformed-consent-refs-kind", "malformed", "an act that names a consent",
		spoil(act(t), func(st *karaulav1.Statement) { st.ConsentRefs = st.Refs }))
	add("malformed-consent-refs-two", "malformed", "an alert that names two consents", spoil(act(t), func(st *karaulav1.Statement) {
		st.Kind, st.Type = karaulav1.Kind_KIND_ALERT, karaulav1.AlertType_ALERT_TYPE_VEHICLE
		st.Refs, st.ConsentRefs = nil, []*karaulav1.Ref{st.GetRefs()[0], st.GetRefs()[0]}
	}))
	add("unknown-format", "unknown-format", "format 2",
		spoil(receipt(t), func(st *karaulav1.Statement) { st.Format = 2 }))
	add("unknown-format-zero", "unknown-format", "no format",
		spoil(receipt(t), func(st *karaulav1.Statement) { st.Format = 0 }))
	add("must-understand-listed", "must-understand", "it lists feature 27",
		spoil(receipt(t), func(st *karaulav1.Statement) { st.MustUnderstand = []uint32{27} }))
	add("must-understand-kind", "must-understand", "a kind that no reader knows",
		spoil(receipt(t), func(st *karaulav1.Statement) { st.Kind = 99 }))
	add("must-understand-mode", "must-understand", "a mode that no reader knows",
		spoil(receipt(t), func(st *karaulav1.Statement) { st.Mode = 99 }))
	add("must-understand-seal-alg", "must-understand", "a seal that no reader knows",
		spoil(act(t), func(st *karaulav1.Statement) { st.Parts[0].SealAlg = 99 }))
	add("must-understand-sign-alg", "must-understand", "a signer with ML-DSA-65, which has a number only",
		spoil(receipt(t), func(st *karaulav1.Statement) { st.Signers[0].Alg = karaulav1.SignAlg_SIGN_ALG_ML_DSA_65 }))
	for _, c := range []struct {
		name string
		how  func(st *karaulav1.Statement)
	}{
		{"on-behalf-of", func(st *karaulav1.Statement) { st.OnBehalfOf = "xk" }},
		{"via", func(st *karaulav1.Statement) { st.Via = "xk" }},
		{"not-before", func(st *karaulav1.Statement) { st.NotBefore = 1 }},
		{"detached", func(st *karaulav1.Statement) { st.Parts[0].Detached = true }},
		{"media", func(st *karaulav1.Statement) { st.Parts[0].Media = "image/png" }},
		{"attachment", func(st *karaulav1.Statement) { st.Parts[0].Label = karaulav1.Label_LABEL_ATTACHMENT }},
	} {
		add("reserved-field-"+c.name, "reserved-field", "a reserved field of the statement is set", spoil(act(t), c.how))
	}
	for name, how := range map[string]func(e *karaulav1.Envelope){
		"countersignatures": func(e *karaulav1.Envelope) { e.Countersignatures = e.Signatures },
		"timestamps":        func(e *karaulav1.Envelope) { e.Timestamps = [][]byte{{1}} },
	} {
		d := receipt(t)
		d.env = how
		add("reserved-field-"+name, "reserved-field", "a reserved field of the envelope is set", d)
	}
}

func signatureCases(t testing.TB, add adder) {
	t.Helper()
	k1, k2 := testKey(1), testKey(2)
	for _, c := range []struct {
		name, expect, comment string
		signers               []envelope.Signer
		how                   func(s []*karaulav1.Signature) []*karaulav1.Signature
	}{
		{
			"signature-stripped", "signature-stripped", "the second of two signatures was taken away",
			[]envelope.Signer{k1, k2},
			func(s []*karaulav1.Signature) []*karaulav1.Signature { return s[:1] },
		},
		{
			"signature-stripped-all", "signature-stripped", "there is no signature",
			[]envelope.Signer{k1},
			func([]*karaulav1.Signature) []*karaulav1.Signature { return nil },
		},
		{
			"signature-stripped-added", "signature-stripped", "a signature that was not announced",
			[]envelope.Signer{k1},
			func(s []*karaulav1.Signature) []*karaulav1.Signature { return append(s, s[0]) },
		},
		{
			"signature-stripped-swapped", "signature-stripped", "two signatures in the other order",
			[]envelope.Signer{k1, k2},
			func(s []*karaulav1.Signature) []*karaulav1.Signature { return []*karaulav1.Signature{s[1], s[0]} },
		},
		{
			"signature-stripped-other-key", "signature-stripped", "a signature by another key than announced",
			[]envelope.Signer{k1},
			func(s []*karaulav1.Signature) []*karaulav1.Signature { s[0].KeyId = k2.KeyID[:]; return s },
		},
		{
			"malformed-signature", "malformed", "a signature of 63 bytes",
			[]envelope.Signer{k1},
			func(s []*karaulav1.Signature) []*karaulav1.Signature { s[0].Sig = s[0].Sig[1:]; return s },
		},
		{
			"bad-signature", "bad-signature", "one bit of the signature is flipped",
			[]envelope.Signer{k1},
			func(s []*karaulav1.Signature) []*karaulav1.Signature { s[0].Sig[3] ^= 4; return s },
		},
		{
			"bad-signature-second", "bad-signature", "one bit of the second signature is flipped",
			[]envelope.Signer{k1, k2},
			func(s []*karaulav1.Signature) []*karaulav1.Signature { s[1].Sig[3] ^= 4; return s },
		},
		{"unknown-key", "unknown-key", "signed by a key that is not known", []envelope.Signer{testKey(3)}, nil},
	} {
		d := base(karaulav1.Kind_KIND_HEARTBEAT)
		d.keys, d.st.Signers, d.sigs = c.signers, nil, c.how
		for _, k := range c.signers {
			d.st.Signers = append(d.st.Signers, &karaulav1.Signer{Alg: k.Alg, KeyId: k.KeyID[:]})
		}
		add(c.name, c.expect, c.comment, d)
	}
	forged := base(karaulav1.Kind_KIND_HEARTBEAT)
	forged.env = func(e *karaulav1.Envelope) { e.Statement[len(e.Statement)-1] ^= 1 } // kind 9 becomes 8
	add("bad-body-forged", "bad-body", "kind 9 was made 8 after signing: nobody said that", forged)
	other := base(karaulav1.Kind_KIND_HEARTBEAT)
	other.env = func(e *karaulav1.Envelope) { e.Statement[4] ^= 1 }
	add("bad-signature-statement", "bad-signature", "one bit of the ledger id was flipped after signing", other)
}

func partCases(t testing.TB, add adder) {
	t.Helper()
	for _, c := range []struct {
		name, comment string
		how           func(d *draft)
	}{
		{"digest", "one bit of the sealed part is flipped", func(d *draft) {
			d.parts[0] = append([]byte(nil), d.parts[0]...)
			d.parts[0][100] ^= 1
		}},
		{"size", "the sealed part is a byte shorter than said", func(d *draft) { d.parts[0] = d.parts[0][1:] }},
		{"more", "a sealed part that the statement does not name", func(d *draft) { d.parts = append(d.parts, d.parts[0]) }},
		{"none-named", "a sealed part beside a heartbeat", func(d *draft) {
			d.st = base(karaulav1.Kind_KIND_HEARTBEAT).st
		}},
		{"fewer", "one of two sealed parts", func(d *draft) {
			second := &karaulav1.Part{
				SealAlg: d.st.Parts[0].SealAlg, Digest: d.st.Parts[0].Digest, Size: d.st.Parts[0].Size,
				Commitment: d.st.Parts[0].Commitment, Recipients: d.st.Parts[0].Recipients,
				Label: karaulav1.Label_LABEL_COMPARTMENT,
			}
			d.st.Parts = append(d.st.Parts, second)
		}},
	} {
		d := act(t)
		c.how(d)
		add("part-mismatch-"+c.name, "part-mismatch", c.comment, d)
	}
}
