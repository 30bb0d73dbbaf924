package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"karaula/internal/problem"
	"karaula/internal/signedtext"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

func TestMain(m *testing.M) {
	workFactor = 4 // scrypt's cost is not what is tested here
	os.Exit(m.Run())
}

var testNow = time.Date(2026, 5, 1, 10, 0, 0, 123, time.UTC)

func fixed(word string) Passphrase { return func() ([]byte, error) { return []byte(word), nil } }

func newGateway(t *testing.T) *Gateway {
	t.Helper()
	g, err := NewGateway("al", testNow)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// summary gives everything of a gateway's keys in a form that can be compared.
func summary(t *testing.T, g *Gateway) string {
	t.Helper()
	body, err := g.encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestKeyID(t *testing.T) {
	t.Parallel()
	public := bytes.Repeat([]byte{7}, 32)
	// By hand, as docs/spec/card.md says it.
	sum := sha256.Sum256(append([]byte("karaula/key/v1\x00exercise-sign\x00ed25519\x00"), public...))
	if got := KeyID(karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN, AlgEd25519, public); !bytes.Equal(got[:], sum[:16]) {
		t.Errorf("id %x, want %x", got, sum[:16])
	}
	seen := map[[16]byte]bool{}
	for use := range karaulav1.KeyUse_name {
		seen[KeyID(karaulav1.KeyUse(use), AlgEd25519, public)] = true
	}
	if len(seen) != len(karaulav1.KeyUse_name) {
		t.Error("two uses of one key share an id")
	}
}

func TestRootRoundTrip(t *testing.T) {
	t.Parallel()
	private, vkey, err := NewRoot("al")
	if err != nil {
		t.Fatal(err)
	}
	for name, pass := range map[string]Passphrase{"plain": nil, "sealed": fixed("correct horse")} {
		path := filepath.Join(t.TempDir(), name)
		if err := SaveRoot(path, private, pass); err != nil {
			t.Fatal(err)
		}
		root, err := LoadRoot(path, pass)
		if err != nil {
			t.Fatal(err)
		}
		if root.VKey != vkey {
			t.Errorf("%s: verifier key %q, want %q", name, root.VKey, vkey)
		}
		v, err := note.NewVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := root.Signer.Sign([]byte("text\n"))
		if err != nil || !v.Verify([]byte("text\n"), sig) {
			t.Errorf("%s: the signature does not verify (%v)", name, err)
		}
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if sealed := !strings.Contains(string(body), "PRIVATE"); sealed != (pass != nil) {
			t.Errorf("%s: the file is sealed: %v", name, sealed)
		}
	}
	// The note library's own keys are root keys too.
	skey, vkey2, err := note.GenerateKey(nil, "me")
	if err != nil {
		t.Fatal(err)
	}
	if root, err := ParseRoot(skey); err != nil || root.VKey != vkey2 {
		t.Errorf("key of the note library: %v", err)
	}
}

func TestRootRefused(t *testing.T) {
	t.Parallel()
	if _, _, err := NewRoot("AL"); !problem.Is(err, problem.Invalid) {
		t.Errorf("party AL: %v", err)
	}
	notice, _, err := notePair(signedtext.NoticeName("al"), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "hello", "PRIVATE+KEY+al+00000000+AAAA", notice} {
		if _, err := ParseRoot(bad); !problem.Is(err, problem.Locked) {
			t.Errorf("%q: %v", bad, err)
		}
		if err := SaveRoot(filepath.Join(t.TempDir(), "root"), bad, nil); err == nil {
			t.Errorf("%q was saved", bad)
		}
	}
}

func TestGatewayRoundTrip(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	if err := g.Rotate(testNow.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for name, pass := range map[string]Passphrase{"plain": nil, "sealed": fixed("word")} {
		path := filepath.Join(t.TempDir(), name)
		if err := g.Save(path, pass); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
		got, err := LoadGateway(path, pass)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(summary(t, g), summary(t, got)); diff != "" {
			t.Errorf("%s: keys differ after a round trip", name) // never print keys
		}
		if got.Sign.ID != g.Sign.ID || got.Seal[1].ID != g.Seal[1].ID || got.Notice.VKey != g.Notice.VKey {
			t.Errorf("%s: ids differ after a round trip", name)
		}
	}
}

func TestGatewayKeysWork(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	if !ed25519.Verify(g.Sign.Public(), []byte("m"), g.Sign.Sign([]byte("m"))) {
		t.Error("sign key does not sign")
	}
	v, err := signedtext.Verifier(g.Notice.VKey)
	if err != nil {
		t.Fatal(err)
	}
	file, err := signedtext.AddSignature([]byte("text\n"), g.Notice)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := signedtext.Signatures(file, v); err != nil || cmp.Diff([]string{"al/notice"}, names) != "" {
		t.Errorf("notice key: %v, %v", names, err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, g.Seal[0].Identity.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("m")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := age.Decrypt(bytes.NewReader(sealed.Bytes()), g.Archive[0].Identity); err == nil {
		t.Error("the archive key opens what is sealed to the seal key")
	}
	if _, err := age.Decrypt(&sealed, g.Seal[0].Identity); err != nil {
		t.Error(err)
	}
	user, err := User(g.NATS)
	if err != nil || user[0] != 'U' {
		t.Errorf("user %q, %v", user, err)
	}
	if _, err := User(nil); !problem.Is(err, problem.Locked) {
		t.Errorf("no nkey: %v", err)
	}
	if g.Sign.From.Nanosecond() != 0 || g.Sign.Until.Sub(g.Sign.From) != Validity {
		t.Errorf("window %v to %v", g.Sign.From, g.Sign.Until)
	}
}

func TestRotateRenewsTheNoticeKeyInTime(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	first := g.Notice.VKey
	if err := g.Rotate(testNow.Add(Validity / 4)); err != nil || g.Notice.VKey != first {
		t.Errorf("the notice key changed early, or %v", err)
	}
	late := testNow.Add(Validity + time.Hour)
	if err := g.Rotate(late); err != nil || g.Notice.VKey == first || !g.Notice.Key.Until.After(late) {
		t.Errorf("the notice key ran out, or %v", err)
	}
}

func TestRotateKeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	old := *g
	path := filepath.Join(t.TempDir(), "keys")
	if err := g.Save(path, nil); err != nil {
		t.Fatal(err)
	}
	if err := g.Rotate(testNow.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := g.Replace(path, nil); err != nil {
		t.Fatal(err)
	}
	g, err := LoadGateway(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if g.Sign.ID == old.Sign.ID || g.Link.ID == old.Link.ID || g.Seal[0].ID == old.Seal[0].ID {
		t.Error("a key did not change")
	}
	if g.Notice.VKey != old.Notice.VKey || !bytes.Equal(g.Officer, old.Officer) ||
		!bytes.Equal(g.TLS.Certificate[0], old.TLS.Certificate[0]) {
		t.Error("a key changed that should stay")
	}
	if k, ok := g.SignKey(old.Sign.ID[:]); !ok || !k.Private.Equal(old.Sign.Private) {
		t.Error("the retired sign key is gone")
	}
	if k, ok := g.LinkKey(old.Link.ID[:]); !ok || !k.Private.Equal(old.Link.Private) {
		t.Error("the retired link key is gone")
	}
	if _, ok := g.SignKey(old.Link.ID[:]); ok {
		t.Error("a link key passes for a sign key")
	}
	for _, k := range []SealKey{old.Seal[0], old.Archive[0], g.Seal[0], g.Archive[0]} {
		got, ok := g.Identity(k.Use, k.ID[:])
		if !ok || got.Identity.String() != k.Identity.String() {
			t.Error("an identity is gone")
		}
	}
	if _, ok := g.Identity(karaulav1.KeyUse_KEY_USE_SEAL, g.Archive[0].ID[:]); ok {
		t.Error("an archive key passes for a seal key")
	}
}

func TestBrokerRoundTrip(t *testing.T) {
	t.Parallel()
	b, err := NewBroker("al", testNow)
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t)
	if b.GatewayUser, err = User(g.Own); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := b.Save(path, nil); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(body, []byte("AGE-SECRET")) {
		t.Error("the broker's file holds a content key")
	}
	got, err := LoadBroker(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := got.encode()
	if err != nil || !bytes.Equal(body, again) {
		t.Errorf("keys differ after a round trip (%v)", err)
	}
	if _, err := LoadGateway(path, nil); !problem.Is(err, problem.Locked) {
		t.Errorf("broker keys pass for gateway keys: %v", err)
	}
	if _, err := NewBroker("al al", testNow); err == nil {
		t.Error("a broker without a party")
	}
}

func TestDamagedKeys(t *testing.T) {
	t.Parallel()
	whole := summary(t, newGateway(t))
	for name, edit := range map[string]func(string) string{
		"unknown field": func(s string) string { return s + "extra: 1\n" },
		"another kind":  func(s string) string { return strings.Replace(s, gatewayFile, brokerFile, 1) },
		"no party":      func(s string) string { return strings.Replace(s, "party: al", "party: A", 1) },
		"swapped use":   func(s string) string { return strings.Replace(s, "use: sign", "use: link", 1) },
		"short seed":    func(s string) string { return strings.Replace(s, "private: ", "private: AAAA", 1) },
		"bad window":    func(s string) string { return strings.Replace(s, "2026-05-01", "2036-05-01", 1) },
		"bad time":      func(s string) string { return strings.Replace(s, "2026-05-01", "yesterday", 1) },
		"bad identity":  func(s string) string { return strings.Replace(s, "AGE-SECRET-KEY-PQ-", "AGE-SECRET-KEY-XX-", 1) },
		"no nkey":       func(s string) string { return strings.Replace(s, "nats: S", "nats: X", 1) },
		"truncated":     func(s string) string { return s[:len(s)/2] },
		"empty":         func(string) string { return "" },
		"not YAML":      func(string) string { return "{" },
		"foreign TLS":   func(s string) string { return foreignTLS(t, s) },
		"short HMAC key": func(s string) string {
			before, _, _ := strings.Cut(s, "officer: ")
			return before + "officer: AAAA\n"
		},
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(edit(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadGateway(path, nil)
		if !problem.Is(err, problem.Locked) {
			t.Errorf("%s: %v, want kind locked", name, err)
			continue
		}
		if msg := err.Error(); strings.Contains(msg, "AGE-") || len(msg) > len(path)+100 {
			t.Errorf("%s: the error quotes the file", name)
		}
	}
}

// foreignTLS puts another key under the certificate.
func foreignTLS(t *testing.T, s string) string {
	t.Helper()
	head, tail, ok := strings.Cut(s, "tls:\n")
	if !ok {
		t.Fatal("no tls in the file")
	}
	at := strings.Index(tail, "private: ") + len("private: ")
	end := at + strings.Index(tail[at:], "\n")
	return head + "tls:\n" + tail[:at] + b64(make([]byte, 32)) + tail[end:]
}

func TestKeyIDHexInCard(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	if len(hex.EncodeToString(g.Sign.ID[:])) != 32 {
		t.Error("key ids have 32 hex digits")
	}
	if g.Seal[0].ID != KeyID(karaulav1.KeyUse_KEY_USE_SEAL, AlgAgeHybrid, []byte(g.Seal[0].Recipient())) {
		t.Error("seal key's id is not over the recipient's characters")
	}
}
