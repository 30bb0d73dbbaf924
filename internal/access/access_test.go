package access_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/access"
	"karaula/internal/node"
	"karaula/internal/problem"
)

func plates() access.Client {
	return access.Client{Name: "plates", Role: node.RoleSystem, Fingerprint: [32]byte{1}, Until: 1800000000, NamesOfficers: true}
}

func TestAddListRemove(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "api", "clients")
	if got, bad, err := access.List(dir); len(got)+len(bad) > 0 || err != nil {
		t.Errorf("no folder: %v %v %v", got, bad, err)
	}
	chief := access.Client{Name: "chief", Role: node.RoleSupervisor, Fingerprint: [32]byte{2}, Until: 1800000000}
	for _, c := range []access.Client{plates(), chief} {
		if err := access.Add(dir, c); err != nil {
			t.Fatal(err)
		}
	}
	got, bad, err := access.List(dir)
	if err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	if diff := cmp.Diff([]access.Client{chief, plates()}, got); diff != "" {
		t.Error(diff)
	}
	again := chief
	again.Fingerprint = [32]byte{3}
	if err := access.Add(dir, again); !problem.Is(err, problem.Conflict) {
		t.Errorf("the same name: %v", err)
	}
	again.Name, again.Fingerprint = "other", chief.Fingerprint
	if err := access.Add(dir, again); !problem.Is(err, problem.Conflict) {
		t.Errorf("the same certificate: %v", err)
	}
	if err := access.Remove(dir, "chief"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"chief", "../clients/plates", "", "."} {
		if err := access.Remove(dir, name); !problem.Is(err, problem.NotFound) {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left: %v %v", entries, err)
	}
}

func TestNobodyIsLetInByHalf(t *testing.T) {
	t.Parallel()
	for _, c := range []access.Client{
		{Name: "../x", Role: node.RoleSystem},
		{Name: "a/b", Role: node.RoleSystem},
		{Name: "", Role: node.RoleSystem},
		{Name: "x", Role: "boss"},
		{Name: "x", Role: node.RoleOfficer, NamesOfficers: true},
		{Name: "x", Role: node.RoleSupervisor, NamesOfficers: true},
	} {
		if err := access.Add(t.TempDir(), c); !problem.Is(err, problem.Invalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestDamagedFilesLetNobodyIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := access.Add(dir, plates()); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(dir, "plates.json"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) []byte { return bytes.ReplaceAll(body, []byte(from), []byte(to)) }
	files := map[string][]byte{
		"other.json":   body, // not its name, and the same certificate
		"empty.json":   nil,
		"admin.json":   change(`"plates"`, `"admin"`), // the same certificate twice
		"unknown.json": change(`"role"`, `"secret": 1, "role"`),
		"twice.json":   change(`"role": "system"`, `"role": "admin", "role": "system"`),
		"long.json":    append(body, bytes.Repeat([]byte(" "), access.MaxFile)...),
		".new-1":       body, // being written
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("plates.json", filepath.Join(dir, "link.json")); err != nil {
		t.Fatal(err)
	}
	got, bad, err := access.List(dir)
	if err != nil || len(got) != 0 || len(bad) != 8 {
		t.Errorf("let in: %v\nbad: %v\n%v", got, bad, err)
	}
}

// FuzzParse: whatever is read is a client that could have been added.
func FuzzParse(f *testing.F) {
	dir := f.TempDir()
	if err := access.Add(dir, plates()); err != nil {
		f.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(dir, "plates.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"name":"../../x","role":"system","certificate":"sha256:00"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := access.Parse(raw)
		if err != nil {
			return
		}
		if c.Check() != nil {
			t.Errorf("let in: %+v", c)
		}
	})
}
