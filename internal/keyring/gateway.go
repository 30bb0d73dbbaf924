package keyring

import (
	"crypto/rand"
	"crypto/tls"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"

	"karaula/internal/problem"
	"karaula/internal/signedtext"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// NoticeKey signs suspensions and resumptions; it is a note signer named
// "al/notice".
type NoticeKey struct {
	note.Signer
	Key  SignKey // use notice; the same Ed25519 key, as the card lists it
	VKey string  // verifier key, "al/notice+hash+base64"
}

// Gateway is the private half of a party's online voice. It opens the party's
// content; whoever holds it can read what was sealed to it and speak as the
// party until its card is replaced.
type Gateway struct {
	Party   string
	Sign    SignKey       // signs statements
	Notice  NoticeKey     // signs notices
	Link    SignKey       // signs link requests and replies
	Seal    []SealKey     // opens partners' content, newest first; old ones stay until their content is erased
	Archive []SealKey     // opens own content, newest first; kept likewise
	NATS    nkeys.KeyPair // user at partners' brokers; its public half is in the card
	Own     nkeys.KeyPair // user of role gateway at the own broker
	TLS     tls.Certificate
	Officer []byte // 32 bytes: key of the HMAC that makes officer references

	// Retired holds earlier sign and link keys, newest first: a new card rules
	// in a ledger only after the statement that carries it, which the old key
	// still signs.
	Retired []SignKey
}

// NewGateway makes all online keys of a party's gateway, valid from now.
func NewGateway(party string, now time.Time) (*Gateway, error) {
	if !terms.ValidParty(party) {
		return nil, problem.New(problem.Invalid, "%q is not a party code, no keys were made", party)
	}
	g := &Gateway{Party: party, Officer: make([]byte, 32)}
	if _, err := rand.Read(g.Officer); err != nil {
		return nil, problem.Wrap(problem.Failed, err, "no random numbers, no keys were made")
	}
	if err := g.renew(now); err != nil {
		return nil, err
	}
	if err := g.renewNotice(now); err != nil {
		return nil, err
	}
	var err error
	if g.NATS, err = newUser(); err != nil {
		return nil, err
	}
	if g.Own, err = newUser(); err != nil {
		return nil, err
	}
	if g.TLS, err = newTLS(party, RoleGateway, now); err != nil {
		return nil, err
	}
	return g, nil
}

// renew makes new sign, link, seal and archive keys; the seal keys go in front.
func (g *Gateway) renew(now time.Time) error {
	sign, err := newSignKey(karaulav1.KeyUse_KEY_USE_SIGN, now)
	if err != nil {
		return err
	}
	link, err := newSignKey(karaulav1.KeyUse_KEY_USE_LINK, now)
	if err != nil {
		return err
	}
	seal, err := newSealKey(karaulav1.KeyUse_KEY_USE_SEAL, now)
	if err != nil {
		return err
	}
	archive, err := newSealKey(karaulav1.KeyUse_KEY_USE_ARCHIVE, now)
	if err != nil {
		return err
	}
	g.Sign, g.Link = sign, link
	g.Seal = append([]SealKey{seal}, g.Seal...)
	g.Archive = append([]SealKey{archive}, g.Archive...)
	return nil
}

// renewNotice makes a new notice key.
func (g *Gateway) renewNotice(now time.Time) error {
	key, err := newSignKey(karaulav1.KeyUse_KEY_USE_NOTICE, now)
	if err != nil {
		return err
	}
	g.Notice, err = noticeKey(g.Party, key)
	return err
}

// Rotate makes new sign, link, seal and archive keys. The old seal and archive
// identities stay, because content sealed to them is still there; the old sign
// and link keys move to Retired, because they introduce the new card. The
// NATS and TLS keys stay, and the notice key as long as half of its time is left:
// partners may need it before they have the new card. Nothing is written until
// [Gateway.Replace].
func (g *Gateway) Rotate(now time.Time) error {
	old := []SignKey{g.Sign, g.Link}
	if err := g.renew(now); err != nil {
		return err
	}
	g.Retired = append(old, g.Retired...)
	if g.Notice.Key.Until.Before(now.Add(Validity / 2)) {
		return g.renewNotice(now)
	}
	return nil
}

// SignKey finds the current or a retired sign key by its id.
func (g *Gateway) SignKey(id []byte) (SignKey, bool) { return g.find(g.Sign, id) }

// LinkKey finds the current or a retired link key by its id.
func (g *Gateway) LinkKey(id []byte) (SignKey, bool) { return g.find(g.Link, id) }

func (g *Gateway) find(current SignKey, id []byte) (SignKey, bool) {
	if string(current.ID[:]) == string(id) {
		return current, true
	}
	for _, k := range g.Retired {
		if k.Use == current.Use && string(k.ID[:]) == string(id) {
			return k, true
		}
	}
	return SignKey{}, false
}

// Identity finds the seal or archive key, current or old, that a recipient
// entry of a statement names.
func (g *Gateway) Identity(use karaulav1.KeyUse, id []byte) (SealKey, bool) {
	for _, list := range [][]SealKey{g.Seal, g.Archive} {
		for _, k := range list {
			if k.Use == use && string(k.ID[:]) == string(id) {
				return k, true
			}
		}
	}
	return SealKey{}, false
}

// noticeKey makes the note signer of a notice key.
func noticeKey(party string, key SignKey) (NoticeKey, error) {
	private, vkey, err := notePair(signedtext.NoticeName(party), key.Private.Seed())
	if err != nil {
		return NoticeKey{}, err
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		return NoticeKey{}, problem.New(problem.Failed, "the notice key is not usable")
	}
	return NoticeKey{Signer: signer, Key: key, VKey: vkey}, nil
}

// newUser makes a NATS user key.
func newUser() (nkeys.KeyPair, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "no nkey was made")
	}
	return pair, nil
}
