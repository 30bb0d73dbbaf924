package keyring

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/problem"
	"karaula/internal/signedtext"
	"karaula/internal/terms"
)

// Root is a party's root key: it signs cards, agreements and grave notices,
// and stays offline.
type Root struct {
	Signer note.Signer // named like the party, "al"
	VKey   string      // verifier key, "al+hash+base64"
}

// NewRoot makes a root key for a party. Private is the line to keep
// ("PRIVATE+KEY+al+…"), vkey the verifier key to publish.
func NewRoot(party string) (private, vkey string, err error) {
	if !terms.ValidParty(party) {
		return "", "", problem.New(problem.Invalid, "%q is not a party code, no root key was made", party)
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return "", "", problem.Wrap(problem.Failed, err, "no random numbers, no root key was made")
	}
	return notePair(party, seed)
}

// notePair writes the note key pair of a 32-byte Ed25519 seed.
func notePair(name string, seed []byte) (private, vkey string, err error) {
	key := ed25519.NewKeyFromSeed(seed)
	vkey, err = signedtext.VKey(name, ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:]))
	if err != nil {
		return "", "", err
	}
	hash := strings.Split(vkey, "+")[1]
	encoded := base64.StdEncoding.EncodeToString(append([]byte{1}, seed...)) // 1: Ed25519
	return fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, hash, encoded), vkey, nil
}

// ParseRoot reads a root's private key line.
func ParseRoot(private string) (*Root, error) {
	bad := problem.New(problem.Locked, "this is not a root key")
	signer, err := note.NewSigner(private)
	if err != nil || !terms.ValidParty(signer.Name()) {
		return nil, bad
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(private, noteHead(signer)))
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return nil, bad
	}
	_, vkey, err := notePair(signer.Name(), raw[1:])
	if err != nil {
		return nil, bad
	}
	return &Root{Signer: signer, VKey: vkey}, nil
}

// noteHead is the part of a private key line before the base64.
func noteHead(s note.Signer) string {
	return fmt.Sprintf("PRIVATE+KEY+%s+%08x+", s.Name(), s.KeyHash())
}

// SaveRoot writes a root's private key line to a new file, sealed if pass is
// given. It refuses to overwrite.
func SaveRoot(path, private string, pass Passphrase) error {
	if _, err := ParseRoot(private); err != nil {
		return err
	}
	return create(path, []byte(private+"\n"), pass)
}

// LoadRoot opens a root key file. A missing or sealed file without the right
// passphrase is a problem of kind Locked.
func LoadRoot(path string, pass Passphrase) (*Root, error) {
	body, err := load(path, "root key", pass)
	if err != nil {
		return nil, err
	}
	root, err := ParseRoot(strings.TrimSuffix(string(body), "\n"))
	if err != nil {
		return nil, problem.New(problem.Locked, "%s does not hold a root key", path)
	}
	return root, nil
}
