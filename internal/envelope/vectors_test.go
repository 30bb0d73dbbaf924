package envelope_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"karaula/docs/spec/vectors"
	"karaula/internal/envelope"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var update = flag.Bool("update", false, "write the test vectors again")

// TestVectors reads every vector of envelopes and gives the answers again.
func TestVectors(t *testing.T) {
	t.Parallel()
	if *update {
		writeVectors(t)
		t.Skip("vectors written; run again without -update")
	}
	all, err := vectors.Read("envelope")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, v := range all {
		seen[v.Get("expect")] = true
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(v.Headers, answers(v)); diff != "" {
				t.Errorf("another answer (-want +got):\n%s", diff)
			}
		})
	}
	for _, code := range []karaulav1.Code{
		karaulav1.Code_CODE_TOO_LARGE, karaulav1.Code_CODE_MALFORMED, karaulav1.Code_CODE_UNKNOWN_FORMAT,
		karaulav1.Code_CODE_MUST_UNDERSTAND, karaulav1.Code_CODE_RESERVED_FIELD, karaulav1.Code_CODE_UNKNOWN_KEY,
		karaulav1.Code_CODE_SIGNATURE_STRIPPED, karaulav1.Code_CODE_BAD_SIGNATURE, karaulav1.Code_CODE_PART_MISMATCH,
		karaulav1.Code_CODE_BAD_BODY,
	} {
		if !seen[terms.CodeWord(code)] {
			t.Errorf("no vector expects %s", terms.CodeWord(code))
		}
	}
}

// vectorKeys finds the keys that the vector's headers give.
func vectorKeys(v *vectors.Vector) envelope.KeyFunc {
	return func(_ karaulav1.SignAlg, id [16]byte) (ed25519.PublicKey, error) {
		for _, line := range v.All("key") {
			keyID, public, _ := strings.Cut(line, " ")
			if keyID == hex.EncodeToString(id[:]) {
				return hex.DecodeString(public)
			}
		}
		return nil, nil
	}
}

// answers computes a vector's headers from its body, comment and keys.
func answers(v *vectors.Vector) []vectors.Header {
	out := []vectors.Header{
		{Name: "expect", Value: expectation(v)},
		{Name: "comment", Value: v.Get("comment")},
	}
	for _, k := range v.All("key") {
		out = append(out, vectors.Header{Name: "key", Value: k})
	}
	return append(out, vectors.Header{Name: "leaf", Value: leafOf(v)})
}

// leafOf is the leaf that the bytes are in their origin's ledger, or "none" if
// they go into quarantine.
func leafOf(v *vectors.Vector) string {
	p, ok := envelope.Peek(v.Body)
	if !ok || p.VerifySigners(vectorKeys(v)) != nil {
		return "none"
	}
	return hex.EncodeToString(p.Leaf[:])
}

// expectation is what Parse, VerifySignatures and Body say of the bytes.
func expectation(v *vectors.Vector) string {
	p, err := envelope.Parse(v.Body)
	if err == nil {
		err = envelope.VerifySignatures(p, vectorKeys(v))
	}
	if err == nil {
		_, err = p.Body()
	}
	if err == nil {
		return "ok"
	}
	code, _ := envelope.CodeOf(err)
	return terms.CodeWord(code)
}

// writeVectors writes every case of cases as a vector; cases says what must
// come out, so a wrong answer is not written down as the right one.
func writeVectors(t *testing.T) {
	t.Helper()
	for _, c := range cases(t) {
		v := &vectors.Vector{Name: "envelope/" + c.name, Body: c.raw, Headers: []vectors.Header{
			{Name: "comment", Value: c.comment},
		}}
		for n := 1; n <= 2; n++ {
			k := testKey(n)
			public := k.Key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // the standard library's promise
			v.Headers = append(v.Headers, vectors.Header{
				Name: "key", Value: hex.EncodeToString(k.KeyID[:]) + " " + hex.EncodeToString(public),
			})
		}
		v.Headers = answers(v)
		if v.Get("expect") != c.expect {
			t.Errorf("%s: the answer is %s, want %s", c.name, v.Get("expect"), c.expect)
			continue
		}
		writeFile(t, v)
	}
	payload := []byte("hello world")
	pae := envelope.PAE("http://example.com/HelloWorld", payload)
	writeFile(t, &vectors.Vector{Name: "pae/dsse", Body: payload, Headers: []vectors.Header{
		{Name: "expect", Value: "ok"},
		{Name: "comment", Value: "the example of DSSE's protocol.md"},
		{Name: "type", Value: "http://example.com/HelloWorld"},
		{Name: "pae", Value: hex.EncodeToString(pae)},
	}})
	writeFile(t, &vectors.Vector{Name: "pae/empty", Headers: []vectors.Header{
		{Name: "expect", Value: "ok"},
		{Name: "comment", Value: "no payload"},
		{Name: "type", Value: envelope.StatementType},
		{Name: "pae", Value: hex.EncodeToString(envelope.PAE(envelope.StatementType, nil))},
	}})
}

func writeFile(t *testing.T, v *vectors.Vector) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", "spec", "vectors", v.Name+".txt")
	if err := os.WriteFile(path, v.Encode(), 0o644); err != nil { //nolint:gosec // public
		t.Fatal(err)
	}
}

// TestPAEVectors: DSSE's own example, and an empty payload.
func TestPAEVectors(t *testing.T) {
	t.Parallel()
	all, err := vectors.Read("pae")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if got := hex.EncodeToString(envelope.PAE(v.Get("type"), v.Body)); got != v.Get("pae") {
			t.Errorf("%s: the encoding is %s, want %s", v.Name, got, v.Get("pae"))
		}
	}
	const dsse = "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
	if got := string(envelope.PAE("http://example.com/HelloWorld", []byte("hello world"))); got != dsse {
		t.Errorf("the encoding is %q, want %q", got, dsse)
	}
}

// TestCases gives the expected answers without the files.
func TestCases(t *testing.T) {
	t.Parallel()
	for _, c := range cases(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k1, k2 := testKey(1), testKey(2)
			v := &vectors.Vector{Body: c.raw}
			for _, k := range []envelope.Signer{k1, k2} {
				public := k.Key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // the standard library's promise
				v.Headers = append(v.Headers, vectors.Header{
					Name: "key", Value: hex.EncodeToString(k.KeyID[:]) + " " + hex.EncodeToString(public),
				})
			}
			if got := expectation(v); got != c.expect {
				_, err := envelope.Parse(c.raw)
				t.Errorf("the answer is %s, want %s (%v)", got, c.expect, err)
			}
			file, err := vectors.Open("envelope/" + c.name)
			if err != nil {
				t.Fatalf("no vector file: %v; run with -update", err)
			}
			if sha256.Sum256(file.Body) != sha256.Sum256(c.raw) {
				t.Error("the vector file holds other bytes; run with -update")
			}
		})
	}
}
