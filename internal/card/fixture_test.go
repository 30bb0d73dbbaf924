package card

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"

	"karaula/internal/keyring"
	"karaula/internal/signedtext"
	"karaula/internal/signedtext/texttest"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

var (
	issued = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	until  = issued.AddDate(2, 0, 0)
)

// publicPath holds public values that cannot be made the same way twice (age
// recipients, certificates); their private halves are thrown away.
const publicPath = "testdata/public.txt"

// public reads testdata/public.txt, "name value" on each line; with -update a
// missing file is made.
func public(t testing.TB) map[string]string {
	t.Helper()
	f, err := os.Open(publicPath)
	if errors.Is(err, fs.ErrNotExist) && texttest.Updating() {
		makePublic(t)
		f, err = os.Open(publicPath)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]string{}
	s := bufio.NewScanner(f)
	for s.Scan() {
		name, value, _ := strings.Cut(s.Text(), " ")
		out[name] = value
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func makePublic(t testing.TB) {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"seal", "seal-next", "archive", "audit"} {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s\n", name, id.Recipient())
	}
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "classic %s\n", classic.Recipient())
	for _, c := range []struct{ name, cn string }{
		{"broker", "al broker"},
		{"gateway", "al gateway"},
		{"gateway-next", "al gateway"},
		{"authority", "al gateway"},
		{"short-lived", "al gateway"},
		{"named", "al gateway"},
	} {
		fmt.Fprintf(&b, "%s %s\n", c.name, base64.StdEncoding.EncodeToString(certificateFor(t, c.name, c.cn)))
	}
	if err := os.WriteFile(publicPath, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// certificateFor makes a certificate like keyring's, but for what its name says.
func certificateFor(t testing.TB, name, cn string) []byte {
	t.Helper()
	key := ed25519.NewKeyFromSeed(texttest.Seed("tls " + name))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: cn},
		NotBefore: issued.AddDate(0, 0, -1), NotAfter: issued.AddDate(20, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	switch name {
	case "authority":
		template.IsCA, template.KeyUsage = true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
	case "short-lived":
		template.NotAfter = issued.AddDate(0, 1, 0)
	case "named":
		template.Subject = pkix.Name{CommonName: "al gateway", Organization: []string{"Test Authority"}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// fixture gives al's first card and the root that signs it, the same on every
// run.
func fixture(t testing.TB) (Card, note.Signer) {
	t.Helper()
	p := public(t)
	root, vkey := texttest.Signer(t, "al", "al root 1")
	_, next := texttest.Signer(t, "al", "al root 2")
	c := Card{
		Party: "al", Name: "Policia e Shtetit – test", Serial: 1, Root: vkey, NextRoot: signedtext.KeyDigest(next),
		Issued: issued, Until: until, NATS: userKey(t, "al user"), Address: []string{"al.example.org:4222", "192.0.2.1:4222"},
		Speaks: []uint32{1}, Contact: "Test desk, duty@al.example.org",
		Keys: []Key{
			ed25519Key(karaulav1.KeyUse_KEY_USE_SIGN, "sign 1"),
			ageKey(karaulav1.KeyUse_KEY_USE_SEAL, p["seal"]),
			ageKey(karaulav1.KeyUse_KEY_USE_ARCHIVE, p["archive"]),
			ed25519Key(karaulav1.KeyUse_KEY_USE_NOTICE, "notice 1"),
			ed25519Key(karaulav1.KeyUse_KEY_USE_LINK, "link 1"),
		},
		TLS: []TLSCert{
			{Role: keyring.RoleBroker, DER: der(t, p["broker"])},
			{Role: keyring.RoleGateway, DER: der(t, p["gateway"])},
		},
	}
	return c, root
}

func der(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 {
		t.Fatalf("no certificate in %s (%v)", publicPath, err)
	}
	return raw
}

func userKey(t testing.TB, word string) string {
	t.Helper()
	pair, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, texttest.Seed(word))
	if err != nil {
		t.Fatal(err)
	}
	user, err := keyring.User(pair)
	if err != nil {
		t.Fatal(err)
	}
	return user
}

func ed25519Key(use karaulav1.KeyUse, word string) Key {
	raw := ed25519.NewKeyFromSeed(texttest.Seed(word)).Public().(ed25519.PublicKey)
	return Key{
		Use: use, Alg: keyring.AlgEd25519, ID: keyring.KeyID(use, keyring.AlgEd25519, raw),
		Public: base64.StdEncoding.EncodeToString(raw), From: issued, Until: until,
	}
}

func ageKey(use karaulav1.KeyUse, recipient string) Key {
	return Key{
		Use: use, Alg: keyring.AlgAgeHybrid, ID: keyring.KeyID(use, keyring.AlgAgeHybrid, []byte(recipient)),
		Public: recipient, From: issued, Until: until,
	}
}

// signed gives a text with a root's signature, whatever the text says.
func signed(t testing.TB, text string, signers ...note.Signer) []byte {
	t.Helper()
	file := []byte(text)
	for _, s := range signers {
		var err error
		if file, err = signedtext.AddSignature(file, s); err != nil {
			t.Fatal(err)
		}
	}
	return file
}
