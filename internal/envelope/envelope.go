// Package envelope builds, signs, reads and verifies the only thing that ever
// leaves a gateway: a statement with its signatures and its sealed parts.
//
// To say something: [Build] a statement's bytes, [Sign] them, [Assemble] the
// envelope. To read one: [Parse] it and [Parsed.VerifySignatures] with the keys
// of the origin's card. A [Refusal] says why bytes are not acceptable, with the
// reason code that goes into the signed refusal. Bytes that Parse refuses may
// still be a statement that its origin has signed, and so a leaf of its ledger:
// [Peek] reads just enough to find out.
//
// Signatures cover the DSSE pre-authentication encoding ([PAE]) of the
// statement's exact bytes; the leaf covers the same bytes. It follows
// docs/spec/envelope.md.
//
// This package must never serialise again what it verifies, decide whether a
// statement is allowed (that is the border check), open a sealed part, or hold
// a key longer than a call.
package envelope

import (
	"errors"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"karaula/internal/problem"
	"karaula/internal/terms"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Limits of the format (docs/spec/limits.md), in bytes and in elements.
const (
	MaxEnvelope   = 1 << 20  // bytes of an envelope
	MaxStatement  = 64 << 10 // bytes of a statement
	MaxSigners    = 4
	MaxParts      = 8
	MaxRecipients = 64 // of a part
	MaxHeads      = 64
	MaxRefs       = 256

	// Format is the version of the format that this package speaks.
	Format = 1
)

// StatementType is the payload type under which statements are signed.
const StatementType = "application/vnd.karaula.statement.v1"

// PAE is the DSSE pre-authentication encoding of a payload: "DSSEv1", the
// type's length and the type, the payload's length and the payload, with one
// space between each (github.com/secure-systems-lab/dsse, protocol.md).
func PAE(payloadType string, payload []byte) []byte {
	out := make([]byte, 0, len("DSSEv1    ")+len(payloadType)+len(payload)+16)
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(payload)), 10)
	out = append(out, ' ')
	return append(out, payload...)
}

// Leaf is the leaf of a statement in its ledger's tree (RFC 6962): SHA-256 of
// a zero byte and the statement's exact bytes.
func Leaf(statement []byte) [32]byte { return tlog.RecordHash(statement) }

// Refusal says why bytes are not acceptable. It unwraps to a
// [problem.Problem] of kind Verification.
type Refusal struct {
	// Code is the reason as the signed refusal names it; never unspecified.
	Code karaulav1.Code
	// Detail says it for a person: lower case, no full stop, no values.
	Detail string
}

// Error gives the code's word and the detail.
func (r *Refusal) Error() string { return terms.CodeWord(r.Code) + ": " + r.Detail }

// Unwrap gives the refusal as a problem.
func (r *Refusal) Unwrap() error {
	return problem.New(problem.Verification, "%s", r.Error())
}

// Refuse makes a refusal.
func Refuse(code karaulav1.Code, detail string) *Refusal { return &Refusal{Code: code, Detail: detail} }

// CodeOf gives the code of the first Refusal in err's chain, and false if
// there is none.
func CodeOf(err error) (karaulav1.Code, bool) {
	var r *Refusal
	if !errors.As(err, &r) {
		return karaulav1.Code_CODE_UNSPECIFIED, false
	}
	return r.Code, true
}

// fromWire turns an error of the wire package into a refusal.
func fromWire(err error) error {
	if err == nil {
		return nil
	}
	code := karaulav1.Code_CODE_MALFORMED
	if e, ok := errors.AsType[*wire.Error](err); ok {
		switch e.Class {
		case wire.TooLarge:
			code = karaulav1.Code_CODE_TOO_LARGE
		case wire.MustUnderstand:
			code = karaulav1.Code_CODE_MUST_UNDERSTAND
		case wire.Malformed:
		}
	}
	return Refuse(code, err.Error())
}
