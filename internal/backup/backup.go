// Package backup packs what a node cannot be made again without, and puts it
// into a new folder: configuration, own card, register and sealed keys, as one
// file encrypted with age. Inside is a plain tar archive whose first entry, the
// manifest, names every other one with its size and SHA-256, so that
// `age -d | tar -x` opens a backup where this program is not at hand.
//
// It must never take in a root key, a signing journal or a stream: a root key
// stays offline, an older journal would make the node contradict itself, and
// streams hold content that is to be erased. What it takes from journals is how
// far the own ledgers went, below which a restored node says nothing. It never
// writes anything from an archive before the whole of it was checked.
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"regexp"
	"time"

	"karaula/internal/node"
	"karaula/internal/problem"
	"karaula/internal/terms"
)

// Bounds of a backup. A register of a thousand agreements is about 10 MB.
const (
	MaxFile     = 1 << 20   // bytes of one file
	MaxFiles    = 20000     // files
	MaxManifest = 8 << 20   // bytes of the manifest
	MaxArchive  = 128 << 20 // bytes of the archive before encryption
)

// format is the first field of a manifest.
const format = "karaula backup v1"

// manifestName is the archive's first entry.
const manifestName = "manifest.json"

// Manifest says what a backup holds.
type Manifest struct {
	Format    string    `json:"format"`
	Party     string    `json:"party"`
	MadeAt    time.Time `json:"made_at"`
	DestroyBy time.Time `json:"destroy_by"` // made_at and the backup-horizon that partners were told
	// Ledgers are the own ledgers, by channel, and how far they went at least.
	Ledgers []node.KnownLedger `json:"ledgers"`
	Files   []File             `json:"files"` // in ascending order of paths
}

// File is one file of the node's folder.
type File struct {
	Path   string `json:"path"` // within the folder, with slashes
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// registerFile matches what the register keeps: signed texts and tombstones.
var registerFile = regexp.MustCompile(
	`^register/(?:parties|agreements|notices|tombstones|conflicts)(?:/[a-z0-9][A-Za-z0-9._-]{0,99}){1,2}$`)

// Wanted reports whether a backup of a party's node may hold a path, and no
// other form of it.
func Wanted(party, name string) bool {
	switch name {
	case "node.yaml", "gateway/keys", "broker/keys", party + ".card":
		return true
	default:
		return len(name) <= 255 && path.Clean(name) == name && registerFile.MatchString(name)
	}
}

// needed are the files without which there is no node.
func needed(party string) []string {
	return []string{"broker/keys", "gateway/keys", "node.yaml", party + ".card"}
}

// secret reports whether a file must be readable by its owner alone.
func secret(name string) bool { return path.Base(name) == "keys" || name == "node.yaml" }

// encode gives the one form in which a manifest is written.
func (m *Manifest) encode() ([]byte, error) {
	body, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the manifest cannot be written")
	}
	return append(body, '\n'), nil
}

// Digest is the SHA-256 of the manifest, "sha256:…": it stands for the whole
// backup and can be compared by telephone.
func (m *Manifest) Digest() (string, error) {
	body, err := m.encode()
	if err != nil {
		return "", err
	}
	return "sha256:" + hash(body), nil
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// parseManifest reads a manifest and refuses everything that is not exactly
// what encode writes, or that names a file which no backup holds.
func parseManifest(body []byte) (*Manifest, error) {
	bad := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "this is not a backup: "+format, args...)
	}
	var m Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, bad("its manifest is no JSON object of the right form")
	}
	if again, err := m.encode(); err != nil || !bytes.Equal(again, body) {
		return nil, bad("its manifest is not in the form that backups have")
	}
	switch {
	case m.Format != format:
		return nil, bad("its form is %.40q, not %q", m.Format, format)
	case !terms.ValidParty(m.Party):
		return nil, bad("its manifest names no party")
	case m.MadeAt.IsZero():
		return nil, bad("its manifest names no time")
	case len(m.Files) > MaxFiles:
		return nil, bad("it names %d files, more than %d", len(m.Files), MaxFiles)
	}
	last := ""
	for _, f := range m.Files {
		switch {
		case !Wanted(m.Party, f.Path):
			return nil, bad("it holds %.100q, which no backup holds", f.Path)
		case f.Path <= last:
			return nil, bad("its files are out of order or doubled")
		case f.Size < 0 || f.Size > MaxFile:
			return nil, bad("%s is said to have %d bytes, more than %d", f.Path, f.Size, MaxFile)
		}
		last = f.Path
	}
	for _, l := range m.Ledgers {
		if id, err := hex.DecodeString(l.Ledger); err != nil || len(id) != 32 || !terms.ValidID(l.Channel) || l.Epoch == 0 {
			return nil, bad("its manifest names a ledger that cannot be one")
		}
	}
	return &m, nil
}
