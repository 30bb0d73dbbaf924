package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"karaula/internal/problem"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// headerSize is the length of what stands before a record: its length, the
// CRC-32C of those four bytes, and the CRC-32C of the record, each a big-endian
// uint32. The length has a checksum of its own because a flipped bit in the
// length of an old record must not look like a torn last one.
const headerSize = 12

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode gives the frame of a record.
func encode(r *karaulav1.JournalRecord) ([]byte, error) {
	record, err := wire.Marshal(r, MaxRecord)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "nothing was written to the signing journal").
			WithHint("say fewer or smaller things at once")
	}
	frame := make([]byte, headerSize, headerSize+len(record))
	binary.BigEndian.PutUint32(frame, uint32(len(record))) //nolint:gosec // at most MaxRecord
	binary.BigEndian.PutUint32(frame[4:], crc32.Checksum(frame[:4], castagnoli))
	binary.BigEndian.PutUint32(frame[8:], crc32.Checksum(record, castagnoli))
	return append(frame, record...), nil
}

// What a frame can be that is not whole.
var (
	// errTorn: the end of the file cuts it, or it is the last one and its
	// bytes did not all reach the disk.
	errTorn = errors.New("torn at the end")
	// errCorrupt: its bytes were changed after they had been written.
	errCorrupt = errors.New("changed after it was written")
)

// decode reads the frame at the beginning of rest, which is everything up to
// the end of the file, and gives its length. An error is errTorn or errCorrupt.
func decode(rest []byte) (r *karaulav1.JournalRecord, n int, err error) {
	if len(rest) < headerSize {
		return nil, 0, errTorn
	}
	if crc32.Checksum(rest[:4], castagnoli) != binary.BigEndian.Uint32(rest[4:]) {
		if allZero(rest) {
			return nil, 0, errTorn // the file had grown, the bytes had not arrived
		}
		return nil, 0, errCorrupt
	}
	length := binary.BigEndian.Uint32(rest)
	if length > MaxRecord {
		return nil, 0, errCorrupt
	}
	end := headerSize + int(length)
	if len(rest) < end {
		return nil, 0, errTorn
	}
	if crc32.Checksum(rest[headerSize:end], castagnoli) != binary.BigEndian.Uint32(rest[8:]) {
		if len(rest) == end {
			return nil, 0, errTorn
		}
		return nil, 0, errCorrupt
	}
	r = &karaulav1.JournalRecord{}
	if err := wire.Unmarshal(rest[headerSize:end], r, MaxRecord); err != nil {
		return nil, 0, errCorrupt
	}
	return r, end, nil
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
