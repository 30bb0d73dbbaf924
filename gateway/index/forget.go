package index

import (
	"errors"
	"os"

	"google.golang.org/protobuf/proto"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Forget writes the file again without the records of these statements, whose
// content is erased, and syncs it: a keyed hash of a plate is personal data as
// long as the key exists.
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
	_, err = f.scan(func(batch []byte) error {
		var keep []*karaulav1.IndexRecord
		err := eachRecord(batch, func(_ []byte, r *karaulav1.IndexRecord) {
			if !leaves[[32]byte(r.GetLeaf())] {
				keep = append(keep, proto.CloneOf(r))
			}
		})
		if err != nil || len(keep) == 0 {
			return err
		}
		return fresh.write(keep)
	})
	if err == nil {
		err = fresh.f.Sync()
	}
	if err == nil {
		err = os.Rename(next, f.path)
	}
	if err != nil {
		return errors.Join(err, fresh.f.Close(), os.Remove(next))
	}
	for leaf := range leaves {
		delete(f.known, leaf)
	}
	old := f.f
	f.f, f.seal, f.header, f.frames = fresh.f, fresh.seal, fresh.header, fresh.frames
	return old.Close()
}
