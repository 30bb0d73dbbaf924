package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// page lays out a result for people: names with values, tables, lines.
type page struct{ w io.Writer }

// line writes one line.
func (p *page) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }

// blank separates two parts.
func (p *page) blank() { p.line("") }

// raw writes bytes as they are, for texts that somebody signed.
func (p *page) raw(body []byte) { _, _ = p.w.Write(body) }

// field is one named value of a page.
type field struct{ name, value string }

// fields writes named values below each other, aligned. Fields without a value
// are left out.
func (p *page) fields(list ...field) {
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	for _, f := range list {
		if f.value != "" {
			_, _ = fmt.Fprintf(t, "%s\t%s\n", f.name, f.value)
		}
	}
	_ = t.Flush() // a page is written to memory
}

// table writes rows below a head in capitals. An empty cell is shown as "-"; a
// table without rows is only its head.
func (p *page) table(head []string, rows [][]string) {
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, strings.ToUpper(strings.Join(head, "\t")))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = cell; cell == "" {
				cells[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	_ = t.Flush() // a page is written to memory
}

// list writes words after each other: "al, me".
func list(words []string) string { return strings.Join(words, ", ") }
