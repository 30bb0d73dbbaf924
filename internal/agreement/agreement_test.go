package agreement

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/signedtext"
)

// testKey is a root key of a test, always the same for one party.
type testKey struct {
	note.Signer
	vkey string
}

// key makes a party's root key from its code: fixed, and no secret.
func key(t testing.TB, code string) testKey {
	t.Helper()
	seed := sha256.Sum256([]byte("karaula test root of " + code))
	private := ed25519.NewKeyFromSeed(seed[:])
	vkey, err := signedtext.VKey(code, private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return testKey{testSigner{code, private, vkey}, vkey}
}

type testSigner struct {
	name    string
	private ed25519.PrivateKey
	vkey    string
}

func (s testSigner) Name() string { return s.name }

func (s testSigner) KeyHash() uint32 {
	v, err := note.NewVerifier(s.vkey)
	if err != nil {
		panic(err)
	}
	return v.KeyHash()
}

func (s testSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.private, msg), nil }

// party makes the party line's data of a test party.
func party(t testing.TB, code string) Party {
	t.Helper()
	return Party{
		Code: code, Name: "Invented authority of " + strings.ToUpper(code), Root: key(t, code).vkey,
		Next: sha256.Sum256([]byte(key(t, code+"2").vkey)),
	}
}

// sample is a correct text of al and me, with replacements from, to, from, to.
func sample(t testing.TB, replacements ...string) []byte {
	t.Helper()
	al, me := party(t, "al"), party(t, "me")
	text := fmt.Sprintf(`karaula agreement v1
id b01-al-me
version 1
title "Police cooperation across an invented border"
basis "Illustrative, not a legal text"
valid-from 2026-01-01T00:00:00Z
valid-until 2027-01-01T00:00:00Z
winding-down 30d
party al "%s" root=%s next=%s
party me "%s" root=%s next=%s
auditor dpa "Invented data protection authority" root=%s
min-algs sign=ed25519 seal=age-hybrid
max-size 256KiB
quota 1GiB
withdraw notice=90d
continues-without 0
exercise no
channel b01-al-me mode=actual types=open
say al,me vehicle,hit personal=yes handling<=H2 retain<=3y article="Art. 5"
say al trafficking personal=yes handling<=H3 retain<=1y
---
Article 1

Nobody ever agreed to this.
`, al.Name, al.Root, FormatDigest(al.Next), me.Name, me.Root, FormatDigest(me.Next), key(t, "dpa").vkey)
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("sample has no %q", replacements[i])
		}
		text = strings.Replace(text, replacements[i], replacements[i+1], 1)
	}
	return []byte(text)
}

// mustLint is the agreement of a text without errors.
func mustLint(t testing.TB, text []byte) *Agreement {
	t.Helper()
	a, findings := Lint(text)
	if Errors(findings) > 0 {
		t.Fatalf("Lint: %v", findings)
	}
	return a
}

func TestPhases(t *testing.T) {
	t.Parallel()
	a := mustLint(t, sample(t))
	from, until := a.ValidFrom, a.ValidUntil
	closed := until.Add(30 * 24 * time.Hour)
	for _, c := range []struct {
		at   time.Time
		want Phase
	}{
		{from.Add(-time.Microsecond), NotYet},
		{from, InForce},
		{until.Add(-time.Microsecond), InForce},
		{until, WindingDown},
		{closed.Add(-time.Microsecond), WindingDown},
		{closed, Closed},
		{closed.AddDate(50, 0, 0), Closed},
	} {
		if got := a.PhaseAt(c.at); got != c.want {
			t.Errorf("PhaseAt(%v) = %v, want %v", c.at, got, c.want)
		}
	}
	if !a.ClosesAt().Equal(closed) {
		t.Errorf("ClosesAt = %v, want %v", a.ClosesAt(), closed)
	}
}

// vkeyOf is the verifier key of a test key under another name.
func vkeyOf(code string, s testSigner) (string, error) {
	return signedtext.VKey(code, s.private.Public().(ed25519.PublicKey))
}
