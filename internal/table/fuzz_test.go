package table_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"karaula/internal/alert"
	"karaula/internal/table"
)

// now is when the tests validate.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// FuzzMap: a map is refused or can be used on an empty file.
func FuzzMap(f *testing.F) {
	for _, name := range []string{"vehicles", "documents"} {
		text, err := os.ReadFile("../../deploy/examples/import/" + name + ".map.yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add(mapOf("quote: none"))
	f.Add([]byte("register: reg\nkey: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := table.ParseMap(text)
		if err != nil {
			return
		}
		if len(m.Columns()) == 0 {
			t.Error("a map without columns")
		}
		_, _ = m.NewReader(strings.NewReader(""))
	})
}

// FuzzRows: whatever a file holds, every row is a fault or an alert that can be
// written and is valid UTF-8, lines are in order, and it ends.
func FuzzRows(f *testing.F) {
	f.Add("", []byte(four))
	f.Add("", []byte("id,plate,code,model\n1,\"a\n\"\"b\n"))
	f.Add("encoding: utf-16le", []byte("i\x00d\x00,\x00"))
	f.Add("encoding: windows-1251", []byte("id,plate,code,model\n\xe0,\xff,1,\x98\n"))
	f.Add("header: false", []byte("1,2,3,4\n1,2\n"))
	f.Add("format: ndjson", []byte(`{"id":"1","plate":"ZZ 1","code":1}`+"\n"+`{"id":{"x":[[]]}}`))
	f.Fuzz(func(t *testing.T, more string, file []byte) {
		m, err := table.ParseMap(mapOf(more))
		if err != nil {
			return
		}
		r, err := m.NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		last := 0
		for {
			row, fault, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatalf("reading from memory fails: %v", err)
			}
			if row.Line <= last {
				t.Fatalf("line %d comes after line %d", row.Line, last)
			}
			if last = row.Line; fault != nil {
				continue
			}
			r.Key(row)
			a, fault := r.Alert(row)
			if fault != nil {
				continue
			}
			if !utf8.ValidString(a.GetVehicle().GetModel()) {
				t.Fatal("text that is not UTF-8")
			}
			alert.Validate(a, now)
		}
	})
}
