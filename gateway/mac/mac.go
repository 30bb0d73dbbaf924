// Package mac marks what the gateway keeps in its own broker, so that it knows
// its own records again: whoever runs the broker can write into every stream, and
// must not be able to write what the gateway believes it has written itself.
//
// A marked record is a protobuf message whose last field, given by its number, is
// an HMAC-SHA-256 over a domain and the exact bytes before that field. The
// package must never be used for what leaves the node: there, signatures count.
package mac

import (
	"crypto/hmac"
	"crypto/sha256"

	"google.golang.org/protobuf/encoding/protowire"
)

// KeySize is the length of a key, in bytes.
const KeySize = 32

// Mark says what is marked: a domain for each kind of record, and the number of
// the field, 1 to 15, which must be the last one of the message.
type Mark struct {
	Domain string
	Field  protowire.Number
}

// length is what a mark takes: the field's tag and length, and the code.
const length = 2 + sha256.Size

// Add appends the mark to a record's bytes.
func (m Mark) Add(key, data []byte) []byte {
	code := m.code(key, data)
	return protowire.AppendBytes(protowire.AppendTag(data, m.Field, protowire.BytesType), code)
}

// Check reports whether a record ends with the mark of its exact bytes. A reader
// of the message that leaves the field aside then reads what was marked.
func (m Mark) Check(key, data []byte) bool {
	at := len(data) - length
	if at < 0 || len(key) != KeySize {
		return false
	}
	return hmac.Equal(data[at:], m.Add(key, data[:at:at])[at:])
}

func (m Mark) code(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(m.Domain))
	h.Write(data)
	return h.Sum(nil)
}
