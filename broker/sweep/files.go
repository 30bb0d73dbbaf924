package sweep

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"karaula/internal/durable"
)

// read reads a block into memory that the next one uses again.
func (s *stream) read(file string) ([]byte, fs.FileInfo, error) {
	path := filepath.Join(s.dir, file)
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("it is not a file")
	case info.Size() > maxBlock:
		return nil, nil, fmt.Errorf("it has %d bytes, more than %d", info.Size(), maxBlock)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if size := int(info.Size()); cap(s.buf) < size {
		s.buf = make([]byte, size)
	}
	block := s.buf[:info.Size()]
	_, err = io.ReadFull(f, block)
	return block, info, errors.Join(err, f.Close())
}

// broken says what a block is whose bytes from a place on are not records.
func broken(block []byte, end int) string {
	if end == 0 && bytes.HasPrefix(block, compressed) {
		return "it is compressed by the server"
	}
	return fmt.Sprintf("it does not verify from byte %d of %d on: cut off or damaged there, or encrypted by the server", end, len(block))
}

// forgetState takes away what the server remembers of the blocks, before the first one
// is another: it would count a message that it did not come to delete. It reads the
// blocks instead.
func (s *stream) forgetState() error {
	if s.fresh {
		return nil
	}
	if err := os.Remove(filepath.Join(s.dir, stateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.SyncDir(s.dir); err != nil {
		return err
	}
	s.fresh = true
	return nil
}

// replace puts a block in the place of a file, with its rights. What a stop on the way
// leaves behind has a name that the next sweep removes.
func (s *stream) replace(file string, block []byte, old fs.FileInfo) error {
	path := filepath.Join(s.dir, file)
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_EXCL|os.O_WRONLY, old.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = f.Write(block)
	if owner, ok := old.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 && err == nil {
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(path+".tmp"))
	}
	return durable.SyncDir(s.dir)
}
