package envelope_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"karaula/docs/spec/vectors"
	"karaula/internal/envelope"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// testKey is the nth invented signing key: its seed is SHA-256 of a label, its
// id 16 times n.
func testKey(n int) envelope.Signer {
	seed := sha256.Sum256(fmt.Appendf(nil, "karaula test key %d", n))
	return envelope.Signer{
		Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyID: [16]byte(repeat(byte(n), 16)), Key: ed25519.NewKeyFromSeed(seed[:]),
	}
}

// knownKeys finds test keys 1 and 2, and says unknown-key of any other.
func knownKeys(_ karaulav1.SignAlg, id [16]byte) (ed25519.PublicKey, error) {
	for n := 1; n <= 2; n++ {
		if k := testKey(n); k.KeyID == id {
			return k.Key.Public().(ed25519.PublicKey), nil //nolint:forcetypeassert // the standard library's promise
		}
	}
	return nil, errors.New("not a key of the test")
}

func repeat(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

// draft is an envelope in the making: every step can be spoilt.
type draft struct {
	st      *karaulav1.Statement
	keys    []envelope.Signer
	parts   [][]byte
	stBytes func(raw []byte) []byte                               // spoils the statement's bytes before they are signed
	sigs    func(s []*karaulav1.Signature) []*karaulav1.Signature // spoils the signatures
	env     func(e *karaulav1.Envelope)                           // spoils the envelope
	raw     func(raw []byte) []byte                               // spoils the envelope's bytes
}

// base is a statement of a kind that has what every kind must have.
func base(kind karaulav1.Kind) *draft {
	k := testKey(1)
	empty := sha256.Sum256(nil)
	st := &karaulav1.Statement{
		Format: 1, Ledger: repeat(0x11, 32), Channel: "b01-al-me", Origin: "al", Mode: karaulav1.Mode_MODE_TEST,
		Epoch: 1, Seq: 1, PrevRoot: empty[:], SaidAt: 1_750_000_000_000_000, Agreement: repeat(0x22, 32),
		Card: repeat(0x66, 32), CardSerial: 7, Kind: kind,
		Signers: []*karaulav1.Signer{{Alg: k.Alg, KeyId: k.KeyID[:]}},
	}
	return &draft{st: st, keys: []envelope.Signer{k}}
}

// act is a statement with one sealed part, that of vector seal/sealed-first.
func act(t testing.TB) *draft {
	t.Helper()
	v, err := vectors.Open("seal/sealed-first")
	if err != nil {
		t.Fatal(err)
	}
	commitment, err := v.Hex("commitment")
	if err != nil {
		t.Fatal(err)
	}
	d := base(karaulav1.Kind_KIND_ACT)
	digest := sha256.Sum256(v.Body)
	d.st.Thread, d.st.EraseAfter = repeat(0x33, 16), 1_760_000_000_000_000
	d.st.Refs = []*karaulav1.Ref{{Ledger: repeat(0x77, 32), Epoch: 1, Seq: 5, Digest: repeat(0x88, 32)}}
	d.st.Parts = []*karaulav1.Part{{
		SealAlg: karaulav1.SealAlg_SEAL_ALG_AGE_HYBRID, Digest: digest[:], Size: uint64(len(v.Body)), Commitment: commitment,
		Label: karaulav1.Label_LABEL_MAIN,
		Recipients: []*karaulav1.Recipient{
			{Party: "me", Use: karaulav1.KeyUse_KEY_USE_SEAL, KeyId: repeat(0x99, 16)},
			{Party: "al", Use: karaulav1.KeyUse_KEY_USE_ARCHIVE, KeyId: repeat(0xaa, 16)},
		},
	}}
	d.parts = [][]byte{v.Body}
	return d
}

// receipt is a statement with a body.
func receipt(t testing.TB) *draft {
	t.Helper()
	d := base(karaulav1.Kind_KIND_RECEIPT)
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(&karaulav1.Receipt{
		Ledgers: []*karaulav1.LedgerReceipt{{Ledger: repeat(0x77, 32), Epoch: 1, JudgedTo: 5, Root: repeat(0xbb, 32)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.st.Body = body
	d.st.Heads = []*karaulav1.Head{{Ledger: repeat(0x77, 32), Epoch: 1, Size: 5, Root: repeat(0xbb, 32)}}
	return d
}

// exercise is a statement that announces an exercise, or says that it is over.
func exercise(t testing.TB, body *karaulav1.ExerciseBody) *draft {
	t.Helper()
	d := base(karaulav1.Kind_KIND_EXERCISE)
	d.st.Mode, d.st.Channel = karaulav1.Mode_MODE_EXERCISE, "b01-al-me-x"
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	d.st.Body = raw
	return d
}

// practised is an alert that is said in an exercise.
func practised(t testing.TB) *draft {
	t.Helper()
	d := act(t)
	d.st.Kind, d.st.Type, d.st.Refs = karaulav1.Kind_KIND_ALERT, karaulav1.AlertType_ALERT_TYPE_VEHICLE, nil
	d.st.Mode, d.st.Channel = karaulav1.Mode_MODE_EXERCISE, "b01-al-me-x"
	for _, r := range d.st.GetParts()[0].GetRecipients() {
		r.Use = karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL
	}
	return d
}

// build gives the envelope's bytes without asking whether anybody accepts them.
func (d *draft) build(t testing.TB) []byte {
	t.Helper()
	opts := proto.MarshalOptions{Deterministic: true}
	st, err := opts.Marshal(d.st)
	if err != nil {
		t.Fatal(err)
	}
	if d.stBytes != nil {
		st = d.stBytes(st)
	}
	sigs, err := envelope.Sign(st, d.keys)
	if err != nil {
		t.Fatal(err)
	}
	if d.sigs != nil {
		sigs = d.sigs(sigs)
	}
	e := &karaulav1.Envelope{Statement: st, Signatures: sigs, Parts: d.parts}
	if d.env != nil {
		d.env(e)
	}
	raw, err := opts.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if d.raw != nil {
		raw = d.raw(raw)
	}
	return raw
}

// varint makes one varint field.
func varint(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

// after makes a function that appends bytes.
func after(more []byte) func([]byte) []byte {
	return func(raw []byte) []byte { return append(raw, more...) }
}
