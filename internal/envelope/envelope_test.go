package envelope_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"karaula/docs/spec/vectors"
	"karaula/internal/envelope"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// say builds, signs and assembles as the gateway does.
func say(t *testing.T, d *draft) []byte {
	t.Helper()
	st, err := envelope.Build(d.st)
	if err != nil {
		t.Fatal(err)
	}
	sigs, err := envelope.Sign(st, d.keys)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := envelope.Assemble(st, sigs, d.parts)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestSaidAndRead: what is built comes back as it was said.
func TestSaidAndRead(t *testing.T) {
	t.Parallel()
	d := act(t)
	raw := say(t, d)
	p, err := envelope.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.st, p.Statement, protocmp.Transform()); diff != "" {
		t.Errorf("another statement came back:\n%s", diff)
	}
	if err := p.VerifySignatures(knownKeys); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(p.Raw, raw) || !bytes.Equal(p.Envelope.GetParts()[0], d.parts[0]) || p.IsStub() {
		t.Error("the bytes or the part are not what was said")
	}
	want := sha256.Sum256(append([]byte{0}, p.StatementBytes...))
	if p.Leaf != want || envelope.Leaf(p.StatementBytes) != want {
		t.Error("the leaf is not SHA-256 of a zero byte and the statement")
	}
	if body, err := p.Body(); body != nil || err != nil {
		t.Errorf("an act has body %v, %v", body, err)
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	p, err := envelope.Parse(say(t, receipt(t)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := p.Body()
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := body.(*karaulav1.Receipt); !ok || r.GetLedgers()[0].GetJudgedTo() != 5 {
		t.Errorf("the body is %v", body)
	}
}

// TestWeDoNotSayWhatOthersRefuse: Build and Assemble give no bytes for what
// Parse would refuse, and the error has both the code and the exit code.
func TestWeDoNotSayWhatOthersRefuse(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(st *karaulav1.Statement){
		"no ledger":  func(st *karaulav1.Statement) { st.Ledger = nil },
		"bad string": func(st *karaulav1.Statement) { st.Via = "\xff" },
		"too large":  func(st *karaulav1.Statement) { st.Body = make([]byte, envelope.MaxStatement) },
		"reserved":   func(st *karaulav1.Statement) { st.NotBefore = 1 },
	} {
		d := receipt(t)
		spoil(d.st)
		raw, err := envelope.Build(d.st)
		if _, ok := envelope.CodeOf(err); !ok || raw != nil || !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: got %d bytes and %v", name, len(raw), err)
		}
	}
	d := act(t)
	st, err := envelope.Build(d.st)
	if err != nil {
		t.Fatal(err)
	}
	sigs, err := envelope.Sign(st, d.keys)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sigs  []*karaulav1.Signature
		parts [][]byte
		want  karaulav1.Code
	}{
		"no signature":  {nil, d.parts, karaulav1.Code_CODE_SIGNATURE_STRIPPED},
		"another part":  {sigs, [][]byte{{1}}, karaulav1.Code_CODE_PART_MISMATCH},
		"too much":      {sigs, [][]byte{make([]byte, envelope.MaxEnvelope)}, karaulav1.Code_CODE_TOO_LARGE},
		"one more part": {sigs, [][]byte{d.parts[0], d.parts[0]}, karaulav1.Code_CODE_PART_MISMATCH},
	} {
		raw, err := envelope.Assemble(st, c.sigs, c.parts)
		if code, _ := envelope.CodeOf(err); code != c.want || raw != nil || !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: got %d bytes and %v", name, len(raw), err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]envelope.Signer{
		"no key":            {Alg: karaulav1.SignAlg_SIGN_ALG_ED25519},
		"another algorithm": {Alg: karaulav1.SignAlg_SIGN_ALG_ML_DSA_65, Key: testKey(1).Key},
	} {
		sigs, err := envelope.Sign([]byte("x"), []envelope.Signer{testKey(1), k})
		if !problem.Is(err, problem.Locked) || sigs != nil {
			t.Errorf("%s: got %v, %v", name, sigs, err)
		}
	}
}

// TestTooLargeEnvelope: one byte above 1 MiB is too large before anything else
// is looked at; a vector of that size would not be worth its place.
func TestTooLargeEnvelope(t *testing.T) {
	t.Parallel()
	raw := make([]byte, envelope.MaxEnvelope+1)
	if code, _ := envelope.CodeOf(refusalOf(raw)); code != karaulav1.Code_CODE_TOO_LARGE {
		t.Errorf("got %s", code)
	}
	if code, _ := envelope.CodeOf(refusalOf(raw[1:])); code != karaulav1.Code_CODE_MALFORMED {
		t.Errorf("at the limit: got %s", code)
	}
}

func refusalOf(raw []byte) error {
	_, err := envelope.Parse(raw)
	return err
}

// TestKeyFuncDecidesTheCode: a refusal of the key's finder goes through, and
// anything else means that the key is not known.
func TestKeyFuncDecidesTheCode(t *testing.T) {
	t.Parallel()
	p, err := envelope.Parse(base(karaulav1.Kind_KIND_HEARTBEAT).build(t))
	if err != nil {
		t.Fatal(err)
	}
	for want, key := range map[karaulav1.Code]envelope.KeyFunc{
		karaulav1.Code_CODE_KEY_NOT_VALID: func(karaulav1.SignAlg, [16]byte) (ed25519.PublicKey, error) {
			return nil, envelope.Refuse(karaulav1.Code_CODE_KEY_NOT_VALID, "revoked")
		},
		karaulav1.Code_CODE_UNKNOWN_KEY: func(karaulav1.SignAlg, [16]byte) (ed25519.PublicKey, error) {
			return testKey(1).Key.Public().(ed25519.PublicKey), errors.New("not here") //nolint:forcetypeassert // as promised
		},
		karaulav1.Code_CODE_BAD_SIGNATURE: func(karaulav1.SignAlg, [16]byte) (ed25519.PublicKey, error) {
			return testKey(2).Key.Public().(ed25519.PublicKey), nil //nolint:forcetypeassert // as promised
		},
	} {
		if code, _ := envelope.CodeOf(p.VerifySignatures(key)); code != want {
			t.Errorf("got %s, want %s", code, want)
		}
	}
}

// TestStub: a stub is the envelope without its content, whatever the content
// was, and stands for the same leaf.
func TestStub(t *testing.T) {
	t.Parallel()
	whole := act(t)
	raw := whole.build(t)
	stub, err := envelope.Stub(raw)
	if err != nil {
		t.Fatal(err)
	}
	p, err := envelope.Parse(stub)
	if err != nil {
		t.Fatal(err)
	}
	if !p.IsStub() || p.Leaf != mustParse(t, raw).Leaf || p.VerifySignatures(knownKeys) != nil {
		t.Error("the stub does not stand for the statement")
	}
	without, err := envelope.Assemble(p.StatementBytes, p.Envelope.GetSignatures(), nil)
	if err != nil || !bytes.Equal(without, stub) {
		t.Errorf("the stub is not what Assemble makes without parts (%v)", err)
	}
	again, err := envelope.Stub(stub)
	if err != nil || !bytes.Equal(again, stub) {
		t.Errorf("the stub of a stub is another one (%v)", err)
	}
	if _, err := envelope.Stub([]byte("karaula")); err == nil {
		t.Error("a stub of nothing was made")
	}
}

func mustParse(t *testing.T, raw []byte) *envelope.Parsed {
	t.Helper()
	p, err := envelope.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPeekReadsWhatParseRefuses: a statement that its origin has signed is
// found, with its place, whatever is wrong with it.
func TestPeekReadsWhatParseRefuses(t *testing.T) {
	t.Parallel()
	d := act(t)
	d.st.Seq, d.st.Via = 12, "xk"                           // a reserved field
	d.stBytes = after([]byte{0x78, 0x81, 0x00, 0xff, 0xff}) // kind again and padded, then a broken tag
	raw := d.build(t)
	if _, err := envelope.Parse(raw); err == nil {
		t.Fatal("Parse accepts it")
	}
	p, ok := envelope.Peek(raw)
	if !ok || p.Verify(knownKeys) != nil || p.VerifySigners(knownKeys) != nil {
		t.Fatal("Peek does not find the signed statement")
	}
	if p.Whole {
		t.Error("it was not read to its end, and says it was")
	}
	if p.Leaf != envelope.Leaf(p.Statement) || p.Said.GetKind() != karaulav1.Kind_KIND_ALERT {
		t.Errorf("the leaf or the kind is another one: %s", p.Said.GetKind())
	}
	want := &karaulav1.Statement{
		Format: 1, Ledger: d.st.Ledger, Channel: "b01-al-me", Origin: "al", Mode: d.st.Mode, Epoch: 1, Seq: 12,
		PrevRoot: d.st.PrevRoot, SaidAt: d.st.SaidAt, Agreement: d.st.Agreement, Card: d.st.Card, CardSerial: 7,
		Signers: d.st.Signers, Kind: karaulav1.Kind_KIND_ALERT,
	}
	if diff := cmp.Diff(want, p.Said, protocmp.Transform()); diff != "" {
		t.Errorf("another place was read:\n%s", diff)
	}
}

func TestPeekRefuses(t *testing.T) {
	t.Parallel()
	good := base(karaulav1.Kind_KIND_HEARTBEAT).build(t)
	for name, raw := range map[string][]byte{
		"nothing":         nil,
		"no statement":    {0x12, 0x00},
		"empty statement": {0x0a, 0x00},
		"two statements":  append(bytes.Clone(good), good...),
		"too long":        make([]byte, 3<<20),
	} {
		if p, ok := envelope.Peek(raw); ok {
			t.Errorf("%s: found %x", name, p.Statement)
		}
	}
	p, ok := envelope.Peek(good)
	if !ok {
		t.Fatal("a good one is not found")
	}
	nobody := func(karaulav1.SignAlg, [16]byte) (ed25519.PublicKey, error) { return nil, nil }
	if code, _ := envelope.CodeOf(p.Verify(nobody)); code != karaulav1.Code_CODE_UNKNOWN_KEY {
		t.Errorf("with no key: got %s", code)
	}
}

// TestVerifySigners: a malformed statement is its origin's only if everybody
// whom it announces has signed it.
func TestVerifySigners(t *testing.T) {
	t.Parallel()
	k1, k2, k3 := testKey(1), testKey(2), testKey(3)
	const stripped = karaulav1.Code_CODE_SIGNATURE_STRIPPED
	for name, c := range map[string]struct {
		announced, signed []envelope.Signer
		spoil             bool // of the last signature
		want              karaulav1.Code
	}{
		"one":           {[]envelope.Signer{k1}, []envelope.Signer{k1}, false, 0},
		"two":           {[]envelope.Signer{k1, k2}, []envelope.Signer{k1, k2}, false, 0},
		"other order":   {[]envelope.Signer{k1, k2}, []envelope.Signer{k2, k1}, false, 0},
		"one missing":   {[]envelope.Signer{k1, k2}, []envelope.Signer{k1}, false, stripped},
		"all missing":   {[]envelope.Signer{k1}, nil, false, stripped},
		"another's":     {[]envelope.Signer{k1}, []envelope.Signer{k2}, false, stripped},
		"nobody":        {nil, []envelope.Signer{k1}, false, karaulav1.Code_CODE_MALFORMED},
		"unknown":       {[]envelope.Signer{k3}, []envelope.Signer{k3}, false, karaulav1.Code_CODE_UNKNOWN_KEY},
		"second broken": {[]envelope.Signer{k1, k2}, []envelope.Signer{k1, k2}, true, karaulav1.Code_CODE_BAD_SIGNATURE},
		"a broken and a good one": {
			[]envelope.Signer{k1}, []envelope.Signer{k1, k1}, true, 0,
		},
	} {
		d := base(karaulav1.Kind_KIND_HEARTBEAT)
		d.st.Via, d.st.Signers, d.keys = "xk", nil, c.signed // a reserved field
		for _, k := range c.announced {
			d.st.Signers = append(d.st.Signers, &karaulav1.Signer{Alg: k.Alg, KeyId: k.KeyID[:]})
		}
		d.sigs = func(s []*karaulav1.Signature) []*karaulav1.Signature {
			if c.spoil {
				s[len(s)-1].Sig[0] ^= 1
			}
			return s
		}
		p, ok := envelope.Peek(d.build(t))
		if !ok {
			t.Fatalf("%s: not found", name)
		}
		if code, _ := envelope.CodeOf(p.VerifySigners(knownKeys)); code != c.want {
			t.Errorf("%s: got %s, want %s", name, code, c.want)
		}
	}
}

// TestRefusalIsAProblem: a refusal keeps its code and gets the exit code of a
// failed verification.
func TestRefusalIsAProblem(t *testing.T) {
	t.Parallel()
	err := envelope.Refuse(karaulav1.Code_CODE_WRONG_ROOT, "the root is another one")
	if !problem.Is(err, problem.Verification) || err.Error() != "wrong-root: the root is another one" {
		t.Errorf("got kind %s: %v", problem.KindOf(err), err)
	}
	if _, ok := envelope.CodeOf(errors.New("x")); ok {
		t.Error("any error has a code")
	}
}

// FuzzParse: whatever comes, Parse answers; what it accepts is written in one
// way only, is found by Peek too, and has a stub with the same leaf.
func FuzzParse(f *testing.F) {
	all, err := vectors.Read("envelope")
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range all {
		if len(v.Body) < 16<<10 {
			f.Add(v.Body)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		peeked, found := envelope.Peek(raw)
		p, err := envelope.Parse(raw)
		if err != nil {
			if code, ok := envelope.CodeOf(err); !ok || code == 0 {
				t.Fatalf("refused without a code: %v", err)
			}
			return
		}
		if !found || peeked.Leaf != p.Leaf || peeked.Said.GetSeq() != p.Statement.GetSeq() {
			t.Fatal("Peek does not find what Parse accepts")
		}
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(p.Envelope)
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("two ways to write one envelope (%v)", err)
		}
		stub, err := envelope.Stub(raw)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := envelope.Parse(stub); err != nil || s.Leaf != p.Leaf {
			t.Fatalf("the stub is not acceptable: %v", err)
		}
	})
}

func BenchmarkParseAndVerify(b *testing.B) {
	raw := act(b).build(b)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		p, err := envelope.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.VerifySignatures(knownKeys); err != nil {
			b.Fatal(err)
		}
	}
}
