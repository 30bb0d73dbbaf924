package prove

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"karaula/broker"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/subject"
)

// Places of a configuration where keys, paths and the listen address stand.
var (
	nkeyPlace    = regexp.MustCompile(`\bU[A-Z2-7]{55}\b`)
	pinPlace     = regexp.MustCompile(`"[0-9a-f]{64}"`)
	settingPlace = regexp.MustCompile(`(?m)^(\s*)(listen|store_dir|cert_file|key_file|ca_file): ".*"$`)
)

// actor is somebody with test credentials in place of its real ones.
type actor struct {
	who  who
	nkey string // public half of the test nkey, as the test text has it
	user nkeys.KeyPair
	cert *tls.Certificate
	pin  string // of cert, as the test text has it
}

// cast are all actors of one broker, and what of the real text became what of
// the test text.
type cast struct {
	actors map[who]*actor
	of     map[string]who // whose nkey it is, by the real one
	nkeys  map[string]nkeys.KeyPair
	pins   map[string]*tls.Certificate
	server *tls.Certificate
}

// newCast gives everybody test credentials: the owner's roles, and every party
// whose card is known.
func newCast(l *law, users broker.Users) (*cast, error) {
	server, err := newCert()
	if err != nil {
		return nil, err
	}
	c := &cast{
		actors: map[who]*actor{}, of: map[string]who{}, nkeys: map[string]nkeys.KeyPair{},
		pins: map[string]*tls.Certificate{}, server: server,
	}
	if len(users.Pins) == 0 {
		return nil, problem.New(problem.Failed, "no certificate of %s is known; its broker cannot be tried", l.owner)
	}
	first, last := users.Pins[0], users.Pins[len(users.Pins)-1]
	for role, keys := range map[string][]string{
		subject.RoleGateway: users.Gateway, subject.RoleKeeper: users.Keeper,
		subject.RoleAudit: users.Audit, subject.RoleOps: users.Ops,
	} {
		pin := last
		if role == subject.RoleGateway {
			pin = first
		}
		if err := c.enter(who{l.owner, role}, keys, pin); err != nil {
			return nil, err
		}
	}
	for _, party := range l.parties {
		if party == l.owner {
			continue
		}
		if err := c.enterGuest(l.view, l.guest(party)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// enterGuest gives another party test credentials for those of its card; who
// has no card gets some that nobody ever heard of.
func (c *cast) enterGuest(view *register.View, w who) error {
	pin, keys := sha256.Sum256([]byte("no card of "+w.Party)), []string{}
	role := map[string]string{partner: keyring.RoleGateway, auditor: keyring.RoleAuditor}[w.Role]
	if card, ok := view.Card(w.Party); ok {
		for _, t := range card.TLS {
			if t.Role == role {
				pin = t.Pin
				break
			}
		}
		if card.NATS != "" {
			keys = append(keys, card.NATS)
		}
	}
	return c.enter(w, keys, pin)
}

// enter makes an actor; it logs in with the first of its nkeys.
func (c *cast) enter(w who, keys []string, pin [32]byte) error {
	cert, err := c.cert(hex.EncodeToString(pin[:]))
	if err != nil {
		return err
	}
	a := &actor{who: w, cert: cert, pin: pinOf(cert)}
	for _, genuine := range keys {
		user, err := c.user(genuine)
		if err != nil {
			return err
		}
		c.of[genuine] = w
		if a.user == nil {
			a.user = user
		}
	}
	if a.user == nil {
		if a.user, err = nkeys.CreateUser(); err != nil {
			return err
		}
	}
	if a.nkey, err = a.user.PublicKey(); err != nil {
		return err
	}
	c.actors[w] = a
	return nil
}

// user gives the test nkey that stands for a real one.
func (c *cast) user(genuine string) (nkeys.KeyPair, error) {
	if c.nkeys[genuine] == nil {
		user, err := nkeys.CreateUser()
		if err != nil {
			return nil, problem.Wrap(problem.Failed, err, "no test keys were made")
		}
		c.nkeys[genuine] = user
	}
	return c.nkeys[genuine], nil
}

// cert gives the test certificate that stands for a real one, by its pin.
func (c *cast) cert(pin string) (*tls.Certificate, error) {
	if c.pins[pin] == nil {
		cert, err := newCert()
		if err != nil {
			return nil, err
		}
		c.pins[pin] = cert
	}
	return c.pins[pin], nil
}

// substitute puts test keys, paths and a free loopback port into a text.
func (c *cast) substitute(text []byte, files broker.TLSFiles, store string) ([]byte, error) {
	var failed error
	out := nkeyPlace.ReplaceAllStringFunc(string(text), func(genuine string) string {
		user, err := c.user(genuine)
		if err != nil {
			failed = err
			return genuine
		}
		public, err := user.PublicKey()
		if err != nil {
			failed = err
		}
		return public
	})
	out = pinPlace.ReplaceAllStringFunc(out, func(genuine string) string {
		cert, err := c.cert(strings.Trim(genuine, `"`))
		if err != nil {
			failed = err
			return genuine
		}
		return `"` + pinOf(cert) + `"`
	})
	values := map[string]string{
		"listen": "127.0.0.1:-1", "store_dir": store,
		"cert_file": files.Cert, "key_file": files.Key, "ca_file": files.CA,
	}
	out = settingPlace.ReplaceAllStringFunc(out, func(line string) string {
		m := settingPlace.FindStringSubmatch(line)
		return m[1] + m[2] + `: "` + values[m[2]] + `"`
	})
	if failed != nil {
		return nil, failed
	}
	return []byte(out), sameButKeys(text, []byte(out))
}

// sameButKeys checks that two texts differ in keys, paths and the listen
// address only, and that every key of one stands for one key of the other.
func sameButKeys(one, other []byte) error {
	mask := func(text []byte) string {
		s := nkeyPlace.ReplaceAllString(string(text), "NKEY")
		s = pinPlace.ReplaceAllString(s, `"PIN"`)
		return settingPlace.ReplaceAllString(s, `$1$2: "VALUE"`)
	}
	if mask(one) != mask(other) {
		return problem.New(problem.Failed, "the test text differs from the compiled one in more than keys, paths and the "+
			"listen address; nothing was proved")
	}
	for _, place := range []*regexp.Regexp{nkeyPlace, pinPlace} {
		there, back := map[string]string{}, map[string]string{}
		a, b := place.FindAllString(string(one), -1), place.FindAllString(string(other), -1)
		for i := range a {
			if (there[a[i]] != "" && there[a[i]] != b[i]) || (back[b[i]] != "" && back[b[i]] != a[i]) {
				return problem.New(problem.Failed, "two keys became one in the test text; nothing was proved")
			}
			there[a[i]], back[b[i]] = b[i], a[i]
		}
	}
	return nil
}

// certs are all certificates that may come up to the listener: everybody's, so
// that only pins and nkeys keep strangers out.
func (c *cast) certs() [][]byte {
	list := [][]byte{c.server.Certificate[0]}
	for _, cert := range c.pins {
		list = append(list, cert.Certificate[0])
	}
	return list
}

// pinOf is SHA-256 of a certificate's public key, in hex.
func pinOf(cert *tls.Certificate) string {
	sum := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// newCert makes a self-signed certificate that is valid for a day.
func newCert() (*tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("no test keys: %w", err)
	}
	draft := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, draft, draft, public, private)
	if err != nil {
		return nil, fmt.Errorf("no test certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, err
}
