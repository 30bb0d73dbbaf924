package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// module is the path of the main module.
const module = "karaula"

// source is one Go file of the project, read up to its declarations.
type source struct {
	path string // slash-separated, from the root of the project
	room string // import path of its package below the module, "internal/card"
	test bool
	file *ast.File
}

// imports lists the import paths of a file.
func (s source) imports() []string {
	out := make([]string, 0, len(s.file.Imports))
	for _, i := range s.file.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// in reports whether a room is one of these, or lies in one of them.
func in(room string, rooms ...string) bool {
	for _, r := range rooms {
		if room == r || strings.HasPrefix(room, r+"/") {
			return true
		}
	}
	return false
}

// root is the folder of the project, seen from this package.
const root = "../.."

// sources reads all Go files of the project, once.
var sources = sync.OnceValues(func() ([]source, error) {
	var out []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(name, root+string(filepath.Separator)))
		if d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")
			if name != root && (hidden || d.Name() == "testdata" || rel == "bin" || rel == "dist") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		body, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, rel, body, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		out = append(out, source{path: rel, room: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), file: file})
		return nil
	})
	return out, err
})

// all gives all Go files of the project.
func all(t *testing.T) []source {
	t.Helper()
	list, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 100 {
		t.Fatalf("only %d Go files were found; the test looks in the wrong place", len(list))
	}
	return list
}
