package border

import (
	"bytes"
	"crypto/ed25519"
	"errors"

	"karaula/internal/envelope"
	"karaula/internal/register"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// said is what can be read of received bytes.
type said struct {
	st     *karaulav1.Statement
	leaf   [32]byte
	card   [32]byte         // Statement.card
	parsed *envelope.Parsed // nil if the statement is malformed, or not mended yet
	peeked *envelope.Peeked // nil if everything is well-formed
	code   karaulav1.Code   // why the statement is malformed; zero if it is not
	detail string
	good   []goodSignature // checked ahead of time
}

// goodSignature is a signature of the statement that was checked ahead of time.
type goodSignature struct {
	key ed25519.PublicKey
	sig []byte
}

// Piece is bytes that were read, but have no place yet.
type Piece struct {
	said    *said // nil if nothing can be read
	refusal *envelope.Refusal
}

// ReadPiece reads bytes. Like [Piece.CheckSignatures] it depends on nothing that
// came before, so a reader of long histories does both on all processors and
// places one piece after the other with [Checker.PlacePiece].
func ReadPiece(raw []byte) *Piece {
	s, refusal := read(raw)
	return &Piece{s, refusal}
}

// Statement gives what could be read of the statement, nil if nothing. Nothing
// of it is verified.
func (p *Piece) Statement() *karaulav1.Statement {
	if p.said == nil {
		return nil
	}
	return p.said.st
}

// Leaf gives the leaf of the statement, zero if there is none.
func (p *Piece) Leaf() [32]byte {
	if p.said == nil {
		return [32]byte{}
	}
	return p.said.leaf
}

// CheckSignatures checks the signatures of a well-formed piece under the card
// that it names, ahead of time. Whether that card counts is for the placing to
// say, which checks again what is not found good here.
func (p *Piece) CheckSignatures(view *register.View) {
	if p.said == nil || p.said.parsed == nil {
		return
	}
	cd, ok := view.CardByDigest(p.said.card)
	if !ok {
		return
	}
	pae := envelope.PAE(envelope.StatementType, p.said.parsed.StatementBytes)
	for _, sig := range p.said.parsed.Envelope.GetSignatures() {
		if k, ok := cd.SignKey(sig.GetKeyId()); ok && ed25519.Verify(k.Ed25519, pae, sig.GetSig()) {
			p.said.good = append(p.said.good, goodSignature{k.Ed25519, sig.GetSig()})
		}
	}
}

// allGood reports whether every signature was found good ahead of time, under
// the keys that count at its place.
func (s *said) allGood(key envelope.KeyFunc) (bool, *envelope.Refusal) {
	sigs := s.parsed.Envelope.GetSignatures()
	if len(s.good) == 0 || len(s.good) != len(sigs) {
		return false, nil
	}
	for i, sig := range sigs {
		pub, err := key(sig.GetAlg(), [16]byte(sig.GetKeyId()))
		if refusal := asRefusal(err); refusal != nil {
			return false, refusal
		}
		if !pub.Equal(s.good[i].key) || !bytes.Equal(sig.GetSig(), s.good[i].sig) {
			return false, nil
		}
	}
	return true, nil
}

// read reads bytes as an envelope. Where they are not a well-formed one, it
// reads just enough to find out whether the origin has signed a statement in
// them all the same. Then the statement decides alone: a malformed one is a leaf
// that is refused, a well-formed one is what it is, because what surrounds it is
// not signed and may come from anybody. It gives nil and the reason for anything
// that no signature could give a place.
func read(raw []byte) (*said, *envelope.Refusal) {
	parsed, err := envelope.ParseOuter(raw)
	if err == nil && len(parsed.Envelope.GetParts()) > len(parsed.Statement.GetParts()) {
		err = envelope.Refuse(karaulav1.Code_CODE_PART_MISMATCH, "more sealed parts than the statement names")
	}
	if err == nil {
		st := parsed.Statement
		return &said{st: st, leaf: parsed.Leaf, card: [32]byte(st.GetCard()), parsed: parsed}, nil
	}
	peeked, ok := envelope.Peek(raw)
	if !ok || len(peeked.Said.GetCard()) != 32 || len(peeked.Said.GetSigners()) == 0 ||
		len(peeked.Said.GetSigners()) > envelope.MaxSigners {
		return nil, asRefusal(err)
	}
	s := &said{st: peeked.Said, leaf: peeked.Leaf, card: [32]byte(peeked.Said.GetCard()), peeked: peeked}
	st, err := peeked.Read()
	if fault := asRefusal(err); fault != nil {
		s.code, s.detail = fault.Code, fault.Detail
	} else {
		s.st = st
	}
	return s, nil
}

// verify checks that every announced signer has signed, also in what is
// malformed, so that no signature can be left out of it either. It puts a
// well-formed statement back into the envelope that it announces.
func (s *said) verify(key envelope.KeyFunc) *envelope.Refusal {
	switch {
	case s.parsed != nil:
		if good, refusal := s.allGood(key); good || refusal != nil {
			return refusal
		}
		return asRefusal(s.parsed.VerifySignatures(key))
	case s.code != 0:
		return asRefusal(s.peeked.VerifySigners(key))
	}
	parsed, err := s.peeked.Mend(key)
	refusal := asRefusal(err)
	if refusal != nil && refusal.Code == karaulav1.Code_CODE_TOO_LARGE { // signed, and still nothing to read
		s.code, s.detail = refusal.Code, refusal.Detail
		return nil
	}
	s.parsed = parsed
	return refusal
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
