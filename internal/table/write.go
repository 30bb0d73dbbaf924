package table

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding"
	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	"karaula/internal/problem"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Writer writes alerts as rows, the way back of [Reader]: each column of the map
// gets the value of the field that it fills, and further columns follow.
type Writer struct {
	m       *Map
	names   []string // of all columns, in their order
	further int      // how many of them are none of the map's
	guard   bool
	out     io.Writer
	csv     *csv.Writer
	encoder *encoding.Encoder
	reader  *Reader // reads each row again, to see whether it says all
}

// NewWriter begins to write a file. Further columns follow those of the map. Guard
// puts an apostrophe before cells of CSV that a spreadsheet would take for a formula.
func (m *Map) NewWriter(w io.Writer, further []string, guard bool) (*Writer, error) {
	out := &Writer{m: m, further: len(further), guard: guard && m.Format == CSV, out: w, encoder: m.encoding.NewEncoder()}
	columns := m.Columns()
	if m.Format == CSV && !m.header {
		n := 0
		for _, name := range columns {
			at, err := strconv.Atoi(name)
			if err != nil || at < 1 || at > MaxColumns {
				return nil, badMap("a file without a header has columns by number only, not %s", shown(name))
			}
			n = max(n, at)
		}
		columns = columns[:0]
		for i := range n {
			columns = append(columns, strconv.Itoa(i+1))
		}
	}
	out.names = slices.Concat(columns, further)
	out.reader = &Reader{m: m, names: m.Columns()}
	if m.Format == NDJSON {
		return out, nil
	}
	if !m.quote {
		return out, out.header()
	}
	out.csv = csv.NewWriter(m.encoding.NewEncoder().Writer(w))
	out.csv.Comma = rune(m.delimiter)
	return out, out.header()
}

func (w *Writer) header() error {
	if !w.m.header {
		return nil
	}
	return w.row(w.names)
}

// Write writes an alert as a row. key fills the key column, where no field fills it,
// and values the further columns, in their order. It reports whether the row says all
// of the alert: what the map has no column or no code for is left out.
func (w *Writer) Write(a *karaulav1.Alert, key string, values []string) (whole bool, err error) {
	cells, whole := w.m.cells(a, key)
	row := make([]string, len(w.names))
	for i, name := range w.names {
		row[i] = cells[name]
	}
	whole = whole && w.reads(a, cells)
	copy(row[len(row)-w.further:], values)
	for i, cell := range row {
		if _, err := w.encoder.String(cell); err != nil {
			row[i], whole = strings.ToValidUTF8(w.encodable(cell), "?"), false
		}
	}
	if w.m.Format == NDJSON {
		return whole, w.object(row)
	}
	for i, cell := range row {
		if w.guard && formula(cell) {
			row[i] = "'" + cell
		}
	}
	return whole, w.row(row)
}

// Flush writes what waits.
func (w *Writer) Flush() error {
	if w.csv == nil {
		return nil
	}
	w.csv.Flush()
	return w.csv.Error()
}

// formula reports whether a spreadsheet would calculate a cell (OWASP, CSV injection).
func formula(cell string) bool { return cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) }

// encodable puts a question mark in place of what the encoding does not have.
func (w *Writer) encodable(cell string) string {
	return strings.Map(func(c rune) rune {
		if _, err := w.encoder.String(string(c)); err != nil {
			return '?'
		}
		return c
	}, cell)
}

// row writes a row of CSV.
func (w *Writer) row(cells []string) error {
	if w.csv != nil {
		return w.csv.Write(cells)
	}
	plain := slices.Clone(cells)
	for i, cell := range plain { // nothing can be quoted
		plain[i] = strings.Map(func(c rune) rune {
			if c == '\n' || c == '\r' || c == rune(w.m.delimiter) {
				return ' '
			}
			return c
		}, cell)
	}
	line, err := w.encoder.String(strings.Join(plain, string(w.m.delimiter)) + "\n")
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "a row cannot be written in the encoding of the map")
	}
	_, err = io.WriteString(w.out, line)
	return err
}

// object writes a row of NDJSON, with the names of its columns in their order.
func (w *Writer) object(cells []string) error {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range w.names {
		if cells[i] == "" {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		for j, text := range []string{name, cells[i]} {
			quoted, err := json.Marshal(text)
			if err != nil {
				return problem.Wrap(problem.Invalid, err, "a row cannot be written")
			}
			b.Write(quoted)
			if j == 0 {
				b.WriteByte(':')
			}
		}
	}
	b.WriteString("}\n")
	_, err := w.out.Write(b.Bytes())
	return err
}

// reads reports whether the cells, read by the map, give the alert again.
func (w *Writer) reads(a *karaulav1.Alert, cells map[string]string) bool {
	row := Row{Cells: make([]string, len(w.reader.names))}
	for i, name := range w.reader.names {
		row.Cells[i] = trim(cells[name])
	}
	again, fault := w.reader.Alert(row)
	if fault != nil {
		return false
	}
	want := proto.CloneOf(a)
	want.Id, want.Version, want.Lifecycle, want.Assessment = "", 0, again.GetLifecycle(), ""
	return proto.Equal(want, again)
}

// cells gives the cells of an alert by column, and whether each value had one.
func (m *Map) cells(a *karaulav1.Alert, key string) (map[string]string, bool) {
	out, whole := map[string]string{}, true
	for i := range m.fields {
		f := &m.fields[i]
		value, err := f.path.Get(a)
		if err != nil {
			whole = false
			continue
		}
		cell, ok := f.untranslate(value)
		whole = whole && ok
		if f.Column != "" && out[f.Column] == "" {
			out[f.Column] = cell
		}
	}
	for i := range m.fields { // a column that nothing fills, and that something waits for
		f := &m.fields[i]
		if value, err := f.path.Get(a); err == nil && value != "" && f.When != "" && out[f.When] == "" {
			out[f.When] = "1"
		}
	}
	for _, name := range m.key {
		if out[name] == "" {
			out[name] = key
		}
	}
	return out, whole
}

// untranslate makes a cell of the value of a field; false if the map has no code or
// form for it.
func (f *Field) untranslate(value string) (string, bool) {
	switch {
	case value == "" || f.Column == "":
		return "", true
	case f.Values != nil:
		for _, code := range slices.Sorted(maps.Keys(f.Values)) {
			if f.Values[code] == value {
				return code, true
			}
		}
		return "", false
	case f.Date == "":
		return value, true
	}
	at, err := time.Parse(time.RFC3339Nano, value)
	if !f.path.IsTime() {
		at, err = time.ParseInLocation(time.DateOnly, value, f.zone)
	}
	if err != nil {
		return "", false
	}
	return at.In(f.zone).Format(f.Date), true
}

// WriteJSON writes an alert as a line of NDJSON in full, as alert files hold it, with
// further values beside it.
func WriteJSON(w io.Writer, a *karaulav1.Alert, further any) error {
	content, err := alert.MarshalJSON(a)
	if err != nil {
		return err
	}
	about, err := json.Marshal(further)
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "a line cannot be written")
	}
	line, err := json.Marshal(map[string]json.RawMessage{"karaula": about, "alert": content})
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "a line cannot be written")
	}
	_, err = w.Write(append(line, '\n'))
	return err
}
