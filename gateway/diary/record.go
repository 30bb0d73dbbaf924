package diary

import (
	"crypto/rand"

	"filippo.io/age"

	"karaula/gateway/mac"
	"karaula/internal/evidence"
	"karaula/internal/keyring"
	"karaula/internal/problem"
	"karaula/internal/seal"
	"karaula/internal/wire"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// MaxRecord bounds one record of the desk stream, in bytes.
const MaxRecord = 64 << 10

var deskMark = mac.Mark{Domain: "karaula/desk/v1\x00", Field: 6}

// Records seals and opens what the desk stream holds (docs/spec/desk.md). The
// node's broker keeps it, and reads neither who did something nor why.
type Records struct {
	keys func() *keyring.Gateway
	mark []byte
}

// NewRecords makes the records of a gateway, whose keys may change; mark is its key
// for their codes, [mac.KeySize] bytes.
func NewRecords(keys func() *keyring.Gateway, mark []byte) *Records { return &Records{keys, mark} }

// Seal seals an entry to the newest archive key. Its place is still open.
func (r *Records) Seal(e *karaulav1.DeskEntry) (*karaulav1.DeskRecord, error) {
	keys := r.keys()
	if len(keys.Archive) == 0 {
		return nil, problem.New(problem.Locked, "the archive key is not here; nothing was done")
	}
	key := keys.Archive[0]
	content, err := wire.Marshal(e, MaxRecord)
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the desk entry cannot be written; nothing was done")
	}
	var salt [seal.SaltSize]byte
	rand.Read(salt[:])
	frame, err := seal.Frame(content, salt)
	if err != nil {
		return nil, err
	}
	sealed, err := seal.Seal(frame, []*age.HybridRecipient{key.Identity.Recipient()})
	if err != nil {
		return nil, err
	}
	sum := seal.Commitment(frame)
	return &karaulav1.DeskRecord{KeyId: key.ID[:], Sealed: sealed, Commitment: sum[:]}, nil
}

// Place writes a record down at the place behind another one, and gives its own.
func (r *Records) Place(rec *karaulav1.DeskRecord, after Place) (data []byte, at Place, err error) {
	rec.Number, rec.Previous = after.Number+1, after.Link[:]
	data, err = wire.Marshal(rec, MaxRecord)
	if err != nil {
		return nil, Place{}, problem.Wrap(problem.Failed, err, "the desk record cannot be written; nothing was done")
	}
	return deskMark.Add(r.mark, data), placeOf(rec), nil
}

// Parse reads a message of the desk stream without opening it. It fails with
// Verification for what this gateway has not written.
func (r *Records) Parse(data []byte) (*karaulav1.DeskRecord, error) {
	rec := &karaulav1.DeskRecord{}
	if len(data) > MaxRecord || !deskMark.Check(r.mark, data) || wire.Unmarshal(data, rec, MaxRecord) != nil ||
		rec.GetNumber() == 0 || len(rec.GetPrevious()) != 32 || len(rec.GetCommitment()) != 32 {
		return nil, problem.New(problem.Verification, "the desk record was not written by this gateway").
			WithHint("somebody has written to the broker's store; look who had the rights")
	}
	return rec, nil
}

// Open reads a message of the desk stream. Beside the errors of [Records.Parse]
// it fails with Locked where the key that it was sealed to is not here.
func (r *Records) Open(data []byte) (*karaulav1.DeskEntry, error) {
	rec, err := r.Parse(data)
	if err != nil {
		return nil, err
	}
	_, e, err := r.open(rec)
	return e, err
}

// open gives the frame of a record and the entry in it.
func (r *Records) open(rec *karaulav1.DeskRecord) ([]byte, *karaulav1.DeskEntry, error) {
	key, ok := r.keys().Identity(karaulav1.KeyUse_KEY_USE_ARCHIVE, rec.GetKeyId())
	if !ok {
		return nil, nil, problem.New(problem.Locked, "the archive key that the desk record was sealed to is not here")
	}
	frame, err := seal.Open(rec.GetSealed(), key.Identity, 0, 1)
	if err != nil {
		return nil, nil, err
	}
	content, err := seal.Unframe(frame)
	if err != nil {
		return nil, nil, problem.Wrap(problem.Verification, err, "the desk record does not hold a frame")
	}
	e := &karaulav1.DeskEntry{}
	if seal.Commitment(frame) != [32]byte(rec.GetCommitment()) || wire.Unmarshal(content, e, MaxRecord) != nil {
		return nil, nil, problem.New(problem.Verification, "the desk record does not hold an entry")
	}
	return frame, e, nil
}

// placeOf gives the place of a record that was parsed or placed.
func placeOf(rec *karaulav1.DeskRecord) Place {
	return Place{rec.GetNumber(), evidence.DeskLink(rec.GetNumber(), [32]byte(rec.GetPrevious()), [32]byte(rec.GetCommitment()))}
}
