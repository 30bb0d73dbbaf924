package faults

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Keepsake is a folder as it was, to which it can be set back. The files are the
// same ones afterwards, not copies of them: a signing journal knows its file.
type Keepsake struct {
	dir, aside string
	files      map[string]kept // by path below dir
	folders    []string
}

// kept is a file of a keepsake: a second name of it keeps its inode.
type kept struct {
	content []byte
	mode    fs.FileMode
	link    string
}

// Keep remembers a folder in which nothing runs. Aside is a folder on the same
// file system, which must not exist.
func Keep(dir, aside string) (*Keepsake, error) {
	k := &Keepsake{dir: dir, aside: aside, files: map[string]kept{}}
	if err := os.Mkdir(aside, 0o700); err != nil {
		return nil, err
	}
	return k, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			k.folders = append(k.folders, rel)
			return nil
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		link := filepath.Join(aside, fmt.Sprint(len(k.files)))
		k.files[rel] = kept{content, info.Mode().Perm(), link}
		return os.Link(path, link)
	})
}

// Files gives the names of its files, in order.
func (k *Keepsake) Files() []string {
	var out []string
	for name := range k.files {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Size gives the length of a file.
func (k *Keepsake) Size(name string) int { return len(k.files[name].content) }

// Restore sets the folder back.
func (k *Keepsake) Restore() error {
	if err := os.RemoveAll(k.dir); err != nil {
		return err
	}
	for _, name := range k.folders {
		if err := os.MkdirAll(filepath.Join(k.dir, name), 0o700); err != nil {
			return err
		}
	}
	for name := range k.files {
		if err := k.PutBack(name); err != nil {
			return err
		}
	}
	return nil
}

// PutBack sets one file back, as who has a copy of it would.
func (k *Keepsake) PutBack(name string) error {
	f, path := k.files[name], filepath.Join(k.dir, name)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.WriteFile(f.link, f.content, f.mode); err != nil {
		return err
	}
	return os.Link(f.link, path)
}

// Harm is a way to damage a file.
type Harm string

// The harms: cut off at a random place, emptied, one bit turned over, a block
// full of zeros (what a file system may leave after a loss of power), removed.
const (
	Cut     Harm = "cut"
	Emptied Harm = "emptied"
	Flipped Harm = "flipped"
	Zeroed  Harm = "zeroed"
	Removed Harm = "removed"
)

// Harms are all of them.
func Harms() []Harm { return []Harm{Cut, Emptied, Flipped, Zeroed, Removed} }

// zeros is the longest run of zeros that [Zeroed] leaves.
const zeros = 512

// Do damages a file and says where. It says "" where there is nothing to damage.
func (h Harm) Do(path string, rng *rand.Rand) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if len(raw) == 0 && h != Removed {
		return "", nil
	}
	at := 0
	if len(raw) > 0 {
		at = rng.IntN(len(raw))
	}
	switch h {
	case Cut:
		return fmt.Sprintf("cut at byte %d of %d", at, len(raw)), os.Truncate(path, int64(at))
	case Emptied:
		return "emptied", os.Truncate(path, 0)
	case Removed:
		return "removed", os.Remove(path)
	case Zeroed:
		n := min(zeros, len(raw)-at)
		copy(raw[at:], make([]byte, n))
		return fmt.Sprintf("bytes %d to %d of %d zeroed", at, at+n, len(raw)), overwrite(path, raw)
	default:
		bit := rng.IntN(8)
		raw[at] ^= 1 << bit
		return fmt.Sprintf("bit %d of byte %d of %d turned over", bit, at, len(raw)), overwrite(path, raw)
	}
}

// overwrite changes the bytes of a file that stays the same one.
func overwrite(path string, raw []byte) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(raw, 0)
	if end := f.Close(); err == nil {
		err = end
	}
	return err
}

// class gives what a file of a node's folder is, with what is different from node
// to node left out.
func class(name string) string {
	parts := strings.Split(filepath.ToSlash(name), "/")
	for i, p := range parts {
		switch {
		case i > 0 && parts[i-1] == "streams":
			parts[i], _, _ = strings.Cut(p, "_")
		case i > 0 && parts[i-1] == "_js_" && p != "_meta_":
			parts[i], _, _ = strings.Cut(p, "-") // a group of copies
		case strings.HasSuffix(p, ".blk"):
			parts[i] = "N.blk"
		case strings.HasPrefix(p, "snap."):
			parts[i] = "snap.N"
		}
	}
	return strings.Join(parts, "/")
}
