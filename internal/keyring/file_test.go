package keyring

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"karaula/internal/problem"
)

func TestNeverOverwritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "al.root")
	first, _, err := NewRoot("al")
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := NewRoot("al")
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveRoot(path, first, nil); err != nil {
		t.Fatal(err)
	}
	if err := SaveRoot(path, second, nil); !problem.Is(err, problem.Conflict) {
		t.Errorf("second key: %v, want kind conflict", err)
	}
	body, err := os.ReadFile(path)
	if err != nil || string(body) != first+"\n" {
		t.Errorf("the first key was changed (%v)", err)
	}
	// A link to nowhere is something that exists, too.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := SaveRoot(link, first, nil); !problem.Is(err, problem.Conflict) {
		t.Errorf("through a dangling link: %v", err)
	}
}

func TestLockedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	private, _, err := NewRoot("al")
	if err != nil {
		t.Fatal(err)
	}
	sealed := filepath.Join(dir, "sealed")
	if err := SaveRoot(sealed, private, fixed("right")); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := SaveRoot(open, private, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(dir, "torn")
	body, err := os.ReadFile(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(torn, body[:len(body)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	broken := func() ([]byte, error) { return nil, problem.New(problem.Locked, "no terminal") }
	tests := []struct {
		name, path string
		pass       Passphrase
		text, hint string
	}{
		{"missing", filepath.Join(dir, "none"), nil, "no root key at", "medium"},
		{"no passphrase", sealed, nil, "is sealed with a passphrase", "--passphrase-file"},
		{"wrong passphrase", sealed, fixed("wrong"), "does not open", "--passphrase-file"},
		{"empty passphrase", sealed, fixed(""), "empty", "--passphrase-file"},
		{"passphrase fails", sealed, broken, "no terminal", ""},
		{"readable by others", open, nil, "may be read by others (mode 0640)", "chmod 600"},
		{"pipe", pipe, nil, "is not a key file", ""},
		{"folder", dir, nil, "is not a key file", ""},
		{"torn", torn, fixed("right"), "does not open", "--passphrase-file"},
	}
	for _, tt := range tests {
		_, err := LoadRoot(tt.path, tt.pass)
		if !problem.Is(err, problem.Locked) || !strings.Contains(err.Error(), tt.text) ||
			!strings.Contains(problem.HintOf(err), tt.hint) {
			t.Errorf("%s: %v (hint %q)", tt.name, err, problem.HintOf(err))
		}
		if err != nil && (strings.Contains(err.Error(), "right") || strings.Contains(err.Error(), "wrong")) {
			t.Errorf("%s: the error tells a passphrase", tt.name)
		}
	}
}

func TestSealedWithoutAnyWord(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "root")
	private, _, err := NewRoot("al")
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveRoot(path, private, fixed("")); !problem.Is(err, problem.Locked) {
		t.Errorf("empty passphrase: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was written nevertheless: %v", err)
	}
	if err := SaveRoot(filepath.Join(path, "below", "root"), private, nil); !problem.Is(err, problem.Failed) {
		t.Errorf("folder that is not there: %v", err)
	}
}

func TestPassphraseFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for text, want := range map[string]string{
		"word\n": "word", "word": "word", "two words \r\nmore\n": "two words ", "\n": "", "": "",
	} {
		path := filepath.Join(dir, "pass")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := PassphraseFile(path)()
		if want == "" {
			if !problem.Is(err, problem.Locked) {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	if _, err := PassphraseFile(filepath.Join(dir, "none"))(); !problem.Is(err, problem.Locked) {
		t.Errorf("no file: %v", err)
	}
}

func TestReplaceNeedsAFile(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	path := filepath.Join(t.TempDir(), "keys")
	if err := g.Replace(path, nil); !problem.Is(err, problem.Locked) {
		t.Errorf("nothing to replace: %v", err)
	}
	if err := g.Save(path, fixed("one")); err != nil {
		t.Fatal(err)
	}
	if err := g.Replace(path, fixed("two")); err != nil {
		t.Fatal(err)
	}
	if err := g.Replace(path, nil); !problem.Is(err, problem.Locked) {
		t.Errorf("a sealed file was replaced by an unsealed one: %v", err)
	}
	if _, err := LoadGateway(path, fixed("one")); !problem.Is(err, problem.Locked) {
		t.Errorf("the old passphrase still opens: %v", err)
	}
	if _, err := LoadGateway(path, fixed("two")); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("something is left beside the file: %v, %v", entries, err)
	}
}

func TestSealedFileHidesTheKey(t *testing.T) {
	t.Parallel()
	private, _, err := NewRoot("al")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal([]byte(private), fixed("word"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte(private[20:])) || !bytes.HasPrefix(sealed, []byte("-----BEGIN AGE")) {
		t.Error("the file is not an armored age file")
	}
	plain, err := unseal("x", sealed, fixed("word"))
	if err != nil || string(plain) != private {
		t.Errorf("round trip: %v", err)
	}
}
