// Package card reads, checks and issues cards: a party's public keys and
// addresses, signed by the party's root key.
//
// A card is a signed text (docs/spec/card.md). It comes from outside and is
// believed only as far as the root named inside it: whether that root is the
// party's is decided elsewhere, by the agreement that pins it or by a person
// who compares fingerprints.
//
// The package must never consult a clock, a network or a private key other
// than the root that is handed to [Issue], and must never accept a card that
// it would write differently.
package card

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"

	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Limits of a card; part of the format.
const (
	MaxFile     = 64 << 10 // bytes of the file
	MaxName     = 200      // bytes of name and of contact
	maxKeys     = 32       // key lines
	maxPerUse   = 4        // key lines of one use
	maxPerRole  = 2        // tls lines of one role: current and next
	maxDER      = 2048     // bytes of a certificate
	maxAddress  = 8        // address lines
	maxVersions = 16       // versions spoken
	maxRevoked  = 256      // revoked lines
	maxYears    = 10       // from issued to until
)

// Head is the first line of a card.
const Head = "karaula card v1"

// Card is what a party's root says about the party's online keys.
type Card struct {
	Party    string    // party code
	Name     string    // the authority's name, for people
	Serial   uint64    // from 1; may only grow
	Previous [32]byte  // digest of the text of the card before; zero exactly for serial 1
	Root     string    // verifier key of the root that signed, "al+hash+base64"
	NextRoot [32]byte  // signedtext.KeyDigest of the root that will follow
	Issued   time.Time // UTC, whole seconds
	Until    time.Time // UTC, whole seconds; the card says nothing after it
	Keys     []Key     // ordered by use; of one use the first is current
	TLS      []TLSCert // ordered by role; of one role the first is current
	Address  []string  // host:port of the public listener; the first is tried first
	NATS     string    // user nkey "U…" at partners' brokers
	Speaks   []uint32  // versions of the formats, ascending
	Revoked  []Revocation
	Contact  string // how to reach the authority's duty desk: no person's name

	Text   []byte   // the exact signed text; set by Open
	Digest [32]byte // SHA-256 of Text; set by Open
	Signed []byte   // the exact whole file; set by Open
}

// Key is one online key of a party.
type Key struct {
	Use         karaulav1.KeyUse
	Alg         string   // "ed25519" or "age-hybrid"
	ID          [16]byte // keyring.KeyID of use, algorithm and public half
	Public      string   // base64 of 32 bytes, or "age1pq1…"
	From, Until time.Time

	Ed25519 ed25519.PublicKey    // parsed Public of an ed25519 key; set by Open
	Age     *age.HybridRecipient // parsed Public of an age-hybrid key; set by Open
}

// TLSCert is a self-signed certificate that partners pin.
type TLSCert struct {
	Role string   // "broker" or "gateway"; "auditor" in an auditor's card
	DER  []byte   // the certificate
	Pin  [32]byte // SHA-256 of its SubjectPublicKeyInfo; set by Open and KeysOf
}

// Revocation ends an earlier key before its time: in this ledger nothing that
// the key signed after (Epoch, Seq) counts.
type Revocation struct {
	Key    [16]byte
	Ledger [32]byte
	Epoch  uint64 // from 1
	Seq    uint64 // 0: nothing of that epoch is good
}

// algOf gives the one algorithm that a use allows today, "" for no use.
func algOf(use karaulav1.KeyUse) string {
	switch use {
	case karaulav1.KeyUse_KEY_USE_SIGN, karaulav1.KeyUse_KEY_USE_NOTICE, karaulav1.KeyUse_KEY_USE_LINK,
		karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN:
		return keyring.AlgEd25519
	case karaulav1.KeyUse_KEY_USE_SEAL, karaulav1.KeyUse_KEY_USE_ARCHIVE,
		karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL, karaulav1.KeyUse_KEY_USE_AUDIT:
		return keyring.AlgAgeHybrid
	default:
		return ""
	}
}

// SignKey finds the key of use sign or exercise-sign with this id.
func (c *Card) SignKey(id []byte) (*Key, bool) {
	for i := range c.Keys {
		k := &c.Keys[i]
		signs := k.Use == karaulav1.KeyUse_KEY_USE_SIGN || k.Use == karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN
		if signs && string(k.ID[:]) == string(id) {
			return k, true
		}
	}
	return nil, false
}

// StatementKey gives the public half of the key with which the party signs
// statements under this card. It has the form of an envelope.KeyFunc.
func (c *Card) StatementKey(_ karaulav1.SignAlg, id [16]byte) (ed25519.PublicKey, error) {
	k, ok := c.SignKey(id[:])
	if !ok {
		return nil, problem.New(problem.Verification, "card %d of %s has no such signing key", c.Serial, c.Party)
	}
	return k.Ed25519, nil
}

// Key finds the key of this use and id.
func (c *Card) Key(use karaulav1.KeyUse, id []byte) (*Key, bool) {
	for i := range c.Keys {
		if k := &c.Keys[i]; k.Use == use && string(k.ID[:]) == string(id) {
			return k, true
		}
	}
	return nil, false
}

// Current gives the current key of a use: the first one listed.
func (c *Card) Current(use karaulav1.KeyUse) (*Key, bool) {
	for i := range c.Keys {
		if c.Keys[i].Use == use {
			return &c.Keys[i], true
		}
	}
	return nil, false
}

// SealKey gives the current key for content from partners.
func (c *Card) SealKey() (*Key, bool) { return c.Current(karaulav1.KeyUse_KEY_USE_SEAL) }

// ArchiveKey gives the current key for the party's own copies.
func (c *Card) ArchiveKey() (*Key, bool) { return c.Current(karaulav1.KeyUse_KEY_USE_ARCHIVE) }

// LinkKey gives the current key of link requests and replies.
func (c *Card) LinkKey() (*Key, bool) { return c.Current(karaulav1.KeyUse_KEY_USE_LINK) }

// Recipient gives the age recipient of the current key of a use and the key's
// id; nil if the card has none.
func (c *Card) Recipient(use karaulav1.KeyUse) (*age.HybridRecipient, [16]byte) {
	if k, ok := c.Current(use); ok && k.Age != nil {
		return k.Age, k.ID
	}
	return nil, [16]byte{}
}

// Verifier gives the note verifier of the card's root.
func (c *Card) Verifier() (note.Verifier, error) { return signedtext.Verifier(c.Root) }

// NoticeVerifiers gives the note verifiers of the card's notice keys, named
// "<party>/notice".
func (c *Card) NoticeVerifiers() []note.Verifier {
	var out []note.Verifier
	for _, k := range c.Keys {
		if k.Use != karaulav1.KeyUse_KEY_USE_NOTICE {
			continue
		}
		vkey, err := signedtext.VKey(signedtext.NoticeName(c.Party), k.Ed25519)
		if err != nil {
			continue
		}
		if v, err := signedtext.Verifier(vkey); err == nil {
			out = append(out, v)
		}
	}
	return out
}

// Pins gives the pins of the certificates of a role, current first.
func (c *Card) Pins(role string) [][32]byte {
	var out [][32]byte
	for _, t := range c.TLS {
		if t.Role == role {
			out = append(out, t.Pin)
		}
	}
	return out
}

// Fingerprint is what people compare: of the root key, see
// [signedtext.Fingerprint]; empty for a card without a valid root.
func (c *Card) Fingerprint() string {
	f, err := signedtext.Fingerprint(c.Root)
	if err != nil {
		return ""
	}
	return f
}

// Auditor reports whether this is the card of an auditor: it has keys of use
// audit and none of use sign, and then no address. With an nkey and certificates
// of role auditor it logs in at the brokers of the parties that it audits.
func (c *Card) Auditor() bool {
	_, audits := c.Current(karaulav1.KeyUse_KEY_USE_AUDIT)
	_, signs := c.Current(karaulav1.KeyUse_KEY_USE_SIGN)
	return audits && !signs
}

// ValidAt reports whether t lies in the card's own time, until exclusive.
func (c *Card) ValidAt(t time.Time) bool { return !t.Before(c.Issued) && t.Before(c.Until) }

// publicBytes gives the bytes of a public half that its id is made over.
func (k *Key) publicBytes() []byte {
	if k.Alg == keyring.AlgEd25519 {
		raw, err := base64.StdEncoding.Strict().DecodeString(k.Public)
		if err != nil {
			return nil
		}
		return raw
	}
	return []byte(k.Public)
}

// pin is SHA-256 of a certificate's SubjectPublicKeyInfo.
func pin(spki []byte) [32]byte { return sha256.Sum256(spki) }
