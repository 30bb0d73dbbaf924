package signedtext

import (
	"encoding/hex"
	"strings"
)

// digestPrefix opens a digest in a text.
const digestPrefix = "sha256:"

// FormatDigest writes a digest as texts hold it: "sha256:" and 64 lower-case
// hex digits.
func FormatDigest(d [32]byte) string { return digestPrefix + hex.EncodeToString(d[:]) }

// ParseDigest reads what [FormatDigest] writes. The digest of zeros, which no
// text has, is refused: it stands for "none" in Go values.
func ParseDigest(s string) (d [32]byte, ok bool) {
	text, found := strings.CutPrefix(s, digestPrefix)
	ok = found && ParseHex(text, d[:])
	return d, ok && d != [32]byte{}
}

// ParseHex reads exactly len(into) bytes of lower-case hex.
func ParseHex(s string, into []byte) bool {
	if len(s) != 2*len(into) || strings.ToLower(s) != s {
		return false
	}
	_, err := hex.Decode(into, []byte(s))
	return err == nil
}
