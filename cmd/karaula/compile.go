package main

import (
	"os"

	"karaula/broker"
	"karaula/cmd/karaula/internal/setup"
	"karaula/internal/keyring"
)

// writeMissing writes the certificate files that a configuration names and that
// are not there. Existing ones are left to the broker that runs on them.
func writeMissing(p broker.Plan, keys *keyring.Broker) error {
	if !exists(p.TLS.Cert) || !exists(p.TLS.Key) {
		if err := broker.WriteTLS(p.TLS, *keys.Certificate(p.Own.Server)); err != nil {
			return err
		}
	}
	if exists(p.TLS.CA) {
		return nil
	}
	bundle, err := p.CABundle()
	if err != nil {
		return err
	}
	return setup.WriteFile(p.TLS.CA, bundle, 0o600)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
