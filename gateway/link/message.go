package link

import (
	"crypto/ed25519"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"karaula/internal/card"
	"karaula/internal/envelope"
	"karaula/internal/keyring"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// What can be wrong with a LinkMessage before its body is looked at.
var (
	errOversized    = errors.New("more bytes than a link message may have")
	errNotMessage   = errors.New("not a link message in strict wire form")
	errBadSignature = errors.New("the signature does not verify")

	// ErrUnknownKey says that a reply is signed with a link key that the
	// partner's card, as it is known here, does not name. [Client.GetCard]
	// fetches the card that does.
	ErrUnknownKey = errors.New("signed with a link key that its card does not name")
)

// keyFunc finds a partner's link key by its id.
type keyFunc func(id [16]byte) (ed25519.PublicKey, bool)

// cardKeys finds link keys of a card, as long as card and key are valid.
func cardKeys(c *card.Card, at time.Time) keyFunc {
	return func(id [16]byte) (ed25519.PublicKey, bool) {
		k, ok := c.Key(karaulav1.KeyUse_KEY_USE_LINK, id[:])
		if !ok || len(k.Ed25519) != ed25519.PublicKeySize || !c.ValidAt(at) ||
			at.Before(k.From) || !at.Before(k.Until) {
			return nil, false
		}
		return k.Ed25519, true
	}
}

// sign writes a request or a reply and wraps it into a LinkMessage of at most
// limit bytes. It asserts the strict wire form, so that this node never says
// what others drop.
func sign(payloadType string, body proto.Message, key keyring.SignKey, limit int) ([]byte, error) {
	if key.Use != karaulav1.KeyUse_KEY_USE_LINK || len(key.Private) != ed25519.PrivateKeySize {
		return nil, errors.New("the link key is missing")
	}
	raw, err := wire.Marshal(body, limit)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(&karaulav1.LinkMessage{
		Body: raw,
		Signature: &karaulav1.Signature{
			Alg:   karaulav1.SignAlg_SIGN_ALG_ED25519,
			KeyId: key.ID[:],
			Sig:   signBody(payloadType, raw, key),
		},
	}, limit)
}

// signBody signs the exact bytes of a request or a reply.
func signBody(payloadType string, body []byte, key keyring.SignKey) []byte {
	return ed25519.Sign(key.Private, envelope.PAE(payloadType, body))
}

// unwrap checks size and form of a LinkMessage, without its signature.
func unwrap(raw []byte, limit int) (*karaulav1.LinkMessage, error) {
	if len(raw) > limit {
		return nil, errOversized
	}
	m := new(karaulav1.LinkMessage)
	if err := wire.Unmarshal(raw, m, limit); err != nil {
		return nil, errNotMessage
	}
	s := m.GetSignature()
	if s.GetAlg() != karaulav1.SignAlg_SIGN_ALG_ED25519 || len(s.GetKeyId()) != idSize ||
		len(s.GetSig()) != ed25519.SignatureSize || len(m.GetBody()) == 0 {
		return nil, errNotMessage
	}
	return m, nil
}

// verify checks the signature of a LinkMessage over its exact body.
func verify(payloadType string, m *karaulav1.LinkMessage, keys keyFunc) error {
	public, ok := keys([16]byte(m.GetSignature().GetKeyId()))
	if !ok {
		return ErrUnknownKey
	}
	if !ed25519.Verify(public, envelope.PAE(payloadType, m.GetBody()), m.GetSignature().GetSig()) {
		return errBadSignature
	}
	return nil
}
