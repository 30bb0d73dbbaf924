// Package seal frames content and seals it to the readers of a channel.
//
// [Frame] lays content out with a salt and padding, [Commitment] is what the
// statement says about it, and [Seal] encrypts the frame as an age v1 file
// (https://age-encryption.org/v1) to hybrid post-quantum recipients
// (ML-KEM-768 with X25519) and no others. The stanzas of the file stand in
// the order of the recipients, so the statement can say which one is whose and
// [Open] unwraps that one alone.
//
// It follows docs/spec/envelope.md, "Frame" and "Sealed part". The sealed bytes
// decrypt with the stock age command, to exactly the frame.
//
// It must never hold keys, write to disk, or say in an error anything about
// the content.
package seal

import (
	"bytes"
	"errors"
	"io"

	"filippo.io/age"

	"karaula/internal/problem"
)

// Limits of a sealed part (docs/spec/limits.md).
const (
	// MaxPart is the length of the longest sealed part, in bytes.
	MaxPart = 1 << 20
	// MaxRecipients is how many keys a part may be sealed to.
	MaxRecipients = 64

	// stanzaType is the type of a hybrid recipient's stanza, and the two sizes
	// of its body and argument (age's pq.go, age-encryption.org/v1).
	stanzaType = "mlkem768x25519"
	stanzaBody = 16 + 16 // file key and Poly1305 tag
)

// Seal encrypts a frame to hybrid recipients; stanza i of the result belongs
// to rs[i]. It refuses what is not a frame, no or too many recipients, and a
// result above [MaxPart].
func Seal(frame []byte, rs []*age.HybridRecipient) ([]byte, error) {
	if len(rs) == 0 || len(rs) > MaxRecipients {
		return nil, problem.New(problem.Invalid,
			"%d keys to seal to, 1 to %d are admitted; nothing was sealed", len(rs), MaxRecipients)
	}
	if _, err := Unframe(frame); err != nil {
		return nil, problem.Wrap(problem.Failed, err, "nothing was sealed")
	}
	recipients := make([]age.Recipient, len(rs))
	for i, r := range rs {
		recipients[i] = r
	}
	var out bytes.Buffer
	out.Grow(len(frame) + 256 + len(rs)*1700)
	w, err := age.Encrypt(&out, recipients...)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "nothing was sealed")
	}
	if _, err := w.Write(frame); err != nil {
		return nil, problem.Wrap(problem.Failed, err, "nothing was sealed")
	}
	if err := w.Close(); err != nil {
		return nil, problem.Wrap(problem.Failed, err, "nothing was sealed")
	}
	if out.Len() > MaxPart {
		return nil, problem.New(problem.Invalid,
			"the sealed part has %d bytes, at most %d are admitted; nothing was sent", out.Len(), MaxPart)
	}
	return out.Bytes(), nil
}

// Open decrypts what [Seal] made, with the key that stanza (counted from 0)
// belongs to; n is the number of recipients that the statement names. It
// touches no other stanza, and refuses a file with another number of stanzas,
// with a stanza of another type, or of another length than it says. What it
// returns is not yet known to be a frame: check the commitment, then
// [Unframe]. The border check answers every error with cannot-open.
func Open(sealed []byte, id *age.HybridIdentity, stanza, n int) ([]byte, error) {
	if id == nil {
		return nil, problem.New(problem.Locked, "the key that this part is sealed to is not here")
	}
	if len(sealed) > MaxPart {
		return nil, problem.New(problem.Verification,
			"the sealed part has %d bytes, at most %d are admitted", len(sealed), MaxPart)
	}
	if n < 1 || n > MaxRecipients || stanza < 0 || stanza >= n {
		return nil, problem.New(problem.Verification, "there is no stanza %d among %d", stanza, n)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), &only{id: id, stanza: stanza, n: n})
	if err != nil {
		return nil, problem.Wrap(problem.Verification, err, "the sealed part does not open")
	}
	frame, err := io.ReadAll(io.LimitReader(r, MaxFrame+1))
	if err != nil {
		return nil, problem.Wrap(problem.Verification, err, "the sealed part does not open to its end")
	}
	if len(frame) > MaxFrame {
		return nil, problem.New(problem.Verification, "the sealed part holds more than %d bytes", MaxFrame)
	}
	return frame, nil
}

// only is an identity that unwraps one stanza and looks at the others' form.
type only struct {
	id        *age.HybridIdentity
	stanza, n int
}

// Unwrap checks all stanzas and unwraps its own.
func (o *only) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != o.n {
		return nil, errors.New("its number of stanzas is not that of the recipients")
	}
	for _, s := range stanzas {
		if s.Type != stanzaType || len(s.Args) != 1 || len(s.Body) != stanzaBody {
			return nil, errors.New("a stanza is not that of a hybrid post-quantum recipient")
		}
	}
	return o.id.Unwrap(stanzas[o.stanza : o.stanza+1])
}
