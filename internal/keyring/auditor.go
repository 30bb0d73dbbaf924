package keyring

import (
	"crypto/tls"
	"time"

	"github.com/nats-io/nkeys"

	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Auditor is what an auditor has: keys that open what is sealed to it, and a
// login at the brokers of the parties whose agreements name it. Nothing in it
// signs: an auditor says nothing.
type Auditor struct {
	Party string
	Audit []SealKey       // opens content, newest first; old ones stay until their content is erased
	NATS  nkeys.KeyPair   // user at parties' brokers; its public half is in the card
	TLS   tls.Certificate // of role auditor
}

// storedAuditor is the file DIR/auditor/keys.
type storedAuditor struct {
	Karaula string      `yaml:"karaula"`
	Party   string      `yaml:"party"`
	Audit   []storedKey `yaml:"audit"`
	NATS    string      `yaml:"nats"`
	TLS     storedTLS   `yaml:"tls"`
}

// NewAuditor makes all keys of an auditor, valid from now.
func NewAuditor(party string, now time.Time) (*Auditor, error) {
	if !terms.ValidParty(party) {
		return nil, problem.New(problem.Invalid, "%q is not a party code, no keys were made", party)
	}
	a := &Auditor{Party: party}
	return a, a.Rotate(now)
}

// Rotate makes new keys of all kinds. Old identities stay, because content that
// was sealed to them is still there; the old login is gone with its key. Nothing
// is written until [Auditor.Replace].
func (a *Auditor) Rotate(now time.Time) error {
	key, err := newSealKey(karaulav1.KeyUse_KEY_USE_AUDIT, now)
	if err != nil {
		return err
	}
	user, err := newUser()
	if err != nil {
		return err
	}
	cert, err := newTLS(a.Party, RoleAuditor, now)
	if err != nil {
		return err
	}
	a.Audit, a.NATS, a.TLS = append([]SealKey{key}, a.Audit...), user, cert
	return nil
}

// encode renders the keys as their file holds them, unsealed.
func (a *Auditor) encode() ([]byte, error) {
	doc := storedAuditor{Karaula: auditorFile, Party: a.Party, Audit: storeSeal(a.Audit)}
	var err error
	if doc.NATS, err = storeUser(a.NATS); err != nil {
		return nil, err
	}
	if doc.TLS, err = storeTLS(a.TLS); err != nil {
		return nil, err
	}
	return encode(doc)
}

// Save writes the keys to a new file, sealed if pass is given. It refuses to
// overwrite.
func (a *Auditor) Save(path string, pass Passphrase) error {
	body, err := a.encode()
	if err != nil {
		return err
	}
	return create(path, body, pass)
}

// Replace puts these keys in the place of an existing file, atomically.
func (a *Auditor) Replace(path string, pass Passphrase) error {
	body, err := a.encode()
	if err != nil {
		return err
	}
	return replace(path, body, pass)
}

// LoadAuditor opens an auditor's key file, like [LoadGateway].
func LoadAuditor(path string, pass Passphrase) (*Auditor, error) {
	body, err := load(path, "auditor's keys", pass)
	if err != nil {
		return nil, err
	}
	var doc storedAuditor
	if err := decode(path, body, &doc); err != nil {
		return nil, err
	}
	r := &reader{}
	a := &Auditor{
		Party: doc.Party, Audit: r.seal(doc.Audit, karaulav1.KeyUse_KEY_USE_AUDIT), NATS: r.user(doc.NATS), TLS: r.tls(doc.TLS),
	}
	if doc.Karaula != auditorFile || !terms.ValidParty(doc.Party) || r.bad {
		return nil, damaged(path)
	}
	return a, nil
}
