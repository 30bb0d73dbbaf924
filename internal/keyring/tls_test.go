package keyring

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// serve answers TLS connections the way nats-server does with verify: true and
// a ca_file that holds the partners' certificates, until the test ends.
func serve(t *testing.T, own tls.Certificate, partners *x509.CertPool) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: partners,
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := io.WriteString(c, "hello"); err == nil {
				_, _ = io.Copy(io.Discard, c)
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// greeted dials with a client certificate, pins the server's key, and reports
// whether the server let it in.
func greeted(t *testing.T, addr string, client tls.Certificate, pin [32]byte) bool {
	t.Helper()
	raw, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{client},
		InsecureSkipVerify: true, // the pin is the check
		VerifyConnection: func(s tls.ConnectionState) error {
			if Pin(s.PeerCertificates[0]) != pin {
				return io.ErrUnexpectedEOF
			}
			return nil
		},
	})
	hello := make([]byte, 5)
	_, err = io.ReadFull(c, hello)
	return err == nil && string(hello) == "hello"
}

func TestCertificatesMeet(t *testing.T) {
	t.Parallel()
	now := time.Now()
	mine, err := newTLS("al", RoleBroker, now)
	if err != nil {
		t.Fatal(err)
	}
	partner, err := newTLS("me", RoleGateway, now)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := newTLS("me", RoleGateway, now)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(partner.Leaf)
	addr := serve(t, mine, pool)
	if !greeted(t, addr, partner, Pin(mine.Leaf)) {
		t.Error("the partner's certificate, itself in the pool, is not accepted")
	}
	if greeted(t, addr, stranger, Pin(mine.Leaf)) {
		t.Error("a certificate with the same name and another key is accepted")
	}
	if greeted(t, addr, child(t, partner, now), Pin(mine.Leaf)) {
		t.Error("a certificate that a partner signed is accepted: partners would be authorities")
	}
	if greeted(t, addr, partner, Pin(partner.Leaf)) {
		t.Error("a wrong pin of the server is accepted")
	}
}

// child is a certificate that the holder of a leaf signs with it.
func child(t *testing.T, parent tls.Certificate, now time.Time) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "xk gateway"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Leaf, public, parent.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, parent.Certificate[0]}, PrivateKey: private}
}

func TestCertificateSaysLittle(t *testing.T) {
	t.Parallel()
	c, err := newTLS("al", RoleGateway, testNow)
	if err != nil {
		t.Fatal(err)
	}
	leaf := c.Leaf
	if leaf.Subject.String() != "CN=al gateway" || leaf.IsCA || !leaf.BasicConstraintsValid {
		t.Errorf("subject %s, CA %v", leaf.Subject, leaf.IsCA)
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0 {
		t.Error("the certificate names addresses")
	}
	if years := leaf.NotAfter.Sub(testNow).Hours() / 24 / 365; years < 19.9 || years > 20.1 {
		t.Errorf("valid for %.1f years", years)
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 2 {
		t.Errorf("usage %v %v", leaf.KeyUsage, leaf.ExtKeyUsage)
	}
}
