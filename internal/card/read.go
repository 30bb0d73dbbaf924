package card

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/netip"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/nats-io/nkeys"

	"karaula/internal/keyring"
	"karaula/internal/signedtext"
	"karaula/internal/terms"
)

// strict is base64 with one spelling per value.
var strict = base64.StdEncoding.Strict()

// reader reads the lines of one card.
type reader struct{ card Card }

// rules is the form of a card: its lines, in this order.
func (r *reader) rules() []signedtext.Rule {
	return []signedtext.Rule{
		{Key: "party", Min: 1, Max: 1, Read: r.party},
		{Key: "name", Min: 1, Max: 1, Read: r.name},
		{Key: "serial", Min: 1, Max: 1, Read: r.serial},
		{Key: "previous", Min: 1, Max: 1, Read: r.previous},
		{Key: "root", Min: 1, Max: 1, Read: r.root},
		{Key: "next-root", Min: 1, Max: 1, Read: r.nextRoot},
		{Key: "issued", Min: 1, Max: 1, Read: r.issued},
		{Key: "until", Min: 1, Max: 1, Read: r.until},
		{Key: "key", Min: 1, Max: maxKeys, Read: r.key},
		{Key: "nats", Min: 0, Max: 1, Read: r.nats},
		{Key: "tls", Min: 0, Max: 2 * maxPerRole, Read: r.tls},
		{Key: "address", Min: 0, Max: maxAddress, Read: r.address},
		{Key: "speaks", Min: 1, Max: 1, Read: r.speaks},
		{Key: "revoked", Min: 0, Max: maxRevoked, Read: r.revoked},
		{Key: "contact", Min: 1, Max: 1, Read: r.contact},
	}
}

func (r *reader) party(l signedtext.Line) string {
	r.card.Party = l.Rest
	if !terms.ValidParty(l.Rest) {
		return "not a party code"
	}
	return ""
}

func (r *reader) name(l signedtext.Line) string {
	name, ok := signedtext.Quote(l.Rest, MaxName)
	r.card.Name = name
	if !ok || strings.TrimSpace(name) != name || name == "" {
		return "not a quoted name of 1 to 200 bytes"
	}
	return ""
}

func (r *reader) serial(l signedtext.Line) string {
	n, ok := signedtext.Uint(l.Rest)
	r.card.Serial = n
	if !ok || n == 0 {
		return "not a number from 1"
	}
	return ""
}

func (r *reader) previous(l signedtext.Line) string {
	if l.Rest == "none" {
		return ""
	}
	d, ok := signedtext.ParseDigest(l.Rest)
	r.card.Previous = d
	if !ok {
		return `neither "none" nor a sha256: digest`
	}
	return ""
}

func (r *reader) root(l signedtext.Line) string {
	r.card.Root = l.Rest
	if _, _, err := signedtext.ParseVKey(l.Rest); err != nil {
		return err.Error()
	}
	return ""
}

func (r *reader) nextRoot(l signedtext.Line) string {
	d, ok := signedtext.ParseDigest(l.Rest)
	r.card.NextRoot = d
	if !ok {
		return "not a sha256: digest"
	}
	return ""
}

const notTime = "not a time like 2026-05-01T00:00:00Z"

func (r *reader) issued(l signedtext.Line) string {
	t, ok := signedtext.Time(l.Rest)
	r.card.Issued = t
	if !ok {
		return notTime
	}
	return ""
}

func (r *reader) until(l signedtext.Line) string {
	t, ok := signedtext.Time(l.Rest)
	r.card.Until = t
	if !ok {
		return notTime
	}
	return ""
}

// key reads `use alg id public from..until`.
func (r *reader) key(l signedtext.Line) string {
	f := strings.Split(l.Rest, " ")
	if len(f) != 5 {
		return "not of the form: use algorithm id public from..until"
	}
	k := Key{Alg: f[1], Public: f[3]}
	use, known := terms.ParseUse(f[0])
	if k.Use = use; !known {
		return "unknown use"
	}
	if algOf(use) != k.Alg {
		return "not an algorithm for this use"
	}
	if what := k.parsePublic(); what != "" {
		return what
	}
	var id [16]byte
	if !signedtext.ParseHex(f[2], id[:]) || id != keyring.KeyID(use, k.Alg, k.publicBytes()) {
		return "the id is not that of the key"
	}
	k.ID = id
	from, until, two := strings.Cut(f[4], "..")
	var ok1, ok2 bool
	k.From, ok1 = signedtext.Time(from)
	k.Until, ok2 = signedtext.Time(until)
	if !two || !ok1 || !ok2 {
		return "not a time span like 2026-05-01T00:00:00Z..2028-05-01T00:00:00Z"
	}
	r.card.Keys = append(r.card.Keys, k)
	return ""
}

// parsePublic reads the public half.
func (k *Key) parsePublic() string {
	if k.Alg == keyring.AlgEd25519 {
		raw, err := strict.DecodeString(k.Public)
		if err != nil || signedtext.WeakKey(raw) {
			return "not an Ed25519 public key"
		}
		k.Ed25519 = ed25519.PublicKey(raw)
		return ""
	}
	to, err := age.ParseHybridRecipient(k.Public)
	if err != nil || to.String() != k.Public {
		return "not an age hybrid recipient"
	}
	k.Age = to
	return ""
}

func (r *reader) nats(l signedtext.Line) string {
	r.card.NATS = l.Rest
	if !nkeys.IsValidPublicUserKey(l.Rest) {
		return "not a public user nkey"
	}
	return ""
}

func (r *reader) tls(l signedtext.Line) string {
	role, text, _ := strings.Cut(l.Rest, " ")
	der, err := strict.DecodeString(text)
	if err != nil {
		return "not of the form: role certificate"
	}
	t, what := certificate(role, der)
	r.card.TLS = append(r.card.TLS, t)
	return what
}

// certificate checks a certificate on its own.
func certificate(role string, der []byte) (TLSCert, string) {
	t := TLSCert{Role: role, DER: der}
	if role != keyring.RoleBroker && role != keyring.RoleGateway && role != keyring.RoleAuditor {
		return t, "role is none of broker, gateway, auditor"
	}
	if len(der) > maxDER {
		return t, "certificate is too large"
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return t, "not a certificate"
	}
	t.Pin = pin(cert.RawSubjectPublicKeyInfo)
	public, ok := cert.PublicKey.(ed25519.PublicKey)
	switch {
	case !ok || signedtext.WeakKey(public):
		return t, "not an Ed25519 certificate"
	case cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil:
		return t, "certificate is not signed by its own key"
	case cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage != x509.KeyUsageDigitalSignature:
		return t, "certificate could sign others"
	case !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth),
		!slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return t, "certificate is not for server and client"
	}
	return t, ""
}

func (r *reader) address(l signedtext.Line) string {
	if slices.Contains(r.card.Address, l.Rest) {
		return "stands twice"
	}
	r.card.Address = append(r.card.Address, l.Rest)
	if !ValidAddress(l.Rest) {
		return "not host:port"
	}
	return ""
}

// ValidAddress reports whether s is host:port with a numeric port from 1 and a
// host that is a lower-case DNS name or an IP address in its usual spelling.
func ValidAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, ok := signedtext.Uint(port)
	if err != nil || !ok || n == 0 || n > 65535 || net.JoinHostPort(host, port) != s {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String() == host && ip.Zone() == "" && !ip.IsUnspecified() && !ip.IsMulticast()
	}
	return validHost(host)
}

// validHost reports whether s is a DNS name in lower case without a final dot.
func validHost(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	return strings.Trim(last, "0123456789") != "" // else it is a mistyped IP address
}

func (r *reader) speaks(l signedtext.Line) string {
	words := strings.Split(l.Rest, " ")
	var last uint64
	for _, word := range words {
		n, ok := signedtext.Uint(word)
		if !ok || n <= last || n > 1<<16 || len(words) > maxVersions {
			return "not a list of ascending version numbers"
		}
		last = n
		r.card.Speaks = append(r.card.Speaks, uint32(n))
	}
	return ""
}

// revoked reads `id last-good ledger:epoch:seq`.
func (r *reader) revoked(l signedtext.Line) string {
	const form = "not of the form: key-id last-good ledger:epoch:seq"
	f := strings.Split(l.Rest, " ")
	if len(f) != 3 || f[1] != "last-good" {
		return form
	}
	place := strings.Split(f[2], ":")
	var v Revocation
	if len(place) != 3 || !signedtext.ParseHex(f[0], v.Key[:]) || !signedtext.ParseHex(place[0], v.Ledger[:]) {
		return form
	}
	var ok1, ok2 bool
	v.Epoch, ok1 = signedtext.Uint(place[1])
	v.Seq, ok2 = signedtext.Uint(place[2])
	if !ok1 || !ok2 || v.Epoch == 0 {
		return form
	}
	r.card.Revoked = append(r.card.Revoked, v)
	return ""
}

func (r *reader) contact(l signedtext.Line) string {
	text, ok := signedtext.Quote(l.Rest, MaxName)
	r.card.Contact = text
	if !ok || strings.TrimSpace(text) != text {
		return "not a quoted text of at most 200 bytes"
	}
	return ""
}
