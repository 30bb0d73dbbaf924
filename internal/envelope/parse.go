package envelope

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Parsed is an envelope in its exact bytes and as messages. The messages and
// byte slices share memory with Raw or with each other and must not be changed.
type Parsed struct {
	// Raw is the envelope as it came.
	Raw []byte
	// Envelope is Raw, parsed.
	Envelope *karaulav1.Envelope
	// Statement is StatementBytes, parsed.
	Statement *karaulav1.Statement
	// StatementBytes is what is signed and hashed.
	StatementBytes []byte
	// Leaf is the leaf of StatementBytes.
	Leaf [32]byte
}

// Parse reads an envelope and checks everything that needs no knowledge of
// parties and agreements: the outer form as [ParseOuter], then the sealed
// parts as [Parsed.CheckParts]. Errors are of type [*Refusal]. It does not
// verify signatures.
func Parse(raw []byte) (*Parsed, error) {
	p, err := ParseOuter(raw)
	if err != nil {
		return nil, err
	}
	if err := p.CheckParts(); err != nil {
		return nil, err
	}
	return p, nil
}

// ParseOuter is [Parse] without the sealed parts. The border check uses it,
// because the answer about the parts comes after those about signature, number,
// agreement and times (docs/spec/envelope.md, "Order of checks"); it must call
// [Parsed.CheckParts] before it opens anything.
func ParseOuter(raw []byte) (*Parsed, error) {
	p := &Parsed{Raw: raw, Envelope: &karaulav1.Envelope{}, Statement: &karaulav1.Statement{}}
	if err := wire.Unmarshal(raw, p.Envelope, MaxEnvelope); err != nil {
		return nil, fromWire(err)
	}
	p.StatementBytes = p.Envelope.GetStatement()
	if len(p.StatementBytes) == 0 {
		return nil, malformed("there is no statement")
	}
	if err := wire.Unmarshal(p.StatementBytes, p.Statement, MaxStatement); err != nil {
		return nil, fromWire(err)
	}
	if err := checkStatement(p.Statement); err != nil {
		return nil, err
	}
	if err := checkOuter(p.Envelope, p.Statement); err != nil {
		return nil, err
	}
	p.Leaf = Leaf(p.StatementBytes)
	return p, nil
}

// IsStub reports whether the statement has sealed parts and the envelope has
// none: the content was erased, or was not asked for.
func (p *Parsed) IsStub() bool {
	return len(p.Envelope.GetParts()) == 0 && len(p.Statement.GetParts()) > 0
}

// CheckParts checks that the sealed parts are all there, or all absent (a
// stub), and that each has the size and digest that the statement says. It
// refuses with part-mismatch.
func (p *Parsed) CheckParts() error {
	if p.IsStub() {
		return nil
	}
	said, have := p.Statement.GetParts(), p.Envelope.GetParts()
	if len(said) != len(have) {
		return refuse(karaulav1.Code_CODE_PART_MISMATCH, "%d sealed parts, the statement names %d", len(have), len(said))
	}
	for i, part := range said {
		if uint64(len(have[i])) != part.GetSize() {
			return refuse(karaulav1.Code_CODE_PART_MISMATCH, "sealed part %d has another size than the statement says", i)
		}
		if digest := sha256.Sum256(have[i]); !bytes.Equal(digest[:], part.GetDigest()) {
			return refuse(karaulav1.Code_CODE_PART_MISMATCH, "sealed part %d has another digest than the statement says", i)
		}
	}
	return nil
}

// checkOuter checks what stands around the statement: reserved fields, and one
// signature for each announced signer, in that order.
func checkOuter(e *karaulav1.Envelope, st *karaulav1.Statement) error {
	if len(e.GetCountersignatures()) > 0 || len(e.GetTimestamps()) > 0 {
		return refuse(karaulav1.Code_CODE_RESERVED_FIELD, "the envelope sets a reserved field")
	}
	signers, sigs := st.GetSigners(), e.GetSignatures()
	if len(signers) != len(sigs) {
		return refuse(karaulav1.Code_CODE_SIGNATURE_STRIPPED, "%d signatures, the statement announces %d",
			len(sigs), len(signers))
	}
	for i, sig := range sigs {
		if sig.GetAlg() != signers[i].GetAlg() || !bytes.Equal(sig.GetKeyId(), signers[i].GetKeyId()) {
			return refuse(karaulav1.Code_CODE_SIGNATURE_STRIPPED, "signature %d is not that of the announced signer", i)
		}
		if len(sig.GetSig()) != sigSize {
			return malformed("signature %d has the wrong length", i)
		}
	}
	return nil
}

func refuse(code karaulav1.Code, format string, args ...any) error {
	return Refuse(code, fmt.Sprintf(format, args...))
}

func malformed(format string, args ...any) error {
	return refuse(karaulav1.Code_CODE_MALFORMED, format, args...)
}
