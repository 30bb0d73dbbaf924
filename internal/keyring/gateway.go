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
	Earlier []Login // earlier NATS and TLS, newest first, for partners that do not know the newest card yet
	Officer []byte  // 32 bytes: key of the HMAC that makes officer references

	// ExerciseSign and ExerciseSeal do the same in exercises. Keys made before
	// there were any have none; see [Gateway.Complete].
	ExerciseSign SignKey
	ExerciseSeal []SealKey

	// Retired holds earlier keys that sign, of all uses, newest first: a new card
	// rules in a ledger only after the statement that carries it, which the old
	// key still signs, and keys that no card names yet are here already.
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
	var err error
	for _, use := range append(OnlineUses(), karaulav1.KeyUse_KEY_USE_NOTICE) {
		if err := g.renew(use, now); err != nil {
			return nil, err
		}
	}
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

// Identity finds the key that opens, current or old, that a recipient
// entry of a statement names.
func (g *Gateway) Identity(use karaulav1.KeyUse, id []byte) (SealKey, bool) {
	for _, list := range [][]SealKey{g.Seal, g.Archive, g.ExerciseSeal} {
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
