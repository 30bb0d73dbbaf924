// Package keyring holds a party's private keys and keeps them on disk: the
// offline root key, the gateway's online keys, the broker's keys and an
// auditor's.
//
// Only three kinds of callers may open it: init, the commands that sign
// (agreements, cards, notices), and the running node for its own half. A key
// file is created once, readable by its owner alone, and may be sealed with a
// passphrase (age, scrypt); an unsealed file that others may read is refused.
//
// The package must never print, log or put into an error any private key or
// passphrase, never overwrite a key that exists, and never give the broker's
// file anything that opens content.
package keyring

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"time"

	"filippo.io/age"
	"github.com/nats-io/nkeys"

	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// The algorithm words of cards.
const (
	AlgEd25519   = "ed25519"
	AlgAgeHybrid = "age-hybrid"
)

// Validity is how long a new online key is meant to be used.
const Validity = 2 * 365 * 24 * time.Hour

// KeyID names a key in cards, statements and receipts: the first 16 bytes of
// SHA-256("karaula/key/v1" 0 use-word 0 alg-word 0 public). The public half is
// the 32 raw bytes of an Ed25519 key or the ASCII characters of an age
// recipient ("age1pq1…"). The same key under another use has another id.
func KeyID(use karaulav1.KeyUse, alg string, public []byte) [16]byte {
	h := sha256.New()
	h.Write([]byte("karaula/key/v1\x00" + terms.UseWord(use) + "\x00" + alg + "\x00"))
	h.Write(public)
	return [16]byte(h.Sum(nil))
}

// SignKey is an Ed25519 key that signs statements or link messages.
type SignKey struct {
	ID          [16]byte           // as in the card
	Use         karaulav1.KeyUse   // sign, notice, link or exercise-sign
	Private     ed25519.PrivateKey // 64 bytes
	From, Until time.Time          // UTC, whole seconds; as in the card
}

// Public gives the 32-byte public half.
func (k SignKey) Public() ed25519.PublicKey {
	return ed25519.PublicKey(k.Private[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

// Sign signs a message (Ed25519, RFC 8032; 64 bytes).
func (k SignKey) Sign(message []byte) []byte { return ed25519.Sign(k.Private, message) }

// newSignKey makes a key for a use.
func newSignKey(use karaulav1.KeyUse, now time.Time) (SignKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return SignKey{}, problem.Wrap(problem.Failed, err, "no random numbers, no key was made")
	}
	from := now.UTC().Truncate(time.Second)
	return signKey(use, seed, from, from.Add(Validity)), nil
}

// signKey builds a key from its 32-byte seed.
func signKey(use karaulav1.KeyUse, seed []byte, from, until time.Time) SignKey {
	k := SignKey{Use: use, Private: ed25519.NewKeyFromSeed(seed), From: from, Until: until}
	k.ID = KeyID(use, AlgEd25519, k.Public())
	return k
}

// SealKey is an age hybrid identity (X25519 with ML-KEM-768) that opens
// content sealed to it.
type SealKey struct {
	ID          [16]byte         // as in the card
	Use         karaulav1.KeyUse // seal, archive, exercise-seal or audit
	Identity    *age.HybridIdentity
	From, Until time.Time // UTC, whole seconds; as in the card
}

// Recipient gives the public half as the card writes it, "age1pq1…".
func (k SealKey) Recipient() string { return k.Identity.Recipient().String() }

// newSealKey makes an identity for a use.
func newSealKey(use karaulav1.KeyUse, now time.Time) (SealKey, error) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return SealKey{}, problem.Wrap(problem.Failed, err, "no key was made")
	}
	from := now.UTC().Truncate(time.Second)
	return sealKey(use, id, from, from.Add(Validity)), nil
}

// sealKey builds a key from its identity.
func sealKey(use karaulav1.KeyUse, id *age.HybridIdentity, from, until time.Time) SealKey {
	k := SealKey{Use: use, Identity: id, From: from, Until: until}
	k.ID = KeyID(use, AlgAgeHybrid, []byte(k.Recipient()))
	return k
}

// User gives the public name of a user nkey, "U…".
func User(pair nkeys.KeyPair) (string, error) {
	if pair == nil {
		return "", problem.New(problem.Locked, "nkey is missing")
	}
	public, err := pair.PublicKey()
	if err != nil {
		return "", problem.Wrap(problem.Locked, err, "nkey is not usable")
	}
	if !nkeys.IsValidPublicUserKey(public) {
		return "", problem.New(problem.Invalid, "nkey is not a user's")
	}
	return public, nil
}
