// Package seek finds bytes in the files of a folder: whether content that was erased
// lies in what a server keeps of a stream.
//
// It reads each file once for all that is sought, in memory that does not depend on the
// file. It must never report as absent what lies in a file that it could not read to its
// end, never change anything, and never give what it has read.
package seek

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

const (
	// Piece is the size of what is sought, bytes: compression, which copies what it has
	// seen before, leaves random bytes as they are, and breaks them at most here and there.
	// So of something longer every piece is sought. It holds for bytes that stand before
	// all that somebody else has chosen.
	Piece = 16
	// window is how much of a file is looked at at once, bytes.
	window = 256 << 10
	// filterBits is the size of the filter before the table, in the logarithm.
	filterBits = 20
	// refill is how many places pass the filter in vain before it is made anew.
	refill = 4096
	// listings is how often a folder is listed at most until nothing is new in it.
	listings = 20
)

// Search is what is sought.
type Search struct {
	pieces map[[Piece]byte][]int // the needles that have a piece, each once
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
			of := s.pieces[[Piece]byte(n)]
			if len(of) == 0 || of[len(of)-1] != i {
				s.pieces[[Piece]byte(n)] = append(of, i)
			}
		}
	}
	return s, nil
}

// hunt is the search of one folder. Others may have chosen both what is sought and what
// lies in the files, so a piece that was found costs nothing more, and what passes the
// filter cannot be foreseen.
type hunt struct {
	left     map[[Piece]byte][]int // what was not found yet
	filter   [1 << filterBits / 8]byte
	xor, odd uint64       // of the hash
	old      bool         // the filter lets pass what was found
	vain     int          // places that have passed it since it was made, and held nothing
	found    map[int]bool // by number of a needle
}

func (s *Search) hunt(found map[int]bool) *hunt {
	var seed [16]byte
	_, _ = rand.Read(seed[:]) // never fails (crypto/rand)
	h := &hunt{
		left: maps.Clone(s.pieces), found: found,
		xor: binary.LittleEndian.Uint64(seed[:]), odd: binary.LittleEndian.Uint64(seed[8:]) | 1,
	}
	h.fill()
	return h
}

// fill makes the filter for what is left.
func (h *hunt) fill() {
	clear(h.filter[:])
	h.old, h.vain = false, 0
	for p := range h.left {
		at := h.hash(p[:])
		h.filter[at/8] |= 1 << (at % 8)
	}
}

// hash gives the place of a piece in the filter, by its first eight bytes.
func (h *hunt) hash(b []byte) uint64 {
	return (binary.LittleEndian.Uint64(b) ^ h.xor) * h.odd >> (64 - filterBits)
}

// look finds the needles of which a piece is in some bytes.
func (h *hunt) look(b []byte) {
	for i := 0; i+Piece <= len(b); i++ {
		at := h.hash(b[i:])
		if h.filter[at/8]&(1<<(at%8)) == 0 {
			continue
		}
		of, here := h.left[[Piece]byte(b[i:])]
		if !here {
			if h.vain++; h.old && h.vain >= refill {
				h.fill()
			}
			continue
		}
		for _, n := range of {
			h.found[n] = true
		}
		delete(h.left, [Piece]byte(b[i:]))
		h.old = true
	}
}

// Folder adds to found the needles that lie in any file below a folder. Files may come
// and go meanwhile, as they do below a running server; what came is searched, too. An
// error, also that ctx has ended, means that nothing is known of what is not found.
func (s *Search) Folder(ctx context.Context, dir string, found map[int]bool) error {
	h, seen := s.hunt(found), map[string]bool{}
	for range listings {
		news, err := s.list(ctx, dir, seen, h)
		if err != nil || !news {
			return err
		}
	}
	return fmt.Errorf("files come and go faster in %s than they can be listed", dir)
}

// list searches the files below a folder that were not seen before, and reports whether
// there were any.
func (s *Search) list(ctx context.Context, dir string, seen map[string]bool, h *hunt) (news bool, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case path != dir && errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case d.IsDir() || seen[path]:
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder", path)
		}
		seen[path], news = true, true
		if err := s.file(ctx, path, h); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	return news, err
}

// file searches a file.
func (s *Search) file(ctx context.Context, path string, h *hunt) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := s.read(ctx, f, h); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// read searches what r gives to its end.
func (s *Search) read(ctx context.Context, r io.Reader, h *hunt) error {
	kept := 0 // bytes from the window before, in which a piece may begin
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(r, s.buf[kept:])
		have := s.buf[:kept+n]
		h.look(have)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		kept = copy(s.buf, have[len(have)-(Piece-1):])
	}
}
