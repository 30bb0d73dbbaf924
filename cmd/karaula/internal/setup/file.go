package setup

import (
	"io/fs"
	"os"

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
	if err := durable.Replace(path, body, perm); err != nil {
		return problem.Wrap(problem.Failed, err, "%s was not written, or a loss of power may bring the old one back", path)
	}
	return nil
}

// syncDir makes a new name in a folder durable.
func syncDir(dir string) error {
	if err := durable.SyncDir(dir); err != nil {
		return problem.Wrap(problem.Failed, err, "written, but the folder %s cannot be synced", dir)
	}
	return nil
}
