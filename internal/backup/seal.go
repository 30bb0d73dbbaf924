package backup

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"karaula/internal/durable"
	"karaula/internal/problem"
)

// ParseRecipient reads whom a backup is encrypted to. Only hybrid recipients
// are taken: a backup holds keys that open sealed content, and whoever keeps it
// for twenty years must not be able to open it then.
func ParseRecipient(text string) (age.Recipient, error) {
	r, err := age.ParseHybridRecipient(text)
	if err != nil {
		return nil, problem.New(problem.Invalid, "%.16q… is not a post-quantum age recipient; no backup was made", text).
			WithHint("make one with age 1.3 or later: age-keygen -pq -o backup.identity; it begins with age1pq1")
	}
	return r, nil
}

// WriteFile writes the encrypted backup to a new file, readable by its owner
// alone and synced; a file that exists is never overwritten.
func (a *Archive) WriteFile(path string, to ...age.Recipient) error {
	if len(to) == 0 {
		return problem.New(problem.Invalid, "a backup needs a recipient; none was made")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return problem.New(problem.Conflict, "%s exists; no backup was made", path).
			WithHint("name a new file; backups are never overwritten")
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "no backup was made")
	}
	if err := errors.Join(a.write(f, to...), f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path) // a torn backup is worse than none
		return problem.Wrap(problem.Failed, err, "no backup was made")
	}
	return syncDir(filepath.Dir(path))
}

// write encrypts the archive as it is put together.
func (a *Archive) write(out io.Writer, to ...age.Recipient) error {
	sealed, err := age.Encrypt(out, to...)
	if err != nil {
		return err
	}
	if err := a.pack(sealed); err != nil {
		return err
	}
	return sealed.Close()
}

// pack writes the archive itself: the manifest, then every file of it in order.
func (a *Archive) pack(out io.Writer) error {
	manifest, err := a.Manifest.encode()
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	add := func(name string, body []byte) error {
		err := w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: name, Size: int64(len(body)), Mode: 0o600,
			ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		})
		if err == nil {
			_, err = w.Write(body)
		}
		return err
	}
	if err := add(manifestName, manifest); err != nil {
		return err
	}
	for _, f := range a.Manifest.Files {
		if err := add(f.Path, a.bodies[f.Path]); err != nil {
			return err
		}
	}
	return w.Close()
}

// syncDir makes new names in a folder durable.
func syncDir(dir string) error {
	if err := durable.SyncDir(dir); err != nil {
		return problem.Wrap(problem.Failed, err, "written, but the folder %s cannot be synced", dir)
	}
	return nil
}
