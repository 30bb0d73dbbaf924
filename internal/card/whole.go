package card

import (
	"crypto/x509"
	"fmt"
	"slices"

	"karaula/internal/keyring"
	"karaula/internal/signedtext"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// whole checks what no single line shows.
func (r *reader) whole() []signedtext.Finding {
	c := &r.card
	w := &whole{}
	if name, _, err := signedtext.ParseVKey(c.Root); err == nil && name != c.Party {
		w.fault("root", "the root is named %q, not %q like the party", name, c.Party)
	}
	if c.NextRoot == signedtext.KeyDigest(c.Root) {
		w.fault("next-root", "the next root is the present one")
	}
	if (c.Previous == [32]byte{}) != (c.Serial == 1) {
		w.fault("previous", `previous is "none" exactly for serial 1`)
	}
	if !c.Issued.Before(c.Until) || c.Until.After(c.Issued.AddDate(maxYears, 0, 0)) {
		w.fault("until", "until does not lie after issued, within %d years", maxYears)
	}
	w.keys(c)
	w.revoked(c)
	if c.Auditor() {
		w.auditor(c)
		return w.findings
	}
	for _, use := range uses {
		if _, ok := c.Current(use); !ok {
			w.fault("key", "no key of use %s", terms.UseWord(use))
		}
	}
	if c.NATS == "" {
		w.fault("nats", `"nats" is missing`)
	}
	if len(c.Address) == 0 {
		w.fault("address", `"address" is missing`)
	}
	w.tls(c, keyring.RoleBroker, keyring.RoleGateway)
	return w.findings
}

// auditor checks an auditor's card: it is nobody's broker, and may log in at
// those of others, or not.
func (w *whole) auditor(c *Card) {
	if len(c.Address) > 0 {
		w.fault("auditor", "an auditor's card has no address")
	}
	if c.NATS == "" && len(c.TLS) == 0 {
		return
	}
	if c.NATS == "" {
		w.fault("nats", `"nats" is missing`)
	}
	w.tls(c, keyring.RoleAuditor)
}

// whole collects findings about the card as a whole.
type whole struct{ findings []signedtext.Finding }

func (w *whole) fault(code, format string, args ...any) {
	w.findings = append(w.findings, signedtext.Finding{Code: code, Text: fmt.Sprintf(format, args...)})
}

// keys checks order, numbers, ids and times of the keys.
func (w *whole) keys(c *Card) {
	ids, publics := map[[16]byte]bool{}, map[string]bool{}
	perUse := map[karaulav1.KeyUse]int{}
	var last karaulav1.KeyUse
	for _, k := range c.Keys {
		use := terms.UseWord(k.Use)
		if k.Use < last {
			w.fault("key", "key of use %s stands below one of use %s", use, terms.UseWord(last))
		}
		last = max(last, k.Use)
		if perUse[k.Use]++; perUse[k.Use] == maxPerUse+1 {
			w.fault("key", "more than %d keys of use %s", maxPerUse, use)
		}
		if ids[k.ID] {
			w.fault("key", "key id %x stands twice", k.ID)
		} else if publics[k.Public] {
			w.fault("key", "one key has two uses, %s among them", use)
		}
		ids[k.ID], publics[k.Public] = true, true
		if !k.From.Before(k.Until) {
			w.fault("key", "key %x ends before it begins", k.ID)
		} else if !k.From.Before(c.Until) || !k.Until.After(c.Issued) {
			w.fault("key", "key %x is not valid at any time of the card", k.ID)
		}
	}
	if raw := rootBytes(c.Root); raw != "" {
		for _, k := range c.Keys {
			if string(k.Ed25519) == raw {
				w.fault("key", "the root key serves as an online key")
			}
		}
	}
}

// rootBytes gives the raw public root key as a string.
func rootBytes(vkey string) string {
	_, public, err := signedtext.ParseVKey(vkey)
	if err != nil {
		return ""
	}
	return string(public)
}

// revoked checks the revocations against the keys.
func (w *whole) revoked(c *Card) {
	type place struct {
		key    [16]byte
		ledger [32]byte
	}
	seen := map[place]bool{}
	for _, v := range c.Revoked {
		for _, k := range c.Keys {
			if k.ID == v.Key {
				w.fault("revoked", "key %x is revoked and in use", v.Key)
			}
		}
		p := place{v.Key, v.Ledger}
		if seen[p] {
			w.fault("revoked", "key %x is revoked twice for one ledger", v.Key)
		}
		seen[p] = true
	}
}

// tls checks roles, names and times of the certificates. There must be one of
// each of these roles, and none of another.
func (w *whole) tls(c *Card, roles ...string) {
	count, pins := map[string]int{}, map[[32]byte]bool{}
	for i, t := range c.TLS {
		if i > 0 && t.Role < c.TLS[i-1].Role {
			w.fault("tls", "tls line of role %s stands below one of role %s", t.Role, c.TLS[i-1].Role)
		}
		if count[t.Role]++; count[t.Role] == maxPerRole+1 {
			w.fault("tls", "more than %d tls lines of role %s", maxPerRole, t.Role)
		}
		if pins[t.Pin] {
			w.fault("tls", "two certificates have one key")
		}
		pins[t.Pin] = true
		cert, err := x509.ParseCertificate(t.DER)
		if err != nil {
			continue // said by the line's own check
		}
		if want := c.Party + " " + t.Role; cert.Subject.CommonName != want || len(cert.Subject.Names) != 1 {
			w.fault("tls", "certificate of role %s names something else than %q", t.Role, want)
		}
		if cert.NotBefore.After(c.Issued) || cert.NotAfter.Before(c.Until) {
			w.fault("tls", "certificate of role %s is not valid for the card's whole time", t.Role)
		}
	}
	for _, t := range c.TLS {
		if !slices.Contains(roles, t.Role) {
			w.fault("tls", "a tls line of role %s has no place in this card", t.Role)
		}
	}
	for _, role := range roles {
		if count[role] == 0 {
			w.fault("tls", "no tls line of role %s", role)
		}
	}
}
