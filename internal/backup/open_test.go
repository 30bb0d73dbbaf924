package backup

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"karaula/internal/problem"
)

// Whatever byte is changed or missing, nothing is taken.
func TestDamagedBackupsAreRefused(t *testing.T) {
	t.Parallel()
	id := identity(t)
	whole := sealed(t, collect(t), id)
	for at := 0; at < len(whole); at += 1 + len(whole)/400 {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1
		if _, err := Open(bytes.NewReader(flipped), id); err == nil {
			t.Errorf("byte %d was changed and the backup taken", at)
		}
		if _, err := Open(bytes.NewReader(whole[:at]), id); err == nil {
			t.Errorf("cut at %d and the backup taken", at)
		}
	}
	if _, err := Open(bytes.NewReader(append(bytes.Clone(whole), 0)), id); err == nil {
		t.Error("a byte was added and the backup taken")
	}
	if _, err := Open(bytes.NewReader(whole), identity(t)); !problem.Is(err, problem.Locked) {
		t.Errorf("another identity: %v", err)
	}
	if _, err := Open(bytes.NewReader(whole), id); err != nil {
		t.Errorf("and whole: %v", err)
	}
}

// entries is a hostile archive: whoever knows the recipient can make one.
type entries []tar.Header

func (e entries) pack(t testing.TB, bodies ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i, h := range e {
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			h.Size = int64(len(bodies[i]))
		}
		must(t, w.WriteHeader(&h))
		if h.Size > 0 {
			_, err := w.Write([]byte(bodies[i]))
			must(t, err)
		}
	}
	must(t, w.Close())
	return out.Bytes()
}

// manifest gives the text of a manifest of one file.
func manifest(t testing.TB, change func(*Manifest)) string {
	t.Helper()
	a := collect(t)
	a.Manifest.Files = []File{{Path: "node.yaml", Size: 1, SHA256: hash([]byte("x"))}}
	change(&a.Manifest)
	body, err := a.Manifest.encode()
	must(t, err)
	return string(body)
}

func hostile(t testing.TB) map[string][]byte {
	t.Helper()
	file := func(name string) tar.Header { return tar.Header{Name: name, Format: tar.FormatUSTAR} }
	as := func(path string) string { return manifest(t, func(m *Manifest) { m.Files[0].Path = path }) }
	plain := manifest(t, func(*Manifest) {})
	m, x := file(manifestName), file("node.yaml")
	out := map[string][]byte{
		"empty":           {},
		"no manifest":     entries{x}.pack(t, "x"),
		"no file":         entries{m}.pack(t, plain),
		"another body":    entries{m, x}.pack(t, plain, "y"),
		"a longer body":   entries{m, x}.pack(t, plain, "xx"),
		"one file more":   entries{m, x, file("al.card")}.pack(t, plain, "x", "y"),
		"a file twice":    entries{m, x, x}.pack(t, plain, "x", "x"),
		"another name":    entries{m, file("../node.yaml")}.pack(t, plain, "x"),
		"a link":          entries{m, {Name: "node.yaml", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}.pack(t, plain, ""),
		"a folder":        entries{m, {Name: "node.yaml", Typeflag: tar.TypeDir}}.pack(t, plain, ""),
		"extended header": entries{m, {Name: "node.yaml", PAXRecords: map[string]string{"KARAULA.x": "y"}, Format: tar.FormatPAX}}.pack(t, plain, "x"),
		"trailing bytes":  append(entries{m, x}.pack(t, plain, "x"), 0),
		"a huge manifest": entries{m}.pack(t, strings.Repeat(" ", MaxManifest+1)),
		"spaces":          entries{m, x}.pack(t, plain+" ", "x"),
		"a field twice":   entries{m, x}.pack(t, strings.Replace(plain, "{", `{"party":"me",`, 1), "x"),
		"unknown field":   entries{m, x}.pack(t, strings.Replace(plain, "{", `{"x":1,`, 1), "x"),
		"a large file": entries{m, x}.pack(t, manifest(t, func(m *Manifest) { m.Files[0].Size = MaxFile + 1 }),
			strings.Repeat("x", MaxFile+1)),
		"negative size": entries{m, x}.pack(t, manifest(t, func(m *Manifest) { m.Files[0].Size = -1 }), "x"),
	}
	for _, path := range []string{
		"../node.yaml", "/etc/passwd", "register/parties/../../x", "register/parties/al/../../../x", "register//x", "al.root",
		"gateway/journal/b01.journal", "broker/jetstream/x", "register/parties/.x", "register/parties/a/b/c", "me.card",
		"gateway/restored", "node.yaml\x00", "register\\parties\\x", "register/lock",
	} {
		out["path "+path] = entries{m, file("node.yaml")}.pack(t, as(path), "x")
		if !strings.Contains(path, "\x00") {
			out["path and entry "+path] = entries{m, file(path)}.pack(t, as(path), "x")
		}
	}
	return out
}

func TestHostileArchivesAreRefused(t *testing.T) {
	t.Parallel()
	for name, body := range hostile(t) {
		if a, err := unpack(bytes.NewReader(body)); err == nil {
			t.Errorf("%s was taken: %v", name, a.Manifest.Files)
		}
	}
}

// A well-made archive is refused if it holds no node, or two parties.
func TestWhatIsNoNodeIsRefused(t *testing.T) {
	t.Parallel()
	id := identity(t)
	for _, change := range []func(a *Archive){
		func(a *Archive) { a.set("node.yaml", "party: al\nunknown: 1\n") },
		func(a *Archive) {
			a.set("node.yaml", strings.Replace(string(a.bodies["node.yaml"]), `party: "al"`, `party: "me"`, 1))
		},
		func(a *Archive) { a.set("al.card", strings.Replace(string(a.bodies["al.card"]), "name", "nome", 1)) },
		func(a *Archive) { a.drop("gateway/keys") },
		func(a *Archive) { a.drop("al.card") },
	} {
		a := collect(t)
		before := maps.Clone(a.bodies)
		change(a)
		if fmt.Sprint(before) == fmt.Sprint(a.bodies) {
			t.Fatal("nothing was changed")
		}
		if _, err := Open(bytes.NewReader(sealed(t, a, id)), id); !problem.Is(err, problem.Verification) {
			t.Errorf("taken, or refused otherwise: %v", err)
		}
	}
}

// set changes a file, with the manifest.
func (a *Archive) set(name, body string) {
	a.bodies[name] = []byte(body)
	for i := range a.Manifest.Files {
		if f := &a.Manifest.Files[i]; f.Path == name {
			f.Size, f.SHA256 = int64(len(body)), hash([]byte(body))
		}
	}
}

// drop leaves a file out, of the manifest too.
func (a *Archive) drop(name string) {
	delete(a.bodies, name)
	var rest []File
	for _, f := range a.Manifest.Files {
		if f.Path != name {
			rest = append(rest, f)
		}
	}
	a.Manifest.Files = rest
}

func TestIdentityFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "identity")
	id := identity(t)
	must(t, os.WriteFile(path, []byte(id.String()+"\n"), 0o600))
	ids, err := Identities(path)
	must(t, err)
	if len(ids) != 1 || ids[0].(*age.HybridIdentity).String() != id.String() {
		t.Error("another identity was read")
	}
	must(t, os.Chmod(path, 0o640))
	if _, err := Identities(path); !problem.Is(err, problem.Locked) {
		t.Errorf("an identity that others can read was used: %v", err)
	}
	must(t, os.WriteFile(path, []byte(id.String()[:60]), 0o600))
	must(t, os.Chmod(path, 0o600))
	if _, err := Identities(path); !problem.Is(err, problem.Locked) || strings.Contains(err.Error(), "AGE-SECRET") {
		t.Errorf("half an identity: %v", err)
	}
}

// Nothing that an archive holds makes reading it crash, and what is taken is
// exactly what its own manifest makes.
func FuzzUnpack(f *testing.F) {
	a := collect(f)
	var whole bytes.Buffer
	must(f, a.pack(&whole))
	f.Add(whole.Bytes())
	for name, body := range hostile(f) {
		if len(body) < 1<<16 && name != "" {
			f.Add(body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := unpack(bytes.NewReader(body))
		if err != nil {
			return
		}
		for _, file := range a.Manifest.Files {
			if !filepath.IsLocal(file.Path) || !Wanted(a.Manifest.Party, file.Path) || hash(a.bodies[file.Path]) != file.SHA256 {
				t.Fatalf("%q was taken", file.Path)
			}
		}
		var again bytes.Buffer
		must(t, a.pack(&again))
		if b, err := unpack(&again); err != nil || len(b.bodies) != len(a.bodies) {
			t.Fatalf("it is not taken again: %v", err)
		}
	})
}
