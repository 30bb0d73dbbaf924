package envelope

import (
	"crypto/ed25519"

	"karaula/internal/problem"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Signer is a private key with the name that the origin's card gives it.
type Signer struct {
	// Alg is the algorithm; only Ed25519 signs today.
	Alg karaulav1.SignAlg
	// KeyID is the key's id in the card.
	KeyID [16]byte
	// Key is the private half.
	Key ed25519.PrivateKey
}

// Build gives the exact bytes of a statement, which are then signed, hashed
// and published and never written again. It refuses (as a problem of kind
// Invalid around the [Refusal]) what [Parse] would refuse elsewhere.
func Build(st *karaulav1.Statement) ([]byte, error) {
	raw, err := wire.Marshal(st, MaxStatement)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, fromWire(err), "the statement was not built")
	}
	if err := checkStatement(st); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the statement was not built")
	}
	return raw, nil
}

// Sign makes one signature per key, in the order of the keys, which must be
// that of the statement's signers.
func Sign(statement []byte, keys []Signer) ([]*karaulav1.Signature, error) {
	pae := PAE(StatementType, statement)
	sigs := make([]*karaulav1.Signature, len(keys))
	for i, k := range keys {
		if k.Alg != karaulav1.SignAlg_SIGN_ALG_ED25519 || len(k.Key) != ed25519.PrivateKeySize {
			return nil, problem.New(problem.Locked, "signing key %d is missing or not an ed25519 key; nothing was signed", i)
		}
		sigs[i] = &karaulav1.Signature{Alg: k.Alg, KeyId: k.KeyID[:], Sig: ed25519.Sign(k.Key, pae)}
	}
	return sigs, nil
}

// Assemble gives the exact bytes of the envelope, and refuses (as a problem of
// kind Invalid around the [Refusal]) what [Parse] would refuse elsewhere.
func Assemble(statement []byte, sigs []*karaulav1.Signature, parts [][]byte) ([]byte, error) {
	raw, err := wire.Marshal(&karaulav1.Envelope{Statement: statement, Signatures: sigs, Parts: parts}, MaxEnvelope)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, fromWire(err), "the envelope was not built")
	}
	if _, err := Parse(raw); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the envelope was not built")
	}
	return raw, nil
}

// KeyFunc finds the public key of a signer, as it counts at the statement's
// place in the ledger. It answers with a [*Refusal] to say which code the
// absence has (unknown-key, key-not-valid); any other error, and no key,
// count as unknown-key.
type KeyFunc func(alg karaulav1.SignAlg, keyID [16]byte) (ed25519.PublicKey, error)

// VerifySignatures checks every signature of a parsed envelope. All must
// verify: the statement announces them, so none can be taken away. Errors are
// of type [*Refusal].
func (p *Parsed) VerifySignatures(key KeyFunc) error {
	pae := PAE(StatementType, p.StatementBytes)
	for _, sig := range p.Envelope.GetSignatures() {
		if err := verify(pae, sig, key); err != nil {
			return err
		}
	}
	return nil
}

// VerifySignatures is [Parsed.VerifySignatures] as a function.
func VerifySignatures(p *Parsed, key KeyFunc) error { return p.VerifySignatures(key) }

// verify checks one signature.
func verify(pae []byte, sig *karaulav1.Signature, key KeyFunc) error {
	if sig.GetAlg() != karaulav1.SignAlg_SIGN_ALG_ED25519 ||
		len(sig.GetKeyId()) != idSize || len(sig.GetSig()) != sigSize {
		return malformed("not an ed25519 signature")
	}
	pub, err := key(sig.GetAlg(), [16]byte(sig.GetKeyId()))
	if _, ok := CodeOf(err); ok {
		return err
	}
	if err != nil || len(pub) != ed25519.PublicKeySize {
		return refuse(karaulav1.Code_CODE_UNKNOWN_KEY, "no card of the origin has key %x", sig.GetKeyId())
	}
	if !ed25519.Verify(pub, pae, sig.GetSig()) {
		return refuse(karaulav1.Code_CODE_BAD_SIGNATURE, "the signature by key %x does not verify", sig.GetKeyId())
	}
	return nil
}
