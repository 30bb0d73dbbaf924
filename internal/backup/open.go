package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"

	"filippo.io/age"

	"karaula/internal/card"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// maxIdentity bounds an identity file, in bytes.
const maxIdentity = 64 << 10

// Identities reads an age identity file that nobody but its owner may read.
func Identities(path string) ([]age.Identity, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, problem.Wrap(problem.Locked, err, "the identity cannot be read; nothing was restored")
	case !info.Mode().IsRegular():
		return nil, problem.New(problem.Locked, "%s is not an identity file; nothing was restored", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, problem.New(problem.Locked, "%s may be read by others (mode %04o), it was not used", path, info.Mode().Perm()).
			WithHint("chmod 600 %s, and think of who may have copied it", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, problem.Wrap(problem.Locked, err, "the identity cannot be read; nothing was restored")
	}
	defer f.Close() //nolint:errcheck // only read
	ids, err := age.ParseIdentities(io.LimitReader(f, maxIdentity))
	if err != nil { // what it says may hold a part of the key
		return nil, problem.New(problem.Locked, "%s holds no age identity in plain text; nothing was restored", path).
			WithHint("if it is sealed with a passphrase, open it first: age -d %s", path)
	}
	return ids, nil
}

// Open decrypts a backup and checks all of it: every byte is authenticated by
// age, every file has its size and hash, nothing is left over, and it holds
// what a node needs. Nothing is written.
func Open(r io.Reader, ids ...age.Identity) (*Archive, error) {
	plain, err := age.Decrypt(r, ids...)
	if _, other := errors.AsType[*age.NoIdentityMatchError](err); other {
		return nil, problem.New(problem.Locked, "the identity does not open this backup; nothing was restored")
	}
	if err != nil {
		return nil, problem.Wrap(problem.Verification, err, "this is no backup, or it is damaged; nothing was restored")
	}
	a, err := unpack(plain)
	if err != nil {
		return nil, problem.Wrap(problem.Verification, err, "nothing was restored")
	}
	return a, a.check()
}

// unpack reads the archive.
func unpack(plain io.Reader) (*Archive, error) {
	limited := &io.LimitedReader{R: plain, N: MaxArchive}
	r := tar.NewReader(limited)
	body, err := entry(r, manifestName, MaxManifest)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(body)
	if err != nil {
		return nil, err
	}
	a := &Archive{Manifest: *m, bodies: make(map[string][]byte, len(m.Files))}
	for _, f := range m.Files {
		body, err := entry(r, f.Path, f.Size)
		if err != nil {
			return nil, err
		}
		if int64(len(body)) != f.Size || hash(body) != f.SHA256 {
			return nil, problem.New(problem.Verification, "%s is not what the manifest says", f.Path)
		}
		a.bodies[f.Path] = body
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		return nil, problem.New(problem.Verification, "it holds more than its manifest says, or is cut off or damaged")
	}
	// The end is authenticated too, and only by reading up to it.
	if n, err := io.Copy(io.Discard, limited); n != 0 || err != nil || limited.N == 0 {
		return nil, problem.New(problem.Verification, "something follows after its end, or it is cut off or damaged")
	}
	return a, nil
}

// entry reads the next entry, which must be a regular file of this name and of
// at most so many bytes.
func entry(r *tar.Reader, name string, limit int64) ([]byte, error) {
	h, err := r.Next()
	switch {
	case err != nil:
		return nil, problem.New(problem.Verification, "%s is missing, or the backup is cut off or damaged", name)
	case h.Name != name || h.Typeflag != tar.TypeReg || h.Format != tar.FormatUSTAR:
		return nil, problem.New(problem.Verification, "%.100q stands where %s belongs", h.Name, name)
	case h.Size > limit:
		return nil, problem.New(problem.Verification, "%s has %d bytes, at most %d are right", name, h.Size, limit)
	}
	var body bytes.Buffer
	if _, err := io.Copy(&body, r); err != nil {
		return nil, problem.New(problem.Verification, "%s is cut off or damaged", name)
	}
	return body.Bytes(), nil
}

// check looks whether this is a node: all files that it needs, a configuration
// that can be read, and a card that its root has signed, all of one party.
func (a *Archive) check() error {
	bad := func(format string, args ...any) error {
		return problem.New(problem.Verification, format+"; nothing was restored", args...)
	}
	for _, name := range needed(a.Manifest.Party) {
		if _, ok := a.bodies[name]; !ok {
			return bad("the backup holds no %s", name)
		}
	}
	cfg, err := node.Parse(a.bodies["node.yaml"])
	if err != nil {
		return problem.Wrap(problem.Verification, err, "the configuration in the backup cannot be used; nothing was restored")
	}
	c, err := a.Card()
	if err != nil {
		return err
	}
	if cfg.Party != a.Manifest.Party || c.Party != a.Manifest.Party {
		return bad("configuration, card and manifest are of different parties")
	}
	return nil
}

// Card gives the party's own card, its signature checked.
func (a *Archive) Card() (*card.Card, error) {
	c, err := card.Open(a.bodies[a.Manifest.Party+".card"])
	if err != nil {
		return nil, problem.Wrap(problem.Verification, err, "the own card in the backup does not verify; nothing was restored")
	}
	return c, nil
}
