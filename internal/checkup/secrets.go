package checkup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// secrets are what only the node's user may read. The lock files and the socket
// are not secret.
func (p Place) secrets() []string {
	l := p.Layout
	return []string{l.Dir, l.GatewayKeys(), l.Journals(), l.BrokerKeys(), l.TLSKey(), l.APIKey(), l.APIClients(), l.Store()}
}

// files looks at mode and owner of every secret that is there.
func (p Place) files() []Check {
	var out []Check
	for _, path := range p.secrets() {
		info, err := os.Lstat(path)
		name := p.name(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // what must be there the node misses by itself
		case err != nil:
			out = append(out, Skip(FilesOwner, name, "cannot be looked at: %s", cause(err)))
			continue
		}
		if c := p.owner(path, name, info); c.State != OK {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		out = append(out, Good(FilesOwner, "", "every secret belongs to the node's user alone"))
	}
	return out
}

func (p Place) owner(path, name string, info fs.FileInfo) Check {
	if info.Mode()&fs.ModeSymlink != 0 {
		return Bad(Warn, FilesOwner, name, "is a symbolic link: whoever may change it decides which keys the node has",
			"put the file itself in its place")
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(st.Uid) != p.UID {
		return Bad(Fail, FilesOwner, name, fmt.Sprintf("belongs to user %d, the node runs as user %d", st.Uid, p.UID),
			fmt.Sprintf("chown -R %d %s", p.UID, p.Layout.Dir))
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		mode := "600"
		if info.IsDir() {
			mode = "700"
		}
		return Bad(Fail, FilesOwner, name, fmt.Sprintf("has mode %04o; others than the node's user reach it", info.Mode().Perm()),
			fmt.Sprintf("chmod %s %s", mode, path))
	}
	return Good(FilesOwner, name, "")
}

// name is a file's name within the node's folder, "." for the folder itself.
func (p Place) name(path string) string {
	rel, err := filepath.Rel(p.Layout.Dir, path)
	if err != nil {
		return filepath.Base(path)
	}
	return rel
}

// sealedHead begins every file that is sealed with a passphrase.
const sealedHead = "-----BEGIN AGE ENCRYPTED FILE-----"

// sealed looks at the first line of the key files, and at nothing behind it.
func (p Place) sealed() []Check {
	var out []Check
	for _, path := range []string{p.Layout.GatewayKeys(), p.Layout.BrokerKeys()} {
		head, err := firstBytes(path, len(sealedHead))
		switch {
		case err != nil:
			out = append(out, Skip(FilesSealed, p.name(path), "cannot be read: %s", cause(err)))
		case !bytes.Equal(head, []byte(sealedHead)):
			out = append(out, Bad(Warn, FilesSealed, p.name(path), "is not sealed: whoever copies the disk has the keys",
				"encrypt the disk; karaula init --passphrase-file FILE seals the keys of a new node"))
		default:
			out = append(out, Good(FilesSealed, p.name(path), "sealed with a passphrase"))
		}
	}
	return out
}

// firstBytes gives the first n bytes of a file, or fewer.
func firstBytes(path string, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	head := make([]byte, n)
	got, err := f.Read(head)
	if err != nil && got == 0 {
		return nil, err
	}
	return head[:got], nil
}

// root looks for root keys where init puts them, and for files in the node's
// folder that are called like one.
func (p Place) root() Check {
	list := []string{p.Layout.RootKey(), p.Layout.NextRootKey()}
	inside, _ := os.ReadDir(p.Layout.Dir) // a folder that cannot be read fails elsewhere
	for _, e := range inside {
		if strings.HasSuffix(e.Name(), ".root") || strings.HasSuffix(e.Name(), ".root.next") {
			list = append(list, filepath.Join(p.Layout.Dir, e.Name()))
		}
	}
	var found []string
	state := Warn
	for _, path := range list {
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		found = append(found, filepath.Base(path))
		if p.Layout.Inside(path) {
			state = Fail
		}
	}
	if len(found) == 0 {
		return Good(RootAway, "", "no root key lies in the node's folder or beside it")
	}
	return Bad(state, RootAway, "", strings.Join(found, " and ")+": a root key is on this machine; its thief makes new cards",
		"move it to media that are kept apart, offline, and remove it here")
}
