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

// block is what a disk writes at once, in bytes: what stands in one block arrives as a
// whole, or not at all. Larger blocks have this one's borders, too.
const block = 512

// decode reads the frame at a place of a file, given whole, and gives its length. An
// error is errTorn or errCorrupt.
func decode(file []byte, at int) (r *karaulav1.JournalRecord, n int, err error) {
	rest := file[at:]
	if len(rest) < headerSize {
		return nil, 0, errTorn
	}
	length, ok := lengthOf(rest)
	if !ok {
		if missing(rest, block-at%block) && !wholeFrame(rest[1:]) {
			return nil, 0, errTorn // the file had grown, not all bytes had arrived
		}
		return nil, 0, errCorrupt
	}
	if length > MaxRecord {
		return nil, 0, errCorrupt
	}
	end := headerSize + length
	if len(rest) < end {
		return nil, 0, errTorn
	}
	if !checks(rest[:end]) {
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

// lengthOf gives the length of the record behind a header, if that checks.
func lengthOf(header []byte) (length int, ok bool) {
	return int(binary.BigEndian.Uint32(header)), crc32.Checksum(header[:4], castagnoli) == binary.BigEndian.Uint32(header[4:])
}

// checks reports whether a frame's record is what its header says.
func checks(frame []byte) bool {
	return crc32.Checksum(frame[headerSize:], castagnoli) == binary.BigEndian.Uint32(frame[8:])
}

// missing reports whether the block in which a header begins, of which so many bytes are
// left, seems not to have arrived, or the one in which it ends: all in it is zero.
func missing(rest []byte, left int) bool {
	within := func(from, to int) []byte { return rest[min(from, len(rest)):min(to, len(rest))] }
	return allZero(within(0, left)) || left < headerSize && allZero(within(left, left+block))
}

// wholeFrame reports whether a whole frame begins anywhere in rest, or many headers, which
// no torn record has. What stands before one had been synced before it was written, so it
// was not torn.
func wholeFrame(rest []byte) bool {
	for headers := 0; len(rest) > headerSize; rest = rest[1:] {
		length, ok := lengthOf(rest)
		if !ok || length == 0 || length > len(rest)-headerSize {
			continue
		}
		if headers++; headers > 16 || checks(rest[:headerSize+length]) {
			return true
		}
	}
	return false
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
