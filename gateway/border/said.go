package border

import (
	"crypto/ed25519"
	"errors"

	"karaula/internal/envelope"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// said is what can be read of received bytes.
type said struct {
	st     *karaulav1.Statement
	leaf   [32]byte
	card   [32]byte         // Statement.card
	parsed *envelope.Parsed // nil if malformed
	peeked *envelope.Peeked // nil unless malformed
	code   karaulav1.Code   // why it is malformed; zero if it is not
	detail string
}

// read reads bytes as an envelope. Where they are not a well-formed one, it
// reads just enough to find out whether the origin has signed them all the
// same: then they are a leaf that is refused. It gives nil and the reason for
// anything that no signature could give a place.
func read(raw []byte) (*said, *envelope.Refusal) {
	parsed, err := envelope.ParseOuter(raw)
	if err == nil {
		st := parsed.Statement
		return &said{st: st, leaf: parsed.Leaf, card: [32]byte(st.GetCard()), parsed: parsed}, nil
	}
	refusal := asRefusal(err)
	if refusal.Code == karaulav1.Code_CODE_SIGNATURE_STRIPPED {
		return nil, refusal
	}
	peeked, ok := envelope.Peek(raw)
	if !ok || len(peeked.Said.GetCard()) != 32 || len(peeked.Said.GetSigners()) == 0 ||
		len(peeked.Said.GetSigners()) > envelope.MaxSigners {
		return nil, refusal
	}
	return &said{
		st: peeked.Said, leaf: peeked.Leaf, card: [32]byte(peeked.Said.GetCard()), peeked: peeked,
		code: refusal.Code, detail: refusal.Detail,
	}, nil
}

// verify checks that every announced signer has signed, also in what is
// malformed, so that no signature can be left out of it either.
func (s *said) verify(key envelope.KeyFunc) *envelope.Refusal {
	if s.parsed != nil {
		return asRefusal(s.parsed.VerifySignatures(key))
	}
	for _, signer := range s.st.GetSigners() {
		if len(signer.GetKeyId()) != 16 {
			return envelope.Refuse(s.code, s.detail)
		}
		if err := s.peeked.Verify(onlyKey([16]byte(signer.GetKeyId()), key)); err != nil {
			return asRefusal(err)
		}
	}
	return nil
}

// onlyKey narrows a KeyFunc to one key.
func onlyKey(id [16]byte, key envelope.KeyFunc) envelope.KeyFunc {
	return func(alg karaulav1.SignAlg, keyID [16]byte) (ed25519.PublicKey, error) {
		if keyID != id {
			return nil, envelope.Refuse(karaulav1.Code_CODE_SIGNATURE_STRIPPED, "the signature of a signer is missing")
		}
		return key(alg, keyID)
	}
}

// asRefusal gives the refusal in an error of the envelope package, nil for nil.
func asRefusal(err error) *envelope.Refusal {
	if err == nil {
		return nil
	}
	var r *envelope.Refusal
	if !errors.As(err, &r) {
		return envelope.Refuse(karaulav1.Code_CODE_MALFORMED, "it cannot be read")
	}
	return r
}
