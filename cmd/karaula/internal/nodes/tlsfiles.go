package nodes

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"

	"karaula/internal/node"
	"karaula/internal/problem"
)

// writeTLS gives nats-server the broker's certificate and key as the files that
// it reads. The key is the one secret that lies open in the folder even where
// the others are sealed: it proves the broker's identity to partners, and opens
// no content.
func writeTLS(l node.Layout, cert tls.Certificate) error {
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return problem.Wrap(problem.Locked, err, "the broker's TLS key cannot be used")
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{l.TLSCert(), "CERTIFICATE", cert.Certificate[0]}, {l.TLSKey(), "PRIVATE KEY", key}} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		if old, err := os.ReadFile(f.path); err == nil && bytes.Equal(old, text) {
			continue
		}
		if err := os.WriteFile(f.path, text, 0o600); err != nil {
			return problem.Wrap(problem.Failed, err, "the broker's TLS files cannot be written")
		}
	}
	return nil
}
