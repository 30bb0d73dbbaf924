package testworld

import (
	"bytes"
	"time"

	"filippo.io/age"

	"karaula/internal/keyring"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// NewRoot makes a root key that nobody knows yet.
func (w *World) NewRoot(code string) *keyring.Root {
	w.T.Helper()
	private, _, err := keyring.NewRoot(code)
	if err != nil {
		w.T.Fatal(err)
	}
	return ok(keyring.ParseRoot(private))(w.T)
}

// sealKey makes an age identity of any use, valid around the world's present.
func (w *World) sealKey(use karaulav1.KeyUse) keyring.SealKey {
	w.T.Helper()
	id := ok(age.GenerateHybridIdentity())(w.T)
	return keyring.SealKey{
		ID: keyring.KeyID(use, keyring.AlgAgeHybrid, []byte(id.Recipient().String())), Use: use, Identity: id,
		From: w.Now.Add(-time.Hour), Until: w.Now.Add(-time.Hour).Add(keyring.Validity),
	}
}

// Encrypt is seal.Seal for bytes that are not a frame.
func Encrypt(plain []byte, rs []*age.HybridRecipient) ([]byte, error) {
	recipients := make([]age.Recipient, len(rs))
	for i, r := range rs {
		recipients[i] = r
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipients...)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}
