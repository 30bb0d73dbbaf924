package keyring

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"karaula/internal/problem"
)

// maxCertificates bounds a file of certificates, in bytes.
const maxCertificates = 64 << 10

// minRSA is the shortest RSA key that is admitted, in bits.
const minRSA = 2048

// NewInterface makes the self-signed certificate of the node's interface, for the
// names and addresses under which national systems reach it. Its key is ECDSA
// P-256, which TLS stacks of other systems know; partners never see it.
func NewInterface(party string, hosts []string, now, until time.Time) (tls.Certificate, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: party + " interface"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	return newECDSA(template, now, until)
}

// NewClient makes a self-signed certificate for a client of the interface.
func NewClient(name string, now, until time.Time) (tls.Certificate, error) {
	return newECDSA(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, now, until)
}

// newECDSA makes a key and signs the template's certificate with it.
func newECDSA(template *x509.Certificate, now, until time.Time) (tls.Certificate, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, problem.Wrap(problem.Failed, err, "no TLS key was made")
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return tls.Certificate{}, problem.Wrap(problem.Failed, err, "no TLS key was made")
	}
	template.NotBefore = now.UTC().Truncate(time.Second).Add(-time.Hour) // clocks differ
	template.NotAfter = until.UTC().Truncate(time.Second)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true // and not a CA
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return tls.Certificate{}, problem.Wrap(problem.Failed, err, "no TLS certificate was made")
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, problem.Wrap(problem.Failed, err, "no TLS certificate was made")
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, nil
}

// Fingerprint is the SHA-256 of a whole certificate (DER), which
// `openssl x509 -fingerprint -sha256` shows too. Unlike [Pin] it binds the time
// until which the certificate is valid.
func Fingerprint(leaf *x509.Certificate) [32]byte { return sha256.Sum256(leaf.Raw) }

// SavePEM writes a certificate and its private key (PKCS #8) as PEM to two new
// files; the key's is sealed if pass is given. It refuses to overwrite, and
// leaves nothing behind if it fails.
func SavePEM(certificate, key string, cert tls.Certificate, pass Passphrase) error {
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return problem.New(problem.Failed, "the key cannot be encoded, nothing was written")
	}
	if _, err := os.Lstat(certificate); !errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.Conflict, "%s exists, nothing was written", certificate)
	}
	if err := create(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pass); err != nil {
		return err
	}
	var body bytes.Buffer
	for _, der := range cert.Certificate {
		body.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	if err := writePublic(certificate, body.Bytes()); err != nil {
		_ = os.Remove(key) // it belongs to no certificate
		return problem.Wrap(problem.Failed, err, "the certificate was not written")
	}
	return nil
}

// writePublic writes a new file that everybody may read.
func writePublic(path string, body []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := writeSynced(f, body); err != nil {
		_ = os.Remove(path)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// LoadPEM reads what [SavePEM] wrote, or an authority issued: a chain whose first
// certificate belongs to the key. A key that others may read is not used.
func LoadPEM(certificate, key string, pass Passphrase) (tls.Certificate, error) {
	chain, err := readCertificates(certificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	body, err := load(key, "key of the interface", pass)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := tls.X509KeyPair(chain, body)
	if err != nil { // its text says what is wrong with the form, and never shows a key
		return tls.Certificate{}, problem.Wrap(problem.Locked, err, "%s and %s cannot be used", certificate, key).
			WithHint("put the two files back, or move both away and make new ones: karaula api init --host NAME")
	}
	return cert, nil
}

// readCertificates reads a file of certificates.
func readCertificates(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem.New(problem.NotFound, "there is no certificate at %s", path)
	case err != nil:
		return nil, problem.Wrap(problem.Failed, err, "the certificate cannot be read")
	case !info.Mode().IsRegular() || info.Size() > maxCertificates:
		return nil, problem.New(problem.Invalid, "%s is no file of at most %d bytes", path, maxCertificates)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the certificate cannot be read")
	}
	return body, nil
}

// ReadCertificate reads the first certificate of a PEM file, for a client of the
// interface that has its own. Keys that are too short are refused.
func ReadCertificate(path string) (*x509.Certificate, error) {
	body, err := readCertificates(path)
	if err != nil {
		return nil, err
	}
	return parseCertificate(path, body)
}

func parseCertificate(path string, body []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(body)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, problem.New(problem.Invalid, "%s does not begin with a certificate (PEM)", path)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, problem.New(problem.Invalid, "%s holds a certificate that cannot be read", path)
	}
	if leaf.IsCA {
		return nil, problem.New(problem.Invalid, "%s is an authority's certificate, not a client's", path).
			WithHint("give the client's own one: whoever the authority certifies would be nobody in particular")
	}
	if !strong(leaf.PublicKey) {
		return nil, problem.New(problem.Invalid, "the key of %s is too weak: ECDSA, Ed25519 or RSA from %d bits are taken", path, minRSA)
	}
	return leaf, nil
}

// strong reports whether a client's public key is admitted.
func strong(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return key.Params().BitSize >= 256
	default: // TLS 1.3 knows Ed25519 besides
		return true
	}
}
