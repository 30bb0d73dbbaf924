// Package access keeps who may use the node's interface over the network: one
// file for each client in DIR/api/clients, which binds the fingerprint of a
// certificate to an id and a role.
//
// It must never hold a private key, and never let in by a rule what no file
// names: there is no authority whose certificates are believed, so that removing
// a file is all it takes to revoke one.
package access

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"karaula/internal/durable"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// Bounds of the folder.
const (
	MaxFile    = 4096 // bytes of one client's file
	MaxClients = 1000 // files that are looked at
)

// prefix stands before a fingerprint.
const prefix = "sha256:"

// suffix of a client's file; before it stands the client's name.
const suffix = ".json"

// Client is who may use the interface over the network.
type Client struct {
	Name        string   // an officer's id, or a system's
	Role        string   // as in the node's configuration
	Fingerprint [32]byte // SHA-256 of its certificate (DER)
	Until       int64    // end of the certificate, seconds since 1970 UTC
	// NamesOfficers: the client is a system that says in each request for which
	// of its officers it asks.
	NamesOfficers bool
}

// stored is a client's file.
type stored struct {
	Name          string    `json:"name"`
	Role          string    `json:"role"`
	Certificate   string    `json:"certificate"` // "sha256:…"
	Until         time.Time `json:"until"`
	NamesOfficers bool      `json:"names_officers"`
}

// Damaged is a file that lets nobody in.
type Damaged struct {
	File string // its name in the folder
	Err  error
}

// FormatFingerprint writes a fingerprint as files and commands show it.
func FormatFingerprint(f [32]byte) string { return prefix + hex.EncodeToString(f[:]) }

// encode gives a client's file.
func (c Client) encode() ([]byte, error) {
	body, err := json.MarshalIndent(stored{
		c.Name, c.Role, FormatFingerprint(c.Fingerprint), time.Unix(c.Until, 0).UTC(), c.NamesOfficers,
	}, "", "  ")
	if err != nil {
		return nil, problem.New(problem.Invalid, "the client cannot be written")
	}
	return append(body, '\n'), nil
}

// Parse reads a client's file: exactly what this package writes.
func Parse(body []byte) (Client, error) {
	var s stored
	if len(body) > MaxFile || json.Unmarshal(body, &s) != nil {
		return Client{}, problem.New(problem.Invalid, "not a client's file")
	}
	digest, err := hex.DecodeString(strings.TrimPrefix(s.Certificate, prefix))
	if err != nil || len(digest) != 32 {
		return Client{}, problem.New(problem.Invalid, "not a client's file: no fingerprint")
	}
	c := Client{
		Name: s.Name, Role: s.Role, Fingerprint: [32]byte(digest), Until: s.Until.Unix(), NamesOfficers: s.NamesOfficers,
	}
	if err := c.Check(); err != nil {
		return Client{}, err
	}
	if again, err := c.encode(); err != nil || !bytes.Equal(again, body) {
		return Client{}, problem.New(problem.Invalid, "not in the form that a client's file has")
	}
	return c, nil
}

// Check refuses what is no client, its certificate aside.
func (c Client) Check() error {
	switch {
	case !node.ValidOfficer(c.Name):
		return problem.New(problem.Invalid, "%q is no name of a client: 1 to 64 letters, digits, dots, hyphens and underscores",
			c.Name)
	case !slices.Contains(node.Roles(), c.Role):
		return problem.New(problem.Invalid, "%q is no role; there are %s", c.Role, strings.Join(node.Roles(), ", "))
	case c.NamesOfficers && c.Role != node.RoleSystem:
		return problem.New(problem.Invalid, "only a client of role system may name its officers, not a %s", c.Role)
	}
	return nil
}

// List reads all clients, by name, and says which files let nobody in. Two files
// with one fingerprint let nobody in: it would not be clear as whom.
func List(dir string) ([]Client, []Damaged, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, problem.Wrap(problem.Failed, err, "the folder of clients cannot be read")
	}
	var out []Client
	var bad []Damaged
	by := map[[32]byte][]string{}
	for i, e := range entries {
		if i == MaxClients {
			bad = append(bad, Damaged{e.Name(), problem.New(problem.Invalid, "there are more than %d files", MaxClients)})
			break
		}
		name, ours := strings.CutSuffix(e.Name(), suffix)
		if !ours {
			continue // being written
		}
		c, err := load(filepath.Join(dir, e.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			bad = append(bad, Damaged{e.Name(), err})
		case c.Name != name:
			bad = append(bad, Damaged{e.Name(), problem.New(problem.Invalid, "it is the file of %s", c.Name)})
		default:
			out = append(out, c)
			by[c.Fingerprint] = append(by[c.Fingerprint], c.Name)
		}
	}
	out = slices.DeleteFunc(out, func(c Client) bool {
		twice := len(by[c.Fingerprint]) > 1
		if twice {
			bad = append(bad, Damaged{c.Name + suffix, problem.New(problem.Conflict, "another file has the same certificate")})
		}
		return twice
	})
	return out, bad, nil
}

// load reads one file.
func load(path string) (Client, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0) // a pipe must not hang us
	if err != nil {
		return Client{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return Client{}, problem.Wrap(problem.Failed, err, "it cannot be read")
	}
	return Parse(body)
}

// Add lets a client in. A name or certificate that is there already is a Conflict.
func Add(dir string, c Client) error {
	if err := c.Check(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return problem.Wrap(problem.Failed, err, "the folder of clients was not made")
	}
	known, _, err := List(dir)
	if err != nil {
		return err
	}
	for _, k := range known {
		if k.Fingerprint == c.Fingerprint && k.Name != c.Name {
			return problem.New(problem.Conflict, "the client %s has the same certificate; nothing was added", k.Name).
				WithHint("give each client a certificate of its own, or remove %s first", k.Name)
		}
	}
	body, err := c.encode()
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the client was not added")
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // it has its own name by then, or none
	_, err = tmp.Write(body)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return problem.Wrap(problem.Failed, err, "the client was not added")
	}
	err = os.Link(tmp.Name(), file(dir, c.Name)) // whole or not at all, and never over another
	if errors.Is(err, fs.ErrExist) {
		return problem.New(problem.Conflict, "there is a client %s already; nothing was added", c.Name).
			WithHint("karaula api client remove %s --dir DIR", c.Name)
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the client was not added")
	}
	return syncDir(dir)
}

// Remove lets a client in no more.
func Remove(dir, name string) error {
	err := fs.ErrNotExist
	if node.ValidOfficer(name) {
		err = os.Remove(file(dir, name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.NotFound, "there is no client %q", name).WithHint("karaula api client list --dir DIR")
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the client was not removed")
	}
	return syncDir(dir)
}

func file(dir, name string) string { return filepath.Join(dir, name+suffix) }

// syncDir makes a change of the folder outlive the power.
func syncDir(dir string) error {
	if err := durable.SyncDir(dir); err != nil {
		return problem.Wrap(problem.Failed, err, "the folder of clients cannot be synced")
	}
	return nil
}
