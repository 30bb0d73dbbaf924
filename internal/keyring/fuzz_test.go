package keyring

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"karaula/internal/problem"
	"karaula/internal/terms"
)

// FuzzLoad: whatever a key file says, reading it ends in keys of a party or in an
// error that says where, and quotes nothing of it: it may be a secret.
func FuzzLoad(f *testing.F) {
	dir := f.TempDir()
	gateway, err := NewGateway("al", testNow)
	if err != nil {
		f.Fatal(err)
	}
	broker, err := NewBroker("al", testNow)
	if err != nil {
		f.Fatal(err)
	}
	broker.GatewayUser, _ = gateway.Own.PublicKey()
	for name, save := range map[string]func(string, Passphrase) error{"gateway": gateway.Save, "broker": broker.Save} {
		path := filepath.Join(dir, name)
		if err := save(path, nil); err != nil {
			f.Fatal(err)
		}
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
		f.Add(body[:len(body)/2])
	}
	f.Add([]byte("karaula: gateway keys v1\nparty: al\nsign: {use: sign, from: x, until: y, private: AAAA}\n"))
	f.Add([]byte("a: &a [*a, *a]\n"))
	f.Add([]byte("-----BEGIN AGE ENCRYPTED FILE-----\nAAAA\n-----END AGE ENCRYPTED FILE-----\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		check := func(party string, err error) {
			switch {
			case err == nil && !terms.ValidParty(party):
				t.Errorf("keys of %q", party)
			case err != nil && !problem.Is(err, problem.Locked):
				t.Errorf("an error of another kind: %v", err)
			case err != nil && strings.Contains(err.Error(), "\n"):
				t.Errorf("an error of several lines: %q", err)
			}
		}
		party := ""
		g, err := LoadGateway(path, nil)
		if g != nil {
			party = g.Party
		}
		check(party, err)
		b, err := LoadBroker(path, nil)
		if b != nil {
			party = b.Party
		}
		check(party, err)
		r, err := LoadRoot(path, nil)
		if r != nil {
			party = r.Signer.Name()
		}
		check(party, err)
	})
}
