package keyring

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"

	"karaula/internal/problem"
)

// The roles of a party's TLS certificates, as cards write them.
const (
	RoleBroker  = "broker"
	RoleGateway = "gateway"
	RoleAuditor = "auditor"
)

// tlsValidity is written into certificates; what really limits their use is
// the card that carries them.
const tlsValidity = 20 * 365 * 24 * time.Hour

// newTLS makes a self-signed Ed25519 certificate for both ends of a link. It
// names the party and the role only; nobody checks names, everybody pins keys.
func newTLS(party, role string, now time.Time) (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, problem.Wrap(problem.Failed, err, "no TLS key was made")
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, problem.Wrap(problem.Failed, err, "no TLS key was made")
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: party + " " + role},
		NotBefore:             now.UTC().Truncate(time.Second).Add(-24 * time.Hour), // clocks differ
		NotAfter:              now.UTC().Truncate(time.Second).Add(tlsValidity),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, // and not a CA
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return tls.Certificate{}, problem.Wrap(problem.Failed, err, "no TLS certificate was made")
	}
	return tlsCertificate(der, private)
}

// tlsCertificate joins a DER certificate and its private key, which must match.
func tlsCertificate(der []byte, private ed25519.PrivateKey) (tls.Certificate, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, problem.Wrap(problem.Locked, err, "TLS certificate is damaged")
	}
	if public, ok := private.Public().(ed25519.PublicKey); !ok || !public.Equal(leaf.PublicKey) {
		return tls.Certificate{}, problem.New(problem.Locked, "TLS key and certificate do not belong together")
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, nil
}

// Pin is what partners pin of a certificate: SHA-256 over its
// SubjectPublicKeyInfo (DER).
func Pin(leaf *x509.Certificate) [32]byte { return sha256.Sum256(leaf.RawSubjectPublicKeyInfo) }
