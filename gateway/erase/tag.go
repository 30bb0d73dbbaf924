package erase

import (
	"crypto/rand"
	"encoding/base64"
	"slices"

	"github.com/nats-io/nats.go"
)

// A tag is by what the message of a partner's statement is found again in the files of a
// server. Everything else in it the partner has chosen, and could have chosen so that a log,
// which compresses, does not show it. A tag is random, and stands in a header, before all
// that the partner chose. The stub keeps the tags of all messages of its statement.

const (
	tagName = headerPrefix + "Tag"
	tagSize = 36 // random bytes
	// MaxTags is how many a stub keeps: one statement lies in one message, and in a second one
	// where a gateway of a pair had stored it before it lost its turn.
	MaxTags = 8
)

// Tag sets the tag of a message that is to be stored.
func Tag(h nats.Header) {
	var b [tagSize]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	h.Set(tagName, base64.RawURLEncoding.EncodeToString(b[:]))
}

// TagsOf gives the tags as they stand in messages, at most [MaxTags]; none for what was
// stored without one.
func TagsOf(h nats.Header) (tags [][]byte) {
	for _, tag := range h[tagName] {
		if b, err := base64.RawURLEncoding.DecodeString(tag); err == nil && len(b) == tagSize && len(tags) < MaxTags {
			tags = append(tags, []byte(tag))
		}
	}
	return tags
}

// withTags gives the header of a stub with the tags of one more message, and reports
// whether it had not all of them.
func withTags(stub, message nats.Header) (h nats.Header, news bool) {
	h = own(stub)
	h[tagName] = slices.Clone(h[tagName])
	for _, tag := range TagsOf(message) {
		if !slices.Contains(h[tagName], string(tag)) && len(h[tagName]) < MaxTags {
			h[tagName], news = append(h[tagName], string(tag)), true
		}
	}
	return h, news
}
