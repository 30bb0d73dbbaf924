package backup

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"karaula/internal/node"
	"karaula/internal/problem"
)

// Restore makes a node's folder from a checked backup, whole or not at all, also
// when the machine dies in between. Dir must not exist, the folder that it lies
// in must. The folder remembers from what it was restored (see [node.Restored]).
func (a *Archive) Restore(dir string, now time.Time) error {
	dir = filepath.Clean(dir)
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.Conflict, "%s is there already; nothing was restored", dir).
			WithHint("name a new folder with --dir; a node is never overwritten")
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".restore-*")
	if errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.NotFound, "there is no folder %s to restore into; nothing was restored", filepath.Dir(dir)).
			WithHint("mkdir -p %s", filepath.Dir(dir))
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "nothing was restored")
	}
	err = a.place(temp, now)
	if err == nil {
		err = os.Rename(temp, dir)
	}
	if err != nil {
		_ = os.RemoveAll(temp) // half a node helps nobody
		return problem.Wrap(problem.Failed, err, "nothing was restored")
	}
	return syncDir(filepath.Dir(dir))
}

// place writes everything into a folder that nobody uses yet.
func (a *Archive) place(dir string, now time.Time) error {
	l := node.Layout{Dir: dir}
	if err := l.Make(); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only a handle
	folders := map[string]bool{".": true, "gateway": true, "broker": true}
	for _, f := range a.Manifest.Files {
		perm := fs.FileMode(0o644)
		if secret(f.Path) {
			perm = 0o600
		}
		folder := filepath.Dir(filepath.FromSlash(f.Path))
		if err := root.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		folders[folder] = true
		if err := create(root, f.Path, a.bodies[f.Path], perm); err != nil {
			return err
		}
	}
	mark, err := json.MarshalIndent(node.Restored{
		BackupMadeAt: a.Manifest.MadeAt, RestoredAt: now.UTC(), Ledgers: a.Manifest.Ledgers,
	}, "", " ")
	if err != nil {
		return err
	}
	if err := create(root, "gateway/restored", append(mark, '\n'), 0o600); err != nil {
		return err
	}
	for folder := range folders {
		if err := syncDir(filepath.Join(dir, folder)); err != nil {
			return err
		}
	}
	return syncDir(l.Register())
}

// create writes a new file and syncs it.
func create(root *os.Root, name string, body []byte, perm fs.FileMode) error {
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Sync(), f.Close())
}
