package keyring

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/sys/unix"

	"karaula/internal/durable"
	"karaula/internal/problem"
)

// maxFile bounds a key file, in bytes.
const maxFile = 1 << 20

// workFactor is scrypt's cost, 2^n: about a second. Tests lower it.
var workFactor = 18

// Passphrase gives the passphrase when a key file turns out to need one. A nil
// Passphrase means that none was given: sealed files then stay locked and new
// ones are written unsealed.
type Passphrase func() ([]byte, error)

// PassphraseFile reads the passphrase from the first line of a file.
func PassphraseFile(path string) Passphrase {
	return func() ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, problem.Wrap(problem.Locked, err, "cannot read the passphrase")
		}
		defer f.Close() //nolint:errcheck // only read
		body, err := io.ReadAll(io.LimitReader(f, 4096))
		if err != nil {
			return nil, problem.Wrap(problem.Locked, err, "cannot read the passphrase")
		}
		line, _, _ := bytes.Cut(body, []byte{'\n'})
		if line = bytes.TrimSuffix(line, []byte{'\r'}); len(line) == 0 {
			return nil, problem.New(problem.Locked, "passphrase file %s is empty", path)
		}
		return line, nil
	}
}

// locked says that a passphrase is missing or wrong.
func locked(format string, args ...any) *problem.Problem {
	return problem.New(problem.Locked, format, args...).WithHint("give the passphrase with --passphrase-file FILE")
}

// seal encrypts body with the passphrase, armored; without one it is kept.
func seal(body []byte, pass Passphrase) ([]byte, error) {
	if pass == nil {
		return body, nil
	}
	word, err := pass()
	if err != nil {
		return nil, err
	}
	to, err := age.NewScryptRecipient(string(word))
	if err != nil {
		return nil, locked("the passphrase is empty, nothing was written")
	}
	to.SetWorkFactor(workFactor)
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, to)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = a.Close()
	}
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "sealing the key failed, nothing was written")
	}
	return out.Bytes(), nil
}

// unseal gives the plain body of a key file, which may be sealed.
func unseal(path string, body []byte, pass Passphrase) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte(armor.Header)) {
		return body, nil
	}
	if pass == nil {
		return nil, locked("%s is sealed with a passphrase", path)
	}
	word, err := pass()
	if err != nil {
		return nil, err
	}
	id, err := age.NewScryptIdentity(string(word))
	if err != nil {
		return nil, locked("the passphrase is empty, %s stays locked", path)
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(body)), id)
	if err != nil {
		return nil, locked("the passphrase does not open %s", path)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil || len(plain) > maxFile {
		return nil, problem.New(problem.Locked, "%s is damaged", path)
	}
	return plain, nil
}

// load reads a key file that nobody but its owner may read, and unseals it.
func load(path, what string, pass Passphrase) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // nonblocking: a pipe must not hang us
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.Locked, "no %s at %s", what, path).
			WithHint("name the file, or bring the medium that holds it")
	}
	if err != nil {
		return nil, problem.Wrap(problem.Locked, err, "cannot open the %s", what)
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return nil, problem.Wrap(problem.Locked, err, "cannot open the %s", what)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, problem.New(problem.Locked, "%s is not a key file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, problem.New(problem.Locked, "%s may be read by others (mode %04o), it was not used",
			path, info.Mode().Perm()).WithHint("chmod 600 %s, and think of who may have copied it", path)
	}
	body, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil || len(body) > maxFile {
		return nil, problem.New(problem.Locked, "%s cannot be read", path)
	}
	return unseal(path, body, pass)
}

// create writes a new key file, mode 0600, synced with its folder; it refuses
// to overwrite.
func create(path string, body []byte, pass Passphrase) error {
	sealed, err := seal(body, pass)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return problem.New(problem.Conflict, "%s exists, nothing was written", path).
			WithHint("keys are never overwritten; move the old file away if it is really no longer needed")
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the key was not written")
	}
	if err := writeSynced(f, sealed); err != nil {
		_ = os.Remove(path) // a torn key file helps nobody
		return problem.Wrap(problem.Failed, err, "the key was not written")
	}
	return syncDir(filepath.Dir(path))
}

// replace puts a new body in place of a key file, atomically. What was sealed
// stays sealed: without a passphrase it is not replaced.
func replace(path string, body []byte, pass Passphrase) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return problem.Wrap(problem.Locked, err, "there is no key file to replace")
	}
	if pass == nil && bytes.HasPrefix(old, []byte(armor.Header)) {
		return locked("%s is sealed, it was not replaced by an unsealed one", path)
	}
	next := path + ".new"
	_ = os.Remove(next) // left by a process that died here: no card names what is in it
	if err := create(next, body, pass); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return problem.Wrap(problem.Failed, err, "the key file was not replaced, the new keys are in %s", next)
	}
	return syncDir(filepath.Dir(path))
}

// writeSynced writes, syncs and closes f.
func writeSynced(f *os.File, body []byte) error {
	_, err := f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a new name in a folder durable.
func syncDir(dir string) error {
	if err := durable.SyncDir(dir); err != nil {
		return problem.Wrap(problem.Failed, err, "the key was written, but its folder cannot be synced")
	}
	return nil
}
