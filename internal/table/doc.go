// Package table reads the files that national registers export, CSV or NDJSON in
// any encoding, row by row, and makes alerts of rows by a map: a YAML file that
// says which column fills which field, what coded values mean, and what is the
// same in all rows. The other way it writes alerts as rows.
//
// A row that cannot be read or translated is a fault of that row; the rows behind
// it are read on. The package must never hold more than a few rows in memory,
// must never guess (an encoding, a date, a code that the map does not list), and
// must never put a value of a row into an error.
package table

import "karaula/internal/problem"

// Limits of a file.
const (
	// MaxRow is the longest row, in bytes of UTF-8.
	MaxRow = 256 << 10
	// MaxColumns is how many columns a row may have.
	MaxColumns = 1000
	// MaxMap is the largest map, in bytes.
	MaxMap = 256 << 10
	// maxDepth is how deep a row of NDJSON may be nested.
	maxDepth = 8
)

// Fault is what is wrong with one row. It never shows a value.
type Fault struct {
	Line int    `json:"line"` // of the file, from 1: where the row begins
	Row  int    `json:"row"`  // from 1, without the header
	Why  string `json:"why"`
}

// Row is one row of a file: its cells, by the columns of the reader.
type Row struct {
	Line, Row int
	Cells     []string
}

// fault makes a fault of a row.
func (r Row) fault(why string) *Fault { return &Fault{Line: r.Line, Row: r.Row, Why: why} }

// badMap makes an error about a map.
func badMap(format string, args ...any) error {
	return problem.New(problem.Invalid, "map: "+format, args...).WithHint("maps are explained in docs/import.md")
}
