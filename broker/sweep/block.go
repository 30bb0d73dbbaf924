package sweep

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/minio/highwayhash"
)

// A block is a sequence of records (nats-server 2.15, server/filestore.go), numbers
// with the low byte first:
//
//	size of the record, 4 bytes; its highest bit: the message has headers
//	sequence, 8 bytes, with the two bits below
//	time, 8 bytes, nanoseconds since 1970 UTC
//	size of the subject, 2 bytes
//	subject; size of the headers, 4 bytes, if there are any; headers; message
//	HighwayHash-64 of all but the two sizes, 8 bytes
const (
	headSize  = 22
	sumSize   = 8
	emptySize = headSize + sumSize
	maxRecord = 32 << 20 // as the server
	maxBlock  = 64 << 20 // a block has 8 MiB, or one record

	headersBit   = 1 << 31 // of the size
	erasedBit    = 1 << 63 // of the sequence: the message was overwritten
	tombstoneBit = 1 << 62 // of the sequence: not a message, but that it is deleted
)

// compressed is what a compressed block begins with.
var compressed = []byte("cmp")

// name is what a tombstone names a message by.
type name struct {
	seq  uint64
	time int64
}

// record is one message, or what is left of it, or a tombstone.
type record struct {
	name

	at, size  int // where it lies in its block
	erased    bool
	tombstone bool
}

// blockHash gives the checksum of a stream's block: keyed with SHA-256 of NAME-INDEX.
func blockHash(stream string, index uint64) (hash.Hash64, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, index))
	return highwayhash.New64(key[:])
}

// records calls for each record of a block, from the first one to the last one before
// that which is cut off or does not verify. It gives where that begins: the block's
// size if all verify. What lies behind the server cuts off when it opens the block.
func records(block []byte, sum hash.Hash64, found func(record)) (end int) {
	for end < len(block) {
		r, ok := parse(block[end:], sum)
		if !ok {
			return end
		}
		r.at = end
		found(r)
		end += r.size
	}
	return end
}

// parse reads the first record, with the conditions that the server has.
func parse(b []byte, sum hash.Hash64) (record, bool) {
	if len(b) < emptySize {
		return record{}, false
	}
	le := binary.LittleEndian
	size, subject := le.Uint32(b), int(le.Uint16(b[20:]))
	skipped := 0 // bytes behind the subject that the checksum does not cover
	if size&headersBit != 0 {
		size, skipped = size&^headersBit, 4
	}
	if size < emptySize || size > maxRecord || int(size) > len(b) || subject+skipped > int(size)-emptySize {
		return record{}, false
	}
	body := b[headSize : size-sumSize]
	if checksum(sum, b[4:20], body[:subject], body[subject+skipped:]) != le.Uint64(b[size-sumSize:]) {
		return record{}, false
	}
	seq := le.Uint64(b[4:])
	return record{
		name:      name{seq &^ (erasedBit | tombstoneBit), int64(le.Uint64(b[12:]))}, //nolint:gosec // as it was written
		size:      int(size),
		erased:    seq&erasedBit != 0,
		tombstone: seq&tombstoneBit != 0,
	}, true
}

// overwrite puts in a message's place what the server puts there (eraseMsg): a
// record of the same size, with random bytes and without time and subject.
func overwrite(block []byte, r record, sum hash.Hash64) {
	le := binary.LittleEndian
	b := block[r.at : r.at+r.size]
	le.PutUint32(b, uint32(r.size)) //nolint:gosec // at most maxRecord
	le.PutUint64(b[4:], r.seq|erasedBit)
	le.PutUint64(b[12:], 0)
	le.PutUint16(b[20:], 0)
	body := b[headSize : r.size-sumSize]
	_, _ = rand.Read(body) // never fails (crypto/rand)
	le.PutUint64(b[r.size-sumSize:], checksum(sum, b[4:20], body))
}

func checksum(sum hash.Hash64, parts ...[]byte) uint64 {
	sum.Reset()
	for _, part := range parts {
		_, _ = sum.Write(part) // a hash never fails
	}
	return sum.Sum64()
}
