package envelope

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// maxPeek bounds what Peek looks at; streams take nothing longer.
const maxPeek = 2 * MaxEnvelope

// maxPeekSignatures bounds how many signatures Peek keeps.
const maxPeekSignatures = 16

// Peeked is what can be read of bytes that [Parse] refuses. Whoever can read
// neither a statement nor a valid signature puts the bytes into quarantine;
// a statement that its origin has signed is a leaf whatever is wrong with it.
type Peeked struct {
	// Statement is the exact bytes that are signed and hashed.
	Statement []byte
	// Leaf is the leaf of Statement.
	Leaf [32]byte
	// Signatures that could be read, in their order.
	Signatures []*karaulav1.Signature
	// Said is what could be read of the statement: only channel, origin, mode,
	// epoch, seq, ledger, prev_root, said_at, card, card_serial, agreement, kind
	// and signers are looked at, and none of them is checked.
	Said *karaulav1.Statement
	// Whole reports whether the statement could be read to its end. If not,
	// fields of Said may be missing.
	Whole bool

	raw []byte
}

// Peek reads raw as loosely as is safe: it wants exactly one statement field,
// passes over what it does not know, and takes the last occurrence of a field
// of the statement, as any protobuf parser does. It reports false if there is
// no statement, or more than one, or if raw is longer than 2 MiB.
func Peek(raw []byte) (*Peeked, bool) {
	if len(raw) > maxPeek {
		return nil, false
	}
	p := &Peeked{raw: raw}
	found := 0
	// A torn tail does not unsay what was signed before it, so the end is not asked for.
	fields(raw, func(num protowire.Number, typ protowire.Type, v []byte, _ uint64) {
		switch {
		case num == 1 && typ == protowire.BytesType:
			p.Statement, found = v, found+1
		case num == 2 && typ == protowire.BytesType && len(p.Signatures) < maxPeekSignatures:
			sig := &karaulav1.Signature{}
			if proto.Unmarshal(v, sig) == nil {
				p.Signatures = append(p.Signatures, sig)
			}
		}
	})
	if found != 1 || len(p.Statement) == 0 {
		return nil, false
	}
	p.Leaf = Leaf(p.Statement)
	p.Said, p.Whole = loose(p.Statement)
	return p, true
}

// Verify reports whether at least one signature is valid under a key that the
// function gives. Otherwise it gives the refusal of the last signature tried,
// of type [*Refusal]. It does not ask who should have signed: see
// [Peeked.VerifySigners].
func (p *Peeked) Verify(key KeyFunc) error {
	pae := PAE(StatementType, p.Statement)
	err := refuse(karaulav1.Code_CODE_SIGNATURE_STRIPPED, "there is no signature")
	for _, sig := range p.Signatures {
		if err = verify(pae, sig, key); err == nil {
			return nil
		}
	}
	return err
}

// VerifySigners reports whether everybody whom the statement announces has
// signed it: then the origin has said this, and it is a leaf, whatever else is
// wrong with it. A statement from which a signature was taken away is not,
// because the whole one may still come. Errors are of type [*Refusal].
func (p *Peeked) VerifySigners(key KeyFunc) error {
	_, err := p.Signed(key)
	return err
}

// Signed gives one valid signature of each announced signer, in their order; errors
// as [Peeked.VerifySigners].
func (p *Peeked) Signed(key KeyFunc) ([]*karaulav1.Signature, error) {
	signers := p.Said.GetSigners()
	if len(signers) < 1 || len(signers) > MaxSigners {
		return nil, malformed("%d signers can be read, 1 to %d are admitted", len(signers), MaxSigners)
	}
	pae := PAE(StatementType, p.Statement)
	out := make([]*karaulav1.Signature, len(signers))
	for i, signer := range signers {
		err := refuse(karaulav1.Code_CODE_SIGNATURE_STRIPPED, "the signature of announced signer %d is missing", i)
		for _, sig := range p.Signatures {
			if sig.GetAlg() != signer.GetAlg() || !bytes.Equal(sig.GetKeyId(), signer.GetKeyId()) {
				continue
			}
			if err = verify(pae, sig, key); err == nil {
				out[i] = &karaulav1.Signature{Alg: sig.GetAlg(), KeyId: sig.GetKeyId(), Sig: sig.GetSig()}
				break
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// loose reads the fields of a statement that say whose it is and where it
// stands, and reports whether it got to the end.
func loose(raw []byte) (*karaulav1.Statement, bool) {
	st := &karaulav1.Statement{}
	whole := fields(raw, func(num protowire.Number, typ protowire.Type, v []byte, n uint64) {
		switch typ {
		case protowire.VarintType:
			setNumber(st, num, n)
		case protowire.BytesType:
			setBytes(st, num, v)
		default:
		}
	})
	return st, whole
}

// setNumber sets a varint field of those that Peek looks at.
func setNumber(st *karaulav1.Statement, num protowire.Number, n uint64) {
	switch num {
	case 1:
		st.Format = uint32(n) //nolint:gosec // as a protobuf parser truncates
	case 6:
		st.Mode = karaulav1.Mode(n) //nolint:gosec // as a protobuf parser truncates
	case 7:
		st.Epoch = n
	case 8:
		st.Seq = n
	case 10:
		st.SaidAt = int64(n) //nolint:gosec // two's complement is the encoding
	case 13:
		st.CardSerial = n
	case 15:
		st.Kind = karaulav1.Kind(n) //nolint:gosec // as a protobuf parser truncates
	default: // not looked at
	}
}

// setBytes sets a length-delimited field of those that Peek looks at.
func setBytes(st *karaulav1.Statement, num protowire.Number, v []byte) {
	switch num {
	case 3:
		st.Ledger = v
	case 4:
		st.Channel = string(v)
	case 5:
		st.Origin = string(v)
	case 9:
		st.PrevRoot = v
	case 11:
		st.Agreement = v
	case 12:
		st.Card = v
	case 14:
		s := &karaulav1.Signer{}
		if len(st.GetSigners()) < maxPeekSignatures && proto.Unmarshal(v, s) == nil {
			st.Signers = append(st.Signers, s)
		}
	default: // not looked at
	}
}

// fields calls f for each field until the first that cannot be read, and
// reports whether that is the end. v is the content of a length-delimited
// field, n the value of a varint.
func fields(raw []byte, f func(num protowire.Number, typ protowire.Type, v []byte, n uint64)) bool {
	for len(raw) > 0 {
		num, typ, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return false
		}
		raw = raw[n:]
		var v []byte
		var x uint64
		switch typ {
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(raw)
		case protowire.VarintType:
			x, n = protowire.ConsumeVarint(raw)
		default:
			n = protowire.ConsumeFieldValue(num, typ, raw)
		}
		if n < 0 {
			return false
		}
		f(num, typ, v, x)
		raw = raw[n:]
	}
	return true
}

// Stub gives the same envelope without its parts: the statement's exact bytes
// and everything else that stands beside it. It works on anything that [Peek]
// can read, and gives bytes that do not depend on the parts. Errors are of
// type [*Refusal].
func Stub(raw []byte) ([]byte, error) {
	if _, ok := Peek(raw); !ok {
		return nil, malformed("there is no statement in it; no stub was made")
	}
	var out []byte
	for _, keep := range []protowire.Number{1, 2, 4, 5} {
		fields(raw, func(num protowire.Number, typ protowire.Type, v []byte, _ uint64) {
			if num == keep && typ == protowire.BytesType {
				out = protowire.AppendTag(out, num, protowire.BytesType)
				out = protowire.AppendBytes(out, v)
			}
		})
	}
	return out, nil
}
