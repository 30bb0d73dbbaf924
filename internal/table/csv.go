package table

import (
	"errors"
	"io"
	"strings"
)

// What is wrong with a row of CSV.
var (
	errOpen  = errors.New("a quote is opened and not closed within the longest row")
	errBare  = errors.New("a quote stands inside a cell that does not begin with one")
	errAfter = errors.New("something stands between a closing quote and the next delimiter")
	errLong  = errors.New("is longer than a row may be")
	errWide  = errors.New("has more columns than a row may have")
)

// csvReader reads rows of CSV (RFC 4180) with any delimiter. Unlike the reader of
// the standard library it has limits, and a quote that is never closed costs one
// row, not all that follow.
type csvReader struct {
	in        *lines
	delimiter byte
	quote     bool
}

// read gives the cells of the next row that is not empty, and its first line. An
// error that is not io.EOF and comes with a line is about that row alone.
func (c *csvReader) read() (cells []string, number int, err error) {
	for {
		first, err := c.in.read()
		switch {
		case err != nil:
			return nil, 0, err
		case first.long:
			return nil, first.number, errLong
		case len(first.text) == 0:
			continue
		}
		cells, err := c.row(first.text)
		return cells, first.number, err
	}
}

// row reads a row that begins with text, and goes on where quotes hold line feeds.
func (c *csvReader) row(text []byte) ([]string, error) {
	p := csvParser{delimiter: c.delimiter, quote: c.quote}
	size := len(text)
	err := p.line(text)
	var more [][]byte
	for err == nil && p.open {
		var l line
		if l, err = c.in.read(); err != nil {
			if !errors.Is(err, io.EOF) {
				return nil, err
			}
			err = errOpen
			break
		}
		if size += len(l.text) + 1; l.long || size > MaxRow {
			more, err = append(more, l.text), errOpen
			break
		}
		more = append(more, l.text)
		p.cell.WriteByte('\n')
		err = p.line(l.text)
	}
	if err != nil {
		c.in.unread(more) // the rows behind the one that is wrong
		return nil, err
	}
	return p.cells, nil
}

// csvParser is where a row stands.
type csvParser struct {
	delimiter byte
	quote     bool
	open      bool // within quotes
	cell      strings.Builder
	cells     []string
}

// end ends a cell.
func (p *csvParser) end() error {
	if len(p.cells) >= MaxColumns {
		return errWide
	}
	p.cells = append(p.cells, p.cell.String())
	p.cell.Reset()
	return nil
}

// line reads one line of a row.
func (p *csvParser) line(text []byte) error {
	i, n := 0, len(text)
	for {
		if !p.open && p.quote && i < n && text[i] == '"' {
			p.open = true
			i++
		}
		if p.open {
			i = p.quoted(text, i)
			if p.open {
				return nil // goes on in the next line
			}
			if i < n && text[i] != p.delimiter {
				return errAfter
			}
		}
		for ; i < n && text[i] != p.delimiter; i++ {
			if p.quote && text[i] == '"' {
				return errBare
			}
			p.cell.WriteByte(text[i])
		}
		if err := p.end(); err != nil || i >= n {
			return err
		}
		i++ // the delimiter; behind it another cell begins, if an empty one
	}
}

// quoted reads what stands within quotes, and closes them where they end; it gives
// the place behind.
func (p *csvParser) quoted(text []byte, i int) int {
	for ; i < len(text); i++ {
		if text[i] != '"' {
			p.cell.WriteByte(text[i])
			continue
		}
		i++
		if i >= len(text) || text[i] != '"' {
			p.open = false
			return i
		}
		p.cell.WriteByte('"')
	}
	return i
}
