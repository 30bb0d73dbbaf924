package setup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"karaula/internal/durable"
	"karaula/internal/problem"
)

// WriteFile puts a body in the place of a file, whole or not at all, also when
// the machine dies in between. Perm is for a file that is not there yet; an
// existing one keeps its own.
func WriteFile(path string, body []byte, perm fs.FileMode) error {
	if info, err := os.Stat(path); err == nil {
		perm = info.Mode().Perm()
	}
	if err := write(path, body, perm); err != nil {
		return problem.Wrap(problem.Failed, err, "%s was not written and stays as it was", path)
	}
	return syncDir(filepath.Dir(path))
}

func write(path string, body []byte, perm fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone already after the rename
	_, err = f.Write(body)
	err = errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// syncDir makes a new name in a folder durable.
func syncDir(dir string) error {
	if err := durable.SyncDir(dir); err != nil {
		return problem.Wrap(problem.Failed, err, "written, but the folder %s cannot be synced", dir)
	}
	return nil
}
