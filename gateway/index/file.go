package index

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// The file is a header and frames. The header is [magic] and 32 random bytes,
// the salt. A frame is a length (4 bytes, big endian) and so many bytes: an
// IndexBatch, sealed with AES-256-GCM under a key made of the gateway's key and
// the salt (HKDF-SHA-256), with a random nonce in front; the header and the
// frame's number from 0 are authenticated with it. So frames cannot be changed,
// exchanged or brought in from another file; the last ones can be cut off, which
// costs nothing but opening their alerts again.
const (
	magic     = "karaula index v3\n"
	saltSize  = 32
	fileLabel = "karaula/index-file/v1"
	maxFrame  = 4 << 20
	flushAt   = 512 // records that wait before they are written
)

// File keeps index records on disk, sealed. It is not synced: what a crash
// takes is made again from the streams. It is safe for concurrent use.
type File struct {
	path string
	key  []byte

	mu      sync.Mutex
	f       *os.File
	seal    cipher.AEAD
	header  []byte
	frames  uint64
	waiting []*karaulav1.IndexRecord
	users   int // read-backs that are going on
	known   map[[32]byte][]byte
	broken  error // of the last write; nothing more is written
}

// OpenFile opens the file, or begins a new one where there is none, where it was
// sealed with another key, or where its beginning is damaged. Damage further on
// costs what follows it.
//
// An error means that the file cannot be written: the index then lives in memory
// alone, and a start takes longer.
func OpenFile(path string, key []byte) (*File, error) {
	f := &File{path: path, key: key}
	if err := f.open(); err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the index file cannot be used; look-ups work, a start takes longer").
			WithHint("check the disk and the rights of %s", path)
	}
	return f, nil
}

func (f *File) open() error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	header := make([]byte, len(magic)+saltSize)
	if _, err := io.ReadFull(file, header); err != nil || string(header[:len(magic)]) != magic {
		if header, err = begin(file); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	f.f, f.header = file, header
	if f.seal, err = newSeal(f.key, header); err != nil {
		return errors.Join(err, file.Close())
	}
	end, err := f.scan(func([]byte) error { return nil })
	if err == nil && end == int64(len(header)) {
		err = f.restart() // empty, of another key, or damaged from the first frame on
	} else if err == nil {
		err = file.Truncate(end)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	return nil
}

// begin writes a new header.
func begin(w *os.File) ([]byte, error) {
	header := append([]byte(magic), make([]byte, saltSize)...)
	rand.Read(header[len(magic):])
	if err := w.Truncate(0); err != nil {
		return nil, err
	}
	_, err := w.WriteAt(header, 0)
	return header, err
}

// restart begins the file again.
func (f *File) restart() error {
	header, err := begin(f.f)
	if err != nil {
		return err
	}
	f.header, f.frames = header, 0
	f.seal, err = newSeal(f.key, header)
	return err
}

func newSeal(key, header []byte) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, key, header[len(magic):], fileLabel, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// bound is what is authenticated with a frame beside its content.
func (f *File) bound(frame uint64) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(f.header), frame)
}

// scan opens every whole frame in order, and gives where the last one ends.
func (f *File) scan(fn func(batch []byte) error) (end int64, err error) {
	end, f.frames = int64(len(f.header)), 0
	r := bufio.NewReaderSize(io.NewSectionReader(f.f, end, 1<<62), 1<<20)
	for {
		var length [4]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return end, nil
		}
		n := binary.BigEndian.Uint32(length[:])
		if n > maxFrame {
			return end, nil
		}
		sealed := make([]byte, n)
		if _, err := io.ReadFull(r, sealed); err != nil {
			return end, nil
		}
		batch, err := f.seal.Open(nil, nil, sealed, f.bound(f.frames))
		if err != nil {
			return end, nil
		}
		if err := fn(batch); err != nil {
			return end, err
		}
		f.frames++
		end += int64(len(length)) + int64(n)
	}
}

// Recall reads the file for a read-back of streams; until done is called, [File.Known]
// answers.
func (f *File) Recall() (done func()) {
	if f == nil {
		return func() {}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users++; f.users == 1 {
		f.known = map[[32]byte][]byte{}
		if f.flush() == nil {
			_, f.broken = f.scan(f.remember)
		}
	}
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.users--; f.users == 0 {
			f.known = nil
		}
	})
}

// remember keeps the records of a batch as they stand.
func (f *File) remember(batch []byte) error {
	return eachRecord(batch, func(raw []byte, r *karaulav1.IndexRecord) {
		f.known[[32]byte(r.GetLeaf())] = raw
	})
}

// eachRecord calls fn with every whole record of a batch.
func eachRecord(batch []byte, fn func(raw []byte, r *karaulav1.IndexRecord)) error {
	for len(batch) > 0 {
		_, typ, n := protowire.ConsumeTag(batch)
		if n < 0 || typ != protowire.BytesType {
			return errDamaged
		}
		raw, m := protowire.ConsumeBytes(batch[n:])
		if m < 0 {
			return errDamaged
		}
		batch = batch[n+m:]
		var r karaulav1.IndexRecord
		if proto.Unmarshal(raw, &r) != nil || !whole(&r) {
			return errDamaged
		}
		fn(raw, &r)
	}
	return nil
}

var errDamaged = errors.New("a frame of the index file holds no index records")

// Known gives the record of a statement, if the file has it and a read-back is
// going on.
func (f *File) Known(leaf [32]byte) (*karaulav1.IndexRecord, bool) {
	if f == nil {
		return nil, false
	}
	f.mu.Lock()
	raw, ok := f.known[leaf]
	f.mu.Unlock()
	var r karaulav1.IndexRecord
	if !ok || proto.Unmarshal(raw, &r) != nil {
		return nil, false
	}
	return &r, true
}

// Add keeps a record; it is written with others. What is known already is not
// written again.
func (f *File) Add(r *karaulav1.IndexRecord) {
	if f == nil || !whole(r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.known[[32]byte(r.GetLeaf())]; ok {
		return
	}
	f.waiting = append(f.waiting, r)
	if len(f.waiting) >= flushAt {
		f.flush() //nolint:errcheck // kept in broken, and told by Flush
	}
}

// Flush writes what waits.
func (f *File) Flush() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flush()
}

func (f *File) flush() error {
	if f.broken != nil || len(f.waiting) == 0 {
		f.waiting = nil
		return f.broken
	}
	for len(f.waiting) > 0 && f.broken == nil {
		n := min(len(f.waiting), flushAt)
		f.broken = f.write(f.waiting[:n])
		f.waiting = f.waiting[n:]
	}
	f.waiting = nil
	return f.broken
}

// write seals one frame.
func (f *File) write(list []*karaulav1.IndexRecord) error {
	batch, err := proto.Marshal(&karaulav1.IndexBatch{Records: list})
	if err != nil {
		return err
	}
	if len(batch)+f.seal.Overhead() > maxFrame {
		if len(list) == 1 {
			return nil // an alert with that many terms is opened again at the next start
		}
		return errors.Join(f.write(list[:len(list)/2]), f.write(list[len(list)/2:]))
	}
	frame := make([]byte, 4, 4+len(batch)+f.seal.Overhead())
	binary.BigEndian.PutUint32(frame, uint32(len(batch)+f.seal.Overhead())) //nolint:gosec // bounded above
	frame = f.seal.Seal(frame, nil, batch, f.bound(f.frames))               //nolint:gosec // the cipher draws the nonce itself
	if _, err := f.f.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	_, err = f.f.Write(frame)
	f.frames++
	return err
}

// Close writes what waits and closes the file.
func (f *File) Close() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.flush(), f.f.Close())
}
