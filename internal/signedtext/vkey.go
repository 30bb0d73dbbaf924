package signedtext

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/problem"
	"karaula/internal/terms"
)

// NoticeName is the note name of a party's notice key: "al/notice". The root
// key's note name is the party code itself.
func NoticeName(party string) string { return party + "/notice" }

// ValidName reports whether s may stand as the name of a signer: a party code,
// or a party code, a slash and a lower-case word.
func ValidName(s string) bool {
	party, use, slash := strings.Cut(s, "/")
	return terms.ValidParty(party) && (!slash || terms.ValidParty(use))
}

// ParseVKey reads a verifier key like "al+5d0a5bd0+Aaz…" and gives its name
// and Ed25519 public key. Only the one spelling that note.GenerateKey writes
// is accepted, and no key of small order (for which anybody could sign).
func ParseVKey(vkey string) (name string, public ed25519.PublicKey, err error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return "", nil, problem.Wrap(problem.Invalid, err, "not a verifier key")
	}
	_, tail, _ := strings.Cut(strings.TrimPrefix(vkey, v.Name()), "+")
	_, key64, _ := strings.Cut(tail, "+")
	raw, err := b64.DecodeString(key64)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return "", nil, problem.New(problem.Invalid, "not a verifier key: bad base64")
	}
	public = ed25519.PublicKey(raw[1:])
	if again, err := note.NewEd25519VerifierKey(v.Name(), public); err != nil || again != vkey {
		return "", nil, problem.New(problem.Invalid, "not a verifier key: not in its canonical spelling")
	}
	if !ValidName(v.Name()) {
		return "", nil, problem.New(problem.Invalid, "verifier key's name %q is not a party code", v.Name())
	}
	if WeakKey(public) {
		return "", nil, problem.New(problem.Invalid, "verifier key of %s is of small order, anybody could sign for it",
			v.Name())
	}
	return v.Name(), public, nil
}

// VKey gives the verifier key of a name and an Ed25519 public key.
func VKey(name string, public ed25519.PublicKey) (string, error) {
	if !ValidName(name) {
		return "", problem.New(problem.Invalid, "%q cannot name a signer", name)
	}
	return note.NewEd25519VerifierKey(name, public)
}

// Verifier makes a verifier of a key that [ParseVKey] accepts.
func Verifier(vkey string) (note.Verifier, error) {
	if _, _, err := ParseVKey(vkey); err != nil {
		return nil, err
	}
	return note.NewVerifier(vkey)
}

// Fingerprint is what two people compare by telephone: the first 16 bytes of
// SHA-256 over the 32-byte public key, in upper hex, 8 groups of four.
func Fingerprint(vkey string) (string, error) {
	_, public, err := ParseVKey(vkey)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(public)
	text := strings.ToUpper(hex.EncodeToString(sum[:16]))
	var groups []string
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:i+4])
	}
	return strings.Join(groups, " "), nil
}

// small lists the encodings of Ed25519 points of small order with the sign bit
// cleared, non-canonical ones included (RFC 8032 field arithmetic; the same
// list as libsodium's).
var small = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// WeakKey reports whether an Ed25519 public key is of small order or of the
// wrong length: signatures under it can be made without a private key.
func WeakKey(public ed25519.PublicKey) bool {
	if len(public) != ed25519.PublicKeySize {
		return true
	}
	k := slices.Clone(public)
	k[31] &= 0x7f
	return slices.Contains(small, hex.EncodeToString(k))
}

// KeyDigest names a root key that is not shown yet: SHA-256 over the
// characters of its verifier key, without a newline. Cards (next-root) and
// agreements (next=) announce a party's next root by it.
func KeyDigest(vkey string) [32]byte { return sha256.Sum256([]byte(vkey)) }

// SameFingerprint reports whether two people mean the same fingerprint: spaces,
// colons, hyphens and case, which people add when they write one down, don't count.
func SameFingerprint(a, b string) bool {
	plain := strings.NewReplacer(" ", "", ":", "", "-", "")
	return strings.EqualFold(plain.Replace(a), plain.Replace(b))
}
