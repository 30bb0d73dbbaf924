// Package index answers look-ups: is there anything about this plate, document,
// person, among the alerts that this node may see?
//
// [Index] holds, in memory, a keyed hash of every term (package searchkey) by
// which a current alert is to be found, never a value. [File] keeps the same
// hashes on disk, sealed, so that a start need not open every alert again. Both
// are projections: the streams hold the truth, and what is lost or damaged is
// made again from them.
//
// The hashes are keyed because plates are few: whoever has the key finds every
// plate by trying. The key is derived from the gateway's online keys and is as
// safe as they are.
//
// The package must never hold a value that was looked up or indexed, never say
// that there is nothing while it is not complete, never open content, and never
// make a match look like an identification.
package index

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"karaula/internal/searchkey"
)

// Hash is the keyed hash of a term: HMAC-SHA-256, cut to 16 bytes.
type Hash [16]byte

// Hasher hashes terms. It is safe for concurrent use.
type Hasher struct{ pool sync.Pool }

// KeySize is the length of the key of a [Hasher] and of a [File], in bytes.
const KeySize = 32

// NewHasher makes a hasher with a key of [KeySize] bytes.
func NewHasher(key []byte) *Hasher {
	return &Hasher{sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// Hash gives the hash of a term of what is meant (empty name), or of what was said
// in an exercise: an exercise's name never contains a zero byte, and so a term of
// one is never a term of another.
func (h *Hasher) Hash(exercise string, t searchkey.Term) Hash {
	m := h.pool.Get().(hash.Hash) //nolint:forcetypeassert // the pool makes nothing else
	defer h.pool.Put(m)
	m.Reset()
	if exercise != "" {
		m.Write([]byte(exercise))
		m.Write([]byte{0})
	}
	m.Write([]byte{byte(t.Kind)})
	m.Write([]byte(t.Value))
	var sum [sha256.Size]byte
	var out Hash
	copy(out[:], m.Sum(sum[:0]))
	return out
}
