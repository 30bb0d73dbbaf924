// Package examples carries the example agreements and alerts inside the
// program, for the demo, the tutorial and tests. Agreements are templates:
// [karaula/internal/agreement.Fill] puts in the keys of an installation's
// parties and the times.
//
// Everything here is illustrative, drawn from public reports, and no legal
// text; names of authorities are invented. The package must never hold a key
// or anything about a real person.
package examples

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

//go:embed agreements alerts/*.yaml
var files embed.FS

// Agreements gives the templates of the agreements that the demo signs, by id.
func Agreements() map[string][]byte { return read("agreements", ".agreement") }

// Inactive gives the templates that no installation takes in by itself, by id.
func Inactive() map[string][]byte { return read("agreements/inactive", ".agreement") }

// Agreement gives one template, active or not; false if there is none of this id.
func Agreement(id string) ([]byte, bool) {
	for _, set := range []map[string][]byte{Agreements(), Inactive()} {
		if text, ok := set[id]; ok {
			return text, true
		}
	}
	return nil, false
}

// Alerts gives the example alerts as YAML, by name; an alert is named after its
// type.
func Alerts() map[string][]byte { return read("alerts", ".yaml") }

// Alert gives one example alert as YAML ("vehicle"); false if there is none.
func Alert(name string) ([]byte, bool) {
	text, ok := Alerts()[name]
	return text, ok
}

// read gives the files with an extension directly in a folder. The files are
// part of the program, so reading them cannot fail.
func read(dir, ext string) map[string][]byte {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		panic(err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() || path.Ext(e.Name()) != ext {
			continue
		}
		text, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			panic(err)
		}
		out[strings.TrimSuffix(e.Name(), ext)] = text
	}
	return out
}
