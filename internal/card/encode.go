package card

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/signedtext"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Encode writes the card's text, unsigned. It is the only spelling that Open
// accepts; a card that breaks a rule still encodes and is then refused there.
func (c *Card) Encode() []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(Head)
	line("party %s", c.Party)
	line(`name "%s"`, c.Name) // no %q: the format has no escapes, and Open refuses what would need one
	line("serial %d", c.Serial)
	if c.Previous == [32]byte{} {
		line("previous none")
	} else {
		line("previous %s", signedtext.FormatDigest(c.Previous))
	}
	line("root %s", c.Root)
	line("next-root %s", signedtext.FormatDigest(c.NextRoot))
	line("issued %s", signedtext.FormatTime(c.Issued))
	line("until %s", signedtext.FormatTime(c.Until))
	for _, k := range c.Keys {
		line("key %s %s %s %s %s..%s", terms.UseWord(k.Use), k.Alg, hex.EncodeToString(k.ID[:]), k.Public,
			signedtext.FormatTime(k.From), signedtext.FormatTime(k.Until))
	}
	if c.NATS != "" {
		line("nats %s", c.NATS)
	}
	for _, t := range c.TLS {
		line("tls %s %s", t.Role, base64.StdEncoding.EncodeToString(t.DER))
	}
	for _, a := range c.Address {
		line("address %s", a)
	}
	versions := make([]string, 0, len(c.Speaks))
	for _, v := range c.Speaks {
		versions = append(versions, strconv.FormatUint(uint64(v), 10))
	}
	line("speaks %s", strings.Join(versions, " "))
	for _, r := range c.Revoked {
		line("revoked %x last-good %x:%d:%d", r.Key, r.Ledger, r.Epoch, r.Seq)
	}
	line(`contact "%s"`, c.Contact)
	return []byte(b.String())
}

// Issue encodes the card, signs it with the root that it names and gives the
// file, after opening it as any reader would: what Issue gives, Open accepts.
func Issue(c Card, root note.Signer) ([]byte, error) {
	name, _, err := signedtext.ParseVKey(c.Root)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the card names no valid root, it was not signed")
	}
	v, err := signedtext.Verifier(c.Root)
	if err != nil {
		return nil, err
	}
	if root.Name() != name || root.KeyHash() != v.KeyHash() {
		return nil, problem.New(problem.Verification, "the root key is not the one that the card names, it was not signed")
	}
	text := c.Encode()
	if findings := check(text); len(findings) > 0 {
		return nil, signedtext.Problem(problem.Invalid, "the card was not signed", findings)
	}
	file, err := signedtext.AddSignature(text, root)
	if err != nil {
		return nil, err
	}
	if _, err := Open(file); err != nil {
		return nil, err
	}
	return file, nil
}

// KeysOf gives the card's key lines for a gateway's current keys, and its
// certificate lines for gateway and broker. While the broker has announced its next
// certificate, that stands behind the present one, and behind the gateway's stands
// the one before it: the own machines that do not have the new keys yet show it.
func KeysOf(g *keyring.Gateway, b *keyring.Broker) ([]Key, []TLSCert, error) {
	if len(g.Seal) == 0 || len(g.Archive) == 0 {
		return nil, nil, problem.New(problem.Locked, "the gateway's seal or archive key is missing")
	}
	keys := []Key{
		signer(g.Sign), sealer(g.Seal[0]), sealer(g.Archive[0]), signer(g.Notice.Key), signer(g.Link),
	}
	if len(g.ExerciseSign.Private) > 0 && len(g.ExerciseSeal) > 0 {
		keys = append(keys, signer(g.ExerciseSign), sealer(g.ExerciseSeal[0]))
	}
	shown := []roleCert{{keyring.RoleBroker, b.TLS}, {keyring.RoleGateway, g.TLS}}
	if b.Next != nil {
		shown = []roleCert{{keyring.RoleBroker, b.TLS}, {keyring.RoleBroker, *b.Next}, {keyring.RoleGateway, g.TLS}}
		if len(g.Earlier) > 0 {
			shown = append(shown, roleCert{keyring.RoleGateway, g.Earlier[0].TLS})
		}
	}
	certs, err := certificates(shown)
	if err != nil {
		return nil, nil, err
	}
	return keys, certs, nil
}

// roleCert is a certificate and what it is for.
type roleCert struct {
	role string
	cert tls.Certificate
}

// certificates gives the certificate lines of a card.
func certificates(list []roleCert) ([]TLSCert, error) {
	var out []TLSCert
	for _, t := range list {
		if len(t.cert.Certificate) != 1 {
			return nil, problem.New(problem.Locked, "the %s's TLS certificate is missing", t.role)
		}
		c, fault := certificate(t.role, t.cert.Certificate[0])
		if fault != "" {
			return nil, problem.New(problem.Invalid, "the %s's TLS certificate: %s", t.role, fault)
		}
		out = append(out, c)
	}
	return out, nil
}

// NoticeKey gives the private notice key that the card names: partners know it,
// whatever newer one may wait for its card.
func (c *Card) NoticeKey(g *keyring.Gateway) (keyring.NoticeKey, error) {
	for _, k := range c.Keys {
		if k.Use != karaulav1.KeyUse_KEY_USE_NOTICE {
			continue
		}
		if own, ok := g.NoticeKey(k.ID[:]); ok {
			return own, nil
		}
	}
	return keyring.NoticeKey{}, problem.New(problem.Locked, "the notice key of card %d is not here; nothing was signed", c.Serial)
}

// Draft gives the card that follows from a party's current keys: party, keys,
// certificates, nkey, the versions that this program speaks, issued now, valid
// as long as its sign key. The caller adds name, serial, previous, roots,
// addresses and contact.
func Draft(g *keyring.Gateway, b *keyring.Broker, now time.Time) (Card, error) {
	keys, certs, err := KeysOf(g, b)
	if err != nil {
		return Card{}, err
	}
	user, err := keyring.User(g.NATS)
	if err != nil {
		return Card{}, err
	}
	return Card{
		Party: g.Party, Serial: 1, Issued: now.UTC().Truncate(time.Second), Until: g.Sign.Until,
		Keys: keys, TLS: certs, NATS: user, Speaks: []uint32{1},
	}, nil
}

// DraftAuditor gives the card that follows from an auditor's keys, like [Draft].
// Without a login nobody's broker lets the auditor in.
func DraftAuditor(a *keyring.Auditor, login bool, now time.Time) (Card, error) {
	c := Card{
		Party: a.Party, Serial: 1, Issued: now.UTC().Truncate(time.Second), Until: a.Audit[0].Until,
		Keys: []Key{sealer(a.Audit[0])}, Speaks: []uint32{1},
	}
	if !login {
		return c, nil
	}
	cert, fault := certificate(keyring.RoleAuditor, a.TLS.Certificate[0])
	if fault != "" {
		return Card{}, problem.New(problem.Invalid, "the auditor's TLS certificate: %s", fault)
	}
	var err error
	c.TLS = []TLSCert{cert}
	c.NATS, err = keyring.User(a.NATS)
	return c, err
}

func signer(k keyring.SignKey) Key {
	public := k.Public()
	return Key{
		Use: k.Use, Alg: keyring.AlgEd25519, ID: k.ID, From: k.From, Until: k.Until,
		Public: base64.StdEncoding.EncodeToString(public), Ed25519: public,
	}
}

func sealer(k keyring.SealKey) Key {
	return Key{
		Use: k.Use, Alg: keyring.AlgAgeHybrid, ID: k.ID, From: k.From, Until: k.Until,
		Public: k.Recipient(), Age: k.Identity.Recipient(),
	}
}

// uses lists the uses that a party's card must have.
var uses = []karaulav1.KeyUse{
	karaulav1.KeyUse_KEY_USE_SIGN, karaulav1.KeyUse_KEY_USE_SEAL, karaulav1.KeyUse_KEY_USE_ARCHIVE,
	karaulav1.KeyUse_KEY_USE_NOTICE, karaulav1.KeyUse_KEY_USE_LINK,
}
