// Package durable makes what was written to folders outlive a loss of power: a
// new or renamed file is found again only after its folder was synced, too
// (fsync(2)).
//
// It must never leave a file that is half the old one and half the new one, and
// never decide what is in one.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace puts a body in the place of a file, whole or not at all, also when the
// machine dies in between. Where it fails, the file is what it was; but for an error of
// the last step, the syncing of its folder: then a loss of power may bring the old one back.
func Replace(path string, body []byte, perm fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone already after the rename
	_, err = f.Write(body)
	if err = errors.Join(err, f.Chmod(perm), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes new names in a folder durable. Errors are the operating system's;
// the caller says what was written and what was not.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
