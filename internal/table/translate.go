package table

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
	"google.golang.org/protobuf/proto"

	"karaula/internal/alert"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// Key gives what tells the row from all others, as bytes that no other key has;
// false if one of its columns is empty.
func (r *Reader) Key(row Row) ([]byte, bool) {
	var out []byte
	for _, name := range r.m.key {
		cell := r.cell(row, name)
		if cell == "" {
			return nil, false
		}
		out = fmt.Appendf(out, "%d:%s", len(cell), cell)
	}
	return out, true
}

// cell gives the cell of a column.
func (r *Reader) cell(row Row, name string) string { return row.Cells[slices.Index(r.names, name)] }

// Alert makes an alert of a row, without id and version, and not validated yet.
func (r *Reader) Alert(row Row) (*karaulav1.Alert, *Fault) {
	a := proto.CloneOf(r.m.constants)
	var wrong []string
	for i := range r.m.fields {
		f := &r.m.fields[i]
		if f.When != "" && r.cell(row, f.When) == "" {
			continue
		}
		text := f.Value
		if f.Column != "" {
			var why string
			if text, why = f.translate(r.cell(row, f.Column)); why != "" {
				if why = fmt.Sprintf("column %s: %s", shown(f.Column), why); !slices.Contains(wrong, why) {
					wrong = append(wrong, why) // a column may fill several fields
				}
				continue
			}
		}
		if text == "" {
			continue
		}
		if err := f.path.Set(a, text); err != nil {
			wrong = append(wrong, fmt.Sprintf("column %s: %s", shown(f.Column), err))
		}
	}
	if len(wrong) > 0 {
		return nil, row.fault(strings.Join(wrong, "; "))
	}
	alert.Prune(a)
	alert.Complete(a)
	return a, nil
}

// translate makes the value of a field of a cell; "" leaves the field out.
func (f *Field) translate(cell string) (text, why string) {
	cell = norm.NFC.String(cell)
	switch {
	case f.Values != nil:
		v, ok := f.Values[cell]
		if !ok && cell != "" {
			return "", "holds a code that the map does not list"
		}
		return v, ""
	case cell == "" || f.Date == "":
		return cell, ""
	}
	at, err := time.ParseInLocation(f.Date, cell, f.zone)
	if err != nil {
		return "", "is no date or time of the form that the map says"
	}
	if f.path.IsTime() {
		return at.UTC().Format(time.RFC3339Nano), ""
	}
	return at.Format(time.DateOnly), ""
}
