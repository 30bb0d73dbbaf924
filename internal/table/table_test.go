package table_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"karaula/internal/alert"
	"karaula/internal/table"
)

// mapOf makes a map of vehicles with some lines more.
func mapOf(more string) []byte {
	return []byte(more + `
register: test
key: [id]
constants: {authority: Invented, urgency: routine}
fields:
  vehicle.model: {column: model}
  vehicle.plates[0].number: {column: plate}
  vehicle.plates[0].country: {value: AL, when: plate}
  vehicle.reason: {column: code, values: {1: stolen, "9": ""}}
`)
}

// read reads a file, and gives each row as text, its fault instead, or the error
// that ends it.
func read(t testing.TB, mapText []byte, file []byte) []string {
	t.Helper()
	m, err := table.ParseMap(mapText)
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.NewReader(bytes.NewReader(file))
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for {
		row, fault, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			return append(out, err.Error())
		}
		if fault == nil {
			if _, ok := r.Key(row); !ok {
				fault = &table.Fault{Line: row.Line, Why: "no key"}
			}
		}
		if fault == nil {
			a, f := r.Alert(row)
			if fault = f; f == nil {
				v := a.GetVehicle()
				out = append(out, fmt.Sprintf("%d: %s %v %d", row.Line, v.GetModel(), len(v.GetPlates()), v.GetReason()))
				continue
			}
		}
		out = append(out, fmt.Sprintf("%d! %s", fault.Line, fault.Why))
	}
}

const four = "id,plate,code,model\n1,ZZ 1,1,Žuta\n2,,9,b\n"

func TestRows(t *testing.T) {
	t.Parallel()
	encoded := func(e interface {
		Bytes(b []byte) ([]byte, error)
	},
	) string {
		b, err := e.Bytes([]byte(four))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	good := []string{"2: Žuta 1 1", "3: b 0 0"}
	for name, c := range map[string]struct {
		more, file string
		want       []string
	}{
		"plain":           {"", four, good},
		"no line feed":    {"", strings.TrimSuffix(four, "\n"), good},
		"CR LF, blanks":   {"", strings.ReplaceAll(strings.ReplaceAll(four, ",", " ,\t"), "\n", "\r\n"), good},
		"byte order mark": {"", "\uFEFF" + four, good},
		"windows-1250":    {"encoding: windows-1250", encoded(charmap.Windows1250.NewEncoder()), good},
		"utf-16le, mark":  {"encoding: utf-16le", encoded(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder()), good},
		"utf-16be":        {"encoding: utf-16be", encoded(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder()), good},
		"wrong encoding": {
			"", encoded(charmap.Windows1250.NewEncoder()),
			[]string{`2! column "model": holds bytes that are nothing in the encoding of the map`, "3: b 0 0"},
		},
		"other order": {"", "model,x,code,id,plate\na,,1,1,\n", []string{"2: a 0 1"}},
		"two columns": {"", "id,plate,code,model,id\n", []string{`two columns have the title "id"; nothing was sent`}},
		"no column":   {"", "id;plate;code;model\n", []string{`the file has no column "id", "model", "plate", "code"; nothing was sent`}},
		"empty":       {"", "", []string{"the file is empty; nothing was sent"}},
		"quotes":      {"", four + "3,\"Z \"\"1\"\"\",1,\"a,\nb\"\n4,,1,c\n", append(good[:2:2], "4: a,\nb 1 1", "6: c 0 1")},
		"ragged":      {"", four + "3,,1\n4,,1,c\n", append(good[:2:2], "4! has 3 columns, the rows before have 4", "5: c 0 1")},
		"open quote": {
			"", four + "3,\"ZZ,1,a\n4,,1,c\n",
			append(good[:2:2], "4! a quote is opened and not closed within the longest row", "5: c 0 1"),
		},
		"bare quote": {
			"", four + "3,Z\"Z,1,a\n4,,1,c\n",
			append(good[:2:2], "4! a quote stands inside a cell that does not begin with one", "5: c 0 1"),
		},
		"after quote": {
			"", four + "3,\"Z\"Z,1,a\n",
			append(good[:2:2], "4! something stands between a closing quote and the next delimiter"),
		},
		"no quotes":   {"quote: none", four + "3,\"Z,1,a\n", append(good[:2:2], "4: a 1 1")},
		"empty lines": {"", four + "\n\n3,,1,c\n", append(good[:2:2], "6: c 0 1")},
		"huge": {
			"", four + strings.Repeat("9", table.MaxRow+1) + "\n4,,1,c\n",
			append(good[:2:2], "4! is longer than a row may be", "5: c 0 1"),
		},
		"wide": {
			"", four + strings.Repeat(",", table.MaxColumns) + "\n4,,1,c\n",
			append(good[:2:2], "4! has more columns than a row may have", "5: c 0 1"),
		},
		"unknown code": {"", four + "3,,2,c\n", append(good[:2:2], `4! column "code": holds a code that the map does not list`)},
		"no key":       {"", four + ",,1,c\n", append(good[:2:2], "4! no key")},
		"ndjson": {
			"format: ndjson", `{"id":1,"model":"a","code":"1","plate":null}` + "\n\n" + `{"id":2,` + "\n" + `{"id":2,"id":3}` + "\n" +
				`{"id":2} x` + "\n" + `[1]` + "\n" + `{"id":` + strings.Repeat("[", 20) + "\n" + `{"id":4,"plate":"Z","other":{"x":[1]}}`,
			[]string{
				"1: a 0 1", "3! is not one JSON object in one line", "4! has a name twice", "5! is not one JSON object in one line",
				"6! is not one JSON object in one line", "7! is nested too deep", "8:  1 0",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(c.want, read(t, mapOf(c.more), []byte(c.file))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A register without titles has columns by number.
func TestColumnsByNumber(t *testing.T) {
	t.Parallel()
	m := "register: test\nheader: false\ndelimiter: \"\\t\"\nkey: [1]\nfields:\n  vehicle.model: {column: 3}\n"
	got := read(t, []byte(m), []byte("1\tx\ta\n2\tx\n3\ty\tb\n"))
	if d := cmp.Diff([]string{"1: a 0 0", "2! has 2 columns, the rows before have 3", "3: b 0 0"}, got); d != "" {
		t.Error(d)
	}
}

func TestMapsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", "not a YAML file"},
		{"register: A B", "register: must be"},
		{"register: reg\nformat: xls", "format: must be"},
		{"register: reg\ndelimiter: ab", "delimiter: must be"},
		{"register: reg\nquote: x", "quote: must be"},
		{"register: reg", "key: must name"},
		{"register: reg\nkey: [a]\nencoding: klingon", "encoding: must be"},
		{"register: reg\nkey: [a]\nencoding: iso-2022-kr", "encoding: must be"},
		{"register: reg\nkey: [a]", "fields: must say"},
		{"register: reg\nkey: [a]\nunknown: 1", "unknown"},
		{"register: reg\nkey: [a]\nconstants: {colour: red}", "no such field"},
		{"register: reg\nkey: [a]\nconstants: {version: 2}", "without id"},
		{"register: reg\nkey: [a]\nfields: {vehicle.wings: {column: a}}", "there is no field wings"},
		{"register: reg\nkey: [a]\nfields: {vehicle: {column: a}}", "ends at a group"},
		{"register: reg\nkey: [a]\nfields: {vehicle.plates.number: {column: a}}", "is a list"},
		{"register: reg\nkey: [a]\nfields: {'vehicle.plates[99].number': {column: a}}", "from 0 to 19"},
		{"register: reg\nkey: [a]\nfields: {version: {column: a}}", "set by the import itself"},
		{"register: reg\nkey: [a]\nfields: {vehicle.model: {column: a, value: b}}", "either a column or a value"},
		{"register: reg\nkey: [a]\nfields: {vehicle.reason: {column: a, values: {1: eaten}}}", "must be one of"},
		{"register: reg\nkey: [a]\nfields: {event_time: {column: a, date: '2006', zone: Moon/Sea}}", "zone must be"},
		{strings.Repeat("#", table.MaxMap+1), "larger than"},
	} {
		_, err := table.ParseMap([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %q", c.text, err, c.want)
		}
	}
}

// What a row holds must never stand in what is said about it.
func TestFaultsShowNoValues(t *testing.T) {
	t.Parallel()
	m := "register: test\nkey: [a]\nfields:\n  event_time: {column: b, date: '02.01.2006'}\n" +
		"  vehicle.year: {column: c}\n  vehicle.reason: {column: d, values: {1: stolen}}\n  vehicle.category: {column: e}\n"
	got := read(t, []byte(m), []byte("a,b,c,d,e\nSECRET1,SECRET2,SECRET3,SECRET4,SECRET5\n"))
	if len(got) != 1 || !strings.HasPrefix(got[0], "2! ") || strings.Count(got[0], ";") < 3 || strings.Contains(got[0], "SECRET") {
		t.Errorf("%q", got)
	}
}

// The examples are read, and their good rows are alerts without findings.
func TestExamples(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ good, bad int }{"vehicles.csv": {3, 2}, "documents.ndjson": {2, 1}} {
		base, _, _ := strings.Cut(name, ".")
		text, err := os.ReadFile("../../deploy/examples/import/" + base + ".map.yaml")
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile("../../deploy/examples/import/" + name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := table.ParseMap(text)
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		good, bad := 0, 0
		for {
			row, fault, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || fault != nil {
				t.Fatal(err, fault)
			}
			a, fault := r.Alert(row)
			if fault != nil {
				bad++
				continue
			}
			if err := alert.Validate(a, now).Err(); err != nil {
				t.Errorf("%s line %d: %v", name, row.Line, err)
			}
			good++
		}
		if good != want.good || bad != want.bad {
			t.Errorf("%s: %d rows good, %d bad, want %v", name, good, bad, want)
		}
	}
}

// endless gives rows without ever holding them.
type endless struct{ rows, row int }

func (e *endless) Read(p []byte) (int, error) {
	if e.row > e.rows {
		return 0, io.EOF
	}
	line := "id,plate,code,model\n"
	if e.row > 0 {
		line = fmt.Sprintf("%d,ZZ %d,1,%s\n", e.row, e.row, strings.Repeat("x", 900))
	}
	e.row++
	return copy(p, line), nil
}

// 100,000 rows, 90 MB, must not take more memory than a thousand.
func TestMemoryIsFlat(t *testing.T) {
	t.Parallel()
	m, err := table.ParseMap(mapOf(""))
	if err != nil {
		t.Fatal(err)
	}
	const rows = 100_000
	r, err := m.NewReader(&endless{rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	held := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	var before uint64
	for n := 1; n <= rows; n++ {
		row, fault, err := r.Next()
		if err != nil || fault != nil || row.Row != n {
			t.Fatal(row.Row, fault, err)
		}
		if n == 1000 {
			before = held()
		}
	}
	if after := held(); after > before+16<<20 {
		t.Errorf("%d bytes held after 1,000 rows, %d after %d", before, after, rows)
	}
}
