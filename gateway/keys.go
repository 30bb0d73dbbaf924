package gateway

import (
	"crypto/hkdf"
	"crypto/sha256"

	"google.golang.org/protobuf/proto"

	"karaula/gateway/mac"
	"karaula/internal/envelope"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/register"
	"karaula/internal/seal"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// opener opens what is sealed to this party, with the keys in memory.
type opener struct {
	keys *keyring.Live
}

// look finds something in the own keys. What is not there may have just been
// made: keys are written before the card that names them.
func look[K any](live *keyring.Live, find func(*keyring.Gateway) (K, bool)) (K, bool) {
	k, ok := find(live.Keys())
	if !ok && live.Refresh() {
		k, ok = find(live.Keys())
	}
	return k, ok
}

// syncKeys takes up keys that were made or destroyed.
func (g *Gateway) syncKeys() {
	if g.o.Keys.Refresh() {
		g.log.Info("the own keys were read again")
	}
	if why, news := g.o.Keys.Trouble(); news && why != "" {
		g.log.Error("the own keys have changed and cannot be read; the old ones stay in use", "why", why)
	}
}

// Open implements border.Opener.
func (o opener) Open(rec *karaulav1.Recipient, sealed []byte, i, n int) ([]byte, error) {
	key, ok := look(o.keys, func(keys *keyring.Gateway) (keyring.SealKey, bool) {
		return keys.Identity(rec.GetUse(), rec.GetKeyId())
	})
	if !ok {
		return nil, problem.New(problem.Locked, "the %s key that it was sealed to is not here", terms.UseWord(rec.GetUse()))
	}
	return seal.Open(sealed, key.Identity, i, n) //nolint:wrapcheck // the border check classifies it
}

// openMain opens the main part of an own or accepted statement, and gives the
// sealed message and the frame that it is in. It has passed the border check before, or
// was said here; but whoever runs the broker may have changed it since then.
func (o opener) openMain(p *envelope.Parsed, self string) (*karaulav1.Inner, []byte, error) {
	for i, part := range p.Statement.GetParts() {
		if part.GetLabel() != karaulav1.Label_LABEL_MAIN {
			continue
		}
		if p.IsStub() {
			return nil, nil, problem.New(problem.NotFound, "its content has been erased")
		}
		if p.CheckParts() != nil {
			return nil, nil, problem.New(problem.Verification, "the stored content is not what was said")
		}
		for at, rec := range part.GetRecipients() {
			if rec.GetParty() != self {
				continue
			}
			frame, err := o.Open(rec, p.Envelope.GetParts()[i], at, len(part.GetRecipients()))
			if err != nil {
				return nil, nil, err
			}
			if sum := seal.Commitment(frame); string(sum[:]) != string(part.GetCommitment()) {
				return nil, nil, problem.New(problem.Verification, "what was sealed is not what the statement commits to")
			}
			inner, err := unframe(frame)
			return inner, frame, err
		}
	}
	return nil, nil, problem.New(problem.NotFound, "nothing in it is sealed to this party")
}

func unframe(frame []byte) (*karaulav1.Inner, error) {
	data, err := seal.Unframe(frame)
	if err != nil {
		return nil, problem.Wrap(problem.Verification, err, "its frame is damaged")
	}
	var inner karaulav1.Inner
	if err := proto.Unmarshal(data, &inner); err != nil {
		return nil, problem.New(problem.Verification, "its content cannot be read")
	}
	return &inner, nil
}

// markKey derives the key that marks one kind of the node's own records, from one
// that never changes and that only the gateway has.
func markKey(keys *keyring.Gateway, use string) []byte {
	key, err := hkdf.Key(sha256.New, keys.Officer, nil, "karaula/"+use+"/v1", mac.KeySize)
	if err != nil {
		return nil // a key of this length marks nothing, and no mark counts
	}
	return key
}

// verdictKey marks verdicts, deskKey what officers did.
func verdictKey(keys *keyring.Gateway) []byte { return markKey(keys, "verdict-key") }
func deskKey(keys *keyring.Gateway) []byte    { return markKey(keys, "desk-key") }

// pairKey marks what two gateways of one party tell each other.
func pairKey(keys *keyring.Gateway) []byte { return markKey(keys, "pair-key") }

// signer finds the key that signs statements of a mode under one of the own cards.
func signer(live *keyring.Live, view *register.View, digest [32]byte, mode karaulav1.Mode) (envelope.Signer, error) {
	c, ok := view.CardByDigest(digest)
	if !ok {
		return envelope.Signer{}, problem.New(
			problem.Locked,
			"the own card that rules here is not in the register; nothing was said",
		)
	}
	use, _ := terms.KeyUses(mode)
	for _, k := range c.Keys {
		if k.Use != use {
			continue
		}
		own, ok := look(live, func(keys *keyring.Gateway) (keyring.SignKey, bool) { return keys.SignKey(k.ID[:]) })
		if ok {
			return envelopeSigner(own), nil
		}
	}
	return envelope.Signer{}, problem.New(problem.Locked,
		"the %s key of the own card serial %d is not here; nothing was said", terms.UseWord(use), c.Serial).
		WithHint("the gateway's key file and the card must belong together: karaula card show DIR/%s.card", c.Party)
}

func envelopeSigner(k keyring.SignKey) envelope.Signer {
	return envelope.Signer{Alg: karaulav1.SignAlg_SIGN_ALG_ED25519, KeyID: k.ID, Key: k.Private}
}
