package erase

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/nats-io/nats.go"
)

// A mark is by what the message of a partner's statement is found again in the files of a
// server. Everything else in it the partner has chosen, and could have chosen so that a log,
// which compresses, does not show it. A mark is random, stands in a header, and so before
// all that the partner chose.

const (
	markName = headerPrefix + "Mark"
	markSize = 36 // random bytes
)

// Mark sets the mark of a message that is to be stored.
func Mark(h nats.Header) {
	var b [markSize]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	h.Set(markName, base64.RawURLEncoding.EncodeToString(b[:]))
}

// MarkOf gives the mark as it stands in a message; nil if it has none.
func MarkOf(h nats.Header) []byte {
	mark := h.Get(markName)
	if b, err := base64.RawURLEncoding.DecodeString(mark); err != nil || len(b) != markSize {
		return nil
	}
	return []byte(mark)
}
