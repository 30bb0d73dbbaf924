package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"time"

	"filippo.io/age"
	"github.com/nats-io/nkeys"
	"go.yaml.in/yaml/v4"

	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// The first field of each key file, so that one is never taken for the other.
const (
	gatewayFile = "gateway keys v1"
	brokerFile  = "broker keys v1"
	auditorFile = "auditor keys v1"
)

// storedKey is an Ed25519 seed (base64) or an age identity.
type storedKey struct {
	Use     string `yaml:"use"`
	From    string `yaml:"from"`
	Until   string `yaml:"until"`
	Private string `yaml:"private"`
}

// storedTLS is a certificate (DER) and its Ed25519 seed, both base64.
type storedTLS struct {
	Certificate string `yaml:"certificate"`
	Private     string `yaml:"private"`
}

// storedGateway is the file DIR/gateway/keys.
type storedGateway struct {
	Karaula string      `yaml:"karaula"`
	Party   string      `yaml:"party"`
	Sign    storedKey   `yaml:"sign"`
	Notice  storedKey   `yaml:"notice"`
	Link    storedKey   `yaml:"link"`
	Seal    []storedKey `yaml:"seal"`
	Archive []storedKey `yaml:"archive"`
	Retired []storedKey `yaml:"retired,omitempty"`

	ExerciseSign *storedKey  `yaml:"exercise-sign,omitempty"`
	ExerciseSeal []storedKey `yaml:"exercise-seal,omitempty"`

	NATS    string        `yaml:"nats"`
	Own     string        `yaml:"own"`
	TLS     storedTLS     `yaml:"tls"`
	Earlier []storedLogin `yaml:"earlier,omitempty"`
	Officer string        `yaml:"officer"`
}

// storedLogin is an earlier login of a gateway.
type storedLogin struct {
	NATS string    `yaml:"nats"`
	TLS  storedTLS `yaml:"tls"`
}

// storedBroker is the file DIR/broker/keys.
type storedBroker struct {
	Karaula     string    `yaml:"karaula"`
	Party       string    `yaml:"party"`
	TLS         storedTLS `yaml:"tls"`
	Keeper      string    `yaml:"keeper"`
	Audit       string    `yaml:"audit"`
	Ops         string    `yaml:"ops"`
	GatewayUser string    `yaml:"gateway-user,omitempty"`

	Next    *storedTLS  `yaml:"next-tls,omitempty"`
	Earlier []storedTLS `yaml:"earlier-tls,omitempty"`
}

// decode reads a key file's YAML strictly. Its errors never quote the file.
func decode(path string, body []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(body))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return damaged(path)
	}
	return nil
}

func damaged(path string) error {
	return problem.New(problem.Locked, "%s is damaged or not such a key file", path).WithHint("restore it from its backup")
}

func encode(doc any) ([]byte, error) {
	body, err := yaml.Marshal(doc)
	if err != nil {
		return nil, problem.New(problem.Failed, "keys cannot be encoded, nothing was written")
	}
	return body, nil
}

func b64(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func storeSign(k SignKey) storedKey {
	return storedKey{Use: terms.UseWord(k.Use), From: stamp(k.From), Until: stamp(k.Until), Private: b64(k.Private.Seed())}
}

func storeSeal(keys []SealKey) []storedKey {
	var out []storedKey
	for _, k := range keys {
		out = append(out, storedKey{
			Use: terms.UseWord(k.Use), From: stamp(k.From), Until: stamp(k.Until), Private: k.Identity.String(),
		})
	}
	return out
}

func storeTLS(c tls.Certificate) (storedTLS, error) {
	private, ok := c.PrivateKey.(ed25519.PrivateKey)
	if !ok || len(c.Certificate) != 1 {
		return storedTLS{}, problem.New(problem.Invalid, "TLS key is missing or not Ed25519, nothing was written")
	}
	return storedTLS{Certificate: b64(c.Certificate[0]), Private: b64(private.Seed())}, nil
}

func storeUser(pair nkeys.KeyPair) (string, error) {
	if pair == nil {
		return "", problem.New(problem.Invalid, "an nkey is missing, nothing was written")
	}
	seed, err := pair.Seed()
	if err != nil {
		return "", problem.New(problem.Invalid, "an nkey has no private half, nothing was written")
	}
	return string(seed), nil
}

// reader turns stored keys back and remembers whether any was bad.
type reader struct{ bad bool }

func (r *reader) raw(s string, size int) []byte {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || (size > 0 && len(raw) != size) {
		r.bad = true
		return make([]byte, size)
	}
	return raw
}

func (r *reader) window(k storedKey) (from, until time.Time) {
	from, err1 := time.Parse(time.RFC3339, k.From)
	until, err2 := time.Parse(time.RFC3339, k.Until)
	if err1 != nil || err2 != nil || !until.After(from) {
		r.bad = true
	}
	return from.UTC(), until.UTC()
}

func (r *reader) sign(k storedKey, uses ...karaulav1.KeyUse) SignKey {
	from, until := r.window(k)
	seed := r.raw(k.Private, ed25519.SeedSize)
	for _, use := range uses {
		if terms.UseWord(use) == k.Use {
			return signKey(use, seed, from, until)
		}
	}
	r.bad = true
	return SignKey{}
}

func (r *reader) seal(keys []storedKey, use karaulav1.KeyUse) []SealKey {
	var out []SealKey
	for _, k := range keys {
		from, until := r.window(k)
		id, err := age.ParseHybridIdentity(k.Private)
		if err != nil || k.Use != terms.UseWord(use) {
			r.bad = true
			continue
		}
		out = append(out, sealKey(use, id, from, until))
	}
	if len(out) == 0 {
		r.bad = true
	}
	return out
}

func (r *reader) tls(s storedTLS) tls.Certificate {
	der, seed := r.raw(s.Certificate, 0), r.raw(s.Private, ed25519.SeedSize)
	c, err := tlsCertificate(der, ed25519.NewKeyFromSeed(seed))
	if err != nil {
		r.bad = true
	}
	return c
}

func (r *reader) user(seed string) nkeys.KeyPair {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		r.bad = true
		return nil
	}
	if _, err := User(pair); err != nil {
		r.bad = true
	}
	return pair
}
