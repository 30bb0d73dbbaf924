package table

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"karaula/internal/problem"
)

// Reader reads the rows of a file by a map.
type Reader struct {
	m     *Map
	in    *lines
	csv   csvReader
	names []string       // of the columns that the map names
	at    map[string]int // where each of them stands in a row of CSV
	width int            // of a row of CSV; 0 until the first
	rows  int
}

// NewReader begins to read a file. It reads the header, and refuses one that does
// not have the columns of the map.
func (m *Map) NewReader(r io.Reader) (*Reader, error) {
	in := m.newLines(r)
	out := &Reader{m: m, in: in, names: m.Columns(), at: map[string]int{}}
	out.csv = csvReader{in: in, delimiter: m.delimiter, quote: m.quote}
	if m.Format == NDJSON {
		return out, nil
	}
	var header []string
	if m.header {
		var err error
		header, _, err = out.csv.read()
		switch {
		case errors.Is(err, io.EOF):
			return nil, problem.New(problem.Invalid, "the file is empty; nothing was sent")
		case err != nil:
			return nil, problem.Wrap(problem.Invalid, err, "the header cannot be read; nothing was sent").
				WithHint("check encoding, delimiter and quote in the map")
		}
		for i := range header {
			header[i] = trim(header[i])
		}
		out.width = len(header)
	}
	return out, out.locate(header)
}

// locate finds the columns of the map, by title or else by number.
func (r *Reader) locate(header []string) error {
	var missing []string
	for _, name := range r.names {
		if i := slices.Index(header, name); i >= 0 {
			if slices.Contains(header[i+1:], name) {
				return problem.New(problem.Invalid, "two columns have the title %q; nothing was sent", name).
					WithHint("name the column by its number in the map")
			}
			r.at[name] = i
			continue
		}
		n, err := strconv.Atoi(name)
		if err != nil || n < 1 || n > MaxColumns || (header != nil && n > len(header)) {
			missing = append(missing, strconv.Quote(name))
			continue
		}
		r.at[name] = n - 1
	}
	if len(missing) > 0 {
		return problem.New(problem.Invalid, "the file has no column %s; nothing was sent", strings.Join(missing, ", ")).
			WithHint("check encoding, delimiter, header and the titles in the map")
	}
	return nil
}

// Next gives the next row, or what is wrong with it. An error means that the rest
// of the file cannot be read; io.EOF, that there is none.
func (r *Reader) Next() (Row, *Fault, error) {
	if r.m.Format == NDJSON {
		return r.nextJSON()
	}
	cells, number, err := r.csv.read()
	if err != nil && number == 0 {
		return Row{}, nil, ended(err)
	}
	r.rows++
	row := Row{Line: number, Row: r.rows}
	if err != nil {
		return row, row.fault(err.Error()), nil
	}
	if r.width == 0 {
		r.width = len(cells)
	}
	if len(cells) != r.width {
		return row, row.fault(fmt.Sprintf("has %d columns, the rows before have %d", len(cells), r.width)), nil
	}
	row.Cells = make([]string, len(r.names))
	for i, name := range r.names {
		at := r.at[name]
		if at >= len(cells) {
			return row, row.fault(fmt.Sprintf("has %d columns, the map names column %d", len(cells), at+1)), nil
		}
		row.Cells[i] = trim(cells[at])
	}
	return row, r.undecoded(row), nil
}

func (r *Reader) nextJSON() (Row, *Fault, error) {
	for {
		l, err := r.in.read()
		if err != nil {
			return Row{}, nil, ended(err)
		}
		if len(strings.TrimSpace(string(l.text))) == 0 && !l.long {
			continue
		}
		r.rows++
		row := Row{Line: l.number, Row: r.rows}
		if l.long {
			return row, row.fault(errLong.Error()), nil
		}
		values, err := flatten(l.text)
		if err != nil {
			return row, row.fault(err.Error()), nil
		}
		row.Cells = make([]string, len(r.names))
		for i, name := range r.names {
			row.Cells[i] = trim(values[name])
		}
		return row, r.undecoded(row), nil
	}
}

// ended makes an error of the end of a file.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return problem.Wrap(problem.Failed, err, "the file cannot be read to its end")
}

// undecoded finds characters that the declared encoding does not have.
func (r *Reader) undecoded(row Row) *Fault {
	for i, c := range row.Cells {
		if strings.ContainsRune(c, '\uFFFD') {
			return row.fault(fmt.Sprintf("column %s: holds bytes that are nothing in the encoding of the map", shown(r.names[i])))
		}
	}
	return nil
}

// trim takes the blanks away with which registers fill up cells.
func trim(s string) string { return strings.Trim(s, " \t\u00a0") }

// shown makes a column's name fit for a message.
func shown(name string) string { return strconv.Quote(name) }
