package imports

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"karaula/internal/durable"
	"karaula/internal/problem"
)

// The file: a head of 64 bytes (magic, key), then records of 64 bytes, each with a
// checksum. The last record of a row counts. What a loss of power leaves of records
// that were not synced is a short end or zeros up to the end, and is cut off: no
// record lies across sectors. Anything else is damage.
const (
	recordSize = 64
	magic      = "karaula import 1\n"
	keySize    = 32
)

// hash is a keyed hash, cut to 16 bytes.
type hash [16]byte

// Stage is how far an alert is.
type Stage byte

// The stages.
const (
	Intended  Stage = 1 // about to be sent; perhaps it was
	Said      Stage = 2 // the node has stored it
	Withdrawn Stage = 3 // taken back, because its row was gone
)

// Record is what is known of one row's alert.
type Record struct {
	ID      [16]byte
	Content hash
	Version uint32
	Stage   Stage
}

// known is a record and what this run has seen of its row.
type known struct {
	Record
	now  hash  // content in this run
	line int32 // in this run; 0: not seen
}

// State is the file of an import, opened by one process at a time.
type State struct {
	f    *os.File
	key  []byte
	rows map[hash]*known
	path string
}

// OpenState opens the file, or makes it.
func OpenState(path string) (_ *State, err error) {
	fail := func(err error) (*State, error) {
		return nil, problem.Wrap(problem.Failed, err, "the state of the import cannot be kept in %s; nothing was sent", path).
			WithHint("whoever imports must be able to write there; --state names another place")
	}
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, problem.New(problem.Conflict, "another import of this register runs; nothing was sent")
	}
	s := &State{f: f, path: path, rows: map[hash]*known{}}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// makeFolder makes the folder of a state that outlives the power.
func makeFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// load reads the file.
func (s *State) load() error {
	head := make([]byte, recordSize)
	n, err := io.ReadFull(s.f, head)
	switch {
	case n == 0 || (n < recordSize && bytes.Equal(head[:n], make([]byte, n))):
		return s.begin()
	case err != nil || string(head[:len(magic)]) != magic || !whole(head):
		return s.damaged("at its beginning")
	}
	s.key = bytes.Clone(head[len(magic) : len(magic)+keySize])
	end := int64(recordSize)
	for block := make([]byte, recordSize*1024); ; {
		n, err := io.ReadFull(s.f, block)
		for at := 0; at+recordSize <= n; at += recordSize {
			b := block[at : at+recordSize]
			if !whole(b) {
				return s.unsynced(end)
			}
			s.take(b)
			end += recordSize
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return s.cut(end)
		}
		if err != nil {
			return problem.Wrap(problem.Failed, err, "the state of the import cannot be read; nothing was sent")
		}
	}
}

// unsynced cuts off what begins with a record that is not whole, if it never reached
// the disk: then there are zeros up to the end.
func (s *State) unsynced(end int64) error {
	rest := io.NewSectionReader(s.f, end, 1<<62)
	for block := make([]byte, recordSize*1024); ; {
		n, err := io.ReadFull(rest, block)
		if !bytes.Equal(block[:n], make([]byte, n)) {
			return s.damaged("at byte " + strconv.FormatInt(end, 10))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return s.cut(end)
		}
		if err != nil {
			return problem.Wrap(problem.Failed, err, "the state of the import cannot be read; nothing was sent")
		}
	}
}

// damaged says that the file cannot be relied on.
func (s *State) damaged(where string) error {
	return problem.New(problem.Verification, "%s is not the state of an import, or is damaged %s; nothing was sent", s.path, where).
		WithHint("put its newest copy back and run the same command again; if there is none, remove the file and run it with --replace-unknown")
}

// begin makes the head, with a new key.
func (s *State) begin() error {
	head := make([]byte, recordSize)
	copy(head, magic)
	rand.Read(head[len(magic) : len(magic)+keySize])
	seal(head)
	s.key = bytes.Clone(head[len(magic) : len(magic)+keySize])
	_, err := s.f.WriteAt(head, 0)
	if err == nil { // without its name, every row would become a second alert
		err = durable.SyncDir(filepath.Dir(s.path))
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the state of the import cannot be written; nothing was sent")
	}
	return s.cut(recordSize)
}

// cut makes the file end there.
func (s *State) cut(end int64) error {
	err := s.f.Truncate(end)
	if err == nil {
		_, err = s.f.Seek(end, io.SeekStart)
	}
	if err == nil {
		err = s.f.Sync()
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the state of the import cannot be written; nothing was sent")
	}
	return nil
}

// seal puts the checksum behind a record.
func seal(b []byte) {
	binary.BigEndian.PutUint32(b[recordSize-4:], crc32.ChecksumIEEE(b[:recordSize-4]))
}

func whole(b []byte) bool {
	return binary.BigEndian.Uint32(b[recordSize-4:]) == crc32.ChecksumIEEE(b[:recordSize-4])
}

func (s *State) take(b []byte) {
	var key hash
	var r Record
	copy(key[:], b)
	copy(r.ID[:], b[16:])
	copy(r.Content[:], b[32:])
	r.Version, r.Stage = binary.BigEndian.Uint32(b[48:]), Stage(b[52])
	s.set(key, r)
}

func (s *State) set(key hash, r Record) *known {
	k := s.rows[key]
	if k == nil {
		k = &known{}
		s.rows[key] = k
	}
	k.Record = r
	return k
}

// write appends the records of jobs; what is intended is synced before it is done.
func (s *State) write(list []*job) error {
	out := make([]byte, 0, len(list)*recordSize)
	sync := false
	for _, j := range list {
		b := make([]byte, recordSize)
		copy(b, j.key[:])
		copy(b[16:], j.rec.ID[:])
		copy(b[32:], j.rec.Content[:])
		binary.BigEndian.PutUint32(b[48:], j.rec.Version)
		b[52] = byte(j.rec.Stage)
		seal(b)
		out = append(out, b...)
		s.set(j.key, j.rec)
		sync = sync || j.rec.Stage == Intended
	}
	_, err := s.f.Write(out)
	if err == nil && sync {
		err = s.f.Sync()
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the state of the import cannot be written; the import has stopped").
			WithHint("make room and run the same command again: nothing is sent twice")
	}
	return nil
}

// Close gives the file free.
func (s *State) Close() error {
	return errors.Join(s.f.Sync(), s.f.Close())
}

// hashOf gives the keyed hash of what is named by use.
func (s *State) hashOf(use string, data []byte) (h hash) {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(use + "\x00"))
	m.Write(data)
	copy(h[:], m.Sum(nil))
	return h
}

// ids gives the ids of the alerts that it knows.
func (s *State) ids() map[[16]byte]bool {
	out := make(map[[16]byte]bool, len(s.rows))
	for _, k := range s.rows {
		out[k.ID] = true
	}
	return out
}

// Standing counts the rows whose alerts stand.
func (s *State) Standing() int {
	n := 0
	for _, k := range s.rows {
		if k.Stage != Withdrawn {
			n++
		}
	}
	return n
}
