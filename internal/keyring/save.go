package keyring

import (
	"crypto/tls"
	"time"

	"github.com/nats-io/nkeys"

	"karaula/internal/problem"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// encode renders the gateway's keys as its file holds them, unsealed.
func (g *Gateway) encode() ([]byte, error) {
	doc := storedGateway{
		Karaula: gatewayFile, Party: g.Party, Officer: b64(g.Officer),
		Sign: storeSign(g.Sign), Notice: storeSign(g.Notice.Key), Link: storeSign(g.Link),
		Seal: storeSeal(g.Seal), Archive: storeSeal(g.Archive), ExerciseSeal: storeSeal(g.ExerciseSeal),
	}
	if len(g.ExerciseSign.Private) > 0 {
		key := storeSign(g.ExerciseSign)
		doc.ExerciseSign = &key
	}
	for _, k := range g.Retired {
		doc.Retired = append(doc.Retired, storeSign(k))
	}
	var err error
	if doc.NATS, err = storeUser(g.NATS); err != nil {
		return nil, err
	}
	if doc.Own, err = storeUser(g.Own); err != nil {
		return nil, err
	}
	if doc.TLS, err = storeTLS(g.TLS); err != nil {
		return nil, err
	}
	for _, l := range g.Earlier {
		user, err := storeUser(l.NATS)
		if err != nil {
			return nil, err
		}
		cert, err := storeTLS(l.TLS)
		if err != nil {
			return nil, err
		}
		doc.Earlier = append(doc.Earlier, storedLogin{user, cert})
	}
	return encode(doc)
}

// Save writes the keys to a new file, sealed if pass is given. It refuses to
// overwrite; see [Gateway.Replace].
func (g *Gateway) Save(path string, pass Passphrase) error {
	body, err := g.encode()
	if err != nil {
		return err
	}
	return create(path, body, pass)
}

// Replace puts these keys in the place of an existing file, atomically, for
// instance after [Gateway.Rotate].
func (g *Gateway) Replace(path string, pass Passphrase) error {
	body, err := g.encode()
	if err != nil {
		return err
	}
	return replace(path, body, pass)
}

// LoadGateway opens the gateway's key file. Missing, readable by others, still
// sealed or damaged: a problem of kind Locked.
func LoadGateway(path string, pass Passphrase) (*Gateway, error) {
	body, err := load(path, "gateway keys", pass)
	if err != nil {
		return nil, err
	}
	var doc storedGateway
	if err := decode(path, body, &doc); err != nil {
		return nil, err
	}
	if doc.Karaula != gatewayFile || !terms.ValidParty(doc.Party) {
		return nil, damaged(path)
	}
	r := &reader{}
	g := &Gateway{
		Party:   doc.Party,
		Sign:    r.sign(doc.Sign, karaulav1.KeyUse_KEY_USE_SIGN),
		Link:    r.sign(doc.Link, karaulav1.KeyUse_KEY_USE_LINK),
		Seal:    r.seal(doc.Seal, karaulav1.KeyUse_KEY_USE_SEAL),
		Archive: r.seal(doc.Archive, karaulav1.KeyUse_KEY_USE_ARCHIVE),
		NATS:    r.user(doc.NATS),
		Own:     r.user(doc.Own),
		TLS:     r.tls(doc.TLS),
		Officer: r.raw(doc.Officer, 32),
	}
	for _, k := range doc.Retired {
		g.Retired = append(g.Retired, r.sign(k, signing...))
	}
	for _, l := range doc.Earlier {
		g.Earlier = append(g.Earlier, Login{r.user(l.NATS), r.tls(l.TLS)})
	}
	if doc.ExerciseSign != nil {
		g.ExerciseSign = r.sign(*doc.ExerciseSign, karaulav1.KeyUse_KEY_USE_EXERCISE_SIGN)
	}
	if len(doc.ExerciseSeal) > 0 {
		g.ExerciseSeal = r.seal(doc.ExerciseSeal, karaulav1.KeyUse_KEY_USE_EXERCISE_SEAL)
	}
	notice := r.sign(doc.Notice, karaulav1.KeyUse_KEY_USE_NOTICE)
	if r.bad {
		return nil, damaged(path)
	}
	if g.Notice, err = noticeKey(doc.Party, notice); err != nil {
		return nil, damaged(path)
	}
	return g, nil
}

// Broker is what a party's broker needs of its own: nothing in it opens
// content or speaks for the party.
type Broker struct {
	Party              string
	TLS                tls.Certificate   // of the one public listener
	Next               *tls.Certificate  // announced by a card, and shown when one names it first; nil: none
	Earlier            []tls.Certificate // shown until a card names them no more
	Keeper, Audit, Ops nkeys.KeyPair     // users of the own broker
	GatewayUser        string            // public nkey ("U…") of the own gateway's user: Gateway.Own
}

// NewBroker makes the keys of a party's broker. The caller sets GatewayUser,
// so that the broker need not open the gateway's keys.
func NewBroker(party string, now time.Time) (*Broker, error) {
	if !terms.ValidParty(party) {
		return nil, problem.New(problem.Invalid, "%q is not a party code, no keys were made", party)
	}
	b := &Broker{Party: party}
	for _, user := range []*nkeys.KeyPair{&b.Keeper, &b.Audit, &b.Ops} {
		pair, err := newUser()
		if err != nil {
			return nil, err
		}
		*user = pair
	}
	var err error
	b.TLS, err = newTLS(party, RoleBroker, now)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// encode renders the broker's keys as its file holds them, unsealed.
func (b *Broker) encode() ([]byte, error) {
	doc := storedBroker{Karaula: brokerFile, Party: b.Party, GatewayUser: b.GatewayUser}
	var err error
	if doc.Keeper, err = storeUser(b.Keeper); err != nil {
		return nil, err
	}
	if doc.Audit, err = storeUser(b.Audit); err != nil {
		return nil, err
	}
	if doc.Ops, err = storeUser(b.Ops); err != nil {
		return nil, err
	}
	if doc.TLS, err = storeTLS(b.TLS); err != nil {
		return nil, err
	}
	if b.Next != nil {
		next, err := storeTLS(*b.Next)
		if err != nil {
			return nil, err
		}
		doc.Next = &next
	}
	for _, c := range b.Earlier {
		cert, err := storeTLS(c)
		if err != nil {
			return nil, err
		}
		doc.Earlier = append(doc.Earlier, cert)
	}
	return encode(doc)
}

// Save writes the keys to a new file, sealed if pass is given. It refuses to
// overwrite.
func (b *Broker) Save(path string, pass Passphrase) error {
	body, err := b.encode()
	if err != nil {
		return err
	}
	return create(path, body, pass)
}

// Replace puts these keys in the place of an existing file, atomically.
func (b *Broker) Replace(path string, pass Passphrase) error {
	body, err := b.encode()
	if err != nil {
		return err
	}
	return replace(path, body, pass)
}

// LoadBroker opens the broker's key file, like [LoadGateway].
func LoadBroker(path string, pass Passphrase) (*Broker, error) {
	body, err := load(path, "broker keys", pass)
	if err != nil {
		return nil, err
	}
	var doc storedBroker
	if err := decode(path, body, &doc); err != nil {
		return nil, err
	}
	r := &reader{}
	b := &Broker{
		Party: doc.Party, TLS: r.tls(doc.TLS), GatewayUser: doc.GatewayUser,
		Keeper: r.user(doc.Keeper), Audit: r.user(doc.Audit), Ops: r.user(doc.Ops),
	}
	if doc.Next != nil {
		next := r.tls(*doc.Next)
		b.Next = &next
	}
	for _, c := range doc.Earlier {
		b.Earlier = append(b.Earlier, r.tls(c))
	}
	badUser := b.GatewayUser != "" && !nkeys.IsValidPublicUserKey(b.GatewayUser)
	if doc.Karaula != brokerFile || !terms.ValidParty(doc.Party) || r.bad || badUser {
		return nil, damaged(path)
	}
	return b, nil
}
