package broker

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"karaula/internal/durable"
	"karaula/internal/problem"
)

// Prepare writes what a server needs to start or reload: the bundle of
// certificates (plan.TLS.CA) and the configuration. It reports whether either
// changed. A reader never sees half a file.
func Prepare(p Plan, configFile string) (changed bool, err error) {
	conf, err := Compile(p)
	if err != nil {
		return false, err
	}
	bundle, err := p.CABundle()
	if err != nil {
		return false, err
	}
	for _, dir := range []string{filepath.Dir(configFile), filepath.Dir(p.TLS.CA), p.StoreDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return false, problem.Wrap(problem.Failed, err, "the broker's folder cannot be made")
		}
	}
	for _, file := range []struct {
		name string
		text []byte
	}{{p.TLS.CA, bundle}, {configFile, conf}} {
		old, err := os.ReadFile(file.name)
		if err == nil && bytes.Equal(old, file.text) {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return changed, problem.Wrap(problem.Failed, err, "the broker's file %s cannot be read", file.name)
		}
		if err := durable.Replace(file.name, file.text, 0o600); err != nil {
			return changed, problem.Wrap(problem.Failed, err, "%s was not written and stays as it was", file.name)
		}
		changed = true
	}
	return changed, nil
}

// WriteTLS writes the listener's certificate and key where the plan expects
// them, readable by the node's user only.
func WriteTLS(files TLSFiles, cert tls.Certificate) error {
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return problem.Wrap(problem.Locked, err, "the broker's TLS key cannot be written")
	}
	for _, file := range []struct {
		name, kind string
		der        []byte
	}{
		{files.Cert, "CERTIFICATE", cert.Certificate[0]},
		{files.Key, "PRIVATE KEY", key},
	} {
		if err := os.MkdirAll(filepath.Dir(file.name), 0o700); err != nil {
			return problem.Wrap(problem.Failed, err, "the broker's folder cannot be made")
		}
		if err := durable.Replace(file.name, pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.der}), 0o600); err != nil {
			return problem.Wrap(problem.Failed, err, "%s was not written and stays as it was", file.name)
		}
	}
	return nil
}
