package backup

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"karaula/internal/journal"
	"karaula/internal/node"
	"karaula/internal/problem"
)

// Archive is a backup in memory: what Collect has read or Open has checked.
type Archive struct {
	Manifest Manifest
	bodies   map[string][]byte // by path
}

// tries is how often a folder that changes is read before it is given up.
const tries = 20

// Collect reads a node's folder at one moment: it is read again until two
// readings in a row are the same, so that keys, cards and register belong
// together though the node runs and keys are being rotated. No key is opened.
func Collect(dir string, now time.Time) (*Archive, error) {
	cfg, err := node.Load(dir)
	if err != nil {
		return nil, err
	}
	if cfg.BackupHorizon <= 0 {
		return nil, problem.New(problem.Conflict, "node.yaml says that there are no backups, and partners are told so; none was made").
			WithHint("set backup-horizon in %s to how long backups are kept, and restart the node", node.Layout{Dir: dir}.Config())
	}
	var before map[string][]byte
	for range tries {
		bodies, err := read(dir, cfg.Party)
		if err != nil {
			return nil, err
		}
		if before != nil && maps.EqualFunc(before, bodies, bytes.Equal) {
			return assemble(dir, cfg, bodies, now)
		}
		before = bodies
	}
	return nil, problem.New(problem.Conflict, "the folder %s changes all the time; no backup was made", dir).
		WithHint("try again in a moment")
}

// assemble makes the manifest of what was read.
func assemble(dir string, cfg *node.Config, bodies map[string][]byte, now time.Time) (*Archive, error) {
	for _, name := range needed(cfg.Party) {
		if _, ok := bodies[name]; !ok {
			return nil, problem.New(problem.NotFound, "there is no %s in %s; no backup was made", name, dir)
		}
	}
	made := now.UTC().Truncate(time.Second)
	a := &Archive{bodies: bodies, Manifest: Manifest{
		Format: format, Party: cfg.Party, MadeAt: made, DestroyBy: made.Add(cfg.BackupHorizon).Truncate(time.Second),
		Ledgers: []node.KnownLedger{}, Files: []File{},
	}}
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		body := bodies[name]
		a.Manifest.Files = append(a.Manifest.Files, File{Path: name, Size: int64(len(body)), SHA256: hash(body)})
	}
	if len(a.Manifest.Files) > MaxFiles {
		return nil, problem.New(problem.Invalid, "the folder has %d files, a backup holds %d; none was made", len(bodies), MaxFiles)
	}
	var err error
	// Read after the keys: what is said in between is said by keys that are in it.
	a.Manifest.Ledgers, err = ledgers(node.Layout{Dir: dir})
	return a, err
}

// read reads all files of the folder that a backup may hold.
func read(dir, party string) (map[string][]byte, error) {
	out := map[string][]byte{}
	size := 0
	add := func(name string) error {
		body, err := readFile(filepath.Join(dir, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile, or missing, which is noticed later
		}
		if err != nil {
			return problem.Wrap(problem.Failed, err, "%s cannot be read; no backup was made", name)
		}
		if size += len(body); size > MaxArchive/2 {
			return problem.New(problem.Invalid, "the files of %s are larger than a backup may be; none was made", dir)
		}
		out[name] = body
		return nil
	}
	for _, name := range needed(party) {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	err := fs.WalkDir(os.DirFS(dir), "register", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return problem.Wrap(problem.Failed, err, "the register cannot be read; no backup was made")
		case d.IsDir() || !Wanted(party, name):
			return nil // its lock, its counter, files that are just being written
		default:
			return add(name)
		}
	})
	return out, err
}

// readFile reads a regular file of at most MaxFile bytes.
func readFile(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(body) > MaxFile {
		err = errors.New("it is larger than a file of a backup may be")
	}
	return body, err
}

// ledgers gives how far the own ledgers have gone, as the signing journals say,
// and as an earlier backup said from which this folder was restored.
func ledgers(l node.Layout) ([]node.KnownLedger, error) {
	earlier, err := l.LoadRestored()
	if err != nil {
		return nil, err
	}
	known := map[string]node.KnownLedger{}
	if earlier != nil {
		for _, k := range earlier.Ledgers {
			known[k.Ledger] = k
		}
	}
	paths, err := filepath.Glob(filepath.Join(l.Journals(), "*.journal"))
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "the signing journals cannot be found; no backup was made")
	}
	for _, path := range paths {
		st, ok, err := journal.Peek(path)
		if err != nil {
			return nil, err
		}
		id := st.Ledger.String()
		if k, has := known[id]; ok && (!has || !k.Behind(st.Epoch, st.Tree.Size())) {
			known[id] = node.KnownLedger{Channel: st.Channel, Ledger: id, Epoch: st.Epoch, Size: st.Tree.Size()}
		}
	}
	return slices.SortedFunc(maps.Values(known), func(a, b node.KnownLedger) int {
		return strings.Compare(a.Channel+"\x00"+a.Ledger, b.Channel+"\x00"+b.Ledger)
	}), nil
}
