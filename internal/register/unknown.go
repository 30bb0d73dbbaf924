package register

import (
	"bytes"
	"slices"

	"karaula/internal/signedtext"
)

// maxUnknown bounds the signature lines by unknown keys that a file keeps.
const maxUnknown = 16

// keepUnknown adds to a text's file those signature lines of another file of
// the same text that nothing here can verify. They prove nothing, and are kept
// only for a version whose version before is not here: if that arrives later,
// the consent of parties that left is not lost.
func (t *text) keepUnknown(file []byte) error {
	if t.Agreement.Version == 1 || t.before {
		return nil
	}
	have, err := signedtext.Claimed(t.File)
	if err != nil {
		return err
	}
	more, err := signedtext.Claimed(file)
	if err != nil {
		return err
	}
	_, block, err := signedtext.Split(file)
	if err != nil {
		return err
	}
	lines := bytes.SplitAfter(block, []byte("\n"))
	out := slices.Clone(t.File)
	kept := len(have) - len(t.SignedBy)
	for i, s := range more {
		known := slices.ContainsFunc(have, func(h signedtext.Signature) bool { return h.Name == s.Name && h.Hash == s.Hash })
		if known || kept >= maxUnknown || slices.Contains(t.Agreement.Codes(), s.Name) {
			continue
		}
		if len(have) == 0 {
			out = append(out, '\n')
		}
		have, kept = append(have, s), kept+1
		out = append(out, lines[i]...)
	}
	signed := *t.Signed
	signed.File = out
	t.Signed = &signed
	return nil
}
