package diary

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"

	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Place is a place in the ledger of the desk; the zero Place is before number 1.
type Place struct {
	Number uint64
	Link   [32]byte
}

// Proto gives the place as exports write it.
func (p Place) Proto() *karaulav1.DeskPlace {
	return &karaulav1.DeskPlace{Number: p.Number, Link: p.Link[:]}
}

// head is the newest record that somebody may rely on, and where it lies.
type head struct {
	Place

	seq uint64 // of the stream
}

// The file of the head has two slots in blocks of their own, written in turn, so
// that a write that is cut off leaves the other one. A slot is number, sequence
// (8 bytes each, big endian), link, and HMAC-SHA-256 of these.
const (
	slotStep   = 4096
	slotBody   = 8 + 8 + 32
	slotSize   = slotBody + sha256.Size
	slotDomain = "karaula/desk-head/v1\x00"
)

// headFile keeps a head outside of the broker.
type headFile struct {
	f   *os.File
	key []byte
}

func openHead(path string, key []byte) (*headFile, error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &headFile{f, key}, nil
}

// read gives the newer of the slots; false where neither holds a head.
func (h *headFile) read() (newest head, ok bool, err error) {
	for i := range int64(2) {
		slot := make([]byte, slotSize)
		if _, err := h.f.ReadAt(slot, i*slotStep); errors.Is(err, io.EOF) {
			continue
		} else if err != nil {
			return head{}, false, err
		}
		if !hmac.Equal(slot[slotBody:], h.code(slot[:slotBody])) {
			continue
		}
		at := head{Place{binary.BigEndian.Uint64(slot), [32]byte(slot[16:slotBody])}, binary.BigEndian.Uint64(slot[8:])}
		if !ok || at.Number > newest.Number {
			newest, ok = at, true
		}
	}
	return newest, ok, nil
}

// write puts a head on disk. Two heads that follow each other lie in different
// slots, as long as the turn is kept.
func (h *headFile) write(at head, turn uint64) error {
	slot := binary.BigEndian.AppendUint64(nil, at.Number)
	slot = append(binary.BigEndian.AppendUint64(slot, at.seq), at.Link[:]...)
	slot = append(slot, h.code(slot)...)
	if _, err := h.f.WriteAt(slot, int64(turn%2)*slotStep); err != nil {
		return err
	}
	return h.f.Sync()
}

// older gives the turn that does not write over the slot of a head.
func (h *headFile) older(at head) uint64 {
	slot := make([]byte, slotBody)
	if _, err := h.f.ReadAt(slot, 0); err == nil && [32]byte(slot[16:]) == at.Link {
		return 1
	}
	return 0
}

func (h *headFile) code(body []byte) []byte {
	m := hmac.New(sha256.New, h.key)
	m.Write([]byte(slotDomain))
	m.Write(body)
	return m.Sum(nil)
}
