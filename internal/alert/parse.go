package alert

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Limits of a file of alerts.
const (
	// MaxFile is the largest file, in bytes.
	MaxFile = 4 << 20
	// MaxAlerts is how many alerts one file may hold.
	MaxAlerts = 1000
	maxDepth  = 24     // of nested lists and groups
	maxValues = 200000 // values, names and groups in one file
	maxKeys   = 100    // fields in one group
	maxSaid   = 20     // mistakes that an error names
	maxSigns  = 200000 // line feeds and commas in a YAML file, each of which may begin a value
)

// ParseBytes reads the alerts that a file holds: YAML with one or many documents, or
// JSON with one value after the other (one a line, or not); each document or
// value is an alert or a list of alerts. name is the file's name for messages;
// its ending (.json, .ndjson, .jsonl, .yaml, .yml) says which it is, and without
// one the first character does.
//
// Unknown fields, fields that stand twice, and values that are not what their
// field holds are refused, all in one error that names line and field. What
// follows from the rest is filled in by [Complete]. It does not [Validate].
func ParseBytes(data []byte, name string) ([]*karaulav1.Alert, error) {
	if len(data) > MaxFile {
		return nil, problem.New(problem.Invalid, "%s: larger than %d bytes; nothing was sent", name, MaxFile).
			WithHint("split the file")
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if !utf8.Valid(data) {
		return nil, problem.New(problem.Invalid, "%s: not UTF-8; nothing was sent", name).WithHint("save the file as UTF-8")
	}
	read := readYAML
	if isJSON(data, name) {
		read = readJSON
	}
	docs, bad, err := read(data)
	if bad != nil {
		err = problem.New(problem.Invalid, "%s", bad)
	}
	if err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "%s: nothing was sent", name)
	}
	return build(docs, name)
}

// Parse is [ParseBytes] for what comes from a reader, of which it takes no more
// than [MaxFile] bytes.
func Parse(r io.Reader, name string) ([]*karaulav1.Alert, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, problem.Wrap(problem.Failed, err, "could not read %s; nothing was sent", name)
	}
	return ParseBytes(data, name)
}

// isJSON tells which of the two a file is.
func isJSON(data []byte, name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json", ".ndjson", ".jsonl":
		return true
	case ".yaml", ".yml":
		return false
	}
	first := bytes.TrimLeft(data, " \t\r\n")
	return len(first) > 0 && (first[0] == '{' || first[0] == '[')
}

// build makes alerts of documents.
func build(docs []*tree, name string) ([]*karaulav1.Alert, error) {
	d := &decoder{}
	var out []*karaulav1.Alert
	for i, doc := range docs {
		items, listed := []*tree{doc}, false
		if doc.list {
			items, listed = doc.vals, true
		}
		if len(out)+len(items) > MaxAlerts {
			return nil, problem.New(problem.Invalid, "%s: more than %d alerts; nothing was sent", name, MaxAlerts).
				WithHint("split the file")
		}
		for j, item := range items {
			d.where = fmt.Sprintf("document %d", i+1)
			if listed {
				d.where += fmt.Sprintf(", alert %d", j+1)
			}
			a := &karaulav1.Alert{}
			d.message(a.ProtoReflect(), item)
			Complete(a)
			out = append(out, a)
		}
	}
	switch {
	case len(d.mistakes) > 0:
		return nil, d.problem(name)
	case len(out) == 0:
		return nil, problem.New(problem.Invalid, "%s: holds no alert; nothing was sent", name)
	}
	return out, nil
}

// problem makes one error of the mistakes that were found.
func (d *decoder) problem(name string) error {
	var lines []string
	for _, m := range d.mistakes[:min(len(d.mistakes), maxSaid)] {
		lines = append(lines, m.String())
	}
	if more := len(d.mistakes) - maxSaid; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return problem.New(problem.Invalid, "%s: %s; nothing was sent", name, strings.Join(lines, "; ")).
		WithHint("the fields and their values are in docs/alerts.md")
}
