package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"karaula/internal/problem"
)

// Sizes of a frame (docs/spec/envelope.md, "Frame").
const (
	// SaltSize is the length of the random bytes that begin a frame.
	SaltSize = 32
	// MinFrame is the length of the shortest frame.
	MinFrame = 512
	// MaxFrame is the length of the longest frame.
	MaxFrame = MaxPart

	header = SaltSize + 4
)

// Frame lays out inner for sealing: salt, length of inner as a big-endian
// uint32, inner, zero bytes. The whole is [MinFrame] or what [Padme] makes of
// it. The salt must be 32 fresh random bytes: it keeps the commitment silent
// about the content.
func Frame(inner []byte, salt [32]byte) ([]byte, error) {
	size := frameSize(len(inner))
	if size > MaxFrame {
		return nil, problem.New(problem.Invalid,
			"%d bytes of content make a frame of %d, at most %d are admitted", len(inner), size, MaxFrame)
	}
	frame := make([]byte, size)
	copy(frame, salt[:])
	binary.BigEndian.PutUint32(frame[SaltSize:], uint32(len(inner))) //nolint:gosec // below MaxFrame
	copy(frame[header:], inner)
	return frame, nil
}

// Unframe gives what [Frame] laid out, as a part of frame. It refuses a length
// that does not fit, padding of another length than Frame makes, and padding
// that is not zero; the border check answers those with wrong-commitment.
func Unframe(frame []byte) ([]byte, error) {
	if len(frame) < MinFrame || len(frame) > MaxFrame {
		return nil, problem.New(problem.Verification, "not a frame: %d bytes, %d to %d are admitted",
			len(frame), MinFrame, MaxFrame)
	}
	n := binary.BigEndian.Uint32(frame[SaltSize:])
	if uint64(n) > uint64(len(frame[header:])) {
		return nil, problem.New(problem.Verification, "not a frame: it names more content than it holds")
	}
	if frameSize(int(n)) != len(frame) {
		return nil, problem.New(problem.Verification, "not a frame: its padding has the wrong length")
	}
	end := header + int(n)
	for _, b := range frame[end:] {
		if b != 0 {
			return nil, problem.New(problem.Verification, "not a frame: its padding is not zero")
		}
	}
	return frame[header:end:end], nil
}

// Commitment is SHA-256 of the whole frame. Showing the frame proves the
// content; without it the salt keeps the commitment silent.
func Commitment(frame []byte) [32]byte { return sha256.Sum256(frame) }

// frameSize gives the length of the frame around n bytes of content.
func frameSize(n int) int { return max(MinFrame, Padme(header+n)) }

// Padme rounds a length up so that it leaks O(log log n) bits and costs at
// most 12 %: the padded length has no more significant bits than the length of
// its exponent. PADMÉ, Nikitin et al., "Reducing Metadata Leakage from
// Encrypted Files and Communication with PURBs", PoPETs 2019(4), algorithm 1.
func Padme(n int) int {
	if n < 2 {
		return n
	}
	exponent := bits.Len(uint(n)) - 1    // floor(log2 n)
	keep := bits.Len(uint(exponent))     // floor(log2 exponent) + 1
	mask := 1<<max(0, exponent-keep) - 1 // low bits that become zero
	return (n + mask) &^ mask
}
