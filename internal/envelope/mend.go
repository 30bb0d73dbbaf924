package envelope

import (
	"bytes"
	"crypto/sha256"

	"google.golang.org/protobuf/encoding/protowire"

	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// What surrounds a statement is not signed, so whoever hands an envelope on can
// add to it. It must gain nothing by that: neither have a good statement
// refused, nor have its number taken up by a refusal. Therefore a statement that
// is well-formed by itself is judged in the envelope that it announces: its
// signers' signatures, and the sealed parts that have the digests it states.
// (docs/spec/envelope.md, "Bytes that are refused, and leaves")

// Read reads the statement by itself, as strictly as [Parse]. Its error, of
// type [*Refusal], is the only refusal that says something about the origin:
// everything else in the bytes is not signed.
func (p *Peeked) Read() (*karaulav1.Statement, error) {
	st := &karaulav1.Statement{}
	if err := wire.Unmarshal(p.Statement, st, MaxStatement); err != nil {
		return nil, fromWire(err)
	}
	if err := checkStatement(st); err != nil {
		return nil, err
	}
	return st, nil
}

// Mend verifies the signatures and gives the envelope as the statement
// announces it, in strict form, without whatever else was around it. Sealed
// parts of which not all are there any more give an envelope that
// [Parsed.CheckParts] refuses, never a stub: what is damaged was not erased.
// Errors are of type [*Refusal]; too-large means that the origin has signed it,
// and it fits into no envelope.
func (p *Peeked) Mend(key KeyFunc) (*Parsed, error) {
	st, err := p.Read()
	if err != nil {
		return nil, err
	}
	sigs, err := p.Signed(key)
	if err != nil {
		return nil, err
	}
	env := &karaulav1.Envelope{Statement: p.Statement, Signatures: sigs, Parts: p.parts(st)}
	raw, err := wire.Marshal(env, MaxEnvelope)
	if err != nil {
		return nil, fromWire(err)
	}
	return ParseOuter(raw)
}

// parts finds the sealed parts that a statement names, by size and digest.
func (p *Peeked) parts(st *karaulav1.Statement) [][]byte {
	named := st.GetParts()
	if len(named) == 0 {
		return nil
	}
	out := make([][]byte, len(named))
	found, some := 0, false
	whole := fields(p.raw, func(num protowire.Number, typ protowire.Type, v []byte, _ uint64) {
		if num != 3 {
			return
		}
		some = true
		if typ != protowire.BytesType || found == len(named) {
			return
		}
		for i, part := range named {
			if out[i] != nil || uint64(len(v)) != part.GetSize() {
				continue
			}
			if digest := sha256.Sum256(v); bytes.Equal(digest[:], part.GetDigest()) {
				out[i] = v
				found++
				return
			}
		}
	})
	if whole && !some {
		return nil // a stub
	}
	return out // with empty ones for those that are missing: no part is empty
}
