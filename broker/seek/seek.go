// Package seek finds bytes in the files of a folder: whether content that was erased
// lies in what a server keeps of a stream.
//
// It reads each file once for all that is sought, in memory that does not depend on the
// file. It must never report as absent what lies in a file that it could not read to its
// end, never change anything, and never give what it has read.
package seek

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// Piece is the size of what is sought, bytes: compression, which copies what it has
	// seen before, leaves random bytes as they are, and breaks them at most here and there.
	// So of something longer every piece is sought.
	Piece = 16
	// window is how much of a file is looked at at once, bytes.
	window = 256 << 10
	// filterBits is the size of the filter before the table, in the logarithm.
	filterBits = 20
	// listings is how often a folder is listed at most until nothing is new in it.
	listings = 20
)

// Search is what is sought.
type Search struct {
	filter [1 << filterBits / 8]byte // by the hash of the first four bytes
	pieces map[[Piece]byte][]int
	buf    []byte
}

// New makes a search for needles, of which whoever asks knows the numbers. A needle is
// found where any of its pieces is; it must have at least one: what is left over behind
// the last whole piece is not sought.
func New(needles [][]byte) (*Search, error) {
	s := &Search{pieces: map[[Piece]byte][]int{}, buf: make([]byte, window)}
	for i, n := range needles {
		if len(n) < Piece {
			return nil, fmt.Errorf("needle %d has %d bytes, fewer than %d", i, len(n), Piece)
		}
		for ; len(n) >= Piece; n = n[Piece:] {
			h := hash(n)
			s.filter[h/8] |= 1 << (h % 8)
			s.pieces[[Piece]byte(n)] = append(s.pieces[[Piece]byte(n)], i)
		}
	}
	return s, nil
}

// hash gives the place of four bytes in the filter.
func hash(b []byte) uint32 {
	return binary.LittleEndian.Uint32(b) * 0x9e3779b1 >> (32 - filterBits)
}

// Folder adds to found the needles that lie in any file below a folder. Files may come
// and go meanwhile, as they do below a running server; what came is searched, too. An
// error means that nothing is known of what is not found.
func (s *Search) Folder(dir string, found map[int]bool) error {
	seen := map[string]bool{}
	for range listings {
		news, err := s.list(dir, seen, found)
		if err != nil || !news {
			return err
		}
	}
	return fmt.Errorf("files come and go faster in %s than they can be listed", dir)
}

// list searches the files below a folder that were not seen before, and reports whether
// there were any.
func (s *Search) list(dir string, seen map[string]bool, found map[int]bool) (news bool, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case path != dir && errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir() || seen[path]:
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder", path)
		}
		seen[path], news = true, true
		if err := s.file(path, found); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	return news, err
}

// file adds to found the needles that lie in a file.
func (s *Search) file(path string, found map[int]bool) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := s.read(f, found); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// read adds to found the needles of which a piece is in what r gives to its end.
func (s *Search) read(r io.Reader, found map[int]bool) error {
	kept := 0 // bytes from the window before, in which a piece may begin
	for {
		n, err := io.ReadFull(r, s.buf[kept:])
		have := s.buf[:kept+n]
		s.look(have, found)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		kept = copy(s.buf, have[len(have)-(Piece-1):])
	}
}

// look adds to found the needles of which a piece is in some bytes.
func (s *Search) look(b []byte, found map[int]bool) {
	for i := 0; i+Piece <= len(b); i++ {
		h := hash(b[i:])
		if s.filter[h/8]&(1<<(h%8)) == 0 {
			continue
		}
		for _, n := range s.pieces[[Piece]byte(b[i:])] {
			found[n] = true
		}
	}
}
