package sweep

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server/avl"
)

// What a server remembers of a stream's blocks when it was stopped in an orderly way
// (nats-server 2.15, server/filestore.go, _writeFullState):
//
//	11, 4 (magic and version), 1 byte each
//	messages, bytes, first sequence, first time, last sequence, last time
//	number of subjects; each: its size, the subject, messages, first and last block
//	number of blocks; each: index, bytes, first sequence, first time, last sequence,
//	    last time, number of deleted messages, two more numbers; the deleted ones as
//	    package avl encodes them, if there are any
//	index of the last block; its last 8 bytes
//	HighwayHash-64 of all that, keyed with SHA-256 of the stream's name, 8 bytes
//
// Numbers are varints, and signed ones where they are times. It knows of deletions that
// have no tombstone: by the limits of a stream, and, in a cluster, of what was erased
// while the server was away. Those it has never overwritten.
const (
	stateFile    = "index.db"
	stateMagic   = 11
	stateVersion = 4
	maxState     = 256 << 20
)

// errState says that the server would not use what it remembers either.
var errState = errors.New("not what a server remembers of a stream")

// memory is that of the blocks, by index.
type memory map[uint64]remembered

type remembered struct {
	first   uint64 // what comes before it is deleted
	there   bool   // it has a message, so the file must be there
	deleted *avl.SequenceSet
}

// gone reports whether a message of a block is remembered as deleted.
func (m memory) gone(block, seq uint64) bool {
	r, known := m[block]
	return known && (seq < r.first || r.deleted != nil && r.deleted.Exists(seq))
}

// parseMemory reads it; last is the index of the last block, and end what that ends with.
func parseMemory(raw []byte, stream string) (m memory, last uint64, end []byte, err error) {
	key := sha256.Sum256([]byte(stream))
	sum, err := highwayhash.New64(key[:])
	if err != nil {
		return nil, 0, nil, err
	}
	if len(raw) < 2+2*sumSize || raw[0] != stateMagic || raw[1] != stateVersion {
		return nil, 0, nil, errState
	}
	body, want := raw[:len(raw)-sumSize], binary.LittleEndian.Uint64(raw[len(raw)-sumSize:])
	if checksum(sum, body) != want {
		return nil, 0, nil, errState
	}
	return parseBlocks(body[2:])
}

func parseBlocks(body []byte) (m memory, last uint64, end []byte, err error) {
	r := reader{left: body}
	r.skip(6)
	for n := r.number(); n > 0 && !r.bad; n-- {
		r.bytes(r.number())
		r.skip(3)
	}
	m = memory{}
	for n := r.number(); n > 0 && !r.bad; n-- {
		index := r.number()
		r.skip(1)
		first := r.number()
		r.skip(1)
		b := remembered{first: first}
		until := r.number()
		r.skip(1)
		deleted := r.number()
		r.skip(2)
		if deleted > 0 {
			b.deleted = r.set()
		}
		b.there = until >= first && until-first+1 > deleted
		m[index] = b
	}
	last = r.number()
	end = r.bytes(sumSize)
	if r.bad || len(r.left) > 0 {
		return nil, 0, nil, errState
	}
	return m, last, end, nil
}

// reader reads numbers; bad if there was none.
type reader struct {
	left []byte
	bad  bool
}

// number reads a varint. A signed one has the same size.
func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.left)
	if size <= 0 {
		r.bad, r.left = true, nil
		return 0
	}
	r.left = r.left[size:]
	return n
}

func (r *reader) skip(n int) {
	for range n {
		r.number()
	}
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.left)) {
		r.bad, r.left = true, nil
		return nil
	}
	out := r.left[:n]
	r.left = r.left[n:]
	return out
}

func (r *reader) set() *avl.SequenceSet {
	set, n, err := avl.Decode(r.left)
	if err != nil || n < 0 || n > len(r.left) {
		r.bad, r.left = true, nil
		return nil
	}
	r.left = r.left[n:]
	return set
}

// remember reads what the server remembers, if it will use it: if nothing was written
// to the last block since, and all blocks are there. Otherwise it is empty.
func (s *stream) remember(blocks []uint64) memory {
	path := filepath.Join(s.dir, stateFile)
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxState {
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	m, last, end, err := parseMemory(raw, s.name)
	if err != nil || len(blocks) == 0 || blocks[0] != last {
		return nil
	}
	there := make(map[uint64]bool, len(blocks))
	for _, b := range blocks {
		there[b] = true
	}
	for index, b := range m {
		if b.there && !there[index] {
			return nil
		}
	}
	block, _, err := s.read(blockFile(last))
	if err != nil || len(block) < sumSize || !bytes.Equal(block[len(block)-sumSize:], end) {
		return nil
	}
	return m
}
