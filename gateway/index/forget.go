package index

import (
	"errors"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"karaula/internal/durable"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Bare gives what a record keeps when the content is erased: which alert it was,
// in which version, what it did to the one before, and where it comes from. Without the alert's id
// nobody could say afterwards that it was erased, or that it was said before. The
// id says nothing of the content (RFC 9562, version 7: a time and random bits).
func Bare(r *karaulav1.IndexRecord) *karaulav1.IndexRecord {
	return &karaulav1.IndexRecord{
		Ledger: r.GetLedger(), Leaf: r.GetLeaf(), AlertId: r.GetAlertId(), Version: r.GetVersion(),
		Lifecycle: r.GetLifecycle(), Type: r.GetType(), Supersedes: r.GetSupersedes(), Descent: r.GetDescent(),
	}
}

// IsBare reports whether a record holds nothing else.
func IsBare(r *karaulav1.IndexRecord) bool { return proto.Equal(r, Bare(r)) }

// Forget writes the file again with nothing but [Bare] records of these
// statements, whose content is erased, and syncs it: a keyed hash of a plate is
// personal data as long as the key exists.
func (f *File) Forget(leaves map[[32]byte]bool) error {
	if f == nil || len(leaves) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.forget(leaves); err != nil {
		return problem.Wrap(problem.Failed, err, "the index file still holds hashes of what was erased").
			WithHint("stop the node, remove %s, and start it: the index is made again", f.path)
	}
	return nil
}

func (f *File) forget(leaves map[[32]byte]bool) error {
	if err := f.flush(); err != nil {
		return err
	}
	next := f.path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fresh, err := OpenFile(next, f.key)
	if err != nil {
		return err
	}
	_, err = f.scan(func(batch []byte) error { return f.keep(fresh, batch, leaves) })
	if err == nil {
		err = fresh.f.Sync()
	}
	if err == nil {
		err = os.Rename(next, f.path)
	}
	if err != nil {
		return errors.Join(err, fresh.f.Close(), os.Remove(next))
	}
	old := f.f
	f.f, f.seal, f.header, f.frames = fresh.f, fresh.seal, fresh.header, fresh.frames
	// Without it the power may bring the old file back.
	return errors.Join(durable.SyncDir(filepath.Dir(f.path)), old.Close())
}

// keep writes a batch into the fresh file.
func (f *File) keep(fresh *File, batch []byte, leaves map[[32]byte]bool) error {
	var keep []*karaulav1.IndexRecord
	err := eachRecord(batch, func(_ []byte, r *karaulav1.IndexRecord) {
		r = proto.CloneOf(r)
		if leaf := [32]byte(r.GetLeaf()); leaves[leaf] {
			r = Bare(r)
			if _, ok := f.known[leaf]; ok {
				f.known[leaf], _ = proto.Marshal(r)
			}
		}
		keep = append(keep, r)
	})
	if err != nil || len(keep) == 0 {
		return err
	}
	return fresh.write(keep)
}
