package keyring

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"karaula/internal/problem"
)

func TestPEMComesBack(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	cert, err := NewInterface("al", []string{"127.0.0.1", "karaula.example.org"}, now, now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	crt, key := filepath.Join(dir, "a.crt"), filepath.Join(dir, "a.key")
	if err := SavePEM(crt, key, cert, nil); err != nil {
		t.Fatal(err)
	}
	got, err := LoadPEM(crt, key, nil)
	if err != nil || Fingerprint(got.Leaf) != Fingerprint(cert.Leaf) {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "karaula.example.org"} {
		if err := got.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if err := SavePEM(crt, filepath.Join(dir, "b.key"), cert, nil); !problem.Is(err, problem.Conflict) {
		t.Errorf("over another certificate: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "b.key")); err == nil {
		t.Error("a key was left that belongs to nothing")
	}
	other, err := NewClient("x", now, now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := SavePEM(filepath.Join(dir, "c.crt"), filepath.Join(dir, "c.key"), other, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPEM(crt, filepath.Join(dir, "c.key"), nil); !problem.Is(err, problem.Locked) {
		t.Errorf("another key: %v", err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPEM(crt, key, nil); !problem.Is(err, problem.Locked) {
		t.Errorf("a key that others may read: %v", err)
	}
}

func TestClientsCertificates(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	issue := func(name string, bits int, ca bool) string {
		private, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: now.AddDate(1, 0, 0),
			BasicConstraintsValid: true, IsCA: ca,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if _, err := ReadCertificate(issue("good", 2048, false)); err != nil {
		t.Error(err)
	}
	for _, path := range []string{issue("weak", 1024, false), issue("authority", 2048, true), dir} {
		if _, err := ReadCertificate(path); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	if _, err := ReadCertificate(filepath.Join(dir, "none")); !problem.Is(err, problem.NotFound) {
		t.Errorf("none: %v", err)
	}
}

// FuzzCertificate: no file of a client breaks what reads it.
func FuzzCertificate(f *testing.F) {
	cert, err := NewClient("x", time.Now(), time.Now().AddDate(1, 0, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		leaf, err := parseCertificate("x", raw)
		if (leaf == nil) == (err == nil) {
			t.Errorf("%v, %v", leaf, err)
		}
	})
}
